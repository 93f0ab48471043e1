//! One request and its answer: what all services have in common.
//!
//! A service lists its paths with [`route::route`]; each request then runs through
//! [`conduct::conduct`], which calls the service's handler with a [`call::Call`] and sends the
//! [`reply::Reply`] it returns.

pub(crate) mod call;
pub(crate) mod conduct;
pub(crate) mod connection;
pub(crate) mod reply;
pub(crate) mod route;
pub(crate) mod script;
