//! The port: accepts connections, speaks TLS, HTTP/1.1 and HTTP/2, hands requests to the router.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::conduct::{conduct, delay, is_preflight, preflight};
use crate::operation::Other;
use crate::state::World;
use crate::{control, router};

/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests a client may have under way on one HTTP/2 connection.
const MAX_STREAMS: u32 = 1_000;

/// The connection a request came on; travels in the request's extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// Counted from 1.
    pub(crate) id: u64,
    end: Arc<End>,
}

impl Connection {
    /// Ends the TCP connection at once, with RST.
    pub(crate) fn reset(&self) {
        self.end.reset.store(true, Ordering::Release);
        self.end.now.notify_one();
    }

    /// Lets the connection end with RST when it is next closed.
    pub(crate) fn reset_on_close(&self) {
        self.end.reset.store(true, Ordering::Release);
    }
}

#[derive(Debug, Default)]
struct End {
    reset: AtomicBool,
    now: Notify,
}

/// Marks a response that is not to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abort;

impl Abort {
    pub(crate) fn refuse() -> Self {
        Self
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sandbox was told not to answer")
    }
}

impl std::error::Error for Abort {}

/// Accepts connections until it is dropped.
pub(crate) async fn accept(
    world: Arc<World>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    services: Router,
) {
    let mut id = 0;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: let others finish first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        id += 1;
        let connection = Connection { id, end: Arc::default() };
        let served = serve(Arc::clone(&world), connection, stream, tls.clone(), services.clone());
        world.tasks.spawn(served);
    }
}

async fn serve(
    world: Arc<World>,
    connection: Connection,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    services: Router,
) {
    delay(world.latency.connection()).await;
    // Answers are small and each is waited for.
    let _ = stream.set_nodelay(true);
    let stream = Guarded { stream, end: Arc::clone(&connection.end) };
    match tls {
        None => speak(world, connection, stream, services).await,
        Some(acceptor) => match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => speak(world, connection, stream, services).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        },
    }
}

async fn speak<S>(world: Arc<World>, connection: Connection, stream: S, services: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = auto::Builder::new(world.tasks.clone());
    http.http2().max_concurrent_streams(MAX_STREAMS);
    let end = Arc::clone(&connection.end);
    let service = service_fn(move |request: Request<Incoming>| {
        answer(Arc::clone(&world), connection.clone(), services.clone(), request)
    });
    let serving = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        () = end.now.notified() => {}
        served = serving => {
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended");
            }
        }
    }
}

async fn answer(
    world: Arc<World>,
    connection: Connection,
    services: Router,
    request: Request<Incoming>,
) -> Result<Response<Body>, Abort> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(connection);
    let response = if is_preflight(&request) && !control::owns(request.uri().path()) {
        conduct(world, Other::preflight(), Vec::new(), request, preflight).await
    } else {
        let answered: Result<_, Infallible> =
            services.oneshot(router::address(&world, request)).await;
        match answered {
            Ok(response) => response,
            Err(never) => match never {},
        }
    };
    match response.extensions().get::<Abort>() {
        Some(abort) => Err(*abort),
        None => Ok(response),
    }
}

/// A TCP stream that can be told to end with RST.
struct Guarded {
    stream: TcpStream,
    end: Arc<End>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.end.reset.load(Ordering::Acquire) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
