//! Errors of requests, which say what the caller can do.
//!
//! Every operation of the SDK has its own error enum. All of them have an [`ErrorKind`], the small
//! set of cases an application can react to. [`HttpError`] is the lowest: a request without a
//! usable answer.

use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use serde_json::value::RawValue;
use thiserror::Error;
use webex_auth::{ServerText, TokenError, retry_after};

use crate::{
    http::proxy::ProxyError,
    lenient::stream::{integer, members, text},
};

/// What kind of failure it was, for deciding what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The service does not accept the token, and there is no other. Sign in again.
    Unauthorized,
    /// The service may not serve the user where the user is, for legal reasons (HTTP 451). The user
    /// has been signed out; device and socket are given up.
    Embargoed,
    /// The user may not do this. Retrying does not help; an administrator might.
    Forbidden,
    /// The requested object does not exist, or no longer does.
    NotFound,
    /// Too many requests. Wait for `retry_after`, if the service gave a time.
    RateLimited {
        /// How long the service asked to wait.
        retry_after: Option<Duration>,
    },
    /// The service could not be reached. Check the network; retrying helps once it is back.
    Network,
    /// This machine has no network: no host can be reached. Retrying helps once it has one.
    NoNetwork,
    /// The host cannot prove that it is the service: its certificate is not trusted. Retrying does
    /// not help; adding the root certificate of an organisation's proxy does.
    Untrusted,
    /// No answer within the time allowed.
    Timeout,
    /// The service failed (5xx). Retrying later helps.
    Server,
    /// The service rejected the request (other 4xx).
    Rejected,
    /// The application, or a later command, cancelled the operation.
    Cancelled,
    /// The operation is not possible in the present state, or its object is gone.
    InvalidState,
    /// An answer that does not follow the protocol.
    Protocol,
    /// The SDK was configured wrongly.
    Configuration,
    /// The store of tokens is damaged, or cannot be read or written. The error says what to do.
    Store,
    /// The authorization server refused the application itself: its client id, secret, redirect URI
    /// or scopes. The user's sign-in is not at fault.
    ClientRefused,
    /// The user has as many devices as allowed. Remove one, or allow it to be replaced.
    DeviceLimit,
}

impl ErrorKind {
    /// A stable lower-case name, for logs and for languages without enums.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Embargoed => "embargoed",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::RateLimited { .. } => "rate_limited",
            Self::Network => "network",
            Self::NoNetwork => "no_network",
            Self::Untrusted => "untrusted",
            Self::Timeout => "timeout",
            Self::Server => "server",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::InvalidState => "invalid_state",
            Self::Protocol => "protocol",
            Self::Configuration => "configuration",
            Self::Store => "store",
            Self::ClientRefused => "client_refused",
            Self::DeviceLimit => "device_limit",
        }
    }
}

