//! The errors of an authorization server, and what to do about each.
//!
//! Every code of the protocol has its own variant in [`OAuthError`], whose text says what to do.
//! The bodies have four shapes (RFC 6749, Webex with `message` and `errors`, with `code`, and none
//! at all); [`OAuthError::from_reply`] reads all of them leniently. Answers of a gateway, a proxy
//! or a captive portal are distinguished from those of the authorization server: only a code of the
//! protocol ends a sign-in.

use std::{fmt, time::Duration};

use thiserror::Error;

use crate::{
    http::{TokenReply, TokenRequest, TokenTransportError},
    oauth::answer::{Fields, is_page},
    pasted::PasteError,
    server_text::ServerText,
};

/// Why a request to an authorization server failed.
#[derive(Debug, Clone, Error)]
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
    #[error("the code was not entered in time: start the sign-in again ({0})")]
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
    /// A refusal (status 400 or 401) with an unknown code or none. It says nothing about earlier
    /// tokens.
    #[error("the authorization server refused: if it stays so, sign in again ({0})")]
    Refused(ServerReply),
    /// The answer came from something in between: a web page, or status 511.
    #[error(
        "an HTML page came instead of an answer; a sign-in page of the network or a proxy is likely: open a browser to see it ({0})"
    )]
    Intercepted(ServerReply),
    /// Another status that is not a success.
    #[error("the authorization server failed: try later ({0})")]
    Http(ServerReply),
    /// The server reported success, but its answer is unusable. Names the field.
    #[error("the authorization server's answer cannot be used: {0}")]
    BadAnswer(&'static str),
    /// There was no answer.
    #[error("no answer: try later")]
    Transport(#[from] TokenTransportError),
    /// The client secret is malformed; nothing was sent.
    #[error("the client secret cannot be used: {0}")]
    BadSecret(#[from] PasteError),
    /// The address is not `https`, and its host is not this machine.
    #[error("secrets do not go over plain http to {0}: use https")]
    PlainHttp(String),
    /// The operation needs a setting that the integration lacks. Names it.
    #[error("the integration has no {0}: complete its configuration")]
    NotConfigured(&'static str),
}

impl OAuthError {
    /// Whether the same request may succeed later without a change.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::ServerError(_)
                | Self::TemporarilyUnavailable(_)
                | Self::RateLimited(_)
                | Self::SlowDown(_)
                | Self::AuthorizationPending(_)
                | Self::Http(_)
                | Self::Intercepted(_)
                | Self::Transport(_)
                | Self::BadAnswer(_)
        )
    }

    /// Whether the integration is at fault (its secret, registration or scopes), and not the user's
    /// sign-in: once the configuration is corrected, the same tokens work again.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::InvalidRequest(_)
                | Self::InvalidClient(_)
                | Self::UnauthorizedClient(_)
                | Self::UnsupportedGrantType(_)
                | Self::UnsupportedResponseType(_)
                | Self::InvalidScope(_)
                | Self::BadSecret(_)
                | Self::PlainHttp(_)
                | Self::NotConfigured(_)
        )
    }

    /// The answer of the server, if there was one.
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
            | Self::Intercepted(reply)
            | Self::Http(reply) => Some(reply),
            Self::BadAnswer(_)
            | Self::Transport(_)
            | Self::BadSecret(_)
            | Self::PlainHttp(_)
            | Self::NotConfigured(_) => None,
        }
    }

    /// How long the server asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.reply().and_then(ServerReply::retry_after)
    }

    /// Converts an answer to its error. Call only with an answer that is not a success.
    pub(crate) fn from_reply(request: &TokenRequest, reply: &TokenReply) -> Self {
        let status = reply.status();
        let body = ErrorBody::parse(reply.body());
        let code = body.known_code().or_else(|| body.code.clone());
        let known = code.as_deref().filter(|code| CODES.contains(code));
        let scrubbed = |text: String| request.scrub(&text);
        let details = ServerReply(Box::new(Details {
            status,
            code: code.clone().map(scrubbed),
            description: body.description.map(scrubbed),
            tracking_id: reply.tracking_id().map(str::to_owned).or(body.tracking_id).map(scrubbed),
            retry_after: reply.retry_after(),
        }));
        match (status, known) {
            (400 | 401 | 403 | 428, Some(code)) => Self::from_code(code, details),
            (428, None) => Self::AuthorizationPending(details),
            (429, _) => Self::RateLimited(details),
            (511, _) => Self::Intercepted(details),
            // Statuses with which the server itself may send a page.
            (404 | 405 | 410 | 500.., _) => Self::Http(details),
            _ if is_page(reply.body()) => Self::Intercepted(details),
            // Only 400 and 401 in JSON are about the credentials; anything else may come from a
            // gateway.
            (400 | 401, None) if body.is_object => Self::Refused(details),
            _ => Self::Http(details),
        }
    }

    /// The error of a success without a usable body.
    pub(crate) fn unreadable(reply: &TokenReply) -> Self {
        if is_page(reply.body()) {
            let status = reply.status();
            return Self::Intercepted(ServerReply(Box::new(Details {
                status,
                ..Details::default()
            })));
        }
        Self::BadAnswer("it is no token answer")
    }

    /// The error of a redirect's `error` and `error_description`. `secrets` are those of the link.
    pub(crate) fn from_redirect<'a>(
        code: &str,
        description: Option<&str>,
        secrets: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let secrets: Vec<&str> = secrets.into_iter().collect();
        let clean = |text: &str| ServerText::without(text, secrets.iter().copied());
        let details = Details {
            code: Some(clean(code)),
            description: description.map(clean),
            ..Details::default()
        };
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

