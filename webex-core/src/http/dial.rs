//! A connection to a host for what is not an HTTP request: the socket.
//!
//! It takes the same route as the HTTP client: the same proxies, the same trust, the same time
//! limit. All addresses of a host are tried, those of the other IP version after a short head start
//! (RFC 8305). Through a proxy the connection is a tunnel made with `CONNECT`, with TLS to the
//! service inside it.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;
use tracing::debug;
use url::Url;
use webex_auth::ServerText;

use super::{
    ahead::{Ahead, origin},
    allow::AllowedUrl,
    failure::{failure, innermost},
    proxy::{Proxies, Proxy},
    tls,
};
use crate::error::HttpError;

/// Limit of a proxy's answer to `CONNECT`, in bytes; a few hundred are usual.
const LARGEST_ANSWER: usize = 8 * 1024;

/// Limit of header lines in that answer.
const MOST_HEADERS: usize = 64;

/// Opens connections. Clones share their settings.
#[derive(Debug, Clone)]
pub(crate) struct Dialler {
    tcp: HttpConnector,
    tls: Arc<ClientConfig>,
    proxies: Arc<Proxies>,
    ahead: Ahead,
    limit: Duration,
}

impl Dialler {
    /// `limit` covers a whole connection: name lookup, addresses, tunnel and TLS.
    pub(super) fn new(
        tls: Arc<ClientConfig>,
        proxies: Arc<Proxies>,
        ahead: Ahead,
        limit: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Frames are small, and each one is awaited.
        tcp.set_nodelay(true);
        // Divided among the addresses, so that a dead one leaves time for the others.
        tcp.set_connect_timeout(Some(limit));
        Self { tcp, tls, proxies, ahead, limit }
    }

    /// Returns a connection to the host of `target`, with TLS if its scheme says so: one that was
    /// dialled ahead, or a new one.
    ///
    /// # Errors
    /// [`HttpError`], which names the proxy if it is at fault, otherwise the host; and whether any
    /// host answered.
    pub(crate) async fn dial(&self, target: &AllowedUrl) -> Result<Stream, DialError> {
        let url = target.url();
        if !self.ahead.is_empty()
            && let Some(mut stream) = self.ahead.take::<Stream>(origin(url)).await
            && stream.is_open()
        {
            return Ok(stream);
        }
        self.open(url).await
    }

    /// Opens a connection for a later [`dial`](Self::dial), unless there is one. A failure is not
    /// reported; the later call fails again.
    pub(super) fn dial_ahead(&self, target: &AllowedUrl) {
        let Some(ticket) = self.ahead.begin(origin(target.url())) else { return };
        let (dialler, url) = (self.clone(), target.url().clone());
        tokio::spawn(async move {
            match dialler.open(&url).await {
                Ok(stream) => ticket.keep(stream),
                Err(failure) => debug!(error = %failure.error, "nothing dialled ahead"),
            }
        });
    }

    async fn open(&self, url: &Url) -> Result<Stream, DialError> {
        let target = Target::of(url).map_err(DialError::answered)?;
        let connecting = async {
            let proxy = self.proxies.for_url(url);
            let proxy = proxy.map_err(|error| DialError::answered(error.clone().into()))?;
            let stream = match proxy {
                Some(proxy) => self.tunnel(proxy, &target).await?,
                None => self.tcp(&target).await.map_err(|error| DialError {
                    answered: was_refused(&*error),
                    error: target.unreachable(&*error),
                })?,
            };
            match url.scheme() {
                "https" | "wss" => {
                    let stream = self.tls(&target.host, stream).await;
                    stream.map_err(|error| DialError::answered(target.unreachable(&error)))
                }
                _ => Ok(stream),
            }
        };
        // Boxed: a TLS handshake is large, and the future of an idle client should be small.
        let outcome = timeout(self.limit, Box::pin(connecting)).await;
        outcome.unwrap_or_else(|_| Err(DialError { error: self.too_slow(url), answered: false }))
    }

    /// The issuer of the certificate of the host of `url`; see
    /// [`Transport::certificate_issuer`](super::Transport::certificate_issuer).
    pub(super) async fn issuer(&self, url: &Url) -> Result<Option<ServerText>, DialError> {
        let Stream::Tls(stream) = self.open(url).await? else { return Ok(None) };
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(shown.first().and_then(|certificate| tls::issuer(certificate)))
    }

    /// The proxy's error on the way to `url`, if there is one. Requests a tunnel once more, because
    /// the HTTP library does not report the proxy's answer.
    pub(super) async fn proxy_failure(&self, url: &Url) -> Option<HttpError> {
        let proxy = match self.proxies.for_url(url) {
            Ok(proxy) => proxy?,
            Err(error) => return Some(error.clone().into()),
        };
        let target = Target::of(url).ok()?;
        let asking = Box::pin(self.tunnel(proxy, &target));
        match timeout(self.limit, asking).await {
            Ok(outcome) => outcome.err().map(|failure| failure.error),
            Err(_) => Some(self.too_slow(url)),
        }
    }