/// A request without a usable answer. Cheap to clone, so that every caller that waited for the same
/// request gets the real cause.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The service answered with an error status.
    #[error("{0}")]
    Status(Arc<ServiceError>),
    /// The service could not be reached, or the connection broke.
    #[error("{host} cannot be reached: {reason}")]
    Network {
        /// The host that was asked.
        host: String,
        /// The innermost cause.
        reason: String,
    },
    /// This machine has no network.
    #[error("{host} cannot be reached, for there is no network: {reason}")]
    NoNetwork {
        /// The host of the request.
        host: String,
        /// The error of the operating system.
        reason: String,
    },
    /// The certificate of the host is not trusted. The reason names its issuer, from whom the root
    /// certificate can be obtained.
    #[error(
        "{host} is not trusted: {reason}; where an organisation inspects connections, or for a sandbox, \
         add the root certificate (`--ca FILE`, `extra_roots_pem`)"
    )]
    Certificate {
        /// The host that was asked.
        host: String,
        /// The issuer of the certificate, and what is wrong with it.
        reason: String,
    },
    /// The proxy in front of the service cannot be used: it is down, or refuses the connection.
    #[error("the proxy {proxy} cannot be used: {reason}")]
    Proxy {
        /// The proxy, as `host:port`.
        proxy: String,
        /// The error of the network or the proxy.
        reason: String,
    },
    /// The proxy in front of the service requires a user name and password, or different ones.
    #[error("the proxy {proxy} does not accept the user name and password, or wants some")]
    ProxyAuthentication {
        /// The proxy, as `host:port`.
        proxy: String,
    },
    /// Not sent: the text that names the proxy for the service is not the URL of a proxy.
    #[error(transparent)]
    ProxyUnusable(#[from] ProxyError),
    /// Not sent: an identity service has asked to wait (HTTP 429).
    #[error("{host} asked to be left alone for another {} s", retry_after.as_secs_f32().ceil())]
    Paused {
        /// The host.
        host: String,
        /// The remaining wait.
        retry_after: Duration,
    },
    /// No complete answer within the time allowed.
    #[error("{host} did not answer within {} s", after.as_secs_f32())]
    Timeout {
        /// The host that was asked.
        host: String,
        /// The time allowed.
        after: Duration,
    },
    /// There was no token to send.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The request has to name the user's device, and there is none.
    #[error("the user's device is not registered: {reason}")]
    NoDevice {
        /// What to do about it.
        kind: ErrorKind,
        /// Why there is none.
        reason: String,
    },
    /// The answer does not follow the protocol.
    #[error("{host} sent an answer that is not understood: {reason}")]
    Body {
        /// The host that answered.
        host: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// Not sent: the address does not belong to this cloud, whoever named it.
    #[error("{address} does not belong to this cloud; nothing was sent there")]
    NotAllowed {
        /// Scheme, host and port.
        address: String,
    },
    /// Not sent: the request is invalid.
    #[error("the request cannot be sent: {reason}")]
    Request {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The answer is longer than the limit.
    #[error("{host} sends an answer of more than {limit} bytes")]
    TooLarge {
        /// The host that answered.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The service redirected in a circle, or to an address that is not allowed.
    #[error("{host} redirected to an address that is not followed: {reason}")]
    Redirect {
        /// The host that redirected.
        host: String,
        /// Why the redirect is not followed.
        reason: &'static str,
    },
}

impl HttpError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Status(error) => error.kind(),
            Self::Network { .. } | Self::Proxy { .. } => ErrorKind::Network,
            Self::NoNetwork { .. } => ErrorKind::NoNetwork,
            Self::Certificate { .. } => ErrorKind::Untrusted,
            Self::ProxyAuthentication { .. } | Self::ProxyUnusable(_) | Self::Request { .. } => {
                ErrorKind::Configuration
            }
            Self::Paused { retry_after, .. } => {
                ErrorKind::RateLimited { retry_after: Some(*retry_after) }
            }
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Token(error) => token_kind(error),
            Self::NoDevice { kind, .. } => *kind,
            Self::Body { .. }
            | Self::TooLarge { .. }
            | Self::NotAllowed { .. }
            | Self::Redirect { .. } => ErrorKind::Protocol,
        }
    }

    /// The error answer of the service, when there was one.
    pub fn service(&self) -> Option<&ServiceError> {
        match self {
            Self::Status(error) => Some(error),
            _ => None,
        }
    }

    /// The HTTP status of the answer; `None` when there was none.
    pub fn status(&self) -> Option<u16> {
        self.service().map(|error| error.status.as_u16())
    }

    /// The tracking id to quote to Webex support.
    pub fn tracking_id(&self) -> Option<&str> {
        self.service()?.tracking_id.as_ref().map(ServerText::as_str)
    }
}

/// What to do about a missing token: only some of the reasons require a new sign-in.
pub(crate) fn token_kind(error: &TokenError) -> ErrorKind {
    match error {
        TokenError::Unavailable { .. } => ErrorKind::Network,
        TokenError::Configuration { .. } => ErrorKind::ClientRefused,
        TokenError::Store { .. } => ErrorKind::Store,
        TokenError::NotConfigured(_) | TokenError::Empty | TokenError::Malformed(_) => {
            ErrorKind::Configuration
        }
        TokenError::Stopped => ErrorKind::InvalidState,
        _ => ErrorKind::Unauthorized,
    }
}

/// An error answer of a Webex service.
#[derive(Clone, Error)]
#[error("{host} answered {status}{}", .message.as_ref().map(|m| format!(": {m}")).unwrap_or_default())]
pub struct ServiceError {
    /// The host that answered.
    pub host: String,
    /// The HTTP status.
    pub status: StatusCode,
    /// The message of the service, from whichever field it uses, with the request's secrets
    /// removed.
    pub message: Option<ServerText>,
    /// The service's own code (`errorCode`), such as Mobius' 101.
    pub error_code: Option<i64>,
    /// The tracking id to quote to Webex support.
    pub tracking_id: Option<ServerText>,
    /// How long the service asked to wait.
    pub retry_after: Option<Duration>,
    /// The body as received, cut off after 64 KiB. Not shown by `Debug`, because it may hold
    /// anything.
    pub body: Bytes,
}

