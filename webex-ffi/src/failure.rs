//! Failures as C sees them: a status for the caller, a text for the log.
//!
//! A failure of a call is stored as the last error of its thread ([`guard`](crate::guard)); a
//! failure of an operation is part of its event.

use std::time::Duration;

use serde_json::{Map, Value, json};
use webex_sdk::{
    calling::{CallingClientError, CallingError, LineError},
    core::{BuildError, ErrorKind, InvalidOrigin, LinkError, TransportError},
    meetings::MeetingsError,
};

use crate::status::Status;

/// A failure, as the C ABI reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
    pub(crate) tracking_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), tracking_id: None, retry_after: None }
    }

    /// An invalid argument, by its name in the header.
    pub(crate) fn argument(name: &str, problem: &str) -> Self {
        Self::new(Status::InvalidArgument, format!("`{name}` {problem}"))
    }

    /// The object was freed during the call.
    pub(crate) fn freed() -> Self {
        Self::new(Status::Cancelled, "the client was freed")
    }

    /// A panic caught by [`guard`](crate::guard::guard). Its text is left out, because it could hold anything.
    pub(crate) fn panic() -> Self {
        Self::new(Status::Panic, "the SDK failed inside; this is a bug")
    }

    fn sdk(kind: ErrorKind, error: &dyn std::error::Error, tracking_id: Option<&str>) -> Self {
        let retry_after = match kind {
            ErrorKind::RateLimited { retry_after } => retry_after,
            _ => None,
        };
        Self {
            status: Status::from(kind),
            message: error.to_string(),
            tracking_id: tracking_id.map(str::to_owned),
            retry_after,
        }
    }

    /// The failure's part of an event: `kind` and `message`, and if known `trackingId` and
    /// `retryAfterMs`.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("kind".to_owned(), json!(self.status.name().to_string_lossy()));
        json.insert("message".to_owned(), json!(self.message));
        if let Some(id) = &self.tracking_id {
            json.insert("trackingId".to_owned(), json!(id));
        }
        if let Some(wait) = self.retry_after {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            json.insert("retryAfterMs".to_owned(), json!(millis));
        }
        json
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::sdk(error.kind(), &error, None)
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self::sdk(ErrorKind::Configuration, &error, None)
    }
}

impl From<InvalidOrigin> for Failure {
    fn from(error: InvalidOrigin) -> Self {
        Self::sdk(ErrorKind::Configuration, &error, None)
    }
}

impl From<MeetingsError> for Failure {
    fn from(error: MeetingsError) -> Self {
        Self::from(&error)
    }
}

impl From<&MeetingsError> for Failure {
    fn from(error: &MeetingsError) -> Self {
        Self::sdk(error.kind(), error, error.tracking_id())
    }
}

impl From<&LinkError> for Failure {
    fn from(error: &LinkError) -> Self {
        Self::sdk(error.kind(), error, error.tracking_id())
    }
}

impl From<CallingError> for Failure {
    fn from(error: CallingError) -> Self {
        Self::sdk(error.kind(), &error, error.tracking_id())
    }
}

impl From<&LineError> for Failure {
    fn from(error: &LineError) -> Self {
        let failure = Self::sdk(error.error_kind(), error, error.tracking_id.as_deref());
        Self { retry_after: error.retry_after, ..failure }
    }
}

impl From<&CallingClientError> for Failure {
    fn from(error: &CallingClientError) -> Self {
        Self::sdk(error.error_kind(), error, error.tracking_id.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_known_details() {
        let plain = Value::from(Failure::freed().to_json());
        assert_eq!(plain, json!({"kind": "cancelled", "message": "the client was freed"}));
        let full = Failure {
            tracking_id: Some("t".to_owned()),
            retry_after: Some(Duration::from_secs(2)),
            ..Failure::new(Status::RateLimited, "m")
        };
        assert_eq!(
            Value::from(full.to_json()),
            json!({"kind": "rate_limited", "message": "m", "trackingId": "t", "retryAfterMs": 2000})
        );
    }
}
