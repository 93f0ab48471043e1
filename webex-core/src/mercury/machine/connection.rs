//! The state of the machine's connections.

use std::time::Instant;

use super::action::ConnId;
use crate::mercury::{close::Reaction, timings::STABLE_AFTER};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The next attempt.
    Backoff,
    /// The time limit of dialling.
    Open,
    /// The time limit of the authorization.
    Authorization,
    /// The next ping.
    Ping,
    /// The time limit of the pong.
    Pong,
    /// The time limit of a predecessor that the server does not close.
    Retire,
    /// The time limit of the server's close frame.
    ForceClose,
}

/// An attempt to get an authorized connection.
#[derive(Debug)]
pub(super) enum Attempt {
    Waiting,
    Opening(ConnId),
    Authorizing(Live),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: ConnId,
    pub(super) last_sequence: Option<u64>,
    pub(super) ping: Option<String>,
    /// Since when it is authorized.
    pub(super) since: Option<Instant>,
    /// A hint has cast doubt on its path; cleared by the pong.
    pub(super) doubtful: bool,
}

impl Live {
    pub(super) fn new(id: ConnId) -> Self {
        Self { id, last_sequence: None, ping: None, since: None, doubtful: false }
    }

    /// Whether it has lasted long enough to count as accepted by the server.
    pub(super) fn is_stable(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) >= STABLE_AFTER)
    }
}

/// Attempts that have failed since the connection was last online.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) since: Option<Instant>,
    pub(super) failures: u32,
    pub(super) reported: bool,
}

/// How an attempt, or a connection, failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    pub(super) reaction: Reaction,
    pub(super) wait: Wait,
}

/// How long to wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Back-off: a server has answered.
    Backoff,
    /// A short wait from the start of the attempt: there is no server to spare.
    Unanswered,
    /// None, apart from what a server asked for: the connection was stable, or it was in doubt and
    /// turned out to be dead.
    None,
}

impl Failed {
    pub(super) fn answered(reaction: Reaction) -> Self {
        Self { reaction, wait: Wait::Backoff }
    }

    /// Connected, but nothing was received.
    pub(super) fn silent() -> Self {
        Self::answered(Reaction::Reconnect)
    }

    pub(super) fn unanswered() -> Self {
        Self { reaction: Reaction::Reconnect, wait: Wait::Unanswered }
    }

    pub(super) fn doubted() -> Self {
        Self { reaction: Reaction::Reconnect, wait: Wait::None }
    }
}