impl ServiceError {
    /// Reads an error answer; never fails, whatever the body looks like. `secrets` are those of the
    /// request, which the service may quote.
    pub(crate) fn read<'a>(
        host: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: Bytes,
        secrets: &(impl Iterator<Item = &'a str> + Clone),
    ) -> Self {
        let clean = |text: &str| ServerText::without(text, secrets.clone());
        let json = std::str::from_utf8(&body).ok().and_then(ErrorBody::read);
        let tracking_id = json.as_ref().and_then(|json| text(json.tracking_id?));
        Self {
            host: host.to_owned(),
            status,
            message: message_of(json.as_ref(), &body).map(|text| clean(&text)),
            error_code: json.as_ref().and_then(|json| integer(json.error_code?)),
            tracking_id: header(headers, "trackingid")
                .or(tracking_id.as_deref())
                .filter(|id| !id.is_empty())
                .map(clean),
            retry_after: retry_after(headers),
            body,
        }
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self.status.as_u16() {
            401 => ErrorKind::Unauthorized,
            403 => ErrorKind::Forbidden,
            451 => ErrorKind::Embargoed,
            404 | 410 => ErrorKind::NotFound,
            408 => ErrorKind::Timeout,
            429 => ErrorKind::RateLimited { retry_after: self.retry_after },
            // "Network authentication required": sent by a captive portal, never by a service.
            511 => ErrorKind::Network,
            500..=599 => ErrorKind::Server,
            _ => ErrorKind::Rejected,
        }
    }
}

impl fmt::Debug for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceError")
            .field("host", &self.host)
            .field("status", &self.status)
            .field("message", &self.message)
            .field("error_code", &self.error_code)
            .field("tracking_id", &self.tracking_id)
            .field("retry_after", &self.retry_after)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The fields that may hold the message of an error, in the order of the reference client.
const MESSAGES: [&str; 6] = ["error", "errorString", "response", "errorResponse", "message", "msg"];

/// The fields of an error that are read; all others are skipped.
#[derive(Default)]
struct ErrorBody<'a> {
    messages: [Option<&'a RawValue>; MESSAGES.len()],
    error_code: Option<&'a RawValue>,
    tracking_id: Option<&'a RawValue>,
}

impl<'a> ErrorBody<'a> {
    fn read(json: &'a str) -> Option<Self> {
        let mut body = Self::default();
        let read = members(json, |name, value| {
            if let Some(at) = MESSAGES.iter().position(|known| *known == name) {
                body.messages[at] = Some(value);
            } else if name == "errorCode" {
                body.error_code = Some(value);
            } else if name == "trackingId" {
                body.tracking_id = Some(value);
            }
            Ok(())
        });
        read.is_ok().then_some(body)
    }

    /// The first message, searched up to this depth.
    fn message(&self, depth: usize) -> Option<Cow<'a, str>> {
        self.messages.into_iter().flatten().find_map(|field| match text(field) {
            Some(text) => (!text.is_empty()).then_some(text),
            None if depth > 0 => Self::read(field.get())?.message(depth - 1),
            None => None,
        })
    }
}

/// How deep a message may be nested: enough for every known service.
const MESSAGE_DEPTH: usize = 3;

/// The error text for a web page instead of a service's answer.
pub(crate) const PAGE: &str = "an HTML page came; a sign-in page or a proxy is likely";

/// Whether a body is a web page: of a captive portal or a proxy.
pub(crate) fn is_page(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    body.first() == Some(&b'<')
}

/// The message of a JSON body, or a body that is plain text.
fn message_of<'a>(json: Option<&ErrorBody<'a>>, body: &'a [u8]) -> Option<Cow<'a, str>> {
    if let Some(json) = json {
        return json.message(MESSAGE_DEPTH);
    }
    if is_page(body) {
        return Some(Cow::Borrowed(PAGE));
    }
    let text = String::from_utf8_lossy(body);
    let plain = !text.trim().is_empty() && !text.trim_start().starts_with(['{', '[']);
    plain.then_some(text)
}

