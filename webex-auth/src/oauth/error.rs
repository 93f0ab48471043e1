//! What an authorization server says no with, and what to do about it.
//!
//! Every code of the protocol has a variant of its own in [`OAuthError`], whose text says what to
//! do. The bodies come in four shapes (RFC 6749, Webex with `message` and `errors`, with `code`, and
//! none at all); all are read, leniently, in [`OAuthError::from_reply`].

use std::{fmt, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::http::{TokenReply, TokenRequest, TokenTransportError};

/// Why a request to an authorization server failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum OAuthError {
    /// `invalid_request`.
    #[error("a parameter is missing or not supported; this is a defect, report it ({0})")]
    InvalidRequest(ServerReply),
    /// `invalid_client`.
    #[error("client id or secret are wrong: correct the configuration ({0})")]
    InvalidClient(ServerReply),
    /// `invalid_grant`.
    #[error("the code or refresh token is expired, used or revoked: sign in again ({0})")]
    InvalidGrant(ServerReply),
    /// `unauthorized_client`.
    #[error("the integration may not use this way to sign in: correct its registration ({0})")]
    UnauthorizedClient(ServerReply),
    /// `unsupported_grant_type`.
    #[error("the server does not know this grant: check which endpoints are configured ({0})")]
    UnsupportedGrantType(ServerReply),
    /// `unsupported_response_type`.
    #[error("the server gives no codes for this integration: correct its registration ({0})")]
    UnsupportedResponseType(ServerReply),
    /// `invalid_scope`.
    #[error("a scope is unknown or not granted to the integration: correct the scopes ({0})")]
    InvalidScope(ServerReply),
    /// `access_denied`.
    #[error("the user refused: ask again only when the user wants to ({0})")]
    AccessDenied(ServerReply),
    /// `authorization_pending`, or status 428: the user of a device sign-in has not decided yet.
    #[error("the user has not decided yet: keep polling ({0})")]
    AuthorizationPending(ServerReply),
    /// `slow_down`.
    #[error("polls come too fast: poll less often ({0})")]
    SlowDown(ServerReply),
    /// `expired_token`: the device code is too old.
    #[error("the code was not entered in time: start the sign-in anew ({0})")]
    ExpiredToken(ServerReply),
    /// `server_error`.
    #[error("the authorization server has a fault: try later ({0})")]
    ServerError(ServerReply),
    /// `temporarily_unavailable`.
    #[error("the authorization server is overloaded: try later ({0})")]
    TemporarilyUnavailable(ServerReply),
    /// Status 429.
    #[error("too many requests: try later ({0})")]
    RateLimited(ServerReply),
    /// Another refusal (status 400 or 401).
    #[error("the authorization server refused: sign in again ({0})")]
    Refused(ServerReply),
    /// Another status that is no success.
    #[error("the authorization server failed: try later ({0})")]
    Http(ServerReply),
    /// The server reported success, but its answer cannot be used. Names the field.
    #[error("the authorization server's answer cannot be used: {0}")]
    BadAnswer(&'static str),
    /// There was no answer.
    #[error("no answer: try later")]
    Transport(#[from] TokenTransportError),
    /// What was asked for needs something the integration was not given. Names it.
    #[error("the integration has no {0}: complete its configuration")]
    NotConfigured(&'static str),
}

impl OAuthError {
    /// Whether the same request may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::ServerError(_)
                | Self::TemporarilyUnavailable(_)
                | Self::RateLimited(_)
                | Self::SlowDown(_)
                | Self::AuthorizationPending(_)
                | Self::Http(_)
                | Self::Transport(_)
                | Self::BadAnswer(_) // such as the page of a hotel's network
        )
    }

    /// What the server answered, if it did.
    pub fn reply(&self) -> Option<&ServerReply> {
        match self {
            Self::InvalidRequest(reply)
            | Self::InvalidClient(reply)
            | Self::InvalidGrant(reply)
            | Self::UnauthorizedClient(reply)
            | Self::UnsupportedGrantType(reply)
            | Self::UnsupportedResponseType(reply)
            | Self::InvalidScope(reply)
            | Self::AccessDenied(reply)
            | Self::AuthorizationPending(reply)
            | Self::SlowDown(reply)
            | Self::ExpiredToken(reply)
            | Self::ServerError(reply)
            | Self::TemporarilyUnavailable(reply)
            | Self::RateLimited(reply)
            | Self::Refused(reply)
            | Self::Http(reply) => Some(reply),
            Self::BadAnswer(_) | Self::Transport(_) | Self::NotConfigured(_) => None,
        }
    }

    /// How long the server asked not to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.reply().and_then(ServerReply::retry_after)
    }

    /// The error that an answer stands for. Call only with an answer that is no success.
    pub(crate) fn from_reply(request: &TokenRequest, reply: &TokenReply) -> Self {
        let body = ErrorBody::parse(reply.body());
        let code = body.known_code().or_else(|| body.code.clone());
        let details = ServerReply(Box::new(Details {
            status: reply.status(),
            code: code.as_deref().map(|code| request.scrub(code)),
            description: body.description.map(|text| request.scrub(&text)),
            tracking_id: reply.tracking_id().map(str::to_owned).or(body.tracking_id),
            retry_after: reply.retry_after(),
        }));
        match reply.status() {
            400 | 401 | 403 => Self::from_code(code.as_deref().unwrap_or_default(), details),
            428 => match Self::from_code(code.as_deref().unwrap_or_default(), details) {
                Self::Refused(details) => Self::AuthorizationPending(details),
                error => error,
            },
            429 => Self::RateLimited(details),
            _ => Self::Http(details),
        }
    }

    /// The error of a redirect's `error` and `error_description`.
    pub(crate) fn from_redirect(code: &str, description: Option<String>) -> Self {
        let details = Details { code: Some(code.to_owned()), description, ..Details::default() };
        Self::from_code(code, ServerReply(Box::new(details)))
    }

    fn from_code(code: &str, reply: ServerReply) -> Self {
        match code {
            "invalid_request" => Self::InvalidRequest(reply),
            "invalid_client" => Self::InvalidClient(reply),
            "invalid_grant" => Self::InvalidGrant(reply),
            "unauthorized_client" => Self::UnauthorizedClient(reply),
            "unsupported_grant_type" => Self::UnsupportedGrantType(reply),
            "unsupported_response_type" => Self::UnsupportedResponseType(reply),
            "invalid_scope" => Self::InvalidScope(reply),
            "access_denied" => Self::AccessDenied(reply),
            "authorization_pending" => Self::AuthorizationPending(reply),
            "slow_down" => Self::SlowDown(reply),
            "expired_token" => Self::ExpiredToken(reply),
            "server_error" => Self::ServerError(reply),
            "temporarily_unavailable" => Self::TemporarilyUnavailable(reply),
            // Only 400 and 401 say that the credentials are the matter; 403 may be a proxy's.
            _ if reply.0.status == 403 => Self::Http(reply),
            _ => Self::Refused(reply),
        }
    }
}

