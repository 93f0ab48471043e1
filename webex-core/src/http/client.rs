//! The HTTP client of one user: the steps of a request.

use std::{sync::Arc, time::SystemTime};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, USER_AGENT},
};
use jiff::fmt::rfc2822;
use parking_lot::RwLock;
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};
use tracing::{debug, warn};
use url::Url;
use webex_auth::{AccessToken, Tokens};

use super::{
    allow::{AllowList, AllowedUrl},
    body::{self, BodyError},
    circuit::{self, Circuit},
    policy::HostPolicy,
    remembered::StartHosts,
    request::{Auth, Request, credentials},
    response::{Redirects, Response},
    timings::ATTEMPT_TIMEOUT,
    tracking::TrackingIds,
    transport::Transport,
};
use crate::error::HttpError;

const SPARK_USER_AGENT: HeaderName = HeaderName::from_static("spark-user-agent");
const DEVICE_URL: HeaderName = HeaderName::from_static("cisco-device-url");
const NO_HTTP_REDIRECT: HeaderName = HeaderName::from_static("cisco-no-http-redirect");
const TRACKING_ID: HeaderName = HeaderName::from_static("trackingid");

/// The name of this program: `webex-native/{version} ({os})`.
const PRODUCT: &str = concat!("webex-native/", env!("CARGO_PKG_VERSION"));

/// The HTTP client of one user. Clones share everything.
#[derive(Debug, Clone)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transport: Transport,
    tokens: Tokens,
    allow: AllowList,
    tracking: TrackingIds,
    user_agent: HeaderValue,
    device_url: RwLock<Option<HeaderValue>>,
    circuit: Circuit,
    remembered: Arc<StartHosts>,
    /// Counts the embargoes so far.
    embargoes: watch::Sender<u64>,
}

impl Http {
    pub(crate) fn new(
        transport: Transport,
        tokens: Tokens,
        allow: AllowList,
        tracking: TrackingIds,
        remembered: StartHosts,
    ) -> Self {
        let user_agent = format!("{PRODUCT} ({})", std::env::consts::OS);
        let user_agent = HeaderValue::try_from(user_agent).expect("made of visible ASCII");
        Self(Arc::new(Inner {
            transport,
            tokens,
            allow,
            tracking,
            user_agent,
            device_url: RwLock::default(),
            circuit: Circuit::default(),
            remembered: Arc::new(remembered),
            embargoes: watch::Sender::new(0),
        }))
    }

    /// Sends a request and waits for its whole answer.
    ///
    /// # Errors
    /// [`HttpError`]: an error status (400 and above), no connection, no answer in time, no token.
    pub async fn send(&self, mut request: Request) -> Result<Response, HttpError> {
        request.check()?;
        let hosts = self.hosts();
        let url = hosts.place(&request.url);
        request.url = url.clone();
        let after = request.timeout;
        let deadline = Instant::now() + after;
        // Boxed: the future takes kilobytes, and thousands of callers may wait for one.
        let outcome = timeout_at(deadline, Box::pin(self.exchange(request, deadline)));
        let outcome = outcome.await.unwrap_or_else(|_| {
            let host = url.host_str().unwrap_or_default().to_owned();
            Err(HttpError::Timeout { host, after })
        });
        hosts.observe(&url, outcome.as_ref().err());
        outcome
    }

    /// Whether an address belongs to the user's cloud: requests may go there, with the token. Other
    /// addresses are never contacted, so a caller can drop an address of an answer at once.
    pub fn allows(&self, url: &Url) -> bool {
        self.0.allow.allows(url)
    }

    /// As [`allows`](Self::allows), with the error that a request to this address would get.
    ///
    /// # Errors
    /// [`HttpError::NotAllowed`], which names the address.
    pub fn check(&self, url: &Url) -> Result<(), HttpError> {
        self.0.allow.check(url).map(drop)
    }

    /// Returns the time by the clock of a host of the user's cloud: the `Date` of its answer, of any
    /// status, to a request without a token. It is exact to one second plus the time of the answer.
    /// `None` when the answer has no date.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer, or the address is not one of the user's cloud.
    pub async fn server_time(&self, url: &Url) -> Result<Option<SystemTime>, HttpError> {
        let target = self.0.allow.check(url)?;
        let transport = &self.0.transport;
        transport.dialler().check(url)?;
        let asking = transport.send(&target, Method::GET, HeaderMap::new(), None);
        let answer = match timeout(ATTEMPT_TIMEOUT, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(transport.failure(url, &error).await),
            Err(_) => {
                let host = url.host_str().unwrap_or_default().to_owned();
                return Err(HttpError::Timeout { host, after: ATTEMPT_TIMEOUT });
            }
        };
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
        Ok(date.and_then(|date| Some(rfc2822::parse(date).ok()?.timestamp().into())))
    }

