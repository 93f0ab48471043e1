//! The words of the crate: configuration, properties, states, events and errors.
//!
//! Everything else builds on this module, and it builds on nothing of the crate. It does no I/O.

pub(crate) mod client_error;
pub(crate) mod config;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod info;
pub(crate) mod policy;
pub(crate) mod servers;
pub(crate) mod state;

use serde::Serialize;
use serde_json::{Map, Value};

/// The JSON object of a value whose keys are fixed.
fn object(value: impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}
