//! Mercury sockets as the rest of the sandbox sees them: records, and a way to send them commands.
//!
//! Each open socket has a task (`services::mercury::session`) that owns the connection. It keeps its
//! [`Socket`] record up to date here and carries out the [`SocketCommand`]s it is sent.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::state::{fault::CloseFrame, messages::Message, timestamps};

/// Frames kept per socket.
const FRAMES_KEPT: usize = 64;
/// Closed sockets kept.
const CLOSED_KEPT: usize = 1_000;

/// A Mercury websocket.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools)] // a record of independent facts
pub struct Socket {
    /// Number of the socket, from 1.
    pub id: u64,
    /// Id of the WDM device it belongs to.
    pub device_id: String,
    /// Id of the user, known once authorized.
    pub user_id: Option<String>,
    /// Query of the upgrade request.
    pub query: String,
    /// Whether the client asked to keep its other sockets (`multipleConnections=true`).
    pub multiple_connections: bool,
    /// Whether the authorization frame was accepted.
    pub authorized: bool,
    /// Whether the client was told to move to a new socket.
    pub shutting_down: bool,
    /// Whether the socket was told not to answer.
    pub silent: bool,
    /// When it was opened.
    #[serde(serialize_with = "timestamps::as_text")]
    pub opened: Timestamp,
    /// Pings received.
    pub pings: u64,
    /// Acknowledgements received.
    pub acks: u64,
    /// Ids of frames sent and not yet acknowledged, oldest first.
    pub unacknowledged: Vec<String>,
    /// Sequence number of the last frame sent.
    pub sequence_number: u64,
    /// The last frames received, oldest first, tokens redacted.
    pub received: Vec<Value>,
    /// How it ended; `None` while it is open.
    pub closed: Option<Closed>,
    /// When it ended.
    #[serde(serialize_with = "timestamps::as_text_or_null")]
    pub closed_at: Option<Timestamp>,
}

/// How a socket ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Closed {
    /// The client sent a close frame; without a code it is 1005.
    Client(CloseFrame),
    /// The sandbox sent a close frame.
    Server(CloseFrame),
    /// The connection went away without a close frame.
    Lost,
}

/// A command to a Mercury socket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum SocketControl {
    /// Send a close frame. Code 1005 sends one without a code, 1006 sends none.
    Close(CloseFrame),
    /// End without a close frame.
    Drop,
    /// End with a TCP reset.
    Reset,
    /// Stop answering (frames are still read and counted), or start again.
    Silence {
        /// Whether to be silent.
        on: bool,
    },
    /// Answer pings with wrong ids, or with the right ones again.
    WrongPongs {
        /// Whether the ids are wrong.
        on: bool,
    },
    /// Skip sequence numbers before the next frame.
    SkipSequence {
        /// How many.
        by: u64,
    },
    /// Send a text frame unchanged.
    Inject {
        /// The frame.
        text: String,
    },
    /// Announce a shutdown.
    Shutdown,
}

/// A command to a socket's task.
#[derive(Debug, Clone)]
pub(crate) enum SocketCommand {
    /// A command of the control API.
    Control(SocketControl),
    /// Send an event with an envelope around this `data`.
    Event(Value),
    /// Send the event of a message.
    Message(Arc<Message>),
}

/// One open socket: its record and the sender to its task.
#[derive(Debug)]
pub(crate) struct SocketEntry {
    record: Mutex<Socket>,
    commands: mpsc::UnboundedSender<SocketCommand>,
}

impl SocketEntry {
    pub(crate) fn snapshot(&self) -> Socket {
        self.record.lock().clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Socket)) {
        change(&mut self.record.lock());
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Socket) -> T) -> T {
        read(&self.record.lock())
    }

    /// Sends a command. Returns `false` when the socket has ended.
    pub(crate) fn command(&self, command: SocketCommand) -> bool {
        self.commands.send(command).is_ok()
    }
}

impl Socket {
    /// Records a received frame.
    pub(crate) fn note_received(&mut self, mut frame: Value) {
        crate::redact::json(&mut frame);
        if self.received.len() == FRAMES_KEPT {
            self.received.remove(0);
        }
        self.received.push(frame);
    }