/// The wait that a `Retry-After` header asks for.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let (value, date) = (header(headers, RETRY_AFTER.as_str())?, header(headers, DATE.as_str()));
    retry_after::parse(value, date, SystemTime::now())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(status: u16, body: &str) -> ServiceError {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("7"));
        headers.insert("TrackingID", HeaderValue::from_static("T_1"));
        let status = StatusCode::from_u16(status).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        ServiceError::read("h", status, &headers, body, &["s3cret-value"].into_iter())
    }

    fn message(body: &str) -> Option<String> {
        read(400, body).message.map(String::from)
    }

    #[test]
    fn finds_the_message_wherever_a_service_puts_it() {
        for (body, expected) in [
            (r#"{"error":"invalid_grant","error_description":"d"}"#, Some("invalid_grant")),
            (r#"{"message":"m","errors":[{"description":"x"}]}"#, Some("m")),
            (r#"{"error":{"message":"deep"}}"#, Some("deep")),
            (r#"{"errorCode":101}"#, None),
            (
                r#"{"message":"User has excessive device registrations","code":1}"#,
                Some("User has excessive device registrations"),
            ),
            ("upstream connect error\n", Some("upstream connect error")),
            ("{\"message\": \"cut", None),
            ("<html>", Some(PAGE)),
            ("\u{feff} \n<!doctype html>", Some(PAGE)),
            (r#"{"error":7,"message":"after a number"}"#, Some("after a number")),
            (r#"{"error":"","msg":"after nothing"}"#, Some("after nothing")),
            (r#"{"error":{"error":{"error":{"msg":"deep"}}}}"#, Some("deep")),
            (r#"{"error":{"error":{"error":{"error":{"msg":"too deep"}}}}}"#, None),
            ("", None),
            ("[1]", None),
        ] {
            assert_eq!(message(body).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn keeps_code_tracking_id_and_retry_after() {
        let error = read(429, r#"{"errorCode":101}"#);
        assert_eq!(error.error_code, Some(101));
        assert_eq!(error.tracking_id.as_ref().map(ServerText::as_str), Some("T_1"));
        let wait = Some(Duration::from_secs(7));
        assert_eq!(error.kind(), ErrorKind::RateLimited { retry_after: wait });
    }

    #[test]
    fn the_tracking_id_may_be_in_the_body() {
        let status = StatusCode::NOT_FOUND;
        let body = Bytes::from_static(br#"{"message":"m","errors":[],"trackingId":"T_2"}"#);
        let error = ServiceError::read("h", status, &HeaderMap::new(), body, &[].into_iter());
        assert_eq!(error.tracking_id.as_ref().map(ServerText::as_str), Some("T_2"));
    }

    #[test]
    fn a_service_text_has_no_control_characters_and_no_secret() {
        let odd = r#"{"message":"\u001b[2J\u202e s3cret-value, s3cret%2Dvalue","trackingId":"\u0007 s3cret-value"}"#;
        let status = StatusCode::BAD_REQUEST;
        let body = Bytes::copy_from_slice(odd.as_bytes());
        let secrets = ["s3cret-value"].into_iter();
        let error = ServiceError::read("h", status, &HeaderMap::new(), body, &secrets);
        let shown = format!("{error} {error:?} {:?}", error.tracking_id);
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("[redacted]"), "{shown}");
        let plain = message("\u{1b}]0;x\u{7} says\nno s3cret-value");
        assert_eq!(plain.unwrap().matches(['\u{1b}', '\u{7}', '\n']).count(), 0);
    }

    #[test]
    fn a_date_counts_from_the_clock_of_the_sender() {
        let mut headers = HeaderMap::new();
        let date = HeaderValue::from_static;
        headers.insert("date", date("Sun, 06 Nov 1994 08:49:37 GMT"));
        headers.insert("retry-after", date("Sun, 06 Nov 1994 08:50:07 GMT"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(30)));
        headers.insert("date", date("some day"));
        assert_eq!(retry_after(&headers), Some(Duration::ZERO), "long ago, by the own clock");
        headers.insert("retry-after", date("7"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_captive_portal_is_a_network_failure() {
        let error = read(511, "<html>Welcome to the hotel");
        assert_eq!(error.kind(), ErrorKind::Network);
        assert!(error.to_string().contains("sign-in page"), "{error}");
    }

    #[test]
    fn debug_does_not_show_the_body() {
        let shown = format!("{:?}", read(400, r#"{"refresh_token":"hidden-value"}"#));
        assert!(!shown.contains("hidden-value"), "{shown}");
    }
}
