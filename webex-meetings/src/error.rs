//! What can go wrong.

use std::time::Duration;

use thiserror::Error;
use webex_core::{CatalogError, ErrorKind, LinkError};

/// Why the Meetings device could not be registered or unregistered.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum MeetingsError {
    /// The service catalog is missing.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The device or its event socket could not be had, or not be given up.
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
}
