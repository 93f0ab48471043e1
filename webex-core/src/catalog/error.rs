//! Why there is no service catalog, or no such service in it.

use thiserror::Error;

use crate::error::{ErrorKind, HttpError};

/// Why there is no service catalog, or no such service in it.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The catalog could not be fetched.
    #[error("the service catalog could not be fetched: {0}")]
    Fetch(#[from] HttpError),
    /// The catalog does not list a service that is needed.
    #[error(
        "the service catalog has no `{0}`: the user is not entitled to it, or the token is not for this cloud"
    )]
    NoService(String),
}

impl CatalogError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Fetch(error) => error.kind(),
            Self::NoService(_) => ErrorKind::Forbidden,
        }
    }

    /// The tracking id to quote to Webex support, where a service gave one.
    pub fn tracking_id(&self) -> Option<&str> {
        match self {
            Self::Fetch(error) => error.tracking_id(),
            Self::NoService(_) => None,
        }
    }
}