    /// Records that a frame with this id was sent.
    pub(crate) fn note_sent(&mut self, id: String) {
        if self.unacknowledged.len() == FRAMES_KEPT {
            self.unacknowledged.remove(0);
        }
        self.unacknowledged.push(id);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Sockets {
    last_id: u64,
    open: HashMap<u64, Arc<SocketEntry>>,
    by_device: HashMap<String, Vec<u64>>,
    by_user: HashMap<String, Vec<u64>>,
    closed: VecDeque<Socket>,
}

impl Sockets {
    pub(crate) fn open(
        &mut self,
        device_id: &str,
        query: &str,
        multiple_connections: bool,
    ) -> (Arc<SocketEntry>, mpsc::UnboundedReceiver<SocketCommand>) {
        self.last_id += 1;
        let (commands, receiver) = mpsc::unbounded_channel();
        let record = Socket {
            id: self.last_id,
            device_id: device_id.to_owned(),
            user_id: None,
            query: query.to_owned(),
            multiple_connections,
            authorized: false,
            shutting_down: false,
            silent: false,
            opened: Timestamp::now(),
            pings: 0,
            acks: 0,
            unacknowledged: Vec::new(),
            sequence_number: 0,
            received: Vec::new(),
            closed: None,
            closed_at: None,
        };
        let entry = Arc::new(SocketEntry { record: Mutex::new(record), commands });
        self.open.insert(self.last_id, Arc::clone(&entry));
        self.by_device.entry(device_id.to_owned()).or_default().push(self.last_id);
        (entry, receiver)
    }

    /// Marks a socket as authorized for a user.
    pub(crate) fn authorized(&mut self, entry: &SocketEntry, user_id: &str) {
        let id = entry.read(|socket| socket.id);
        entry.update(|socket| {
            socket.authorized = true;
            socket.user_id = Some(user_id.to_owned());
        });
        let list = self.by_user.entry(user_id.to_owned()).or_default();
        if !list.contains(&id) {
            list.push(id);
        }
    }

    /// Moves a socket to the closed ones. Returns `false` when it is not open.
    pub(crate) fn close(&mut self, id: u64, how: Closed) -> bool {
        let Some(entry) = self.open.remove(&id) else { return false };
        let mut record = entry.snapshot();
        for (index, key) in [
            (&mut self.by_device, Some(&record.device_id)),
            (&mut self.by_user, record.user_id.as_ref()),
        ] {
            let Some(key) = key else { continue };
            if let Some(list) = index.get_mut(key) {
                list.retain(|other| *other != id);
                if list.is_empty() {
                    index.remove(key);
                }
            }
        }
        record.closed = Some(how);
        record.closed_at = Some(Timestamp::now());
        if self.closed.len() == CLOSED_KEPT {
            self.closed.pop_front();
        }
        self.closed.push_back(record);
        true
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<SocketEntry>> {
        self.open.get(&id).cloned()
    }

    pub(crate) fn of_device(&self, device_id: &str) -> Vec<Arc<SocketEntry>> {
        self.pick(self.by_device.get(device_id))
    }

    /// Authorized sockets of a user.
    pub(crate) fn of_user(&self, user_id: &str) -> Vec<Arc<SocketEntry>> {
        self.pick(self.by_user.get(user_id))
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Open sockets, oldest first.
    pub(crate) fn all(&self) -> Vec<Socket> {
        self.sorted().into_iter().map(SocketEntry::snapshot).collect()
    }

    /// Open sockets, oldest first.
    pub(crate) fn sorted(&self) -> Vec<&SocketEntry> {
        let mut all: Vec<_> = self.open.iter().collect();
        all.sort_by_key(|(id, _)| **id);
        all.into_iter().map(|(_, entry)| &**entry).collect()
    }

    /// The last sockets that ended, oldest first.
    pub(crate) fn closed(&self) -> Vec<Socket> {
        self.closed.iter().cloned().collect()
    }

    fn pick(&self, ids: Option<&Vec<u64>>) -> Vec<Arc<SocketEntry>> {
        ids.into_iter().flatten().filter_map(|id| self.open.get(id).cloned()).collect()
    }
}
