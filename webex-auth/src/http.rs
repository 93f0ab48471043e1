//! Access to an authorization server: one small trait, and its implementation with reqwest.
//!
//! A flow makes a [`TokenRequest`], passes it to a [`TokenHttp`] and reads the [`TokenReply`]. The
//! trait exists so that a program (and webex-core) can use its own HTTP client, and tests a fake.
//! Secrets stay in secret types in both directions.

use std::{error::Error as StdError, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use url::{Url, form_urlencoded};

use crate::{retry_after, server_text::ServerText, timings};

/// A boxed future, so that the crate's async traits can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An HTTP client that can send requests to an authorization server.
///
/// An implementation must not follow redirects: a redirected token request would send the client
/// secret elsewhere.
pub trait TokenHttp: Send + Sync {
    /// Sends one request and reads the whole answer, whatever its status.
    fn send<'a>(
        &'a self,
        request: &'a TokenRequest,
    ) -> BoxFuture<'a, Result<TokenReply, TokenTransportError>>;
}

impl<T: TokenHttp + ?Sized> TokenHttp for Arc<T> {
    fn send<'a>(
        &'a self,
        request: &'a TokenRequest,
    ) -> BoxFuture<'a, Result<TokenReply, TokenTransportError>> {
        T::send(self, request)
    }
}

/// A POST to an authorization server.
///
/// `Debug` shows the address and the names of form fields, never a value.
pub struct TokenRequest {
    url: Url,
    authorization: Option<SecretString>,
    body: Body,
    plain_http: bool,
}

enum Body {
    Empty,
    Form(Vec<(&'static str, SecretString)>),
    Json { text: SecretString, secrets: Vec<SecretString> },
}

impl TokenRequest {
    pub(crate) fn new(url: Url) -> Self {
        Self { url, authorization: None, body: Body::Empty, plain_http: false }
    }

    /// Allows plain http to another machine, or forbids it.
    pub(crate) fn plain_http(mut self, allowed: bool) -> Self {
        self.plain_http = allowed;
        self
    }

    pub(crate) fn authorization(mut self, value: SecretString) -> Self {
        self.authorization = Some(value);
        self
    }

    pub(crate) fn form(mut self, fields: Vec<(&'static str, SecretString)>) -> Self {
        self.body = Body::Form(fields);
        self
    }

    /// A JSON body. `secrets` are its values that no error may quote.
    pub(crate) fn json(mut self, body: &serde_json::Value, secrets: Vec<SecretString>) -> Self {
        self.body = Body::Json { text: SecretString::from(body.to_string()), secrets };
        self
    }

    pub(crate) fn allows_plain_http(&self) -> bool {
        self.plain_http
    }

    /// The address to send it to.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The value of the `Authorization` header, if any. A secret.
    pub fn authorization_header(&self) -> Option<&str> {
        self.authorization.as_ref().map(ExposeSecret::expose_secret)
    }

    /// The value of the `Content-Type` header, if there is a body.
    pub fn content_type(&self) -> Option<&'static str> {
        match self.body {
            Body::Empty => None,
            Body::Form(_) => Some("application/x-www-form-urlencoded"),
            Body::Json { .. } => Some("application/json"),
        }
    }

    /// The body as sent. A secret.
    pub fn body(&self) -> SecretString {
        match &self.body {
            Body::Empty => SecretString::from(""),
            Body::Json { text, .. } => text.clone(),
            Body::Form(fields) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for (name, value) in fields {
                    form.append_pair(name, value.expose_secret());
                }
                SecretString::from(form.finish())
            }
        }
    }

    /// Removes this request's secrets from `text`: servers sometimes quote what they refuse.
    pub(crate) fn scrub(&self, text: &str) -> ServerText {
        let open = |name: &str| matches!(name, "grant_type" | "client_id" | "scope");
        let sent: Vec<&SecretString> = match &self.body {
            Body::Empty => Vec::new(),
            Body::Form(fields) => {
                fields.iter().filter(|(name, _)| !open(name)).map(|(_, value)| value).collect()
            }
            Body::Json { secrets, .. } => secrets.iter().collect(),
        };
        // The second word of `Bearer x`, a whole bare JWT; for Basic also the decoded text.
        let credentials =
            self.authorization_header().and_then(|value| value.split(' ').next_back());
        let pair = credentials.and_then(|encoded| STANDARD.decode(encoded).ok());
        let pair = pair.and_then(|pair| String::from_utf8(pair).ok()).map(SecretString::from);
        let encoded = pair.as_ref().and_then(|pair| pair.expose_secret().split_once(':'));
        let secret = encoded
            .and_then(|(_, secret)| form_urlencoded::parse(secret.as_bytes()).next())
            .map(|(secret, _)| secret);
        let all = sent.into_iter().map(ExposeSecret::expose_secret);
        ServerText::without(text, all.chain(credentials).chain(secret.as_deref()))
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = match &self.body {
            Body::Form(fields) => fields.iter().map(|(name, _)| *name).collect(),
            _ => Vec::new(),
        };
        f.debug_struct("TokenRequest")
            .field("url", &self.url.as_str())
            .field("authorization", &self.authorization.is_some())
            .field("fields", &fields)
            .finish_non_exhaustive()
    }
}

/// The answer of an authorization server. `Debug` does not show the body.
pub struct TokenReply {
    status: u16,
    retry_after: Option<Duration>,
    tracking_id: Option<String>,
    body: SecretString,
}

impl TokenReply {
    /// An answer with a status and a body.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        let body = SecretString::from(body.into());
        Self { status, retry_after: None, tracking_id: None, body }
    }

