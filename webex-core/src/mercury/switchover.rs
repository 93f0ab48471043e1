//! What is told of a change to another connection.

use serde_json::{Value, json};

use super::close::Stop;

/// How the change to another connection goes: when the server of the present one announces its end,
/// or the device has another address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Switchover {
    /// A successor is being made.
    Announced,
    /// The successor has taken over.
    Complete,
    /// There will be no successor; the connection stays until the server ends it.
    Failed(Stop),
}

impl Switchover {
    /// The details, as every language gets them: a JSON object.
    pub fn to_json(self) -> Value {
        match self {
            Self::Announced => json!({"phase": "announced"}),
            Self::Complete => json!({"phase": "complete"}),
            Self::Failed(stop) => json!({"phase": "failed", "reason": stop.name()}),
        }
    }
}
