//! Shared helpers of the tests: what more than one crate's tests need.
//!
//! Nothing here may depend on a crate of the SDK: the crates' own tests use it.

pub mod anyhost;
pub mod cut;
pub mod leak;
pub mod process;
pub mod relay;
