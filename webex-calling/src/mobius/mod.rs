//! Mobius, the calling service: what is sent and received, and how it travels.
//!
//! [`transport`] is the trait that a line uses. [`http`] implements it with HTTP requests, and with
//! the event socket for what Mobius sends unasked. Mobius also has a websocket of its own that
//! carries both; it would be another implementation of the same trait. [`wire`] has the messages,
//! [`timings`] every constant with its source.

pub(crate) mod http;
pub mod timings;
pub(crate) mod transport;
pub(crate) mod wire;
