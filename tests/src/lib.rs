//! Helpers for the tests of more than one crate.
//!
//! An integration test starts with [`user`] and [`wait`]: a client at a sandbox, and waiting for
//! its events. They use the types of the SDK. The unit tests of `webex-core` and `webex-auth` are
//! built from another copy of those crates, so they use only the other modules.
//!
//! Every crate has this one among its dev-dependencies. Through it all crates see the same features
//! of shared libraries, so that the tests of one crate reuse what the tests of all have built
//! (`cargo xtask features`).

pub mod anyhost;
pub mod corpus;
pub mod cut;
pub mod leak;
pub mod mutate;
pub mod process;
pub mod relay;
pub mod stranger;
pub mod user;
pub mod wait;
