//! One Mercury socket.
//!
//! ```text
//! opened ── authorization frame ──► authorized: buffer_state first, then pongs and events
//!    └───── nothing in 30 s ──────► close 1008
//! ```
//!
//! One task reads frames and commands, and writes what is due. Answers to frames wait in a queue
//! for the added latency, while reading goes on. Sequence numbers are assigned when a frame is
//! written.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame as WireClose, frame::coding::CloseCode},
    },
};
use uuid::Uuid;

use crate::{
    exchange::{connection::Connection, script::change_json},
    operation::{Mercury, Operation},
    seconds,
    services::messages,
    state::{
        fault::{Breakage, CloseFrame, Fault},
        mutations::Mutation,
        sockets::{Closed, SocketCommand, SocketControl, SocketEntry},
        users::User,
    },
    urls::Base,
    world::{Change, World},
};

/// How long the client may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest reason that fits into a close frame, bytes.
const REASON_LIMIT: usize = 123;
/// How long a socket that is shutting down stays open beside its replacement, so that the client
/// can switch before the old one ends.
const SWITCHOVER_GRACE: Duration = Duration::from_millis(500);
/// How long a silent socket stays open after the client's close frame.
const SILENT_LINGER: Duration = Duration::from_secs(10);

/// Options from the query of the upgrade.
#[allow(clippy::struct_excessive_bools)] // independent switches of the query
pub(crate) struct Options {
    pub(crate) multiple_connections: bool,
    pub(crate) registration_status: bool,
    /// Whether the client wants `mercury.buffer_state` as the first frame.
    pub(crate) buffer_states: bool,
    /// Text frames; binary ones otherwise.
    pub(crate) text: bool,
}

/// The task of a socket.
pub(crate) struct Session<S> {
    world: Arc<World>,
    id: u64,
    entry: Arc<SocketEntry>,
    commands: mpsc::UnboundedReceiver<SocketCommand>,
    socket: WebSocketStream<S>,
    connection: Connection,
    base: Base,
    options: Options,
    /// Frames to write, by time.
    outgoing: VecDeque<(Instant, Outgoing)>,
    sequence: u64,
    user: Option<Arc<User>>,
    silent: bool,
    wrong_pongs: bool,
}

