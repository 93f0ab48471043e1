//! The life of a token, as a machine without I/O.
//!
//! [`Lifecycle`] decides when a token is renewed and what callers get meanwhile. It reads no clock,
//! sends nothing and holds no token. The crate's own driver is behind [`Tokens`](crate::Tokens);
//! this module is public for programs that need another one.
//!
//! # Driving it
//! 1. Report what happens with the `handle_*` methods, each with the current [`Moment`].
//! 2. Afterwards call [`poll_action`](Lifecycle::poll_action) until it gives nothing. On
//!    [`Action::Renew`] begin a renewal, whose end goes to
//!    [`handle_outcome`](Lifecycle::handle_outcome). There is never more than one.
//! 3. Call [`handle_timeout`](Lifecycle::handle_timeout) when the time that
//!    [`poll_timeout`](Lifecycle::poll_timeout) gives is over. Calling it earlier or more often is
//!    safe.
//!
//! # Policy
//! * A token with an expiry is renewed after 60 to 90 % of its life; one that a service refused, at
//!   once, but not again and again ([`timings::REFUSALS_AT_ONCE`](crate::timings::REFUSALS_AT_ONCE)).
//! * A renewal that gets no answer is repeated with growing, jittered pauses until the token expires,
//!   and for a minute at least. Then the state is [`TokenState::ReauthRequired`], but the next demand
//!   tries again.
//! * A renewal that is refused ends it all: the user has to sign in.
//! * Time is counted by the clock that shows more of it: the monotonic clock stands still during
//!   sleep, and the wall clock can be set back.

mod clock;
mod machine;
mod state;

pub use self::{
    clock::{Clock, Moment, SystemClock},
    machine::{Action, Answer, Life, Lifecycle, Outcome},
    state::{ReauthReason, RenewError, TokenState},
};
