//! One request and its answer: what all services share.
//!
//! A service lists its paths with [`route::route`]. Each request then goes through
//! [`pipeline::handle_request`], which calls the service's handler with a [`call::Call`] and sends
//! the [`reply::Reply`] it returns.

pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod pipeline;
pub(crate) mod reply;
pub(crate) mod route;
pub(crate) mod script;