    /// Dials the hosts that the last start used. Only the first call has an effect.
    pub(crate) fn begin(&self) {
        if !self.0.remembered.begin() {
            return;
        }
        let http = self.clone();
        tokio::spawn(async move {
            for url in http.0.remembered.remembered().await {
                http.dial_ahead(&url);
            }
        });
    }

    /// Opens a connection to a host that will be needed soon, unless there is one. Only over TLS,
    /// and only where the token may go; failures are not reported.
    pub(crate) fn dial_ahead(&self, url: &Url) {
        if let Some(target) = self.may_dial(url) {
            self.0.transport.dial_ahead(&target);
        }
    }

    /// Records that a host has answered, so that the next start dials it first.
    pub(crate) fn note_host(&self, url: &Url) {
        if self.may_dial(url).is_some() && self.0.remembered.note(url) {
            let remembered = Arc::clone(&self.0.remembered);
            tokio::spawn(async move { remembered.save().await });
        }
    }

    fn may_dial(&self, url: &Url) -> Option<AllowedUrl> {
        let target = self.0.allow.check(url).ok()?;
        let secured = matches!(url.scheme(), "https" | "wss");
        (secured && target.may_have_token()).then_some(target)
    }

    /// The tokens of the user, for what authorizes itself (the Mercury socket).
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

    /// The host policy of the catalog.
    pub(crate) fn hosts(&self) -> &Arc<dyn HostPolicy> {
        self.0.allow.policy()
    }

    /// Sets the WDM device that later requests name.
    pub(crate) fn set_device_url(&self, url: Option<&Url>) {
        *self.0.device_url.write() = url.and_then(|url| HeaderValue::from_str(url.as_str()).ok());
    }

    /// A receiver that changes with each embargo (451). Holders of something in the cloud then give
    /// it up, without asking the service.
    pub(crate) fn embargoes(&self) -> watch::Receiver<u64> {
        self.0.embargoes.subscribe()
    }

    /// Handles a 451, "unavailable for legal reasons", in answer to the user's token: signs the
    /// user out and notifies the receivers of [`embargoes`](Self::embargoes).
    pub(crate) fn embargo(&self, host: &str) {
        warn!(host, "the service is not available here for legal reasons: signing out");
        self.0.embargoes.send_modify(|count| *count += 1);
        self.set_device_url(None);
        // Runs in the background: revoking needs a request, and the caller needs the embargo now.
        let tokens = self.0.tokens.clone();
        tokio::spawn(async move {
            if let Err(error) = tokens.sign_out().await {
                debug!(%error, "signing out after an embargo");
            }
        });
    }

    /// Sends a request with its replay and its redirects.
    async fn exchange(
        &self,
        mut request: Request,
        deadline: Instant,
    ) -> Result<Response, HttpError> {
        // Replay and redirects have the same id: in the logs they are one request.
        let tracking_id = self.0.tracking.next();
        let mut replayed = false;
        let mut redirects = Redirects::default();
        loop {
            let target = request.target(&self.0.allow)?;
            self.0.circuit.check(&request.url)?;
            let token = self.token_for(&request, &target).await?;
            let response =
                self.attempt(&request, &target, token.as_ref(), &tracking_id, deadline).await?;
            match (response.status(), &token) {
                (StatusCode::UNAUTHORIZED, Some(refused)) if !replayed => {
                    match self.0.tokens.replace(refused).await {
                        Ok(_) => {
                            replayed = true;
                            continue;
                        }
                        Err(error) => debug!(%error, "401, and no other token"),
                    }
                }
                (StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, Some(_)) => {
                    self.embargo(request.url.host_str().unwrap_or_default());
                }
                (StatusCode::TOO_MANY_REQUESTS, _) => {
                    self.0.circuit.open(&request.url, response.retry_after());
                }
                (StatusCode::PROXY_AUTHENTICATION_REQUIRED, _) => {
                    if let Some(error) = self.0.transport.dialler().unauthenticated(&request.url) {
                        return Err(error);
                    }
                }
                _ => {}
            }
            let Some(redirect) = redirects.next(&response)? else {
                let own = token.as_ref().map(|token| credentials(token.authorization()));
                return response.into_result(&own.into_iter().chain(request.secrets()));
            };
            redirect.apply(&mut request, &self.0.allow)?;
        }
    }

