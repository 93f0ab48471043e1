//! A line's registration with Mobius: the policy.
//!
//! [`machine::Machine`] decides which server to ask, when to wait, when a registration counts as
//! lost; it does no I/O and reads no clock. [`timings`] has every constant with its source. The
//! line's task drives it.

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
