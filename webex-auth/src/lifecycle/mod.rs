//! The life of a token, as a machine without I/O.
//!
//! [`Lifecycle`](machine::Lifecycle) decides when a token is renewed and what callers get meanwhile. It reads no clock,
//! sends nothing and holds no token. Its driver is behind [`Tokens`](crate::Tokens).
//!
//! # Driving it
//! 1. Report what happens with the `handle_*` methods, each with the current [`Moment`](clock::Moment).
//! 2. Afterwards call [`poll_action`](machine::Lifecycle::poll_action) until it gives nothing. On
//!    [`Action::Renew`](machine::Action::Renew) begin a renewal, whose end goes to
//!    [`handle_outcome`](machine::Lifecycle::handle_outcome). There is never more than one.
//! 3. Call [`handle_timeout`](machine::Lifecycle::handle_timeout) when the time that
//!    [`poll_timeout`](machine::Lifecycle::poll_timeout) gives is over. Calling it earlier or more often is
//!    safe.
//!
//! # Policy
//! * A token with an expiry is renewed after 60 to 90 % of its life; one that a service refused, at
//!   once, but not again and again ([`timings::REFUSALS_AT_ONCE`](crate::timings::REFUSALS_AT_ONCE)).
//! * A renewal that gets no answer is repeated with growing, jittered pauses until the token expires,
//!   and for a minute at least. Then the state is [`TokenState::ReauthRequired`](state::TokenState::ReauthRequired), but the next demand
//!   tries again.
//! * A renewal that is refused ends it: the user has to sign in. So does a service that refuses a
//!   token which cannot be renewed. The token held is given out until it expires, or is refused, so
//!   that what is registered with it can be given up.
//! * Time is counted by the clock that shows more of it: the monotonic clock stands still during
//!   sleep, and the wall clock can be set back.

pub(crate) mod clock;
pub(crate) mod machine;
#[cfg(test)]
mod properties;
pub(crate) mod state;
#[cfg(test)]
mod tests;
