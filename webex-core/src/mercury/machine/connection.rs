//! What the machine holds of its connections.

use std::time::Instant;

use super::action::ConnId;
use crate::mercury::{close::Reaction, timings::STABLE_AFTER};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The next attempt.
    Backoff,
    /// The end of patience with the dialling.
    Open,
    /// The end of patience with the authorization.
    Authorization,
    /// The next ping.
    Ping,
    /// The end of patience with the pong.
    Pong,
    /// The end of patience with a predecessor that the server does not close.
    Retire,
    /// The end of patience with the close frame.
    ForceClose,
}

/// The way to the next authorized connection.
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
    /// A hint made its path doubtful; cleared by the pong.
    pub(super) doubtful: bool,
}

impl Live {
    pub(super) fn new(id: ConnId) -> Self {
        Self { id, last_sequence: None, ping: None, since: None, doubtful: false }
    }

    /// Whether it has lasted long enough to say that the server accepts it.
    pub(super) fn is_stable(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) >= STABLE_AFTER)
    }
}

/// Attempts that have failed since the connection was last online.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) since: Option<Instant>,
    pub(super) failures: u32,
    pub(super) told: bool,
}

/// How an attempt, or a connection, failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    pub(super) reaction: Reaction,
    pub(super) wait: Wait,
}

/// What the wait before the next attempt is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Back-off: a server decided.
    Backoff,
    /// A little, counted from the start of the attempt: there is nobody to go easy on.
    Unanswered,
    /// None, but for what a server asked for: the connection was stable, or the path was doubtful
    /// and the doubt was right.
    None,
}

impl Failed {
    pub(super) fn answered(reaction: Reaction) -> Self {
        Self { reaction, wait: Wait::Backoff }
    }

    /// Connected, but nothing came.
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
