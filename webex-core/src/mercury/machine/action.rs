//! What the machine asks of its driver, and what it is told of sockets.

use std::{sync::Arc, time::Duration};

use crate::mercury::{
    close::{Close, Stop},
    event::MercuryEvent,
    failure::SocketFailure,
    frame::ClientFrame,
    switchover::Switchover,
};

/// Names one connection attempt, so that late news of an earlier one are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnId(pub(super) u32);

/// What the driver has to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub(crate) enum Action {
    /// Dial the device's socket address, and send the authorization frame once it is open. Report
    /// [`handle_opened`](super::Machine::handle_opened) or [`handle_open_failed`](super::Machine::handle_open_failed).
    Open(ConnId),
    /// Send a frame.
    Send(ConnId, ClientFrame),
    /// Send a close frame and report [`handle_closed`](super::Machine::handle_closed) when the socket ended.
    Close(ConnId, Close),
    /// Forget the connection or the dialling at once; nothing of it is to be reported.
    Drop(ConnId),
    /// Get another token than the one last sent; report [`handle_token`](super::Machine::handle_token).
    ReplaceToken,
    /// Refresh the WDM device. Nothing is to be reported: the next attempt reads its address then.
    RefreshDevice,
    /// Give an event to the subscribers.
    Deliver(Arc<MercuryEvent>),
    /// Frames were lost on the way: the numbers have a gap.
    SequenceGap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        actual: u64,
    },
    /// Tell that attempt after attempt fails, and why the latest did; once until it is online.
    Trouble(SocketFailure),
    /// Tell how a switchover goes.
    Switchover(Switchover),
}

/// Why a socket could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum OpenFailure {
    /// Nobody answered: no route, no name, no answer in time. The network is away, or all of the
    /// service is.
    Unreachable,
    /// Somebody refused the connection, or broke it before the upgrade was answered.
    Network,
    /// The server answered the upgrade with this HTTP status.
    Status {
        /// The HTTP status.
        status: u16,
        /// How long the server asked to wait.
        retry_after: Option<Duration>,
    },
    /// There is no token to authorize with.
    Token,
    /// The address is on a host that may not receive the token.
    Untrusted,
}

impl OpenFailure {
    /// What is told of it.
    pub(super) fn reason(&self) -> SocketFailure {
        match self {
            Self::Unreachable => SocketFailure::Unanswered,
            Self::Network | Self::Token | Self::Untrusted => SocketFailure::Broken,
            Self::Status { status, .. } => SocketFailure::Status(*status),
        }
    }
}

/// What the connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Status {
    /// Not wanted, and closed.
    Offline,
    /// On the way to being online; `attempt` counts from 1 and starts anew after a stable connection.
    Connecting {
        /// The attempt under way, or the one that will follow the wait.
        attempt: u32,
    },
    /// Open and authorized.
    Online,
    /// Being closed because it is not wanted.
    Closing,
    /// Wanted, but not tried again by itself.
    Stopped(Stop),
}
