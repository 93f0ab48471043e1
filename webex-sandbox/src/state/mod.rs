//! The state of the sandbox, a store for each kind of thing. A store uses only those below it;
//! [`World`](crate::world::World) owns them all.

pub(crate) mod clients;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod devices;
pub(crate) mod expiry;
pub(crate) mod fault;
pub(crate) mod faults;
pub(crate) mod instances;
pub(crate) mod latency;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod mutations;
pub(crate) mod oauth;
pub(crate) mod policy;
pub(crate) mod sockets;
pub(crate) mod timestamps;
pub(crate) mod tokens;
pub(crate) mod users;
