//! A websocket connection: dialled, written to and read without blocking its task.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{SystemTime, UNIX_EPOCH},
};

use futures_util::{Sink, Stream as _};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error as WsError, Message, Utf8Bytes,
        client::IntoClientRequest,
        protocol::{
            CloseFrame, WebSocketConfig,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};
use tracing::debug;
use url::Url;
use webex_auth::AccessToken;

use crate::{
    error::{ErrorKind, retry_after, token_kind},
    http::{AllowedUrl, DialError, Http, Stream},
    mercury::{close::Close, frame, machine::action::OpenFailure},
};

/// Bytes read ahead per socket. A pong is about a hundred bytes, and a process may hold thousands
/// of sockets (the library's default is 128 KiB each). A larger event grows the buffer once.
const READ_BUFFER: usize = 1024;

/// The largest event accepted. The largest known are conversation activities of about 100 kB.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// Limit of what waits to be written, in frames and in bytes. Acknowledgements and pings have about
/// a hundred bytes each: a server that keeps sending but does not read them has effectively ended
/// the connection.
const OUTBOX: usize = 1024;
const OUTBOX_BYTES: usize = 256 * 1024;

/// What a socket reports.
#[derive(Debug)]
pub(super) enum SocketEvent {
    /// A text frame.
    Text(Utf8Bytes),
    /// The socket has ended.
    Closed(Close),
}

/// An open websocket and its outgoing frames.
#[derive(Debug)]
pub(super) struct Socket {
    stream: WebSocketStream<Stream>,
    outbox: Outbox,
}

/// Outgoing frames.
#[derive(Debug, Default)]
struct Outbox {
    frames: VecDeque<Message>,
    bytes: usize,
}

impl Outbox {
    fn push(&mut self, frame: Message) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Option<Message> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }

    fn is_full(&self) -> bool {
        self.frames.len() > OUTBOX || self.bytes > OUTBOX_BYTES
    }
}

/// Opens the socket of a device and sends the authorization frame. Also returns the token that was
/// sent, so that a refusal can name it.
pub(super) async fn open(
    http: &Http,
    address: &Url,
) -> Result<(Box<Socket>, AccessToken), OpenFailure> {
    let target = http.allow().check(address).ok().filter(AllowedUrl::may_have_token);
    let Some(target) = target else {
        debug!(host = address.host_str(), "the socket's host may not receive the token");
        return Err(OpenFailure::Untrusted);
    };
    let (token, stream) = tokio::join!(http.tokens().token(), dial(http, &target));
    let token = token.map_err(|error| match token_kind(&error) {
        ErrorKind::Unauthorized => OpenFailure::Token,
        // The token may be available later, so the attempt is repeated.
        _ => OpenFailure::Network,
    })?;
    let mut stream = stream?;
    let tracking_id = format!("{}_{}", http.tracking().session(), epoch_ms());
    let id = uuid::Uuid::new_v4().to_string();
    let text = frame::authorization(&id, token.authorization(), &tracking_id);
    write_unlogged(stream.get_mut(), text).await.map_err(|error| {
        debug!(%error, "the authorization frame cannot be sent");
        OpenFailure::Network
    })?;
    Ok((Box::new(Socket { stream, outbox: Outbox::default() }), token))
}

/// Writes a text frame without the websocket library, which logs every frame that it writes, and
/// this one holds the token. Only for the first frame, while the library has nothing of its own to
/// write.
async fn write_unlogged(stream: &mut Stream, text: String) -> io::Result<()> {
    let mut frame = Frame::message(text, OpCode::Data(Data::Text), true);
    // Client frames are masked (RFC 6455 §5.3) with an unpredictable mask.
    let [a, b, c, d, ..] = *uuid::Uuid::new_v4().as_bytes();
    frame.header_mut().mask = Some([a, b, c, d]);
    let mut bytes = Vec::with_capacity(frame.len());
    frame.format(&mut bytes).map_err(io::Error::other)?;
    stream.write_all(&bytes).await?;
    stream.flush().await
}

impl Socket {
    /// Queues a text frame; it leaves with the next [`poll`](Self::poll).
    pub(super) fn send(&mut self, text: String) {
        self.outbox.push(Message::text(text));
    }

    /// Queues a close frame.
    pub(super) fn close(&mut self, close: &Close) {
        let frame =
            CloseFrame { code: CloseCode::from(close.code), reason: close.reason.as_str().into() };
        self.outbox.push(Message::Close(Some(frame)));
    }