    /// Adds the value of a `Retry-After` header: seconds, or an HTTP date, which counts from
    /// `date`, the value of the answer's `Date` header. An unreadable value counts as absent; the
    /// limit is an hour.
    #[must_use]
    pub fn with_retry_after(mut self, value: &str, date: Option<&str>) -> Self {
        self.retry_after = retry_after::parse(value, date, std::time::SystemTime::now());
        self
    }

    /// Adds the server's tracking id, which Webex support asks for.
    #[must_use]
    pub fn with_tracking_id(mut self, id: impl Into<String>) -> Self {
        self.tracking_id = Some(id.into());
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The server's tracking id.
    pub fn tracking_id(&self) -> Option<&str> {
        self.tracking_id.as_deref()
    }

    /// The body. A secret.
    pub fn body(&self) -> &str {
        self.body.expose_secret()
    }
}

impl fmt::Debug for TokenReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenReply")
            .field("status", &self.status)
            .field("tracking_id", &self.tracking_id)
            .finish_non_exhaustive()
    }
}

/// The request got no answer.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum TokenTransportError {
    /// No answer in time.
    #[error("the authorization server did not answer in time")]
    Timeout,
    /// No connection, or a broken one.
    #[error("the authorization server cannot be reached")]
    Connection(#[source] Arc<dyn StdError + Send + Sync>),
    /// The answer is too large for an authorization server.
    #[error("the answer of the authorization server is too large")]
    TooLarge,
}

impl TokenTransportError {
    /// Wraps the error of an HTTP client. Its text must hold no secret.
    pub fn connection(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Connection(source.into().into())
    }
}

/// Implements [`TokenHttp`] with reqwest.
#[derive(Debug, Clone)]
pub struct ReqwestHttp(reqwest::Client);

impl ReqwestHttp {
    /// Builds the client from the caller's settings (certificates, proxy, name resolution), with
    /// redirects off and time limits of 10 s to connect and 20 s in total.
    ///
    /// # Errors
    /// reqwest's error for inconsistent settings.
    pub fn from_builder(builder: reqwest::ClientBuilder) -> Result<Self, reqwest::Error> {
        builder
            .redirect(redirect::Policy::none())
            .connect_timeout(timings::CONNECT)
            .timeout(timings::REQUEST)
            .build()
            .map(Self)
    }

    /// Uses an existing client. It must not follow redirects.
    pub fn new(client: reqwest::Client) -> Self {
        Self(client)
    }
}

