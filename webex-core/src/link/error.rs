//! Why the link is not up, or could not be taken down.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    catalog::CatalogError,
    error::{ErrorKind, HttpError},
    mercury::{close::Stop, failure::SocketFailure},
};

/// Why the link is not up, or could not be taken down.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The service catalog is missing.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The device could not be registered, refreshed or deleted.
    #[error("the device could not be {action}: {source}")]
    Device {
        /// `registered`, `refreshed`, `listed` or `deleted`.
        action: &'static str,
        /// The answer of the service.
        source: HttpError,
    },
    /// The user has the maximum number of devices, and none of this program's could be deleted.
    #[error("the user has {registered} devices, {own} of them this program's and in use: {source}")]
    TooManyDevices {
        /// Devices of the user.
        registered: usize,
        /// How many of them are this program's, by name and type.
        own: usize,
        /// The answer of the service.
        source: HttpError,
    },
    /// The socket was refused for good.
    #[error("the event socket was refused: {}", reason(*.0))]
    Refused(Stop),
    /// The socket cannot be opened for now; attempts go on.
    #[error("the event socket cannot be opened: {0}")]
    Socket(SocketFailure),
    /// A service has answered 451 to a request of the user: the user has been signed out, and the
    /// device was given up.
    #[error("Webex is not available to this user here, for legal reasons")]
    Embargoed,
    /// The link's task has ended: the client was dropped.
    #[error("the client has been closed")]
    Closed,
}

impl LinkError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Catalog(error) => error.kind(),
            Self::Device { source, .. } => source.kind(),
            Self::TooManyDevices { .. } => ErrorKind::DeviceLimit,
            Self::Refused(Stop::Unauthorized) => ErrorKind::Unauthorized,
            Self::Refused(Stop::NotEntitled | Stop::BadRequest) => ErrorKind::Forbidden,
            Self::Refused(Stop::Replaced) => ErrorKind::Cancelled,
            Self::Refused(Stop::Untrusted) => ErrorKind::Protocol,
            Self::Socket(failure) => match failure {
                SocketFailure::Unanswered | SocketFailure::NotAuthorized => ErrorKind::Timeout,
                SocketFailure::Broken | SocketFailure::Status(511) => ErrorKind::Network,
                SocketFailure::Status(429) => ErrorKind::RateLimited { retry_after: None },
                SocketFailure::Status(500..=510 | 512..) => ErrorKind::Server,
                SocketFailure::Status(400..=499) => ErrorKind::Rejected,
                SocketFailure::Status(_) | SocketFailure::Closed(_) => ErrorKind::Protocol,
            },
            Self::Embargoed => ErrorKind::Embargoed,
            Self::Closed => ErrorKind::InvalidState,
        }
    }

    /// Whether the link comes back by itself: it failed for lack of a token, and tries again as
    /// soon as there is a new one. Any other failure needs a new acquire.
    pub fn will_retry(&self) -> bool {
        self.kind() == ErrorKind::Unauthorized
    }

    /// The tracking id to quote to Webex support.
    pub fn tracking_id(&self) -> Option<&str> {
        self.request()?.tracking_id()
    }

    /// The details as JSON, the same in every language: `kind`, `message`, and if known
    /// `httpStatus`, `retryAfterMs` and `trackingId`.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("kind".to_owned(), self.kind().name().into());
        map.insert("message".to_owned(), self.to_string().into());
        let service = self.request().and_then(HttpError::service);
        let status = match self {
            Self::Socket(SocketFailure::Status(status)) => Some(*status),
            _ => service.map(|service| service.status.as_u16()),
        };
        if let Some(status) = status {
            map.insert("httpStatus".to_owned(), status.into());
        }
        if let Some(wait) = service.and_then(|service| service.retry_after) {
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            map.insert("retryAfterMs".to_owned(), ms.into());
        }
        if let Some(id) = self.tracking_id() {
            map.insert("trackingId".to_owned(), id.into());
        }
        map
    }

    /// The error of the request, if a request failed.
    pub(crate) fn request(&self) -> Option<&HttpError> {
        match self {
            Self::Catalog(CatalogError::Fetch(error))
            | Self::Device { source: error, .. }
            | Self::TooManyDevices { source: error, .. } => Some(error),
            _ => None,
        }
    }
}

fn reason(stop: Stop) -> &'static str {
    match stop {
        Stop::BadRequest => "these credentials cannot be used for events",
        Stop::NotEntitled => "the user is not entitled to events",
        Stop::Replaced => "another connection of the same device took over",
        Stop::Unauthorized => "the access token was refused; sign in again",
        Stop::Untrusted => "its host may not receive the access token",
    }
}
