//! The commands, one file each.

pub(crate) mod register;
pub(crate) mod sandbox;
