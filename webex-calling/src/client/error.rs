//! What can go wrong with a calling client, and how it tells.

use serde::Serialize;
use thiserror::Error;
use webex_core::{CatalogError, ErrorKind, HttpError, LinkError, events::Lossy};

use crate::config::ConfigError;

/// Why there is no calling client, or why it could not do what was asked.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum CallingError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The service catalog is missing.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The device could not be had, or not be given up.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The catalog names no calling servers: the user does not have Webex Calling.
    #[error("the service catalog names no calling servers: the user has no Webex Calling")]
    NoClusters,
    /// No cluster told which servers to use.
    #[error("no calling cluster told which servers to use: {0}")]
    Discovery(#[source] HttpError),
    /// No calling server told which devices the user has.
    #[error("no calling server told the user's devices: {0}")]
    Devices(#[source] HttpError),
    /// The client has been deregistered; make a new one.
    #[error("the calling client has been closed; make a new one")]
    Closed,
}

impl CallingError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) => ErrorKind::Configuration,
            Self::Catalog(error) => error.kind(),
            Self::Link(error) => error.kind(),
            Self::NoClusters => ErrorKind::Forbidden,
            Self::Discovery(error) | Self::Devices(error) => error.kind(),
            Self::Closed => ErrorKind::InvalidState,
        }
    }
}

/// What a calling client tells of itself; lines have events of their own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallingEvent {
    /// `callingClient:error`: where the user is, or which servers that means, could not be told.
    /// The client goes on with what it knows.
    Error(CallingClientError),
    /// This reader was too slow; so many events were dropped.
    Lost(u64),
}

impl CallingEvent {
    /// The documented name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Error(_) => "callingClient:error",
            Self::Lost(_) => "events:lost",
        }
    }
}

impl Lossy for CallingEvent {
    fn lost(count: u64) -> Self {
        Self::Lost(count)
    }
}

/// Kinds of client errors, with the reference client's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallingClientErrorType {
    /// 401: the token was refused, and no other can be had.
    TokenError,
    /// 500: the service failed.
    ServerError,
    /// Anything else, no answer included.
    DefaultError,
}

/// What the client was about when something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DiscoveryStep {
    /// Asking where the user is.
    Region,
    /// Asking which servers to use.
    Servers,
}

/// An error of a calling client. Serialises to the reference client's form: `message`, `type`,
/// `status`, and `context` with the step.
#[derive(Debug, Clone, Error, Serialize)]
#[error("{message}")]
#[non_exhaustive]
pub struct CallingClientError {
    /// The reference client's type.
    #[serde(rename = "type")]
    pub kind: CallingClientErrorType,
    /// What happened.
    pub message: String,
    /// What the client was about.
    #[serde(rename = "context", serialize_with = "context")]
    pub step: DiscoveryStep,
    /// Always `inactive`.
    pub status: &'static str,
    /// HTTP status of the answer, when there was one.
    #[serde(skip)]
    pub http_status: Option<u16>,
    /// Tracking id to quote to Webex support.
    #[serde(skip)]
    pub tracking_id: Option<String>,
    /// What the request met.
    #[source]
    #[serde(skip)]
    pub source: Option<HttpError>,
}

impl CallingClientError {
    /// Reads what a request of discovery met.
    pub(crate) fn from_http(step: DiscoveryStep, error: HttpError) -> Self {
        let kind = match error.status() {
            Some(401) => CallingClientErrorType::TokenError,
            _ if error.kind() == ErrorKind::Unauthorized => CallingClientErrorType::TokenError,
            Some(500) => CallingClientErrorType::ServerError,
            _ => CallingClientErrorType::DefaultError,
        };
        let what = match step {
            DiscoveryStep::Region => "The region is not known",
            DiscoveryStep::Servers => "The calling servers are not known",
        };
        Self {
            kind,
            message: format!("{what}: {error}"),
            step,
            status: "inactive",
            http_status: error.status(),
            tracking_id: error.tracking_id().map(str::to_owned),
            source: Some(error),
        }
    }

    /// The catalog names no cluster.
    pub(crate) fn no_clusters() -> Self {
        Self {
            kind: CallingClientErrorType::DefaultError,
            message: CallingError::NoClusters.to_string(),
            step: DiscoveryStep::Servers,
            status: "inactive",
            http_status: None,
            tracking_id: None,
            source: None,
        }
    }
}

// serde hands a reference to the field.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn context<S: serde::Serializer>(step: &DiscoveryStep, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Context {
        step: DiscoveryStep,
    }
    Context { step: *step }.serialize(to)
}
