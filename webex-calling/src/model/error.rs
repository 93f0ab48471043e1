//! The errors of a line, in the documented form and in finer terms.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;
use url::Url;
use webex_core::{ErrorKind, HttpError};

use super::object;

/// Kinds of line errors, with the reference client's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LineErrorType {
    /// 400: the server rejects the request as invalid.
    BadRequest,
    /// 401: the token was refused, and no other is available.
    TokenError,
    /// 403: the user may not do this.
    Forbidden,
    /// 404: the server does not know the device.
    NotFound,
    /// 429.
    TooManyRequests,
    /// 500.
    ServerError,
    /// 503, or no server accepted the line.
    ServiceUnavailable,
    /// The user registered elsewhere: 409 to a keepalive, or the server no longer knows the line and
    /// another device has its place.
    SessionSuperseded,
    /// The server dropped the registration and said so.
    RegistrationDown,
    /// Anything else, no answer included.
    DefaultError,
}

/// Error codes in the body of Mobius' 403 answers.
mod code {
    /// The user has as many devices as allowed.
    pub(super) const DEVICE_LIMIT: i64 = 101;
    /// The user is not configured for calling from a browser or SDK.
    pub(super) const NOT_CONFIGURED: i64 = 102;
    /// The device could not be provisioned.
    pub(super) const PROVISIONING: i64 = 103;
}

/// Why a line is not registered.
#[derive(Debug, Clone, Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct LineError {
    /// The reference client's type.
    pub kind: LineErrorType,
    /// A text for the user.
    pub message: String,
    /// The Mobius server concerned: a calling base URL.
    pub server: Option<Url>,
    /// HTTP status of Mobius' answer, if there was one.
    pub http_status: Option<u16>,
    /// Mobius' own error code, such as 101 (device limit).
    pub mobius_code: Option<i64>,
    /// Tracking id to quote to Webex support, if there is one.
    pub tracking_id: Option<String>,
    /// The time to wait that the server asked for (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// Whether the line goes on by itself. If not, only
    /// [`Line::register`](crate::Line::register) helps, or a new token where this one was refused.
    pub will_retry: bool,
    /// The time until the line's next attempt, if it is known.
    pub retry_in: Option<Duration>,
    /// Why the request failed.
    #[source]
    pub source: Option<HttpError>,
}

/// The documented form of a line error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentedError {
    /// Always `inactive`.
    pub status: &'static str,
    /// `registrationError` or `tokenError`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What happened; the documented text in the documented cases.
    pub msg: String,
}

/// Classifies the failure of a request to Mobius.
impl From<HttpError> for LineError {
    fn from(error: HttpError) -> Self {
        let service = error.service();
        let mobius_code = service.and_then(|error| error.error_code);
        let http_status = error.status();
        let (kind, message) = match (http_status, mobius_code) {
            (Some(400), _) => (
                LineErrorType::BadRequest,
                "The calling service finds the request invalid. Sign out and in again.",
            ),
            (Some(401), _) => (LineErrorType::TokenError, TOKEN_EXPIRED),
            (Some(403), Some(code::DEVICE_LIMIT)) => (LineErrorType::Forbidden, DEVICE_LIMIT),
            (Some(403), Some(code::NOT_CONFIGURED)) => (
                LineErrorType::Forbidden,
                "The user is not configured for Webex Calling. Contact your administrator.",
            ),
            (Some(403), Some(code::PROVISIONING)) => (
                LineErrorType::Forbidden,
                "The calling service could not provision the device. Try again later.",
            ),
            (Some(403), _) => (
                LineErrorType::Forbidden,
                "The calling service refused the registration. Contact your administrator.",
            ),
            (Some(404), _) => (LineErrorType::NotFound, DEVICE_NOT_FOUND),
            (Some(429), _) => {
                (LineErrorType::TooManyRequests, "Too many requests to the calling service.")
            }
            (Some(503), _) => {
                (LineErrorType::ServiceUnavailable, "The calling server is not available.")
            }
            (Some(500), _) => (LineErrorType::ServerError, "The calling server failed."),
            _ if error.kind() == ErrorKind::Unauthorized => {
                (LineErrorType::TokenError, TOKEN_EXPIRED)
            }
            (Some(_), _) => {
                (LineErrorType::DefaultError, "The calling server gave an unknown answer.")
            }
            (None, _) => (LineErrorType::DefaultError, "The calling server cannot be reached."),
        };
        Self {
            kind,
            message: message.to_owned(),
            server: None,
            http_status,
            mobius_code,
            tracking_id: error.tracking_id().map(str::to_owned),
            retry_after: service.and_then(|error| error.retry_after),
            will_retry: false,
            retry_in: None,
            source: Some(error),
        }
    }
}

impl LineError {
    /// No server accepted the line, after all were tried as often as the protocol says.
    pub(crate) fn exhausted(last: Option<LineError>) -> Self {
        let last = last.unwrap_or_else(|| Self::bare(LineErrorType::ServiceUnavailable, ""));
        Self {
            kind: LineErrorType::ServiceUnavailable,
            message: "No calling server took the registration. Contact your administrator if this persists.".to_owned(),
            retry_after: None,
            ..last
        }
    }

    /// No server is known.
    pub(crate) fn no_servers() -> Self {
        Self::bare(
            LineErrorType::ServiceUnavailable,
            "No calling servers are known. Contact your administrator if this persists.",
        )
    }

    /// The same failure, as the sign that the user registered elsewhere.
    pub(crate) fn superseded(self) -> Self {
        Self {
            kind: LineErrorType::SessionSuperseded,
            message: "The user registered on another device, which took this registration's place."
                .to_owned(),
            ..self
        }
    }