/// Codes that Webex also puts into `message` or `errors[].description`.
const CODES: [&str; 13] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "invalid_scope",
    "access_denied",
    "authorization_pending",
    "slow_down",
    "expired_token",
    "server_error",
    "temporarily_unavailable",
];

/// What an authorization server answered, for messages and for Webex support.
#[derive(Clone)]
pub struct ServerReply(Box<Details>);

#[derive(Clone, Default)]
struct Details {
    status: u16,
    code: Option<String>,
    description: Option<String>,
    tracking_id: Option<String>,
    retry_after: Option<Duration>,
}

impl ServerReply {
    /// The HTTP status; 0 when the answer came through the browser's redirect.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The error code.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The server's own words, without the secrets of the request they may have quoted.
    pub fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// The tracking id, which Webex support asks for.
    pub fn tracking_id(&self) -> Option<&str> {
        self.0.tracking_id.as_deref()
    }

    /// How long the server asked not to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for ServerReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.status {
            0 => f.write_str("redirect")?,
            status => write!(f, "HTTP {status}")?,
        }
        if let Some(code) = self.code() {
            write!(f, ", {code}")?;
        }
        if let Some(description) = self.description() {
            write!(f, ": {description}")?;
        }
        if let Some(id) = self.tracking_id() {
            write!(f, ", tracking id {id}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ServerReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerReply({self})")
    }
}