    /// Writes what is queued and reads the next event.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            // A write after the close was received fails; the read below returns the code.
            debug!(%error, "socket cannot be written");
        }
        if self.outbox.is_full() {
            debug!("the server does not read what it is sent");
            return Poll::Ready(SocketEvent::Closed(Close::abnormal()));
        }
        loop {
            return match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(Message::Text(text)))) => Poll::Ready(SocketEvent::Text(text)),
                Poll::Ready(Some(Ok(Message::Close(frame)))) => {
                    // The reply is queued by the library; one flush normally takes it all.
                    let _ = Pin::new(&mut self.stream).poll_flush(cx);
                    Poll::Ready(SocketEvent::Closed(close_of(frame)))
                }
                // The library answers control frames; binary frames are not part of the protocol.
                Poll::Ready(Some(Ok(_))) => continue,
                Poll::Ready(Some(Err(error))) => {
                    debug!(%error, "socket failed");
                    Poll::Ready(SocketEvent::Closed(Close::abnormal()))
                }
                Poll::Ready(None) => Poll::Ready(SocketEvent::Closed(Close::abnormal())),
            };
        }
    }

    /// Writes as much of the queue as possible without waiting.
    pub(super) fn flush_now(&mut self) {
        let _ = self.poll_write(&mut Context::from_waker(Waker::noop()));
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        let mut stream = Pin::new(&mut self.stream);
        while !self.outbox.frames.is_empty() {
            std::task::ready!(stream.as_mut().poll_ready(cx))?;
            if let Some(message) = self.outbox.pop() {
                stream.as_mut().start_send(message)?;
            }
        }
        stream.poll_flush(cx)
    }
}

async fn dial(http: &Http, target: &AllowedUrl) -> Result<WebSocketStream<Stream>, OpenFailure> {
    let address = target.url();
    let stream = http.transport().dialler().dial(target).await.map_err(
        |DialError { error, answered }| {
            debug!(%error, host = address.host_str(), "socket cannot connect");
            if answered { OpenFailure::Network } else { OpenFailure::Unreachable }
        },
    )?;
    let url = with_parameters(address.clone());
    let mut request = url.as_str().into_client_request().map_err(|_| OpenFailure::Untrusted)?;
    request.headers_mut().insert("trackingid", http.tracking().next());
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((stream, _)) => {
            http.note_host(address);
            Ok(stream)
        }
        Err(WsError::Http(response)) => {
            let status = response.status().as_u16();
            debug!(status, "socket upgrade refused");
            if status == 451 {
                http.embargo(address.host_str().unwrap_or_default());
            }
            Err(OpenFailure::Status { status, retry_after: retry_after(response.headers()) })
        }
        Err(error) => {
            debug!(%error, "socket upgrade failed");
            Err(OpenFailure::Network)
        }
    }
}

/// Adds the parameters of the reference client: text frames, reports of buffered events, HTTP
/// statuses as close codes 44xx, several sockets per user, and a time by which the server drops
/// stale ones.
fn with_parameters(mut url: Url) -> Url {
    url.query_pairs_mut()
        .append_pair("outboundWireFormat", "text")
        .append_pair("bufferStates", "true")
        .append_pair("aliasHttpStatus", "true")
        .append_pair("multipleConnections", "true")
        .append_pair("clientTimestamp", &epoch_ms().to_string());
    url
}

fn epoch_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

fn close_of(frame: Option<CloseFrame>) -> Close {
    match frame {
        Some(frame) => Close { code: frame.code.into(), reason: frame.reason.to_string() },
        None => Close { code: 1005, reason: String::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_takes_four_megabytes_and_holds_a_quarter_of_one() {
        assert_eq!((MAX_MESSAGE, OUTBOX_BYTES), (4_194_304, 262_144));
    }

    #[test]
    fn what_is_not_read_by_the_server_does_not_pile_up() {
        let ack = || Message::text("a".repeat(100));
        let mut outbox = Outbox::default();
        for _ in 0..OUTBOX {
            outbox.push(ack());
        }
        assert!(!outbox.is_full());
        outbox.push(ack());
        assert!(outbox.is_full(), "by count");
        assert!(outbox.pop().is_some());
        assert!(!outbox.is_full());
        outbox.push(Message::text("a".repeat(OUTBOX_BYTES)));
        while outbox.frames.len() > 1 {
            assert!(outbox.pop().is_some());
        }
        assert!(!outbox.is_full());
        outbox.push(ack());
        assert!(outbox.is_full(), "by size");
        while outbox.pop().is_some() {}
        assert_eq!(outbox.bytes, 0);
    }
}