    /// The server dropped the registration.
    pub(crate) fn down(server: &Url) -> Self {
        Self::bare(LineErrorType::RegistrationDown, "The calling service ended the registration.")
            .at(server)
    }

    /// The same error, after which the line goes on by itself; in that time, if it is known.
    pub(crate) fn retried(self, retry_in: Option<Duration>) -> Self {
        Self { will_retry: true, retry_in, ..self }
    }

    /// The same error, after which the line does nothing by itself.
    pub(crate) fn not_retried(self) -> Self {
        Self { will_retry: false, retry_in: None, ..self }
    }

    /// The same error, with the server it came from.
    pub(crate) fn at(self, server: &Url) -> Self {
        Self { server: Some(server.clone()), ..self }
    }

    /// The line's client is closed.
    pub(crate) fn closed() -> Self {
        Self::bare(
            LineErrorType::DefaultError,
            "The calling client has been closed; make a new one.",
        )
    }

    /// An error that no request caused.
    pub(crate) fn bare(kind: LineErrorType, message: &str) -> Self {
        Self {
            kind,
            message: message.to_owned(),
            server: None,
            http_status: None,
            mobius_code: None,
            tracking_id: None,
            retry_after: None,
            will_retry: false,
            retry_in: None,
            source: None,
        }
    }

    /// Whether the user has as many devices as allowed.
    pub(crate) fn is_device_limit(&self) -> bool {
        self.http_status == Some(403) && self.mobius_code == Some(code::DEVICE_LIMIT)
    }

    /// Whether the line does nothing more by itself: the opposite of [`will_retry`](Self::will_retry).
    pub fn is_final(&self) -> bool {
        !self.will_retry
    }

    /// Whether neither another server nor another attempt can help.
    pub(crate) fn ends_search(&self) -> bool {
        match self.kind {
            LineErrorType::BadRequest
            | LineErrorType::TokenError
            | LineErrorType::NotFound
            | LineErrorType::SessionSuperseded
            | LineErrorType::RegistrationDown => true,
            LineErrorType::Forbidden => {
                matches!(self.mobius_code, Some(code::NOT_CONFIGURED | code::DEVICE_LIMIT))
            }
            _ => false,
        }
    }

    /// Returns the kind of failure, in the terms of the whole SDK.
    pub fn error_kind(&self) -> ErrorKind {
        match (&self.source, self.kind) {
            (_, LineErrorType::TokenError) => ErrorKind::Unauthorized,
            (_, LineErrorType::SessionSuperseded | LineErrorType::RegistrationDown) => {
                ErrorKind::Cancelled
            }
            _ if self.is_device_limit() => ErrorKind::DeviceLimit,
            (Some(source), _) => source.kind(),
            (None, LineErrorType::ServiceUnavailable) => ErrorKind::Server,
            (None, _) => ErrorKind::InvalidState,
        }
    }

    /// Returns the documented form, `{"status","type","msg"}`.
    ///
    /// The documentation has two types: `tokenError` for a token that is refused, and
    /// `registrationError` for everything else.
    pub fn documented(&self) -> DocumentedError {
        let token = self.kind == LineErrorType::TokenError;
        DocumentedError {
            status: "inactive",
            kind: if token { "tokenError" } else { "registrationError" },
            msg: self.message.clone(),
        }
    }

    /// Returns the error as a JSON object: the documented form (`status`, `type`, `msg`), `kind` and
    /// `willRetry`; where known also `retryInMs`, `server`, `httpStatus`, `mobiusCode`, `trackingId`
    /// and `retryAfterMs`.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = object(self.documented());
        let known = [
            ("kind", Some(json!(self.error_kind().name()))),
            ("willRetry", Some(json!(self.will_retry))),
            ("retryInMs", self.retry_in.map(|wait| json!(wait.as_millis() as u64))),
            ("server", self.server.as_ref().map(|server| json!(server))),
            ("httpStatus", self.http_status.map(|status| json!(status))),
            ("mobiusCode", self.mobius_code.map(|code| json!(code))),
            ("trackingId", self.tracking_id.as_ref().map(|id| json!(id))),
            ("retryAfterMs", self.retry_after.map(|wait| json!(wait.as_millis() as u64))),
        ];
        json.extend(known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        json
    }
}

// The three documented texts.
const DEVICE_LIMIT: &str =
    "Device limit exceeded. The user already logged in to a different device.";
const DEVICE_NOT_FOUND: &str = "Device not found.";
const TOKEN_EXPIRED: &str = "Token expired. Authentication/Authorization error.";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use webex_core::ServiceError;

    use webex_core::ServerText;

    use super::*;

    #[test]
    fn the_json_is_the_documented_form_with_known_details() {
        let answer = HttpError::Status(Arc::new(ServiceError {
            host: "m".to_owned(),
            status: 429.try_into().unwrap(),
            message: None,
            error_code: Some(7),
            tracking_id: Some(ServerText::new("t")),
            retry_after: Some(Duration::from_millis(1500)),
            body: Vec::new().into(),
        }));
        let error = LineError::from(answer).at(&Url::parse("https://m/").unwrap());
        let expected = json!({
            "status": "inactive", "type": "registrationError",
            "msg": "Too many requests to the calling service.", "kind": "rate_limited",
            "server": "https://m/", "httpStatus": 429, "mobiusCode": 7, "trackingId": "t",
            "retryAfterMs": 1500, "willRetry": true, "retryInMs": 30_000,
        });
        let error = error.retried(Some(Duration::from_secs(30)));
        assert_eq!((error.is_final(), Value::Object(error.to_json())), (false, expected));
        let bare = json!({
            "status": "inactive", "type": "registrationError", "kind": "server", "willRetry": false,
            "msg": "No calling servers are known. Contact your administrator if this persists.",
        });
        assert_eq!(Value::Object(LineError::no_servers().to_json()), bare);
    }
}
