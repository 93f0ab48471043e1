//! The lifecycle of a token, as a machine without I/O.
//!
//! [`Lifecycle`](machine::Lifecycle) decides when a token is renewed and what callers get in the
//! meantime. It reads no clock, sends nothing and holds no token. Its driver is behind
//! [`Tokens`](crate::Tokens).
//!
//! # Driving it
//! 1. Report inputs with the `handle_*` methods, each with the current [`Moment`](clock::Moment).
//! 2. Then call [`poll_action`](machine::Lifecycle::poll_action) until it returns `None`. On
//!    [`Action::Renew`](machine::Action::Renew) start a renewal, and report its end with
//!    [`handle_outcome`](machine::Lifecycle::handle_outcome). There is never more than one.
//! 3. Call [`handle_timeout`](machine::Lifecycle::handle_timeout) after the time that
//!    [`poll_timeout`](machine::Lifecycle::poll_timeout) returns. Calling it earlier or more often
//!    is safe.
//!
//! # Policy
//! * A token with an expiry is renewed after 60 to 90 % of its lifetime; one that a service
//!   refused, at once, but only a limited number of times
//!   ([`timings::REFUSALS_AT_ONCE`](crate::timings::REFUSALS_AT_ONCE)).
//! * An unanswered renewal is repeated with growing, jittered pauses until the token expires, and
//!   for at least a minute. The state is then
//!   [`TokenState::ReauthRequired`](state::TokenState::ReauthRequired), but the next request tries
//!   again.
//! * A refused renewal ends it: the user has to sign in. So does a service's refusal of a token
//!   that cannot be renewed. The current token is returned until it expires or is refused, so that
//!   what is registered with it can be given up.
//! * Time is counted by the clock that advanced more: the monotonic clock stands still during
//!   sleep, and the wall clock can be set back.

pub(crate) mod clock;
pub(crate) mod machine;
#[cfg(test)]
mod properties;
pub(crate) mod state;
#[cfg(test)]
mod tests;
