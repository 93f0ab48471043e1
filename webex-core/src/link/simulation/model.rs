//! The state of the model servers, and the pending events between them and the client.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    device::{machine::Failure, record::Device},
    mercury::{
        close::Close,
        frame::ServerFrame,
        machine::action::{ConnId, OpenFailure},
    },
};

/// A pending event.
pub(super) enum Event {
    Restored(Option<Arc<Device>>),
    Record(Result<Arc<Device>, Failure>),
    Room(Result<usize, Failure>),
    Deleted(Result<(), Failure>),
    Token(bool),
    /// There is a new token.
    TokenAvailable,
    Opened(ConnId, Result<(), OpenFailure>),
    /// The server decides about the authorization frame.
    Authorize(ConnId),
    Frame(ConnId, ServerFrame),
    Closed(ConnId, Close),
    /// The server ends a socket that has a successor, or whose end was announced.
    Retire(ConnId),
    /// A hint from the host.
    Hint,
    /// The driver detects a sleep of this length.
    Slept(Duration),
}

/// A device as the service holds it.
pub(super) struct Held {
    pub(super) record: Arc<Device>,
    /// When it expires, by the world's clock.
    pub(super) ends: Option<Duration>,
    /// When the client last got an answer about it, by the client's clock.
    pub(super) told: Instant,
}

/// The model of WDM.
pub(super) struct Wdm {
    pub(super) ttl: Option<Duration>,
    pub(super) last_id: u32,
    /// The device that the client believes it has.
    pub(super) device: Option<Held>,
    /// Devices that the client cannot know of, because the answer was lost.
    pub(super) orphans: usize,
    /// The device that the client has saved for the next start.
    pub(super) kept: Option<Arc<Device>>,
    /// A device whose socket address Mercury refuses for good, although WDM confirms it.
    pub(super) refused: Option<Arc<Device>>,
}

impl Wdm {
    pub(super) fn new(ttl: Option<Duration>) -> Self {
        Self { ttl, last_id: 0, device: None, orphans: 0, kept: None, refused: None }
    }

    pub(super) fn has(&self, device: &Device) -> bool {
        self.device.as_ref().is_some_and(|held| held.record.url == device.url)
    }

    pub(super) fn record(id: u32, address: u32) -> Arc<Device> {
        let json = format!(
            r#"{{"url":"https://w/{id}","webSocketUrl":"wss://m/{id}/{address}","userId":"u"}}"#
        );
        Arc::new(serde_json::from_str(&json).unwrap())
    }
}

/// A socket, with the state of both ends.
#[allow(clippy::struct_excessive_bools)] // independent facts
pub(super) struct Socket {
    pub(super) device: Arc<Device>,
    pub(super) token: u32,
    pub(super) opened: bool,
    /// The client has handled the frame that authorizes it.
    pub(super) authorized: bool,
    /// The server has sent that frame.
    pub(super) accepted: bool,
    /// The server has announced its end.
    pub(super) announced: bool,
    /// The server no longer sends anything.
    pub(super) dead: bool,
    /// The client has sent its close frame.
    pub(super) closing: bool,
    pub(super) sequence: u64,
    pub(super) last_sequence: Option<u64>,
    /// When the latest frame arrives: frames of a connection keep their order.
    pub(super) arrival: Duration,
    pub(super) last_ping: Duration,
    /// Ids sent, and not acknowledged yet.
    pub(super) unacknowledged: HashSet<String>,
    /// The number of the latest frame whose event was delivered.
    pub(super) last_event: Option<u64>,
}

/// The model of Mercury.
#[derive(Default)]
pub(super) struct Mercury {
    /// Sockets that the client has not left.
    pub(super) sockets: BTreeMap<ConnId, Socket>,
    /// The client's token, and the oldest one that is accepted.
    pub(super) token: u32,
    pub(super) accepted_token: u32,
    pub(super) last_event: u64,
    pub(super) last_frame: u64,
    /// No socket may be opened before this time, by the client's clock.
    pub(super) not_before: Option<Instant>,
}

impl Mercury {
    /// Whether the newest authorized socket works and is not about to end.
    pub(super) fn serves(&self) -> bool {
        let newest = self.sockets.values().rfind(|socket| socket.authorized && !socket.closing);
        newest.is_some_and(|socket| !socket.dead && !socket.announced)
    }
}
