//! The machine's actions, and the types of its inputs about sockets.

use std::{sync::Arc, time::Duration};

use crate::mercury::{
    close::{Close, Stop},
    event::MercuryEvent,
    failure::SocketFailure,
    frame::ClientFrame,
    switchover::Switchover,
};

/// Identifies a connection attempt, so that late inputs about an earlier one can be ignored.
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
    /// Drop the connection or the dialling at once; report nothing.
    Drop(ConnId),
    /// Get a token other than the one last sent; report [`handle_token`](super::Machine::handle_token).
    ReplaceToken,
    /// Refresh the WDM device. Report nothing: the next attempt reads its address.
    RefreshDevice,
    /// Pass an event to the subscribers.
    Deliver(Arc<MercuryEvent>),
    /// Report that frames were lost: the sequence numbers have a gap.
    SequenceGap {
        /// The expected number.
        expected: u64,
        /// The received number.
        actual: u64,
    },
    /// Report that attempts keep failing, and why the latest did; once until it is online.
    Trouble(SocketFailure),
    /// Report the progress of a switchover.
    Switchover(Switchover),
}

/// Why a socket could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum OpenFailure {
    /// No host answered: no route, no name, no answer in time. Either the network or the whole
    /// service is down.
    Unreachable,
    /// A host refused the connection, or broke it before the upgrade was answered.
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
    /// The reason as reported to subscribers.
    pub(super) fn reason(&self) -> SocketFailure {
        match self {
            Self::Unreachable => SocketFailure::Unanswered,
            Self::Network | Self::Token | Self::Untrusted => SocketFailure::Broken,
            Self::Status { status, .. } => SocketFailure::Status(*status),
        }
    }
}

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Status {
    /// Not wanted, and closed.
    Offline,
    /// Connecting; `attempt` counts from 1 and restarts after a stable connection.
    Connecting {
        /// The current attempt, or the one after the wait.
        attempt: u32,
    },
    /// Open and authorized.
    Online,
    /// Being closed, because it is no longer wanted.
    Closing,
    /// Wanted, but without further attempts.
    Stopped(Stop),
}
