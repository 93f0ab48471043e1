//! A request to send.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use super::{
    allow::{AllowList, AllowedUrl},
    body::BodyRead,
    limits::ANSWER_LIMIT,
    timings::{ATTEMPT_TIMEOUT, REQUEST_TIMEOUT},
};
use crate::error::HttpError;

/// Whether a request carries the user's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// Yes, if the host may have it.
    #[default]
    Bearer,
    /// No.
    None,
}

/// A request, to be given to [`Http::send`](super::Http::send).
///
/// It goes only to addresses of the user's cloud, wherever the address comes from; see
/// [`unlisted`](Self::unlisted).
///
/// ```
/// # use webex_core::Request;
/// # use std::time::Duration;
/// let url = "https://api.example/v1/devices".parse()?;
/// let request = Request::post(url)
///     .json(&serde_json::json!({"name": "kitchen"}))
///     .header("x-example", "1")
///     .timeout(Duration::from_secs(5));
/// # Ok::<(), url::ParseError>(())
/// ```
#[derive(Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) auth: Auth,
    unlisted: bool,
    /// Headers that override the usual ones; `None` removes one.
    pub(super) headers: Vec<(HeaderName, Option<HeaderValue>)>,
    pub(super) body: Option<Bytes>,
    pub(super) attempt_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) wanted: BodyRead,
    /// Secrets in its body, which no error may quote.
    secrets: Vec<SecretString>,
    /// Why it cannot be sent.
    invalid: Option<&'static str>,
}

impl Request {
    /// A request with this method.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            auth: Auth::default(),
            unlisted: false,
            headers: Vec::new(),
            body: None,
            attempt_timeout: ATTEMPT_TIMEOUT,
            timeout: REQUEST_TIMEOUT,
            wanted: BodyRead::Whole(ANSWER_LIMIT),
            secrets: Vec::new(),
            invalid: None,
        }
    }

    /// A `GET`.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A `POST`, without a body unless one is set.
    pub fn post(url: Url) -> Self {
        Self::new(Method::POST, url)
    }

    /// A `PUT`, without a body unless one is set.
    pub fn put(url: Url) -> Self {
        Self::new(Method::PUT, url)
    }

    /// A `DELETE`.
    pub fn delete(url: Url) -> Self {
        Self::new(Method::DELETE, url)
    }

    /// Sets a JSON body. A value that JSON cannot express, such as a map whose keys are not text,
    /// makes the request fail when it is sent.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body = Some(bytes.into()),
            Err(_) => self.invalid = Some("its body cannot be written as JSON"),
        }
        self
    }

    /// Names a secret in the body. Servers quote what they refuse: the secret is removed from error
    /// messages, as the token is.
    #[must_use]
    pub fn secret(mut self, secret: &SecretString) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// Whether to send the token. Default: [`Auth::Bearer`].
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Sets a header, possibly one of the usual ones. An invalid name or value makes the request
    /// fail when it is sent.
    ///
    /// With its own `authorization`, the request neither carries the user's token nor renews it. A
    /// redirect to another origin drops that header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(is_secret(&name));
                self.headers.push((name, Some(value)));
            }
            (Err(_), _) => self.invalid = Some("a header has an invalid name"),
            (_, Err(_)) => self.invalid = Some("a header has an invalid value"),
        }
        self
    }

    /// Leaves out one of the usual headers.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        match HeaderName::try_from(name) {
            Ok(name) => self.headers.push((name, None)),
            Err(_) => self.invalid = Some("a header has an invalid name"),
        }
        self
    }

    /// Lets the request go to an address outside the user's cloud, without the user's token and
    /// with redirects only within its origin. For an address that the application or its user
    /// named; never for one from an answer.
    #[must_use]
    pub fn unlisted(mut self) -> Self {
        self.unlisted = true;
        self.auth = Auth::None;
        self
    }

    /// How large the answer may be, in bytes. Default: [`ANSWER_LIMIT`].
    #[must_use]
    pub fn answer_limit(mut self, bytes: usize) -> Self {
        self.wanted = BodyRead::Whole(bytes);
        self
    }

    /// Reads only status and headers of an answer, unless it is an error. For answers of which only
    /// the status matters.
    #[must_use]
    pub fn ignore_body(mut self) -> Self {
        self.wanted = BodyRead::Nothing;
        self
    }

    /// How long each attempt may take: a request is sent again when its token is renewed and when
    /// it is redirected. Default: [`ATTEMPT_TIMEOUT`].
    #[must_use]
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_timeout = limit;
        self
    }

    /// How long it may take in all. Default: [`REQUEST_TIMEOUT`].
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Whether it is valid.
    pub(super) fn check(&self) -> Result<(), HttpError> {
        self.invalid.map_or(Ok(()), |reason| Err(HttpError::Request { reason }))
    }

    /// Returns the address, if the request may go there.
    pub(super) fn target(&self, allow: &AllowList) -> Result<AllowedUrl, HttpError> {
        if self.unlisted { AllowList::unlisted(&self.url) } else { allow.check(&self.url) }
    }

    /// What errors must not quote: its own authorization and the named secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> + Clone {
        let values = self.headers.iter().filter(|(name, _)| is_secret(name));
        let values = values.filter_map(|(_, value)| value.as_ref()?.to_str().ok());
        values.map(credentials).chain(self.secrets.iter().map(ExposeSecret::expose_secret))
    }

    /// Whether a redirect to this address is followed.
    pub(super) fn may_follow(&self, target: &Url, allow: &AllowList) -> bool {
        if self.unlisted {
            return target.origin() == self.url.origin();
        }
        allow.allows(target)
    }
}

/// The second word of `Bearer x`.
pub(super) fn credentials(authorization: &str) -> &str {
    authorization.split(' ').next_back().unwrap_or_default()
}

/// Shows no body: it may hold a secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.as_str())
            .field("auth", &self.auth)
            .field("headers", &self.headers)
            .field("body", &self.body.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}

/// Whether a header's value is a secret, which must not be shown where headers are printed.
fn is_secret(name: &HeaderName) -> bool {
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn request() -> Request {
        Request::get(Url::parse("https://api.example/v1").unwrap())
    }

    #[test]
    fn what_cannot_be_sent_is_an_error_and_no_panic() {
        let odd_keys = BTreeMap::from([((1, 2), 3)]);
        for (request, what) in [
            (request().json(&odd_keys), "body"),
            (request().header("two words", "x"), "name"),
            (request().header("", "x"), "name"),
            (request().header("x-name", "two\r\nlines"), "value"),
            (request().without_header("Ümlaut"), "name"),
            // Later valid settings do not hide it.
            (request().header("x\n", "x").json(&1).header("x", "y"), "name"),
        ] {
            let error = request.check().unwrap_err();
            assert!(matches!(error, HttpError::Request { reason } if reason.contains(what)));
        }
        assert!(request().header("X-Name", "x").json(&1).check().is_ok());
    }

    #[test]
    fn headers_that_hold_secrets_are_not_printed() {
        for name in ["Authorization", "proxy-authorization", "cookie"] {
            let request = request().header(name, "hidden-word");
            assert!(!format!("{request:?}").contains("hidden-word"), "{name}");
        }
        assert!(format!("{:?}", request().header("x-open", "shown-word")).contains("shown-word"));
        assert!(!format!("{:?}", request().json(&"hidden-word")).contains("hidden-word"));
    }
}
