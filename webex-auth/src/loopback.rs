//! Signing in with the system browser (RFC 8252): the redirect comes to a port of this machine.
//!
//! [`LoopbackListener`] waits on `127.0.0.1` for the one request that answers a sign-in, shows the
//! user a page, and hands the redirect over. Other requests (a browser's search for an icon, a
//! curious web page) are turned away and end nothing.

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
    #[error("the sign-in was not finished in time: start it anew")]
    TimedOut,
    /// The redirect came, but holds no code.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
}

impl LoopbackListener {
    /// Listens on a port of `127.0.0.1`; 0 takes a free one. `path` is where the redirect goes.
    ///
    /// Webex compares redirect URIs exactly, so the port has to be one that is registered.
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

    /// The redirect URI that leads here.
    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path)
    }

    /// Waits for the redirect that answers `authorization`. Dropping the future cancels the sign-in
    /// and closes the port.
    ///
    /// # Errors
    /// [`LoopbackError::TimedOut`], or [`LoopbackError::Redirect`] when the server refused.
    pub async fn wait(self, authorization: Authorization) -> Result<CodeGrant, LoopbackError> {
        let redirect = time::timeout(self.life, self.redirect(&authorization))
            .await
            .map_err(|_| LoopbackError::TimedOut)??;
        Ok(authorization.finish(redirect)?)
    }

    /// Serves connections side by side, so that one that sends nothing does not keep the others.
    async fn redirect(&self, authorization: &Authorization) -> Result<Redirect, LoopbackError> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let (stream, _) = accepted.map_err(LoopbackError::Port)?;
                    connections.spawn(time::timeout(timings::LOOPBACK_READ, read_head(stream)));
                }
                Some(done) = connections.join_next() => {
                    let Ok(Ok(Ok((stream, head)))) = done else { continue };
                    let answer = self.answer(&head, authorization);
                    let (page, redirect) = match answer {
                        Ok(redirect) => (Page::for_redirect(&redirect), Some(redirect)),
                        Err(page) => (page, None),
                    };
                    let write = time::timeout(timings::LOOPBACK_READ, page.write(stream));
                    if let Some(redirect) = redirect {
                        let _ = write.await; // the page is a courtesy
                        return Ok(redirect);
                    }
                    tokio::spawn(write);
                }
            }
        }
    }

    /// The redirect in a request, or the page to turn it away with.
    fn answer(&self, head: &str, authorization: &Authorization) -> Result<Redirect, Page> {
        let mut lines = head.lines();
        let mut request = lines.next().unwrap_or_default().split(' ');
        let (Some("GET"), Some(target)) = (request.next(), request.next()) else {
            return Err(Page::REFUSED);
        };
        // A page that made its own name point here must not talk to us (DNS rebinding).
        let host = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("host").then(|| value.trim())
        });
        let ours = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", self.port));
        if !host.is_some_and(|host| ours.iter().any(|name| name.eq_ignore_ascii_case(host))) {
            return Err(Page::REFUSED);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path != self.path {
            return Err(Page::NOT_FOUND);
        }
        let redirect = Redirect::parse(query);
        if authorization.recognizes(&redirect) { Ok(redirect) } else { Err(Page::UNKNOWN) }
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

/// Codes and states are short; browsers send some kilobytes of other headers.
const LARGEST_HEAD: usize = 64 * 1_024;

/// What the user sees.
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
/// When there is no browser; then show the link instead.
#[cfg(feature = "browser")]
pub fn open_browser(link: &url::Url) -> io::Result<()> {
    open::that_detached(link.as_str())
}
