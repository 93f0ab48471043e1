//! A line's registration with Mobius: the policy.
//!
//! [`machine::Machine`] decides which server to ask, when to wait, when a registration counts as
//! lost; it does no I/O and reads no clock. [`timings`] has every constant with its source. The
//! line's task drives it. What an application may choose is in [`RegistrationPolicy`].
//!
//! # What a line does
//! 1. **Looks for a server.** The primaries are asked in order, and again 33 to 42 s later, and
//!    later, until 114 s have passed; then the backups, and once more after such a wait. A server
//!    that asked for time (`Retry-After`) is passed over until then; when all primaries did, for
//!    longer than there is time, the backups come at once.
//! 2. **Does not give up.** When all have refused, the application hears an `error`, and
//!    [slowly](RegistrationPolicy::slow_retry) the line goes on: it asks which servers there are,
//!    and each of them once. Only an error that trying again cannot cure
//!    ([`LineError::is_final`](crate::LineError::is_final)) ends it.
//! 3. **Keeps the registration alive.** A keepalive goes out at the interval that the server told,
//!    each with the token of the moment. When five in a row (contact center: four) are not answered,
//!    the registration is lost, and the same server is asked first. A server that has forgotten the
//!    line (404) is asked again at once.
//! 4. **Returns to a primary** when a backup has it, at a random time within the rehoming interval:
//!    the primary takes the line before the backup is left, where the service allows a user two
//!    registrations. While the line has [calls](CallActivity) it stays where it is.
//! 5. **Stays away** when the user registered elsewhere (409 to a keepalive), and when the server
//!    says that it dropped the registration (`registration.down`), until the application registers.
//! 6. **Leaves** in every state within [`DEREGISTER_LIMIT`](timings::DEREGISTER_LIMIT), with what
//!    became of it. What a request under way still brings is given up as well.
//!
//! These are the reference client's rules but where they are known to be weak; the tests beside the
//! machine are named after each such case, and say what is done instead.

mod active;
mod failback;
mod leave;
mod limit;
pub mod machine;
mod network;
mod policy;
pub(crate) mod saved;
mod search;
mod state;
#[cfg(test)]
mod tests;
pub mod timings;

pub use self::{
    policy::{CallActivity, DeviceLimit, RegistrationPolicy},
    saved::Failover,
};
