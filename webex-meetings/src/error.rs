//! Errors of registering and unregistering.

use std::time::Duration;

use serde_json::{Map, Value};
use thiserror::Error;
use webex_core::{CatalogError, ErrorKind, LinkError};

/// Why the Meetings device could not be registered or unregistered.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum MeetingsError {
    /// The service catalog is missing.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The device or its event socket could not be set up, or not be given up.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Registration was not complete in time; what it had created is given up.
    #[error("the meetings device was not registered within {} s", .0.as_secs())]
    Timeout(Duration),
}

impl MeetingsError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Catalog(error) => error.kind(),
            Self::Link(error) => error.kind(),
            Self::Timeout(_) => ErrorKind::Timeout,
        }
    }

    /// Whether the registration comes back by itself: it failed for lack of a token, and goes on as
    /// soon as there is a new one, unless it is unregistered.
    pub fn will_retry(&self) -> bool {
        matches!(self, Self::Link(error) if error.will_retry())
    }

    /// Returns the details as a JSON object; the keys are in `docs/events.md`.
    pub fn to_json(&self) -> Map<String, Value> {
        match self {
            Self::Link(error) => error.to_json(),
            Self::Catalog(_) | Self::Timeout(_) => Map::from_iter([
                ("kind".to_owned(), self.kind().name().into()),
                ("message".to_owned(), self.to_string().into()),
            ]),
        }
    }
}

/// Errors are equal when their messages are.
impl PartialEq for MeetingsError {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.to_string() == other.to_string()
    }
}

impl Eq for MeetingsError {}
