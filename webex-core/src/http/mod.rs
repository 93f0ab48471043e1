//! The one way to send a request.
//!
//! Every request of the SDK goes through [`Http::send`]: it adds the tracking id and the headers
//! that Webex services expect, the bearer token where the host may have it, follows the two kinds
//! of redirects, replays once after a 401 that a new token may cure, keeps a deadline, and turns
//! what went wrong into one [`HttpError`]. Nothing else in the SDK calls the HTTP library.

mod allow;
mod dial;
mod proxy;
mod request;
pub(crate) mod tls;
mod token;
mod tracking;
mod transport;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, USER_AGENT},
};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tracing::debug;
use url::Url;
use webex_auth::{AccessToken, Tokens};

pub(crate) use self::{allow::AllowList, dial::Stream};
pub use self::{
    proxy::{Proxy, ProxyError},
    request::{Auth, REQUEST_TIMEOUT, Request},
    tls::RootError,
    tracking::TrackingIds,
    transport::{CONNECT_TIMEOUT, Transport, TransportBuilder, TransportError},
};
use crate::error::{HttpError, ServiceError};

const SPARK_USER_AGENT: HeaderName = HeaderName::from_static("spark-user-agent");
const DEVICE_URL: HeaderName = HeaderName::from_static("cisco-device-url");
const NO_HTTP_REDIRECT: HeaderName = HeaderName::from_static("cisco-no-http-redirect");
const TRACKING_ID: HeaderName = HeaderName::from_static("trackingid");
const CISCO_LOCATION: &str = "cisco-location";

/// Redirects followed for one request (the reference client's `maxAppLevelRedirects`).
const MAX_REDIRECTS: usize = 10;

/// What this program calls itself: `webex-native/{version} ({os})`.
const PRODUCT: &str = concat!("webex-native/", env!("CARGO_PKG_VERSION"));

/// The HTTP client of one user. Clones share everything.
#[derive(Clone, Debug)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transport: Transport,
    tokens: Tokens,
    allow: AllowList,
    tracking: TrackingIds,
    user_agent: HeaderValue,
    device_url: RwLock<Option<HeaderValue>>,
}

impl Http {
    pub(crate) fn new(
        transport: Transport,
        tokens: Tokens,
        allow: AllowList,
        tracking: TrackingIds,
    ) -> Self {
        let user_agent = format!("{PRODUCT} ({})", std::env::consts::OS);
        let user_agent = HeaderValue::try_from(user_agent).expect("made of visible ASCII");
        let device_url = RwLock::default();
        Self(Arc::new(Inner { transport, tokens, allow, tracking, user_agent, device_url }))
    }