    /// The token to send: none when the request needs none or has its own authorization, or when
    /// the host may not have it.
    async fn token_for(
        &self,
        request: &Request,
        target: &AllowedUrl,
    ) -> Result<Option<AccessToken>, HttpError> {
        let own = request.headers.iter().any(|(name, _)| name == AUTHORIZATION);
        if own || request.auth == Auth::None || !target.may_have_token() {
            return Ok(None);
        }
        Ok(Some(self.0.tokens.token().await?))
    }

    /// Sends once, within the time limit of an attempt and what is left of the request's.
    async fn attempt(
        &self,
        request: &Request,
        target: &AllowedUrl,
        token: Option<&AccessToken>,
        tracking_id: &HeaderValue,
        deadline: Instant,
    ) -> Result<Response, HttpError> {
        let host = request.url.host_str().unwrap_or_default();
        let started = Instant::now();
        let left = deadline.saturating_duration_since(started);
        // The error has the limit that was set, not the time that happened to be left.
        let (limit, after) = if request.attempt_timeout < left {
            (request.attempt_timeout, request.attempt_timeout)
        } else {
            (left, request.timeout)
        };
        let sending = timeout(limit, self.send_once(request, target, token, tracking_id)).await;
        let outcome =
            sending.unwrap_or_else(|_| Err(HttpError::Timeout { host: host.to_owned(), after }));
        match &outcome {
            Ok(response) => debug!(
                method = %request.method,
                host,
                path = request.url.path(),
                status = response.status().as_u16(),
                elapsed_ms = started.elapsed().as_millis() as u64,
                tracking_id = tracking_id.to_str().unwrap_or_default(),
                "request"
            ),
            Err(error) => debug!(
                method = %request.method,
                host,
                path = request.url.path(),
                %error,
                elapsed_ms = started.elapsed().as_millis() as u64,
                tracking_id = tracking_id.to_str().unwrap_or_default(),
                "no answer"
            ),
        }
        outcome
    }

    async fn send_once(
        &self,
        request: &Request,
        target: &AllowedUrl,
        token: Option<&AccessToken>,
        tracking_id: &HeaderValue,
    ) -> Result<Response, HttpError> {
        self.0.transport.dialler().check(&request.url)?;
        let headers = self.headers(request, token, tracking_id);
        let (method, body) = (request.method.clone(), request.body.clone());
        let outcome = async {
            let sent = self.0.transport.send(target, method, headers, body).await;
            let response = sent.map_err(BodyError::Broken)?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok((status, headers, body::read(response, request.wanted).await?))
        };
        match outcome.await {
            Ok((status, headers, body)) => {
                self.note_host(&request.url);
                Ok(Response::new(request.url.clone(), status, headers, body))
            }
            Err(BodyError::Broken(error)) => {
                Err(self.0.transport.failure(&request.url, &error).await)
            }
            Err(BodyError::TooLarge(limit)) => {
                let host = request.url.host_str().unwrap_or_default().to_owned();
                Err(HttpError::TooLarge { host, limit })
            }
        }
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
        // The identity services use neither.
        let identity = circuit::is_identity(&request.url);
        if !identity {
            headers.insert(SPARK_USER_AGENT, self.0.user_agent.clone());
            headers.insert(NO_HTTP_REDIRECT, HeaderValue::from_static("true"));
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = token {
            if let (false, Some(device)) = (identity, &*self.0.device_url.read()) {
                headers.insert(DEVICE_URL, device.clone());
            }
            headers.extend(authorization(token).map(|value| (AUTHORIZATION, value)));
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

/// The value of `Authorization`; marked as sensitive.
fn authorization(token: &AccessToken) -> Option<HeaderValue> {
    // AccessToken::parse admits visible ASCII only, which every header value may hold.
    let mut value = HeaderValue::from_str(token.authorization()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_marked_as_sensitive() {
        let value = authorization(&AccessToken::parse("hidden-token").unwrap()).unwrap();
        assert_eq!(value, "Bearer hidden-token");
        assert!(value.is_sensitive() && !format!("{value:?}").contains("hidden"));
    }
}