/// The answer of an authorization server, for messages and for Webex support.
#[derive(Clone)]
pub struct ServerReply(Box<Details>);

#[derive(Clone, Default)]
struct Details {
    status: u16,
    code: Option<ServerText>,
    description: Option<ServerText>,
    tracking_id: Option<ServerText>,
    retry_after: Option<Duration>,
}

impl ServerReply {
    /// The HTTP status; 0 when the answer came by the browser's redirect.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The error code.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_ref().map(ServerText::as_str)
    }

    /// The server's own text, with the secrets of the request removed.
    pub fn description(&self) -> Option<&str> {
        self.0.description.as_ref().map(ServerText::as_str)
    }

    /// The tracking id, which Webex support asks for.
    pub fn tracking_id(&self) -> Option<&str> {
        self.0.tracking_id.as_ref().map(ServerText::as_str)
    }

    /// How long the server asked to wait.
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

/// An error body of any shape.
#[derive(Default)]
struct ErrorBody {
    is_object: bool,
    code: Option<String>,
    description: Option<String>,
    tracking_id: Option<String>,
    descriptions: Vec<String>,
}

impl ErrorBody {
    fn parse(body: &str) -> Self {
        let Some(fields) = Fields::parse(body) else { return Self::default() };
        Self {
            is_object: true,
            code: fields.text("error").or_else(|| fields.text("code")),
            description: fields.text("error_description").or_else(|| fields.text("message")),
            tracking_id: fields.text("trackingId"),
            descriptions: fields
                .objects("errors")
                .filter_map(|error| error.text("description"))
                .collect(),
        }
    }

    /// The first known code in `error`, `message` or a `description`, as a separate word.
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
        assert!(matches!(error(401, r#"{"message":"no"}"#), OAuthError::Refused(_)));
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
    fn the_status_decides_without_a_code() {
        assert!(matches!(error(428, ""), OAuthError::AuthorizationPending(_)));
        assert!(matches!(error(429, ""), OAuthError::RateLimited(_)));
        assert!(matches!(error(403, r#"{"message":"no"}"#), OAuthError::Http(_)));
        assert!(matches!(error(502, r#"{"error":"invalid_grant"}"#), OAuthError::Http(_)));
        assert!(error(502, "").is_transient());
    }

    #[test]
    fn a_gateways_answer_is_not_the_servers() {
        let page = "\r\n<!DOCTYPE html><title>invalid_grant</title>";
        for status in [302, 400, 401, 403, 407, 511] {
            let error = error(status, page);
            assert!(matches!(error, OAuthError::Intercepted(_)) && error.is_transient(), "{error}");
            assert!(error.to_string().contains("sign-in page"), "{error}");
        }
        assert!(matches!(error(511, r#"{"error":"invalid_grant"}"#), OAuthError::Intercepted(_)));
        for (status, body) in [(400, ""), (401, "invalid_grant"), (404, page), (502, page)] {
            let error = error(status, body);
            assert!(matches!(error, OAuthError::Http(_)), "{status}: {error}");
        }
    }

    #[test]
    fn no_odd_field_hides_the_code() {
        for odd in ["null", "7", "[]", "{}", r#""x""#, "1e999", r#"[{"description":7}, 3]"#] {
            for name in ["error_description", "message", "errors", "trackingId", "code", "extra"] {
                let error = error(400, &format!(r#"{{"error":"invalid_grant","{name}":{odd}}}"#));
                assert!(matches!(error, OAuthError::InvalidGrant(_)), "{name}: {odd}: {error}");
            }
        }
    }

    #[test]
    fn server_text_cannot_control_a_terminal() {
        let body = "{\"error\":\"x\\u001b[2J\",\"error_description\":\"a\\r\\nb\\u202ec\",\"trackingId\":\"\\u009b\"}";
        let error = error(400, body);
        let text = format!("{error} {error:?}");
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
        let error = OAuthError::from_redirect("x\u{7}", Some("state st8te-value"), ["st8te-value"]);
        let text = error.to_string();
        assert!(!text.contains('\u{7}') && text.contains("state [redacted]"), "{text}");
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
