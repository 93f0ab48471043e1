//! What a line tells.

use std::sync::Arc;

use url::Url;
use webex_core::{HttpError, events::Lossy};

use super::{LineError, LineInfo};

/// An event of a line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LineEvent {
    /// `connecting`: registration has begun.
    Connecting,
    /// `registered`: the line is registered.
    Registered(Arc<LineInfo>),
    /// `unregistered`: the line is not registered any more.
    Unregistered(Unregistered),
    /// `error`: registration has ended without success, or a registration was lost for good.
    Error(LineError),
    /// `reconnecting`: a keepalive was not answered.
    Reconnecting {
        /// Keepalives missed in a row.
        missed: u32,
        /// How many may be missed before the registration counts as lost.
        of: u32,
    },
    /// `reconnected`: keepalives are answered again.
    Reconnected,
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
    /// The server did not answer too many keepalives, or does not know the line any more.
    Lost,
}

impl Unregistered {
    /// A stable lower-case name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::AlreadyGone => "already_gone",
            Self::NotReachable(_) => "not_reachable",
            Self::Lost => "lost",
        }
    }
}

impl LineEvent {
    /// The documented name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Registered(_) => "registered",
            Self::Unregistered(_) => "unregistered",
            Self::Error(_) => "error",
            Self::Reconnecting { .. } => "reconnecting",
            Self::Reconnected => "reconnected",
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