impl TokenHttp for ReqwestHttp {
    fn send<'a>(
        &'a self,
        request: &'a TokenRequest,
    ) -> BoxFuture<'a, Result<TokenReply, TokenTransportError>> {
        Box::pin(async move {
            let mut builder = self
                .0
                .post(request.url().clone())
                .timeout(timings::REQUEST)
                .header(http::header::ACCEPT, "application/json");
            if let Some(value) = request.authorization_header() {
                builder = builder.header(http::header::AUTHORIZATION, sensitive(value)?);
            }
            if let Some(kind) = request.content_type() {
                builder = builder
                    .header(http::header::CONTENT_TYPE, kind)
                    .body(request.body().expose_secret().to_owned());
            } else {
                builder = builder.header(http::header::CONTENT_LENGTH, 0);
            }
            let response = builder.send().await.map_err(transport)?;
            read(response).await
        })
    }
}

/// A header's value that logs do not show.
fn sensitive(value: &str) -> Result<http::HeaderValue, TokenTransportError> {
    let mut value = http::HeaderValue::from_str(value).map_err(TokenTransportError::connection)?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(mut response: reqwest::Response) -> Result<TokenReply, TokenTransportError> {
    let header = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let (retry_after, date) = (header("retry-after"), header("date"));
    let tracking_id = header("trackingid");
    let status = response.status().as_u16();
    let is_error = !response.status().is_success();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        body.extend_from_slice(&chunk);
        if is_error && body.len() > LARGEST_ERROR {
            body.truncate(LARGEST_ERROR);
            break;
        }
        if body.len() > LARGEST_REPLY {
            return Err(TokenTransportError::TooLarge);
        }
    }
    let mut reply = TokenReply::new(status, String::from_utf8_lossy(&body));
    if let Some(value) = retry_after {
        reply = reply.with_retry_after(&value, date.as_deref());
    }
    if let Some(id) = tracking_id {
        reply = reply.with_tracking_id(id);
    }
    Ok(reply)
}

/// A token answer is a few kilobytes, even when the token is a large JWT.
const LARGEST_REPLY: usize = 1 << 20;

/// An error is a code and a sentence. Of a gateway's page the beginning is enough.
const LARGEST_ERROR: usize = 64 << 10;

fn transport(error: reqwest::Error) -> TokenTransportError {
    if error.is_timeout() {
        TokenTransportError::Timeout
    } else {
        TokenTransportError::connection(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> TokenRequest {
        TokenRequest::new("https://auth.example/token".parse().unwrap())
            .authorization(SecretString::from("Basic aWQ6czNjcmV0JTI2dmFsdWU="))
            .form(vec![
                ("grant_type", SecretString::from("refresh_token")),
                ("refresh_token", SecretString::from("r3fresh&value")),
            ])
    }

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(
            request().body().expose_secret(),
            "grant_type=refresh_token&refresh_token=r3fresh%26value"
        );
    }

    #[test]
    fn nothing_prints_a_secret() {
        let text = format!("{:?} {:?}", request(), TokenReply::new(200, "secret-body"));
        for secret in ["aWQ6", "r3fresh", "secret-body"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("refresh_token"), "{text}");
        let header = sensitive(request().authorization_header().unwrap()).unwrap();
        assert!(header.is_sensitive() && !format!("{header:?}").contains("aWQ6"));
    }

    #[test]
    fn secrets_that_a_server_quotes_are_removed() {
        let scrub = |text: &str| String::from(request().scrub(text));
        assert_eq!(scrub("bad r3fresh&value"), "bad [redacted]");
        assert_eq!(scrub("bad r3fresh%26value"), "bad [redacted]");
        assert_eq!(scrub("who is aWQ6czNjcmV0JTI2dmFsdWU=?"), "who is [redacted]?");
        assert_eq!(scrub("secret s3cret&value"), "secret [redacted]");
        assert_eq!(scrub("refresh_token expired"), "refresh_token expired");
    }
}