/// A frame to write, or an action to take in its place.
enum Outgoing {
    /// A frame with an id; it gets its sequence number when written.
    Frame(Value),
    /// A ping of the websocket protocol.
    Ping,
    Close(CloseFrame),
    Drop {
        reset: bool,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(crate) fn new(
        world: Arc<World>,
        entry: Arc<SocketEntry>,
        commands: mpsc::UnboundedReceiver<SocketCommand>,
        socket: WebSocketStream<S>,
        connection: Connection,
        base: Base,
        options: Options,
    ) -> Self {
        let id = entry.read(|socket| socket.id);
        Self {
            world,
            id,
            entry,
            commands,
            socket,
            connection,
            base,
            options,
            outgoing: VecDeque::new(),
            sequence: 0,
            user: None,
            silent: false,
            wrong_pongs: false,
        }
    }

    /// Serves the socket until it ends. With `refusal` it ends at once.
    pub(crate) async fn run(mut self, refusal: Option<CloseFrame>) {
        let how = match refusal {
            Some(close) => self.close(close).await,
            None => self.serve().await,
        };
        ended(&self.world, self.id, how.clone());
        if !matches!(how, Closed::Client(_)) {
            return;
        }
        if self.silent {
            // Dropping the connection would tell the client something.
            sleep(SILENT_LINGER).await;
        } else {
            // The close frame that answers the client's is still queued. A browser that does not
            // get it reports 1006 instead of the client's code.
            let _ = timeout(CLOSE_TIMEOUT, self.socket.flush()).await;
        }
    }

    async fn serve(&mut self) -> Closed {
        let authorization_deadline =
            seconds::after(Instant::now(), self.world.config.authorization_timeout);
        loop {
            let due = self.outgoing.front().map(|(due, _)| *due);
            let step = tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        self.on_frame(&text);
                        None
                    }
                    Some(Ok(Message::Close(frame))) => Some(Closed::Client(from_wire(frame))),
                    Some(Ok(_)) => None,
                    Some(Err(_)) | None => Some(Closed::Lost),
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command).await,
                    None => Some(Closed::Lost),
                },
                () = sleep_until(due.unwrap_or(authorization_deadline)), if due.is_some() => {
                    match self.outgoing.pop_front() {
                        Some((_, outgoing)) => self.write(outgoing).await,
                        None => None,
                    }
                }
                () = sleep_until(authorization_deadline), if self.user.is_none() => {
                    let ms = self.world.config.authorization_timeout.as_millis();
                    let reason = format!("authentication did not happen within {ms} ms");
                    Some(self.close(CloseFrame { code: 1008, reason }).await)
                }
            };
            if let Some(closed) = step {
                return closed;
            }
        }
    }

    fn on_frame(&mut self, text: &str) {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            let reason = "not JSON".to_owned();
            self.answer(Duration::ZERO, Outgoing::Close(CloseFrame { code: 1003, reason }));
            return;
        };
        let kind = match frame.get("type").and_then(Value::as_str) {
            Some("authorization") => "authorization",
            Some("ping") => "ping",
            Some("ack") => "ack",
            _ => "other",
        };
        self.entry.update(|socket| {
            socket.note_received(frame.clone());
            match kind {
                "ping" => socket.pings += 1,
                "ack" => {
                    socket.acks += 1;
                    let id = frame.get("messageId").and_then(Value::as_str);
                    socket.unacknowledged.retain(|sent| Some(sent.as_str()) != id);
                }
                _ => {}
            }
        });
        self.world.changed(|| Change::SocketFrame { id: self.id, frame: kind });
        if self.silent {
            return;
        }
        match kind {
            "authorization" => self.on_authorization(&frame),
            "ping" if self.user.is_some() => self.on_ping(&frame),
            _ => {}
        }
    }

    fn on_authorization(&mut self, frame: &Value) {
        let token = frame.pointer("/data/token").and_then(Value::as_str).unwrap_or_default();
        let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
        let user = self.world.known_user(token);
        let Some(fault) = self.fault(Mercury::authorize(), user.as_deref()) else { return };
        if fault.quote {
            let close = CloseFrame::alias(StatusCode::UNAUTHORIZED, token);
            self.answer(fault.delay, Outgoing::Close(close));
            return;
        }
        let device_id = self.entry.read(|socket| socket.device_id.clone());
        let owner = self.world.devices.lock().get(&device_id).map(|entry| Arc::clone(&entry.user));
        let refusal = match (&user, &owner) {
            (None, _) => Some((StatusCode::UNAUTHORIZED, "not authorized")),
            (_, None) => Some((StatusCode::NOT_FOUND, "registration not found")),
            (Some(user), Some(owner)) if user.id != owner.id || !user.mercury => {
                Some((StatusCode::FORBIDDEN, "not entitled"))
            }
            _ => None,
        };
        if let Some((status, reason)) = refusal {
            self.answer(fault.delay, Outgoing::Close(CloseFrame::alias(status, reason)));
            return;
        }
        let is_first = self.user.is_none();
        if let Some(user) = user.filter(|_| is_first) {
            self.world.sockets.lock().authorized(&self.entry, &user.id);
            let user_id = user.id.clone();
            self.user = Some(user);
            self.world.changed(|| Change::SocketAuthorized { id: self.id, user_id });
            self.replace_others(&device_id);
            if self.world.mutations.has(Mutation::LateFirstFrame) {
                let early = envelope(&json!({"eventType": "sandbox.early"}));
                self.answer(fault.delay, Outgoing::Frame(early));
            }
            if self.options.buffer_states || self.options.registration_status {
                let mut first = self.first_frame();
                change_json(&fault, &mut first, true);
                self.answer(fault.delay, Outgoing::Frame(first));
            } else {
                // For clients that do not ask for a first frame, this is the sign that they are authorized.
                self.answer(fault.delay, Outgoing::Ping);
            }
        }
    }

    /// Ends the sockets that this one replaces.
    fn replace_others(&self, device_id: &str) {
        for other in self.world.sockets.lock().of_device(device_id) {
            let (id, shutting_down) = other.read(|socket| (socket.id, socket.shutting_down));
            if id == self.id {
                continue;
            }
            if shutting_down {
                let close = CloseFrame { code: 4001, reason: "shutdown".to_owned() };
                self.world.tasks.spawn(async move {
                    sleep(SWITCHOVER_GRACE).await;
                    other.command(SocketCommand::Control(SocketControl::Close(close)));
                });
            } else if !self.options.multiple_connections {
                let close = CloseFrame { code: 4000, reason: "Replaced".to_owned() };
                other.command(SocketCommand::Control(SocketControl::Close(close)));
            }
        }
    }

    fn first_frame(&self) -> Value {
        let data = if self.world.mutations.has(Mutation::WrongFirstFrame) {
            json!({"eventType": "sandbox.wrong_first_frame"})
        } else if self.options.registration_status {
            let url = self.base.named("mercuryApi", "");
            json!({
                "eventType": "mercury.registration_status",
                "localClusterServiceUrls": {
                    "mercuryApiServiceUrl": url,
                    "mercuryConnectionServiceUrl": self.base.mercury(),
                },
                "bufferStates": {},
            })
        } else {
            json!({"eventType": "mercury.buffer_state", "bufferState": {}})
        };
        envelope(&data)
    }

    fn on_ping(&mut self, frame: &Value) {
        let user = self.user.clone();
        let Some(fault) = self.fault(Mercury::ping(), user.as_deref()) else { return };
        let mut pong = json!({"id": frame.get("id"), "type": "pong"});
        if self.wrong_pongs || self.world.mutations.has(Mutation::WrongPongId) {
            pong["id"] = Uuid::new_v4().to_string().into();
        }
        change_json(&fault, &mut pong, true);
        self.answer(fault.delay, Outgoing::Frame(pong));
    }

    /// Returns the fault for a frame, or one without effect. `None` when the fault replaces the answer.
    fn fault(&mut self, operation: Operation, user: Option<&User>) -> Option<Fault> {
        let user_id = user.map(|user| user.id.as_str());
        let Some(fault) = self.world.fault_for(operation, None, user_id) else {
            return Some(Fault::default());
        };
        let instead = match (fault.breakage, &fault.close, fault.status) {
            (Some(Breakage::Hang), _, _) => return None,
            (Some(Breakage::Refuse), _, _) => Outgoing::Drop { reset: false },
            (Some(Breakage::Reset), _, _) => Outgoing::Drop { reset: true },
            (None, Some(close), _) => Outgoing::Close(close.clone()),
            (None, None, Some(status)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                Outgoing::Close(CloseFrame::alias(status, "scripted"))
            }
            (None, None, None) => return Some(fault),
        };
        self.answer(fault.delay, instead);
        None
    }

    /// Queues an answer to a frame: it waits for the added latency and `extra`.
    fn answer(&mut self, extra: Duration, outgoing: Outgoing) {
        let due =
            seconds::after(Instant::now(), self.world.latency.request().saturating_add(extra));
        let at = self.outgoing.partition_point(|(other, _)| *other <= due);
        self.outgoing.insert(at, (due, outgoing));
    }

    async fn on_command(&mut self, command: SocketCommand) -> Option<Closed> {
        match command {
            SocketCommand::Control(control) => self.on_control(control).await,
            SocketCommand::Event(data) => {
                let frame = envelope(&data);
                if self.world.mutations.has(Mutation::DuplicateEvents)
                    && let Some(closed) = self.send(frame.clone()).await
                {
                    return Some(closed);
                }
                self.write(Outgoing::Frame(frame)).await
            }
            SocketCommand::Message(message) => {
                let event = messages::event(&message, &self.base);
                self.write(Outgoing::Frame(envelope(&event))).await
            }
        }
    }

    async fn on_control(&mut self, control: SocketControl) -> Option<Closed> {
        match control {
            SocketControl::Close(close) => return Some(self.close(close).await),
            SocketControl::Drop => return self.write(Outgoing::Drop { reset: false }).await,
            SocketControl::Reset => return self.write(Outgoing::Drop { reset: true }).await,
            SocketControl::Silence { on } => {
                self.silent = on;
                self.entry.update(|socket| socket.silent = on);
                self.world.changed(|| Change::Settings);
            }
            SocketControl::WrongPongs { on } => self.wrong_pongs = on,
            SocketControl::SkipSequence { by } => self.sequence = self.sequence.saturating_add(by),
            SocketControl::Inject { text } => return self.send_text(text).await,
            SocketControl::Shutdown => {
                self.entry.update(|socket| socket.shutting_down = true);
                let frame = json!({"id": Uuid::new_v4().to_string(), "type": "shutdown"});
                return self.write(Outgoing::Frame(frame)).await;
            }
        }
        None
    }

    async fn write(&mut self, outgoing: Outgoing) -> Option<Closed> {
        match outgoing {
            Outgoing::Frame(frame) => self.send(frame).await,
            Outgoing::Ping => self.send_message(Message::Ping(Bytes::new())).await,
            Outgoing::Close(close) => Some(self.close(close).await),
            Outgoing::Drop { reset } => {
                if reset {
                    self.connection.reset_on_close();
                }
                Some(Closed::Lost)
            }
        }
    }

    /// Numbers a frame and writes it.
    async fn send(&mut self, mut frame: Value) -> Option<Closed> {
        if self.silent {
            return None;
        }
        self.sequence += if self.world.mutations.has(Mutation::SequenceGaps) { 2 } else { 1 };
        frame["sequenceNumber"] = self.sequence.into();
        frame["wsWriteTimestamp"] = jiff::Timestamp::now().as_millisecond().into();
        let id = frame.get("id").and_then(Value::as_str).map(str::to_owned);
        self.entry.update(|socket| {
            socket.sequence_number = self.sequence;
            if let Some(id) = id {
                socket.note_sent(id);
            }
        });
        self.send_text(frame.to_string()).await
    }

    /// Writes JSON as a text frame, or as a binary one to a client that did not ask for text.
    async fn send_text(&mut self, text: String) -> Option<Closed> {
        let message = if self.options.text { Message::text(text) } else { Message::binary(text) };
        self.send_message(message).await
    }

    async fn send_message(&mut self, message: Message) -> Option<Closed> {
        self.socket.send(message).await.is_err().then_some(Closed::Lost)
    }

    /// Sends a close frame and waits a moment for the client's.
    ///
    /// Two codes never appear on the wire: 1005 stands for a close frame without a code, 1006 for
    /// no close frame.
    async fn close(&mut self, close: CloseFrame) -> Closed {
        let wire = match close.code {
            1006 => return Closed::Server(close),
            1005 => None,
            code => {
                let reason = &close.reason[..close.reason.floor_char_boundary(REASON_LIMIT)];
                let reason = reason.to_owned().into();
                Some(WireClose { code: CloseCode::from(code), reason })
            }
        };
        if self.socket.send(Message::Close(wire)).await.is_ok() {
            ended(&self.world, self.id, Closed::Server(close.clone()));
            let goodbye = async { while let Some(Ok(_)) = self.socket.next().await {} };
            let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
        }
        Closed::Server(close)
    }
}

/// Moves a socket to the closed ones, unless it is already there.
pub(crate) fn ended(world: &World, id: u64, how: Closed) {
    let was_open = world.sockets.lock().close(id, how);
    if was_open {
        world.changed(|| Change::SocketClosed { id });
    }
}

fn envelope(data: &Value) -> Value {
    json!({
        "id": Uuid::new_v4().to_string(),
        "data": data,
        "headers": {},
        "timestamp": jiff::Timestamp::now().as_millisecond(),
        "trackingId": format!("ROUTER_{}", Uuid::new_v4()),
        "alertType": "full",
        "filterMessage": false,
    })
}

fn from_wire(frame: Option<WireClose>) -> CloseFrame {
    frame.map_or(CloseFrame { code: 1005, reason: String::new() }, |frame| CloseFrame {
        code: frame.code.into(),
        reason: frame.reason.as_str().to_owned(),
    })
}
