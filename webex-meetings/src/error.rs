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
    #[error("the meetings device was not registered within {} s{}", after.as_secs(), because(last.as_deref()))]
    Timeout {
        /// How long it was tried.
        after: Duration,
        /// What went wrong last, if anything did but the time.
        last: Option<Box<LinkError>>,
    },
}

impl MeetingsError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Catalog(error) => error.kind(),
            Self::Link(error) => error.kind(),
            Self::Timeout { .. } => ErrorKind::Timeout,
        }
    }

    /// The tracking id to quote to Webex support, where a service gave one.
    pub fn tracking_id(&self) -> Option<&str> {
        match self {
            Self::Catalog(error) => error.tracking_id(),
            Self::Link(error) => error.tracking_id(),
            Self::Timeout { last, .. } => last.as_ref()?.tracking_id(),
        }
    }

    /// Whether the registration comes back by itself: it failed for lack of a token, and goes on as
    /// soon as there is a new one, unless it is unregistered.
    pub fn will_retry(&self) -> bool {
        matches!(self, Self::Link(error) if error.will_retry())
    }

    /// Returns the details as a JSON object; the keys are in `docs/events.md`.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut details = match self {
            Self::Link(error) => error.to_json(),
            Self::Timeout { last: Some(error), .. } => error.to_json(),
            Self::Catalog(error) => LinkError::from(error.clone()).to_json(),
            Self::Timeout { last: None, .. } => Map::new(),
        };
        details.insert("kind".to_owned(), self.kind().name().into());
        details.insert("message".to_owned(), self.to_string().into());
        details
    }
}

fn because(last: Option<&LinkError>) -> String {
    last.map_or_else(String::new, |error| format!(": {error}"))
}

/// Errors are equal when their messages are.
impl PartialEq for MeetingsError {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.to_string() == other.to_string()
    }
}

impl Eq for MeetingsError {}
