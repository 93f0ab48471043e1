//! Connections: one HTTP client and one set of TLS settings for any number of users.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use once_cell::sync::Lazy;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::runtime::{Handle, Id as RuntimeId};
use tracing::debug;
use url::Url;
use webex_auth::{ReqwestHttp, ServerText, TokenHttp};

use super::{
    ahead::{Ahead, AheadLayer, PURPOSE, Purpose, origin},
    allow::AllowedUrl,
    dial::Dialler,
    failure::failure,
    proxy::{Proxy, ProxyChoice},
    timings::{CONNECT_TIMEOUT, HTTP2_PROBE_INTERVAL, HTTP2_PROBE_TIMEOUT},
    tls::{RootError, Trust},
    token::ProxiedTokens,
};
use crate::error::HttpError;

/// The connections of a process: an HTTP connection pool, and TLS settings for sockets.
///
/// Clones share everything. An HTTP client costs hundreds of kilobytes, so a program with many
/// users gives every [`Webex`](crate::Webex) the same transport; those built without one share one
/// automatically ([`Transport::shared`]).
#[derive(Debug, Clone)]
pub struct Transport(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    accepts_invalid: bool,
    http: reqwest::Client,
    dialler: Dialler,
    ahead: Ahead,
}

/// Why a transport cannot be created.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// An extra root certificate cannot be used.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The HTTP client cannot be created.
    #[error("the HTTP client cannot be made: {0}")]
    Http(String),
}

impl Transport {
    /// Builds a transport with its own trust or deadlines.
    pub fn builder() -> TransportBuilder {
        TransportBuilder::default()
    }

    /// Returns the transport shared on the current tokio runtime.
    ///
    /// One per runtime, because pooled connections live and die with the runtime that opened them.
    /// Outside a runtime each call creates a new one.
    ///
    /// # Errors
    /// [`TransportError`] when it cannot be created.
    pub fn shared() -> Result<Self, TransportError> {
        static SHARED: Lazy<Mutex<HashMap<RuntimeId, std::sync::Weak<Inner>>>> =
            Lazy::new(Mutex::default);
        let Ok(runtime) = Handle::try_current() else {
            return Self::builder().build();
        };
        let mut shared = SHARED.lock();
        if let Some(inner) = shared.get(&runtime.id()).and_then(std::sync::Weak::upgrade) {
            return Ok(Self(inner));
        }
        shared.retain(|_, inner| inner.strong_count() > 0);
        let transport = Self::builder().build()?;
        shared.insert(runtime.id(), Arc::downgrade(&transport.0));
        Ok(transport)
    }

    /// The same connections for the token requests of webex-auth.
    pub fn token_http(&self) -> Arc<dyn TokenHttp> {
        let http = ReqwestHttp::new(self.0.http.clone());
        Arc::new(ProxiedTokens::new(http, self.0.dialler.clone()))
    }

    /// Whether certificates are not checked
    /// ([`danger_accept_invalid_certs`](TransportBuilder::danger_accept_invalid_certs)).
    pub fn accepts_invalid_certs(&self) -> bool {
        self.0.accepts_invalid
    }

    /// Returns the proxy for an address, as `host:port`; `None` means a direct connection.
    ///
    /// # Errors
    /// [`HttpError::ProxyUnusable`] when the text that names it is not the URL of a proxy.
    pub fn proxy_of(&self, url: &Url) -> Result<Option<String>, HttpError> {
        self.0.dialler.proxy_of(url)
    }

    /// Connects to the host of an address, sends nothing, and returns the issuer of its
    /// certificate: behind a proxy that inspects TLS, that proxy's owner. `None` without TLS, and
    /// for a certificate that names no issuer.
    ///
    /// # Errors
    /// [`HttpError`] when there is no connection; [`HttpError::Certificate`] when the certificate is
    /// not trusted.
    pub async fn certificate_issuer(&self, url: &Url) -> Result<Option<ServerText>, HttpError> {
        self.0.dialler.issuer(url).await.map_err(|failure| failure.error)
    }

    /// Sends a request, over a connection that was dialled ahead if there is one.
    ///
    /// A connection may have been closed while it was idle. A request that finds this out is sent
    /// once more, if nothing of an answer has come and it may be repeated: because of its method,
    /// or because its connection had carried nothing before.
    pub(super) async fn send(
        &self,
        target: &AllowedUrl,
        method: Method,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let url = target.url();
        let request = || {
            let mut request = self.0.http.request(method.clone(), url.clone());
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            request.headers(headers.clone())
        };
        let key = origin(url);
        self.0.ahead.note_used(key);
        let (outcome, taken) = if self.0.ahead.is_empty() {
            (request().send().await, false)
        } else {
            let taken = Arc::default();
            let purpose = Purpose::Use(key.to_owned(), Arc::clone(&taken));
            let outcome = PURPOSE.scope(purpose, request().send()).await;
            (outcome, taken.load(Ordering::Relaxed))
        };
        match outcome {
            Err(error) if broke_off(&error) && (taken || method.is_idempotent()) => {
                debug!(
                    host = url.host_str(),
                    "the connection was closed; the request is sent again"
                );
                request().send().await
            }
            outcome => outcome,
        }
    }

