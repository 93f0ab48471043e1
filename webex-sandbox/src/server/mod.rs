//! The port: accepts connections, speaks TLS, HTTP/1.1 and HTTP/2, and passes requests to the
//! router.

pub(crate) mod router;
pub(crate) mod tls;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::{
    control,
    exchange::{
        connection::{Abort, Connection, Guarded},
        pipeline::{delay, handle_request, is_preflight, preflight},
    },
    operation::Other,
    world::World,
};

/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests a client may have in flight on one HTTP/2 connection.
const MAX_STREAMS: u32 = 1_000;

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
                // Most likely no file descriptors are left: let other connections finish first.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        id += 1;
        let connection = Connection::new(id);
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
    // Answers are small, and the client waits for each.
    let _ = stream.set_nodelay(true);
    let stream = Guarded::new(stream, &connection);
    match tls {
        None => speak(world, connection, stream, services).await,
        Some(acceptor) => match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => speak(world, connection, stream, services).await,
            Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
            Err(_) => debug!("TLS handshake took too long"),
        },
    }
}

async fn speak<S>(world: Arc<World>, connection: Connection, stream: S, services: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = auto::Builder::new(world.tasks.clone());
    http.http2().max_concurrent_streams(MAX_STREAMS);
    let ended = connection.clone();
    let idle_limit = world.idle_limit.subscribe();
    let service = service_fn(move |request: Request<Incoming>| {
        answer(Arc::clone(&world), connection.clone(), services.clone(), request)
    });
    let serving = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        () = ended.ended() => {}
        () = ended.idle(idle_limit) => {}
        served = serving => {
            if let Err(error) = served {
                debug!(%error, "connection ended");
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
    let _under_way = connection.request();
    request.extensions_mut().insert(connection);
    let response = if is_preflight(&request) && !control::http::owns(request.uri().path()) {
        handle_request(world, Other::preflight(), Vec::new(), request, preflight).await
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
