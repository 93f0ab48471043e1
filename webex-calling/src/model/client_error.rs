//! The errors and events of a calling client.

use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;
use webex_core::{CatalogError, ErrorKind, HttpError, LinkError, LinkEvent, events::Lossy};

use super::{config::ConfigError, error::LineError, object};

/// Why a calling client could not be made, or could not do what was asked.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum CallingError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The service catalog is not available.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The device could not be registered or deleted.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The catalog lists no calling servers: the user does not have Webex Calling.
    #[error("the service catalog lists no calling servers: the user has no Webex Calling")]
    NoClusters,
    /// Mobius discovery failed at all clusters.
    #[error("no calling cluster answered which servers to use: {0}")]
    Discovery(#[source] HttpError),
    /// No calling server listed the user's devices.
    #[error("no calling server listed the user's devices: {0}")]
    Devices(#[source] HttpError),
    /// A calling server did not confirm that a line is deregistered. It drops the line when no more
    /// keepalives come.
    #[error("a calling server did not confirm that the line is deregistered: {0}")]
    Line(#[source] Box<LineError>),
    /// The client was deregistered. Make a new one.
    #[error("the calling client has been closed; make a new one")]
    Closed,
}

impl From<LineError> for CallingError {
    fn from(error: LineError) -> Self {
        Self::Line(Box::new(error))
    }
}

impl CallingError {
    /// Returns the kind of failure, which says what to do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) => ErrorKind::Configuration,
            Self::Catalog(error) => error.kind(),
            Self::Link(error) => error.kind(),
            Self::NoClusters => ErrorKind::Forbidden,
            Self::Discovery(error) | Self::Devices(error) => error.kind(),
            Self::Line(error) => error.error_kind(),
            Self::Closed => ErrorKind::InvalidState,
        }
    }

    /// Returns the tracking id to quote to Webex support, where a service gave one.
    pub fn tracking_id(&self) -> Option<&str> {
        match self {
            Self::Catalog(error) => error.tracking_id(),
            Self::Link(error) => error.tracking_id(),
            Self::Discovery(error) | Self::Devices(error) => error.tracking_id(),
            Self::Line(error) => error.tracking_id.as_deref(),
            Self::Config(_) | Self::NoClusters | Self::Closed => None,
        }
    }
}

/// An event of a calling client. Lines have events of their own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallingEvent {
    /// `callingClient:error`: region discovery or Mobius discovery failed. The client goes on with
    /// what it knows.
    Error(CallingClientError),
    /// `callingClient:retrying`: several attempts to open the event socket have failed, the last for
    /// this reason, and they go on. Lines stay registered, but their calls are not announced.
    Retrying(LinkError),
    /// `callingClient:failed`: the event socket was refused for good, and no events arrive. Where a
    /// token is missing, it is opened again with a new one.
    Failed(LinkError),
    /// `callingClient:connected`: events arrive again.
    Connected,
    /// `events:lost`: this reader was too slow, and this many events were dropped.
    Lost(u64),
}

impl CallingEvent {
    /// The names of all events.
    pub const NAMES: [&'static str; 5] = [
        "callingClient:error",
        "callingClient:retrying",
        "callingClient:failed",
        "callingClient:connected",
        "events:lost",
    ];

    /// Returns the documented name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Error(_) => "callingClient:error",
            Self::Retrying(_) => "callingClient:retrying",
            Self::Failed(_) => "callingClient:failed",
            Self::Connected => "callingClient:connected",
            Self::Lost(_) => "events:lost",
        }
    }

    /// Returns the details as a JSON object: what the C interface and the command line show. The
    /// keys are in `docs/events.md`.
    pub fn to_json(&self) -> Map<String, Value> {
        match self {
            Self::Error(error) => error.to_json(),
            // What the link says of its own trouble.
            Self::Retrying(error) => LinkEvent::Retrying(error.clone()).to_json(),
            Self::Failed(error) => LinkEvent::Failed(error.clone()).to_json(),
            Self::Connected => Map::new(),
            Self::Lost(count) => object(json!({ "lost": count })),
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
    /// 401: the token was refused, and no other is available.
    TokenError,
    /// 500: the service failed.
    ServerError,
    /// Anything else, including no answer.
    DefaultError,
}

/// The step of discovery that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DiscoveryStep {
    /// Region discovery: where the user is.
    Region,
    /// Mobius discovery: which servers to use.
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
    /// The step that failed.
    #[serde(rename = "context", serialize_with = "context")]
    pub step: DiscoveryStep,
    /// Always `inactive`.
    pub status: &'static str,
    /// HTTP status of the answer, if there was one.
    #[serde(skip)]
    pub http_status: Option<u16>,
    /// Tracking id to quote to Webex support, if there is one.
    #[serde(skip)]
    pub tracking_id: Option<String>,
    /// Why the request failed.
    #[source]
    #[serde(skip)]
    pub source: Option<HttpError>,
}

impl CallingClientError {
    /// Returns the kind of failure, in the terms of the whole SDK.
    pub fn error_kind(&self) -> ErrorKind {
        self.source.as_ref().map_or(ErrorKind::Forbidden, HttpError::kind)
    }

    /// Returns the error as a JSON object: the reference client's form (`message`, `type`, `status`,
    /// `context`) and `kind`; where known also `httpStatus` and `trackingId`.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = object(self);
        let known = [
            ("kind", Some(json!(self.error_kind().name()))),
            ("httpStatus", self.http_status.map(|status| json!(status))),
            ("trackingId", self.tracking_id.as_ref().map(|id| json!(id))),
        ];
        json.extend(known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        json
    }

    /// Classifies the failure of a discovery request.
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

    /// The catalog lists no cluster.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_json_is_the_reference_clients_form_with_known_details() {
        let timeout = HttpError::Timeout { host: "m".to_owned(), after: Duration::from_secs(5) };
        let error = CallingClientError::from_http(DiscoveryStep::Region, timeout);
        let event = CallingEvent::Error(error);
        let expected = json!({
            "message": "The region is not known: m did not answer within 5 s",
            "type": "default_error", "status": "inactive", "context": {"step": "region"},
            "kind": "timeout",
        });
        assert_eq!((event.name(), event.to_json().into()), ("callingClient:error", expected));
        let link = LinkError::Closed;
        let events = [
            event,
            CallingEvent::Retrying(link.clone()),
            CallingEvent::Failed(link),
            CallingEvent::Connected,
            CallingEvent::Lost(1),
        ];
        assert_eq!(CallingEvent::NAMES, events.each_ref().map(CallingEvent::name));
        let will_retry = events.map(|event| event.to_json().get("willRetry").cloned());
        assert_eq!(will_retry, [None, Some(json!(true)), Some(json!(false)), None, None]);
        let none = CallingClientError::no_clusters().to_json();
        assert_eq!(
            (&none["kind"], &none["context"]),
            (&json!("forbidden"), &json!({"step": "servers"}))
        );
        let lost = CallingEvent::Lost(3);
        assert_eq!((lost.name(), lost.to_json().into()), ("events:lost", json!({"lost": 3})));
    }
}
