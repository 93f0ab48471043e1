//! What the tests of more than one crate need.
//!
//! [`user`] and [`wait`] are where an integration test begins: a client at a sandbox, and waiting for
//! its events. They speak the types of the SDK, so that the unit tests of `webex-core` and
//! `webex-auth`, which are built from another copy of those crates, use the other modules only.
//!
//! Every crate has this one among its dev-dependencies. Through it they all see the same features of
//! the libraries they share, so that the tests of one crate are built from what the tests of all have
//! left (`cargo xtask features`).

pub mod anyhost;
pub mod cut;
pub mod leak;
pub mod mutate;
pub mod process;
pub mod relay;
pub mod user;
pub mod wait;
