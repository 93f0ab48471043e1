//! The link: one user's WDM device and Mercury socket, kept up while a lease is held.
//!
//! Products do not own the device; they hold a [`Lease`]. The first lease brings the link up, and
//! releasing the last one takes it down, so that Meetings and Calling share a device without
//! knowing each other. One task per user (the driver) owns both. The first lease starts it; it ends
//! when all handles are dropped, after giving up what is left in the cloud.
//!
//! ```text
//!   Meetings ── Lease ─┐                          ┌─ device::machine   (policy, no I/O)
//!   Calling ─── Lease ─┴─► commands ► driver task ┤
//!                   ▲                    │        └─ mercury::machine
//!                   └── state, events ◄──┘
//! ```

#[cfg(test)]
mod close_tests;
pub(crate) mod command;
mod driver;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod handle;
mod machine;
#[cfg(test)]
mod simulation;
mod sleep;
mod socket;
mod state;
pub mod timings;
mod work;

pub use self::{
    error::LinkError,
    event::LinkEvent,
    handle::{Lease, Link},
    machine::Phase,
    state::LinkState,
};
