//! The commands, one file each.

pub(crate) mod listen;
pub(crate) mod live;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod register;
pub(crate) mod sandbox;
pub(crate) mod token;
pub(crate) mod whoami;