    /// Opens a connection to the host of this URL, unless there is one, because it will be needed
    /// soon. Sends nothing over it. Only over TLS; failures are not reported.
    pub(super) fn dial_ahead(&self, target: &AllowedUrl) {
        let url = target.url();
        match url.scheme() {
            "wss" => self.0.dialler.dial_ahead(target),
            "https" if self.0.dialler.check(url).is_ok() => {
                let Some(ticket) = self.0.ahead.begin_shared(origin(url)) else { return };
                let purpose = Purpose::Keep(Mutex::new(Some(ticket)));
                // The request ends at the connector, see the documentation of `ahead`.
                let request = self.0.http.head(url.clone()).send();
                tokio::spawn(PURPOSE.scope(purpose, async {
                    let _ = request.await;
                }));
            }
            _ => {}
        }
    }

    /// The dialler, for connections that do not carry HTTP requests.
    pub(crate) fn dialler(&self) -> &Dialler {
        &self.0.dialler
    }

    /// Why a request to `url` got no answer: the part at fault, and the innermost cause.
    pub(super) async fn failure(&self, url: &Url, error: &reqwest::Error) -> HttpError {
        if error.is_connect() {
            if error.is_timeout() {
                return self.0.dialler.too_slow(url);
            }
            if let Some(error) = self.0.dialler.proxy_failure(url).await {
                return error;
            }
        }
        failure(url.host_str().unwrap_or_default(), error)
    }
}

/// Whether a connection ended before any part of an answer arrived.
fn broke_off(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// Builds a [`Transport`].
#[derive(Debug, Clone)]
pub struct TransportBuilder {
    trust: Trust,
    proxy: ProxyChoice,
    connect_timeout: Duration,
}

impl Default for TransportBuilder {
    fn default() -> Self {
        Self {
            trust: Trust::default(),
            proxy: ProxyChoice::default(),
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

impl TransportBuilder {
    /// Trusts the certificates in this PEM text in addition to the operating system's roots: of a
    /// company's inspecting proxy, or of a sandbox. Default: none.
    ///
    /// # Errors
    /// [`TransportError::Root`] when the text has no certificate.
    pub fn extra_roots_pem(mut self, pem: &[u8]) -> Result<Self, TransportError> {
        self.trust.add_pem(pem)?;
        Ok(self)
    }

    /// Accepts any certificate, so that anyone on the network path can read the token.
    /// Default: no. Danger: for a sandbox on this machine only; a client of any other host is refused
    /// unless it [says so once more](crate::WebexBuilder::danger_insecure_anywhere).
    #[must_use]
    pub fn danger_accept_invalid_certs(mut self, accept: bool) -> Self {
        self.trust.accept_invalid = accept;
        self
    }

    /// Uses this proxy for HTTP and sockets, whatever the environment says. Default: the proxies in
    /// `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`, except for the hosts in `NO_PROXY` and
    /// loopback.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = ProxyChoice::Given(proxy);
        self
    }

    /// Uses no proxy, whatever the environment says.
    #[must_use]
    pub fn no_proxy(mut self) -> Self {
        self.proxy = ProxyChoice::Direct;
        self
    }

    /// How long a connection may take in total: name lookup, addresses, proxy, TLS. Default:
    /// [`CONNECT_TIMEOUT`].
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Builds the transport. Opens no connection.
    ///
    /// # Errors
    /// [`TransportError`] when a root certificate cannot be used, or the client cannot be created.
    pub fn build(self) -> Result<Transport, TransportError> {
        let accepts_invalid = self.trust.accept_invalid;
        let socket_tls = self.trust.client_config()?;
        let proxies = Arc::new(self.proxy.resolve());
        let ahead = Ahead::default();
        let mut http_tls = socket_tls.clone();
        http_tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(http_tls)
            // Redirects follow our own rules, which decide where the token may go.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .connector_layer(AheadLayer(ahead.clone()))
            .http2_keep_alive_interval(HTTP2_PROBE_INTERVAL)
            .http2_keep_alive_timeout(HTTP2_PROBE_TIMEOUT)
            // The environment is read once, for the HTTP client and the socket alike.
            .no_proxy();
        let http = proxies
            .for_http()
            .into_iter()
            .fold(builder, reqwest::ClientBuilder::proxy)
            .build()
            .map_err(|error| TransportError::Http(error.to_string()))?;
        let socket_tls = Arc::new(socket_tls);
        let dialler = Dialler::new(socket_tls, proxies, ahead.clone(), self.connect_timeout);
        Ok(Transport(Arc::new(Inner { accepts_invalid, http, dialler, ahead })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_runtime_shares_one_transport() {
        let first = Transport::shared().unwrap();
        let second = Transport::shared().unwrap();
        assert!(Arc::ptr_eq(&first.0, &second.0));
    }

    #[test]
    fn runtimes_do_not_share() {
        let on_own_runtime = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async { Transport::shared().unwrap() })
        };
        assert!(!Arc::ptr_eq(&on_own_runtime().0, &on_own_runtime().0));
    }
}
