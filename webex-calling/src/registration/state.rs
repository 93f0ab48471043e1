//! The states of the machine, and the actions it asks for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;

use super::failover::Failover;
use crate::{
    mobius::wire::MobiusDevice,
    model::{
        error::LineError,
        event::{LineEvent, Unregistered},
    },
};

/// Identifies one request, so that a late answer to an earlier one is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Op(pub(super) u32);

/// What the driver has to do. Each request names the input that takes its answer.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Register with a server; answer with `handle_registration`.
    Register(Op, Url),
    /// Send a keepalive to the server; answer with `handle_keepalive`.
    Keepalive(Op, Url, Arc<MobiusDevice>),
    /// Delete a registration; answer with `handle_deregistered`.
    Deregister(Op, Url, Arc<MobiusDevice>),
    /// Ask a server whether it is up; answer with `handle_ping`.
    Ping(Op, Url),
    /// Discover the servers; answer with `handle_servers`.
    Rediscover(Op),
    /// Drop this request: its answer is no longer needed.
    Cancel(Op),
    /// The server is no longer needed: its connection may be closed.
    Disconnect(Url),
    /// Save the state of the failover, for `handle_resume`.
    Save(Failover),
    /// Delete the saved state.
    Forget,
    /// Emit an event.
    Emit(Box<LineEvent>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The end of a wait, or of the time allowed for discovery.
    Retry,
    /// The next keepalive.
    Keepalive,
    /// The next attempt to return to a primary.
    Failback,
    /// The next attempt to register with the address of the present WDM device.
    Renewal,
    /// The end of the time allowed for deregistering.
    Deregister,
}

/// The list of servers that is being tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// The server of a lost registration, before all others.
    Previous,
    /// The primaries, for the n-th time.
    Primary { attempt: u32 },
    /// The backups.
    Backup(Pass),
    /// Once through the primaries, then once through the backups, after all have failed.
    Slow { backup: bool },
}

/// Which round of the backups it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// The first of two.
    First,
    /// The second of two.
    Second,
    /// The only one, because the previous server asked for a long pause. The primaries follow.
    Only,
}

/// What follows a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// That round.
    Round(Round),
    /// A new search, after the pause that the previous server asked for.
    Restart,
    /// A check whether the calls that the search waits for have ended.
    Calls,
    /// Discovery, and then each server once.
    Slow,
    /// A new search with a new token.
    Token,
}

#[derive(Debug, Default)]
pub(super) enum State {
    #[default]
    Idle,
    /// The servers are being discovered, before that round.
    Discovering {
        op: Op,
        then: Round,
    },
    /// A registration request is under way.
    Registering(Box<Attempt>),
    /// The user has as many devices as allowed, and one of them is being deleted.
    MakingRoom {
        op: Op,
        attempt: Box<Attempt>,
    },
    Waiting(Next),
    Registered(Box<Active>),
    /// Between a backup that is being left and a primary that accepts no second registration.
    Moving(Box<Moving>),
    /// Until nothing is left to delete.
    Deregistering(Box<Deregistering>),
    Failed {
        /// Whether a new token is all that is missing.
        awaits_token: bool,
    },
}

/// The present search for a server.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// When it began.
    pub(super) since: Option<Instant>,
    /// Whether the primaries still have to be tried, because it began with the backups.
    pub(super) primaries_due: bool,
    /// The server of a lost registration.
    pub(super) previous: Option<Url>,
    /// Why the last server refused.
    pub(super) last_error: Option<Box<LineError>>,
}

/// A registration request.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) op: Op,
    pub(super) server: Url,
    pub(super) round: Round,
    /// The index in the round's list.
    pub(super) index: usize,
    /// Whether another device was deleted to make room.
    pub(super) room_made: bool,
}

/// A registration in force.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) server: Url,
    pub(super) device: Arc<MobiusDevice>,
    pub(super) interval: Duration,
    /// The bounds of the time until the next failback.
    pub(super) rehoming: (Duration, Duration),
    /// Keepalives missed in a row.
    pub(super) missed: u32,
    /// Whether `reconnecting` was the last that the application heard of keepalives.
    pub(super) reconnecting: bool,
    /// The keepalive without an answer yet, and when it was due.
    pub(super) keepalive: Option<(Op, Instant)>,
    /// The regular time of a keepalive that a network hint moved forward.
    pub(super) regular_keepalive: Option<Instant>,
    /// The address of the WDM device that it was requested for.
    pub(super) client_device: Option<String>,
    /// Whether that device was replaced by another since.
    pub(super) stale: bool,
    /// Renewals in a row that failed.
    pub(super) renewals_failed: u32,
    pub(super) beside: Option<Beside>,
}

/// A request beside a registration in force.
#[derive(Debug)]
pub(super) enum Beside {
    /// Failback: a primary is asked whether it is up.
    Ping { op: Op, index: usize },
    /// Failback: a registration request to a primary is under way.
    Failback { op: Op, server: Url, index: usize },
    /// A registration request to the same server is under way, for another WDM device.
    Renewal { op: Op },
}

/// The loss of a registration that the server no longer knows, until it is reported.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) error: LineError,
    pub(super) server: Url,
    pub(super) report_at: Instant,
}

/// A failback to a primary that accepts no second registration.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) op: Op,
    pub(super) primary: Url,
    /// Whether the backup's registration is deleted. Then the request to the primary is under way.
    pub(super) backup_deleted: bool,
    pub(super) backup: Box<Active>,
}

#[derive(Debug)]
pub(super) struct Deregistering {
    /// The reason to report at the end.
    pub(super) outcome: Unregistered,
    /// The server of the registration that is deleted.
    pub(super) server: Option<Url>,
    /// Whether the end is reported to the application.
    pub(super) report: bool,
}

/// A request that goes on after the line has moved on. The registration that it brings, or is about,
/// gets deleted.
#[derive(Debug)]
pub(super) struct Orphan {
    pub(super) op: Op,
    pub(super) server: Url,
    pub(super) stage: OrphanStage,
}

#[derive(Debug)]
pub(super) enum OrphanStage {
    /// A registration request without an answer yet. The registration is no longer wanted.
    Registering,
    /// A registration is being deleted.
    Deleting { device: Arc<MobiusDevice>, retried: bool },
}

/// A refused registration.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) error: LineError,
    /// With a device limit: the devices that the server lists, and whether each is this client's.
    pub(crate) devices: Vec<(MobiusDevice, bool)>,
    /// A registration that the server made although its answer cannot be used.
    pub(crate) unusable: Option<MobiusDevice>,
}

impl From<LineError> for Refusal {
    fn from(error: LineError) -> Self {
        Self { error, devices: Vec::new(), unusable: None }
    }
}

impl Refusal {
    /// Whether the user has as many devices as allowed.
    pub(super) fn is_device_limit(&self) -> bool {
        self.error.is_device_limit()
    }
}

impl Orphan {
    /// Whether it is a registration request without an answer yet.
    pub(super) fn is_registering(&self) -> bool {
        matches!(self.stage, OrphanStage::Registering)
    }
}

impl Active {
    /// Whether a failback waits for the answer to this registration request.
    pub(super) fn awaits_primary(&self, op: Op) -> bool {
        matches!(&self.beside, Some(Beside::Failback { op: asked, .. }) if *asked == op)
    }

    /// Whether a renewal waits for the answer to this registration request.
    pub(super) fn awaits_renewal(&self, op: Op) -> bool {
        matches!(&self.beside, Some(Beside::Renewal { op: asked }) if *asked == op)
    }
}
