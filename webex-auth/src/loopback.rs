//! Signing in with the system browser (RFC 8252): the redirect comes to a port of this machine.
//!
//! [`LoopbackListener`] waits on `127.0.0.1` for the one request that answers a sign-in, shows the
//! user a page, and returns the redirect. Other requests (a browser's search for an icon, a probing
//! web page) are refused and do not end the sign-in.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};
use tracing::debug;

use crate::{
    oauth::authorize::{Authorization, CodeGrant, Redirect, RedirectError},
    timings,
};

/// A port of this machine that waits for the browser's redirect.
///
/// ```no_run
/// use webex_auth::{Integration, LoopbackListener};
///
/// # async fn run(integration: Integration) -> Result<(), Box<dyn std::error::Error>> {
/// let listener = LoopbackListener::bind(8080, "/callback").await?;
/// let request = integration.authorization()?.redirect_uri(listener.redirect_uri());
/// let authorization = request.start();
/// println!("open {}", authorization.url());
/// let grant = listener.wait(authorization).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LoopbackListener {
    listener: TcpListener,
    port: u16,
    path: String,
    life: Duration,
}

/// Why no redirect came.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoopbackError {
    /// The port cannot be used.
    #[error("the port for the sign-in cannot be used: close the other program, or choose another")]
    Port(#[source] io::Error),
    /// The user did not finish in time.
    #[error("the sign-in was not finished in time: start it again")]
    TimedOut,
    /// The redirect came, but has no code.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
}

impl LoopbackListener {
    /// Listens on a port of `127.0.0.1`; 0 means a free one. `path` is the path of the redirect URI.
    ///
    /// Webex compares redirect URIs exactly, so the port has to be registered.
    ///
    /// # Errors
    /// [`LoopbackError::Port`] when the port is in use.
    pub async fn bind(port: u16, path: impl Into<String>) -> Result<Self, LoopbackError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.map_err(LoopbackError::Port)?;
        let port = listener.local_addr().map_err(LoopbackError::Port)?.port();
        let path = path.into();
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        Ok(Self { listener, port, path, life: timings::AUTHORIZATION })
    }

    /// Sets how long to wait. Default: 10 minutes.
    #[must_use]
    pub fn timeout(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// The redirect URI of this listener.
    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path)
    }

    /// Waits for the redirect that answers `authorization`. Dropping the future cancels the sign-in
    /// and closes the port.
    ///
    /// # Errors
    /// [`LoopbackError::TimedOut`], or [`LoopbackError::Redirect`] when the server refused.
    pub async fn wait(self, authorization: Authorization) -> Result<CodeGrant, LoopbackError> {
        let redirect = time::timeout(self.life, self.serve(&self.listener, &authorization))
            .await
            .map_err(|_| LoopbackError::TimedOut)?;
        Ok(authorization.finish(redirect)?)
    }

    /// Serves connections in parallel, so that an idle one does not block the others, up to a
    /// limit. A connection that cannot be accepted (it broke, or no descriptor is free) does not
    /// end the sign-in.
    async fn serve(&self, port: &impl Port, authorization: &Authorization) -> Redirect {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = port.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                    Ok(stream) => {
                        connections.spawn(time::timeout(timings::LOOPBACK_READ, read_head(stream)));
                    }
                    Err(error) => {
                        debug!(%error, "a connection of the browser was lost");
                        time::sleep(timings::LOOPBACK_ACCEPT_AGAIN).await;
                    }
                },
                Some(done) = connections.join_next() => {
                    let Ok(Ok(Ok((stream, head)))) = done else { continue };
                    let answer = answer(&head, self.port, &self.path, authorization);
                    let (page, redirect) = match answer {
                        Ok(redirect) => (Page::for_redirect(&redirect), Some(redirect)),
                        Err(page) => (page, None),
                    };
                    let write = time::timeout(timings::LOOPBACK_READ, page.write(stream));
                    if let Some(redirect) = redirect {
                        let _ = write.await; // the page is optional
                        return redirect;
                    }
                    tokio::spawn(write);
                }
            }
        }
    }
}

