//! What a line tells.

use std::sync::Arc;

use url::Url;
use webex_core::{HttpError, events::Lossy};

use super::{LineError, LineInfo};

/// An event of a line.
///
/// The documented ones are `connecting`, `registered`, `unregistered` and `error`; the others tell
/// what happens in between. Each says why, and which server it is about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LineEvent {
    /// `connecting`: registration has begun.
    Connecting {
        /// Why now.
        reason: Connecting,
    },
    /// `registered`: the line is registered; [`LineInfo::server`] says where.
    Registered(Arc<LineInfo>),
    /// `unregistered`: the line is not registered any more.
    Unregistered {
        /// Why not.
        reason: Unregistered,
        /// The server that had the line; `None` when none had.
        server: Option<Url>,
    },
    /// `error`: registration has ended without success, or a registration was lost for good.
    /// [`LineError::server`] says who refused it, [`LineError::is_final`] whether trying again is
    /// of no use.
    Error(LineError),
    /// `reconnecting`: a keepalive was not answered; the registration is not lost yet.
    Reconnecting {
        /// Keepalives missed in a row.
        missed: u32,
        /// How many may be missed before the registration counts as lost.
        of: u32,
        /// The server that the line is registered with.
        server: Url,
        /// What became of the keepalive.
        error: LineError,
    },
    /// `reconnected`: keepalives are answered again.
    Reconnected {
        /// The server that the line is registered with.
        server: Url,
    },
    /// `keepalive_missed`: a keepalive was not answered. Unlike `reconnecting` it also counts the
    /// one that loses the registration.
    KeepaliveMissed {
        /// Keepalives missed in a row.
        missed: u32,
        /// How many may be missed before the registration counts as lost.
        of: u32,
        /// The server that the line is, or was, registered with.
        server: Url,
        /// What became of the keepalive.
        error: LineError,
    },
    /// `server_failed`: one server did not take the line; the next one is tried.
    ServerFailed {
        /// The server.
        server: Url,
        /// Why not.
        error: LineError,
    },
    /// This reader was too slow; so many events were dropped.
    Lost(u64),
}

/// Why registration begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Connecting {
    /// [`register`](super::Line::register) was called.
    Requested,
    /// All servers had refused the line some time ago: it is tried again, with servers asked for
    /// anew.
    Retry,
}

impl Connecting {
    /// A stable lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Retry => "retry",
        }
    }
}

/// Why a line is not registered any more.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Unregistered {
    /// [`deregister`](super::Line::deregister): the server confirmed.
    Deleted,
    /// [`deregister`](super::Line::deregister): there was nothing (left) to delete.
    AlreadyGone,
    /// [`deregister`](super::Line::deregister): the server did not confirm. The line is given up
    /// all the same; the server forgets it when keepalives stay away.
    NotReachable(HttpError),
    /// The server did not answer too many keepalives, or does not know the line any more. Unless
    /// an `error` that is final came with it, the line looks for a server again by itself.
    Lost(LineError),
    /// The user registered elsewhere, and the server gave this registration up for that one. The
    /// line stays unregistered until [`register`](super::Line::register): coming back by itself
    /// would throw the other one out, which would throw this one out.
    Superseded(LineError),
    /// The server dropped the registration and said so. The line stays unregistered until
    /// [`register`](super::Line::register).
    Down,
    /// The line moves from a backup back to a primary: `registered` follows.
    Moved,
    /// A server did not take the line, which was not registered before either. Told only with
    /// [`CallingConfig::unregistered_per_server`](crate::CallingConfig::unregistered_per_server).
    Refused(LineError),
}

impl Unregistered {
    /// A stable lower-case name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::AlreadyGone => "already_gone",
            Self::NotReachable(_) => "not_reachable",
            Self::Lost(_) => "lost",
            Self::Superseded(_) => "superseded",
            Self::Down => "down",
            Self::Moved => "moved",
            Self::Refused(_) => "refused",
        }
    }

    /// The error behind it, where there is one.
    pub fn error(&self) -> Option<&LineError> {
        match self {
            Self::Lost(error) | Self::Superseded(error) | Self::Refused(error) => Some(error),
            _ => None,
        }
    }
}

impl LineEvent {
    /// The documented name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Registered(_) => "registered",
            Self::Unregistered { .. } => "unregistered",
            Self::Error(_) => "error",
            Self::Reconnecting { .. } => "reconnecting",
            Self::Reconnected { .. } => "reconnected",
            Self::KeepaliveMissed { .. } => "keepalive_missed",
            Self::ServerFailed { .. } => "server_failed",
            Self::Lost(_) => "events:lost",
        }
    }
}

impl Lossy for LineEvent {
    fn lost(count: u64) -> Self {
        Self::Lost(count)
    }
}