    /// The proxy for `url`, as `host:port`; `None` means a direct connection.
    pub(super) fn proxy_of(&self, url: &Url) -> Result<Option<String>, HttpError> {
        Ok(self.proxies.for_url(url).map_err(Clone::clone)?.map(Proxy::name))
    }

    /// Fails when `url` would be reached through a proxy whose URL cannot be used.
    pub(super) fn check(&self, url: &Url) -> Result<(), HttpError> {
        Ok(self.proxies.for_url(url).map(drop).map_err(Clone::clone)?)
    }

    /// The error of a connection that took too long.
    pub(super) fn too_slow(&self, url: &Url) -> HttpError {
        let reason = format!("no connection within {} s", self.limit.as_secs_f32());
        if let Ok(Some(proxy)) = self.proxies.for_url(url) {
            return HttpError::Proxy { proxy: proxy.name(), reason };
        }
        HttpError::Network { host: url.host_str().unwrap_or_default().to_owned(), reason }
    }

    /// The error of a proxy for `url` that requires credentials.
    pub(super) fn unauthenticated(&self, url: &Url) -> Option<HttpError> {
        let proxy = self.proxies.for_url(url).ok()??.name();
        Some(HttpError::ProxyAuthentication { proxy })
    }

    async fn tcp(&self, target: &Target) -> Result<Stream, Box<dyn Error + Send + Sync>> {
        let uri = format!("http://{}", target.authority).parse::<Uri>()?;
        Ok(Stream::Tcp(self.tcp.clone().call(uri).await?.into_inner()))
    }

    async fn tls(&self, host: &str, stream: Stream) -> io::Result<Stream> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(tls)))
    }

    async fn tunnel(&self, proxy: &Proxy, target: &Target) -> Result<Stream, DialError> {
        let failed = |reason| HttpError::Proxy { proxy: proxy.name(), reason };
        let at = Target::of(proxy.url()).map_err(DialError::answered)?;
        let mut stream = self.tcp(&at).await.map_err(|error| DialError {
            answered: was_refused(&*error),
            error: failed(innermost(&*error)),
        })?;
        let asking = async {
            if proxy.url().scheme() == "https" {
                stream = self.tls(&at.host, stream).await?;
            }
            let status = connect(&mut stream, &target.authority, proxy.authorization()).await?;
            Ok::<_, io::Error>((stream, status))
        };
        let asked = asking.await.map_err(|error| failed(innermost(&error)));
        let (stream, status) = asked.map_err(DialError::answered)?;
        Err(DialError::answered(match status {
            200..=299 => return Ok(stream),
            // 407 is the standard; some proxies answer unknown credentials with 401.
            401 | 407 => HttpError::ProxyAuthentication { proxy: proxy.name() },
            _ => failed(format!("it answered {status} when asked to reach {}", target.authority)),
        }))
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct DialError {
    pub(crate) error: HttpError,
    /// Whether a host refused the connection or broke it off. Otherwise no host was reached: no
    /// route, no name, no answer in time.
    pub(crate) answered: bool,
}

impl DialError {
    fn answered(error: HttpError) -> Self {
        Self { error, answered: true }
    }
}

/// Whether a host refused the connection.
fn was_refused(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(error.kind(), ConnectionRefused | ConnectionReset | ConnectionAborted);
        }
        cause = error.source();
    }
    false
}

/// Requests a tunnel from a proxy, and returns the status of its answer.
async fn connect(
    stream: &mut Stream,
    authority: &str,
    authorization: Option<&HeaderValue>,
) -> io::Result<u16> {
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&answer);
        match (parsed.map_err(|error| io::Error::other(error.to_string()))?, response.code) {
            // No tunnel data can follow yet: in every protocol used here the client speaks first.
            (httparse::Status::Complete(_), Some(status)) => return Ok(status),
            _ if answer.len() > LARGEST_ANSWER => return Err(io::Error::other("it says too much")),
            _ => {}
        }
    }
}

/// The host to connect to.
struct Target {
    /// For TLS: an IPv6 address without brackets.
    host: String,
    /// Always with the port.
    authority: String,
}

impl Target {
    fn of(url: &Url) -> Result<Self, HttpError> {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
        let (false, Some(port)) = (host.is_empty(), port) else {
            let reason = "the URL has no host".to_owned();
            return Err(HttpError::Network { host: host.to_owned(), reason });
        };
        let authority = format!("{host}:{port}");
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, authority })
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> HttpError {
        failure(&self.host, error)
    }
}

/// A connection: plain, or TLS over one (over a tunnel, which may itself be TLS to a proxy).
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<Stream>>),
}

impl Stream {
    /// Whether the connection is idle: the peer has neither closed it nor sent anything.
    fn is_open(&mut self) -> bool {
        let (mut byte, mut cx) = ([0], Context::from_waker(Waker::noop()));
        Pin::new(self).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    /// TLS produces several records at a time, which leave in one write.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, parts),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