/// An error body of any of the shapes.
#[derive(Default)]
struct ErrorBody {
    code: Option<String>,
    description: Option<String>,
    tracking_id: Option<String>,
    descriptions: Vec<String>,
}

#[derive(Deserialize)]
struct Wire {
    error: Option<Value>,
    error_description: Option<String>,
    code: Option<Value>,
    message: Option<String>,
    #[serde(default)]
    errors: Vec<WireError>,
    #[serde(rename = "trackingId")]
    tracking_id: Option<String>,
}

#[derive(Deserialize)]
struct WireError {
    description: Option<String>,
}

impl ErrorBody {
    fn parse(body: &str) -> Self {
        let Ok(wire) = serde_json::from_str::<Wire>(body) else { return Self::default() };
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Self {
            code: wire.error.and_then(text).or_else(|| wire.code.and_then(text)),
            description: wire.error_description.or(wire.message),
            tracking_id: wire.tracking_id,
            descriptions: wire.errors.into_iter().filter_map(|error| error.description).collect(),
        }
    }

    /// The first known code in `error`, `message` or a `description`, as a word of its own.
    fn known_code(&self) -> Option<String> {
        let texts = self.code.iter().chain(&self.description).chain(&self.descriptions);
        texts.flat_map(|text| words(text)).find(|word| CODES.contains(word)).map(str::to_owned)
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn error(status: u16, body: &str) -> OAuthError {
        let form = vec![("refresh_token", SecretString::from("r3fresh-value"))];
        let request = TokenRequest::new("https://auth.example/".parse().unwrap()).form(form);
        OAuthError::from_reply(&request, &TokenReply::new(status, body))
    }

    #[test]
    fn every_code_has_its_own_error() {
        let mut seen = std::collections::HashSet::new();
        for code in CODES {
            let error = error(400, &format!(r#"{{"error":"{code}"}}"#));
            assert_eq!(error.reply().unwrap().code(), Some(code));
            assert!(seen.insert(std::mem::discriminant(&error)), "{code}: {error}");
            let text = error.to_string();
            assert!(seen.len() == 1 || text.contains(':') || text.contains(';'), "{text}");
        }
        assert!(matches!(error(400, r#"{"error":"new_code"}"#), OAuthError::Refused(_)));
        assert!(matches!(error(401, ""), OAuthError::Refused(_)));
    }

    #[test]
    fn reads_all_shapes_of_bodies() {
        for body in [
            r#"{"error":"slow_down","error_description":"x"}"#,
            r#"{"message":"slow_down","errors":[],"trackingId":"t"}"#,
            r#"{"message":"no","errors":[{"description":"error: slow_down."}]}"#,
            r#"{"code":400,"message":"slow_down"}"#,
        ] {
            assert!(matches!(error(400, body), OAuthError::SlowDown(_)), "{body}");
        }
    }

    #[test]
    fn the_status_decides_where_there_is_no_code() {
        assert!(matches!(error(428, ""), OAuthError::AuthorizationPending(_)));
        assert!(matches!(error(429, ""), OAuthError::RateLimited(_)));
        assert!(matches!(error(403, "<html>"), OAuthError::Http(_)));
        assert!(matches!(error(502, r#"{"error":"invalid_grant"}"#), OAuthError::Http(_)));
        assert!(error(502, "").is_transient() && !error(400, "").is_transient());
    }

    #[test]
    fn quoted_secrets_do_not_reach_the_text() {
        let body = r#"{"error":"invalid_grant","error_description":"r3fresh-value is used"}"#;
        let error = error(400, body);
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("r3fresh"), "{text}");
            assert!(text.contains("[redacted] is used"), "{text}");
        }
    }
}