/// Returns the redirect of a request, or the page of its refusal.
fn answer(
    head: &str,
    port: u16,
    expected: &str,
    authorization: &Authorization,
) -> Result<Redirect, Page> {
    let mut lines = head.lines();
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (Some("GET"), Some(target)) = (request.next(), request.next()) else {
        return Err(Page::REFUSED);
    };
    // A web page whose own host name resolves to this machine must be refused (DNS rebinding).
    let host = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    let ours = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{port}"));
    if !host.is_some_and(|host| ours.iter().any(|name| name.eq_ignore_ascii_case(host))) {
        return Err(Page::REFUSED);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != expected {
        return Err(Page::NOT_FOUND);
    }
    let redirect = Redirect::parse(query);
    if authorization.recognizes(&redirect) { Ok(redirect) } else { Err(Page::UNKNOWN) }
}

/// Fuzz target: the head of a request.
#[cfg(any(test, fuzzing))]
pub fn loopback_request(data: &[u8]) {
    let authorization = crate::oauth::integration::Integration::builder("app")
        .redirect_uri("http://127.0.0.1:8080/cb")
        .build()
        .authorization()
        .expect("it has a redirect URI")
        .start();
    let head = String::from_utf8_lossy(data);
    if let Ok(redirect) = answer(&head, 8080, "/cb", &authorization) {
        // The state cannot be guessed.
        assert!(authorization.finish(redirect).is_err(), "{head}");
    }
}

/// The head of an HTTP request, up to the empty line.
async fn read_head(mut stream: TcpStream) -> io::Result<(TcpStream, String)> {
    let mut head = Vec::with_capacity(1_024);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > LARGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((stream, String::from_utf8_lossy(&head).into_owned()))
}

/// A source of connections, which tests can make fail.
trait Port: Sync {
    fn accept(&self) -> impl Future<Output = io::Result<TcpStream>> + Send;
}

impl Port for TcpListener {
    async fn accept(&self) -> io::Result<TcpStream> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

/// Limit of open connections. Browsers open a handful, and wait if there are more.
const MOST_CONNECTIONS: usize = 32;

/// Limit of a request's head. Codes and states are short; browsers send some kilobytes of other headers.
const LARGEST_HEAD: usize = 64 * 1_024;

/// The page shown to the user.
struct Page {
    status: &'static str,
    title: &'static str,
    text: &'static str,
}

impl Page {
    const SIGNED_IN: Self = Self {
        status: "200 OK",
        title: "You are signed in",
        text: "You can close this window and go back to the application.",
    };
    const NOT_SIGNED_IN: Self = Self {
        status: "200 OK",
        title: "You are not signed in",
        text: "The application says why. You can close this window.",
    };
    const UNKNOWN: Self = Self {
        status: "400 Bad Request",
        title: "This is not the sign-in that was started",
        text: "Start it again in the application.",
    };
    const NOT_FOUND: Self = Self {
        status: "404 Not Found",
        title: "There is nothing here",
        text: "This address only waits for a sign-in.",
    };
    const REFUSED: Self = Self { status: "403 Forbidden", ..Self::NOT_FOUND };

    fn for_redirect(redirect: &Redirect) -> Self {
        if redirect.is_refusal() { Self::NOT_SIGNED_IN } else { Self::SIGNED_IN }
    }

    async fn write(self, mut stream: TcpStream) -> io::Result<()> {
        let Self { status, title, text } = self;
        let body = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
             <body style=\"font-family:system-ui,sans-serif;text-align:center;margin-top:20vh\">\
             <h1>{title}</h1><p>{text}</p></body></html>"
        );
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\n\
             content-length: {}\r\nconnection: close\r\ncache-control: no-store\r\n\
             referrer-policy: no-referrer\r\n\
             content-security-policy: default-src 'none'; style-src 'unsafe-inline'\r\n\r\n",
            body.len(),
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await
    }
}

/// Opens a link in the user's browser.
///
/// # Errors
/// When there is no browser; show the link instead.
#[cfg(feature = "browser")]
pub fn open_browser(link: &url::Url) -> io::Result<()> {
    open::that_detached(link.as_str())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;

    use super::*;
    use crate::oauth::integration::Integration;

    /// A sign-in at a port, and the request that answers it.
    async fn sign_in() -> (LoopbackListener, Authorization, String) {
        let listener = LoopbackListener::bind(0, "/cb").await.unwrap();
        let integration = Integration::builder("c").redirect_uri(listener.redirect_uri()).build();
        let authorization = integration.authorization().unwrap().state("st8te").start();
        let host = format!("127.0.0.1:{}", listener.port);
        let request = format!("GET /cb?code=abc&state=st8te HTTP/1.1\r\nHost: {host}\r\n\r\n");
        (listener, authorization, request)
    }

    /// A port that fails at first, and counts its connections.
    struct Counting<'a> {
        fails: usize,
        asked: AtomicUsize,
        port: &'a TcpListener,
    }

    impl Port for Counting<'_> {
        async fn accept(&self) -> io::Result<TcpStream> {
            if self.asked.load(Ordering::Relaxed) < self.fails {
                self.asked.fetch_add(1, Ordering::Relaxed);
                return Err(io::Error::other("too many open files"));
            }
            let accepted = Port::accept(self.port).await;
            self.asked.fetch_add(1, Ordering::Relaxed);
            accepted
        }
    }

    async fn connect(listener: &LoopbackListener) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, listener.port)).await.unwrap()
    }

    #[tokio::test]
    async fn a_connection_that_cannot_be_accepted_does_not_end_the_sign_in() {
        let (listener, authorization, request) = sign_in().await;
        let mut browser = connect(&listener).await;
        browser.write_all(request.as_bytes()).await.unwrap();
        let port = Counting { fails: 2, asked: AtomicUsize::new(0), port: &listener.listener };
        let redirect = listener.serve(&port, &authorization).await;
        assert!(authorization.finish(redirect).is_ok());
    }

    #[tokio::test]
    async fn the_number_of_open_connections_is_limited() {
        let (listener, authorization, request) = sign_in().await;
        let mut silent = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            silent.push(connect(&listener).await);
        }
        let mut browser = connect(&listener).await;
        browser.write_all(request.as_bytes()).await.unwrap();
        let port = Counting { fails: 0, asked: AtomicUsize::new(0), port: &listener.listener };
        let taken = || port.asked.load(Ordering::Relaxed);
        let serving = listener.serve(&port, &authorization);
        tokio::pin!(serving);
        // Waits until the limit is reached; the browser then has to wait.
        while taken() < MOST_CONNECTIONS {
            assert!(serving.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            assert!(serving.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        assert_eq!(taken(), MOST_CONNECTIONS);
        drop(silent.pop());
        let redirect = serving.await;
        assert!(authorization.recognizes(&redirect));
    }
}
