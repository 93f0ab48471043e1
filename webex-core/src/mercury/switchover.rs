//! Reports of a change to another connection.

use serde_json::{Value, json};

use super::close::Stop;

/// The progress of the change to another connection: when the server of the current one announces
/// its end, or the device has a new address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Switchover {
    /// A successor is being opened.
    Announced,
    /// The successor has taken over.
    Complete,
    /// There is no successor; the connection stays until the server ends it.
    Failed(Stop),
}

impl Switchover {
    /// The details, the same in every language: a JSON object.
    pub fn to_json(self) -> Value {
        match self {
            Self::Announced => json!({"phase": "announced"}),
            Self::Complete => json!({"phase": "complete"}),
            Self::Failed(stop) => json!({"phase": "failed", "reason": stop.name()}),
        }
    }
}