    /// Sends a request and waits for its whole answer.
    ///
    /// # Errors
    /// [`HttpError`]: an error status (400 and above), no connection, no answer in time, no token.
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let after = request.timeout;
        match tokio::time::timeout(after, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HttpError::Timeout { host, after }),
        }
    }

    /// The tokens of the user, for what authorizes itself otherwise (the Mercury socket).
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.0.transport
    }

    pub(crate) fn tracking(&self) -> &TrackingIds {
        &self.0.tracking
    }

    pub(crate) fn allow(&self) -> &AllowList {
        &self.0.allow
    }

    /// Sets the WDM device that further requests name as theirs.
    pub(crate) fn set_device_url(&self, url: Option<&Url>) {
        *self.0.device_url.write() = url.and_then(|url| HeaderValue::from_str(url.as_str()).ok());
    }

    /// One request with its replay and its redirects.
    async fn exchange(&self, mut request: Request) -> Result<Response, HttpError> {
        // The same id for replay and redirects: they are one request to whoever reads the logs.
        let tracking_id = self.0.tracking.next();
        let mut replayed = false;
        let mut redirects = 0;
        loop {
            let token = self.token_for(&request).await?;
            let response = self.send_once(&request, token.as_ref(), &tracking_id).await?;
            if response.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
                && let Some(error) = self.0.transport.dialler().unauthenticated(&request.url)
            {
                return Err(error);
            }
            if let (StatusCode::UNAUTHORIZED, Some(refused), false) =
                (response.status, &token, replayed)
            {
                match self.0.tokens.replace(refused).await {
                    Ok(_) => {
                        replayed = true;
                        continue;
                    }
                    Err(error) => debug!(%error, "401, and no other token"),
                }
            }
            if let Some(target) = response.redirect()? {
                redirects += 1;
                if redirects > MAX_REDIRECTS {
                    let host = response.host;
                    return Err(HttpError::Redirect { host, reason: "too many redirects" });
                }
                request.url = target;
                continue;
            }
            return response.into_result();
        }
    }

    /// The token to send: none where the request wants none, or the host may not have it.
    async fn token_for(&self, request: &Request) -> Result<Option<AccessToken>, HttpError> {
        if request.auth == Auth::None || !self.0.allow.allows(&request.url) {
            return Ok(None);
        }
        Ok(Some(self.0.tokens.token().await?))
    }

    async fn send_once(
        &self,
        request: &Request,
        token: Option<&AccessToken>,
        tracking_id: &HeaderValue,
    ) -> Result<Response, HttpError> {
        let host = request.url.host_str().unwrap_or_default();
        let started = Instant::now();
        let mut builder = self
            .0
            .transport
            .http()
            .request(request.method.clone(), request.url.clone())
            .headers(self.headers(request, token, tracking_id));
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let outcome = async {
            let response = builder.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok((status, headers, response.bytes().await?))
        };
        let (status, headers, body) = match outcome.await {
            Ok(answer) => answer,
            Err(error) => {
                let error = self.0.transport.failure(&request.url, &error).await;
                debug!(method = %request.method, host, path = request.url.path(), %error, "no answer");
                return Err(error);
            }
        };
        debug!(
            method = %request.method,
            host,
            path = request.url.path(),
            status = status.as_u16(),
            elapsed_ms = started.elapsed().as_millis() as u64,
            tracking_id = tracking_id.to_str().unwrap_or_default(),
            "request"
        );
        Ok(Response { host: host.to_owned(), base: request.url.clone(), status, headers, body })
    }

    fn headers(
        &self,
        request: &Request,
        token: Option<&AccessToken>,
        tracking_id: &HeaderValue,
    ) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(8 + request.headers.len());
        headers.insert(TRACKING_ID, tracking_id.clone());
        headers.insert(USER_AGENT, self.0.user_agent.clone());
        headers.insert(SPARK_USER_AGENT, self.0.user_agent.clone());
        headers.insert(NO_HTTP_REDIRECT, HeaderValue::from_static("true"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = token {
            if let Some(device) = &*self.0.device_url.read() {
                headers.insert(DEVICE_URL, device.clone());
            }
            // AccessToken::parse admits visible ASCII only, which every header value may hold.
            if let Ok(mut value) = HeaderValue::from_str(token.authorization()) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        for (name, value) in &request.headers {
            match value {
                Some(value) => headers.insert(name, value.clone()),
                None => headers.remove(name),
            };
        }
        headers
    }
}

/// A successful answer (below 400).
#[derive(Debug)]
pub struct Response {
    host: String,
    base: Url,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Response {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as received.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as JSON, parsed straight into `T`.
    ///
    /// # Errors
    /// [`HttpError::Body`] when it is not.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        self.read(|body| serde_json::from_slice(body))
    }

    /// The body, read by `parse`.
    pub(crate) fn read<T>(
        &self,
        parse: impl FnOnce(&[u8]) -> Result<T, serde_json::Error>,
    ) -> Result<T, HttpError> {
        parse(&self.body).map_err(|error| HttpError::Body {
            host: self.host.clone(),
            // Position and kind only: serde's text may quote the body.
            reason: format!(
                "{:?} error at line {} column {}",
                error.classify(),
                error.line(),
                error.column()
            ),
        })
    }

    /// Where the service sends the request instead: `cisco-location`, or 307 and 308, which keep
    /// method and body. Others (301, 302, 303) turn a request into another one: not followed.
    fn redirect(&self) -> Result<Option<Url>, HttpError> {
        let follow = matches!(self.status.as_u16(), 307 | 308);
        let location = match self.header(CISCO_LOCATION) {
            Some(location) if self.status.as_u16() < 400 => location,
            _ if follow => self.header(LOCATION.as_str()).unwrap_or_default(),
            _ if self.status.is_redirection() => "",
            _ => return Ok(None),
        };
        let refused = |reason| HttpError::Redirect { host: self.host.clone(), reason };
        if location.is_empty() {
            return Err(refused("only 307 and 308 with a location are followed"));
        }
        let target = self.base.join(location).map_err(|_| refused("the location is no URL"))?;
        let downgrade = self.base.scheme() == "https" && target.scheme() != "https";
        if downgrade { Err(refused("from https to an unprotected URL")) } else { Ok(Some(target)) }
    }

    fn into_result(self) -> Result<Self, HttpError> {
        if self.status.as_u16() < 400 {
            return Ok(self);
        }
        let error = ServiceError::read(&self.host, self.status, &self.headers, self.body);
        Err(HttpError::Status(Arc::new(error)))
    }
}
