//! The services, one module each. A handler takes a [`Call`](crate::exchange::call::Call) and returns a
//! [`Reply`](crate::exchange::reply::Reply).

pub(crate) mod hydra;
pub(crate) mod mercury;
pub(crate) mod messages;
pub(crate) mod misc;
pub(crate) mod mobius;
pub(crate) mod oauth;
pub(crate) mod u2c;
pub(crate) mod wdm;
