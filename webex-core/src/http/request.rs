//! What to send.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use url::Url;

/// How long one attempt of a request may take, from sending to the last byte of its answer. Default
/// of [`Request::attempt_timeout`]. The reference client has no limit, so that one lost answer hangs
/// it; Webex services answer within seconds. Shorter than [`REQUEST_TIMEOUT`], so that a host that
/// hangs after a redirect or a renewed token is the one that is named.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a request may take in all: the token it waits for, its replay and its redirects
/// included. Default of [`Request::timeout`].
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a request carries the user's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// Yes, where the host may have it.
    #[default]
    Bearer,
    /// No.
    None,
}

/// A request, to be given to [`Http::send`](super::Http::send).
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
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) auth: Auth,
    /// Headers over the usual ones; `None` removes one.
    pub(super) headers: Vec<(HeaderName, Option<HeaderValue>)>,
    pub(super) body: Option<Bytes>,
    pub(super) attempt_timeout: Duration,
    pub(super) timeout: Duration,
}

impl Request {
    /// A request with this method.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            auth: Auth::default(),
            headers: Vec::new(),
            body: None,
            attempt_timeout: ATTEMPT_TIMEOUT,
            timeout: REQUEST_TIMEOUT,
        }
    }

    /// A `GET`.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A `POST`, without a body until it is given one.
    pub fn post(url: Url) -> Self {
        Self::new(Method::POST, url)
    }

    /// A `PUT`, without a body until it is given one.
    pub fn put(url: Url) -> Self {
        Self::new(Method::PUT, url)
    }

    /// A `DELETE`.
    pub fn delete(url: Url) -> Self {
        Self::new(Method::DELETE, url)
    }

    /// Gives the request a JSON body.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(body).expect("wire types are plain data");
        self.body = Some(bytes.into());
        self
    }

    /// Whether to send the token. Default: [`Auth::Bearer`].
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Sets a header, also one of the usual ones. A value that no header may hold is left out.
    ///
    /// With an `authorization` of its own, the request neither carries the user's token nor renews
    /// it, and is redirected to another origin without any.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), Some(value)));
        }
        self
    }

    /// Leaves out one of the usual headers.
    #[must_use]
    pub fn without_header(mut self, name: &'static str) -> Self {
        self.headers.push((HeaderName::from_static(name), None));
        self
    }

    /// How long each attempt may take: a request is sent more than once when its token is renewed or
    /// when it is redirected. Default: [`ATTEMPT_TIMEOUT`].
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
}
