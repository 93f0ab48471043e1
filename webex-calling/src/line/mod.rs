//! A calling line: the application's handle, and the task that drives its registration.
//!
//! ```text
//!   Line (handle) ── Command ──► driver ── inputs ──► registration::Machine
//!     ▲  ▲                        │  ▲                       │
//!     │  └── snapshot ────────────┤  └── answers ── requests ◄┤ actions
//!     └───── events ──────────────┘                          │
//!                                  failover_store ◄──────────┘
//! ```

pub(crate) mod driver;
pub(crate) mod failover_store;
pub(crate) mod handle;
mod requests;
#[cfg(test)]
mod simulation;
