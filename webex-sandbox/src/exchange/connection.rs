//! The connection a request came on, and how it can end.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use http::Response;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Notify, watch},
    time::timeout,
};

/// The connection of a request; part of the request's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection {
    /// Counted from 1.
    pub(crate) id: u64,
    end: Arc<End>,
    under_way: Arc<watch::Sender<usize>>,
}

impl Connection {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, ..Self::default() }
    }

    /// Waits until [`Connection::reset`] is called.
    pub(crate) async fn ended(&self) {
        self.end.now.notified().await;
    }

    /// Ends the TCP connection at once, with RST.
    pub(crate) fn reset(&self) {
        self.end.reset.store(true, Ordering::Release);
        self.end.now.notify_one();
    }

    /// Marks a request as in flight until the returned guard is dropped.
    pub(crate) fn request(&self) -> UnderWay {
        self.under_way.send_modify(|count| *count += 1);
        UnderWay(Arc::clone(&self.under_way))
    }

    /// Waits until no request has been in flight for as long as the limit.
    pub(crate) async fn idle(&self, mut limit: watch::Receiver<Option<Duration>>) {
        let mut under_way = self.under_way.subscribe();
        loop {
            let is_free = *under_way.borrow_and_update() == 0;
            let patience = limit.borrow_and_update().filter(|_| is_free);
            let changed = async {
                tokio::select! {
                    _ = under_way.changed() => {}
                    Ok(()) = limit.changed() => {}
                }
            };
            match patience {
                Some(patience) => {
                    if timeout(patience, changed).await.is_err() {
                        return;
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Makes the next close of the connection send RST.
    pub(crate) fn reset_on_close(&self) {
        self.end.reset.store(true, Ordering::Release);
    }
}

/// Guard of a request in flight on a connection.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<watch::Sender<usize>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[derive(Debug, Default)]
struct End {
    reset: AtomicBool,
    now: Notify,
}

/// Marks a response that must not be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abort;

impl Abort {
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

/// A TCP stream that can be closed with RST.
pub(crate) struct Guarded {
    stream: TcpStream,
    end: Arc<End>,
}

impl Guarded {
    pub(crate) fn new(stream: TcpStream, connection: &Connection) -> Self {
        Self { stream, end: Arc::clone(&connection.end) }
    }
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
