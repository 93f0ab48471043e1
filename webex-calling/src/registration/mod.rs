//! A line's registration with Mobius: the rules, without I/O.
//!
//! [`machine::Machine`] decides which server to ask, when to wait, and when a registration counts as
//! lost. It does no I/O and reads no clock; the line's task drives it. The constants are in
//! [`mobius::timings`](crate::mobius::timings), an application's choices in
//! [`RegistrationPolicy`](crate::RegistrationPolicy).
//!
//! # What a line does
//! 1. **Finds a server.** It asks the primaries in order, and again 33 to 42 s later, and later,
//!    until 114 s have passed; then the backups, and once more after such a wait. A server that sent
//!    `Retry-After` is skipped until that time has passed. When all primaries sent one that is longer
//!    than the time left, the backups follow at once.
//! 2. **Does not give up.** When all have refused, it emits `error` and retries
//!    [slowly](crate::RegistrationPolicy::slow_retry): it discovers the servers and asks each once.
//!    Only an error that another attempt cannot cure
//!    ([`LineError::is_final`](crate::LineError::is_final)) ends it.
//! 3. **Keeps the registration alive.** It sends a keepalive at the server's interval, each with the
//!    token of the moment. After five in a row without an answer (contact center: four) the
//!    registration is lost, and the same server is asked first. A server that no longer knows the
//!    line (404) is asked at once.
//! 4. **Returns to a primary** from a backup, at a random time within the rehoming interval. It
//!    registers with the primary before it leaves the backup, where the service allows a user two
//!    registrations. While the line has [calls](crate::CallActivity) it stays where it is.
//! 5. **Stays away** when the user registered elsewhere (409 to a keepalive), and when the server
//!    dropped the registration (`registration.down`), until the application registers again.
//! 6. **Deregisters** in every state within
//!    [`DEREGISTER_LIMIT`](crate::timings::DEREGISTER_LIMIT), and reports the outcome. A registration
//!    that a pending request still brings is deleted as well.
//!
//! 7. **Follows its WDM device.** When that is registered again, the line registers again, for the new
//!    address, and then deletes the old registration.
//! 8. **Waits for a token** when one was refused and no other is available. It registers again when
//!    there is a new one.
//!
//! These are the reference client's rules, except where those are known to be weak. The tests are
//! named after each such case and show what is done instead.

mod active;
mod deregister;
mod device_limit;
mod failback;
pub(crate) mod failover;
mod info;
pub(crate) mod machine;
mod network;
mod renewal;
mod search;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod tests;
