//! What the machine can be at, and what it asks for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;

use super::saved::Failover;
use crate::{
    line::{LineError, LineEvent, Unregistered},
    mobius::MobiusDevice,
};

/// Names one request, so that late answers of an earlier one are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Op(pub(super) u32);

/// What the driver has to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Action {
    /// Register with a server; report [`Machine::handle_registration`](super::machine::Machine::handle_registration).
    Register(Op, Url),
    /// Send a keepalive to the server; report [`Machine::handle_keepalive`](super::machine::Machine::handle_keepalive).
    Keepalive(Op, Url, Arc<MobiusDevice>),
    /// Delete a registration; report [`Machine::handle_deregistered`](super::machine::Machine::handle_deregistered).
    Deregister(Op, Url, Arc<MobiusDevice>),
    /// Ask a server whether it is up; report [`Machine::handle_ping`](super::machine::Machine::handle_ping).
    Ping(Op, Url),
    /// Ask which servers there are; report [`Machine::handle_servers`](super::machine::Machine::handle_servers).
    Rediscover(Op),
    /// Drop this request: its answer is of no use any more.
    Cancel(Op),
    /// The server is not needed any more: a connection of its own may be closed.
    Disconnect(Url),
    /// Keep how far the failover is, for [`Machine::resume`](super::machine::Machine::resume).
    Save(Failover),
    /// Forget what was kept.
    Forget,
    /// Tell the subscribers.
    Emit(Box<LineEvent>),
}

/// Where a line's registration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LineState {
    /// Not registered, and not meant to be.
    #[default]
    Idle,
    /// A server is being asked.
    Connecting,
    /// Waiting before servers are asked again, also after all of them have refused.
    Waiting,
    /// Registered.
    Registered,
    /// Giving up the registration.
    Deregistering,
    /// Given up for good; [`Line::register`](crate::Line::register) tries again.
    Failed,
}

/// What a line will do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Upcoming {
    /// Send a keepalive.
    Keepalive,
    /// Ask the servers again.
    Retry,
    /// See whether a primary takes the line back from a backup.
    Failback,
}

/// What is heard of the network, from the event socket or from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkHint {
    /// The event socket is gone.
    Offline,
    /// The event socket is there (again).
    Online,
    /// The host says that the network has changed.
    Changed,
    /// The host, or its clock, says that the machine was asleep.
    Resumed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The end of a wait, or of the patience with a request for the servers.
    Retry,
    /// The next keepalive.
    Keepalive,
    /// The next look for a primary.
    Failback,
    /// The end of the time for giving up.
    Leave,
}

/// Which servers are being gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// One server before all others: that of a lost registration.
    Previous,
    /// The primaries, for the n-th time.
    Primary { attempt: u32 },
    /// The backups.
    Backup(Pass),
    /// Once through the primaries, then once through the backups, after all have failed.
    Slow { backup: bool },
}

/// Which of the rounds of the backups it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// The first of two.
    First,
    /// The second of two.
    Second,
    /// The only one, because the previous server asked to be left alone for long. The primaries follow.
    Only,
}

/// What follows a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// That round.
    Round(Round),
    /// A new search, after the time that the previous server asked for.
    Restart,
    /// A look at whether the calls have ended that the search waits for.
    Calls,
    /// Asking for the servers, and then each of them once.
    Slow,
}

#[derive(Debug, Default)]
pub(super) enum State {
    #[default]
    Idle,
    /// Which servers there are is being asked, before that round.
    Discovering {
        op: Op,
        then: Round,
    },
    /// A server is being asked to take the line.
    Trying(Box<Trying>),
    /// The server's list of the user's devices is full: one of them is being deleted.
    Freeing {
        op: Op,
        trying: Box<Trying>,
    },
    Waiting(Next),
    Registered(Box<Active>),
    /// Between the backup, which is being left, and the primary that takes no second registration.
    Moving(Box<Moving>),
    /// Until nothing is left to give up.
    Leaving(Box<Leaving>),
    Failed,
}

/// What is known of the present search for a server.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// When it began.
    pub(super) since: Option<Instant>,
    /// Whether the primaries are still to come, because it began with the backups.
    pub(super) primaries_due: bool,
    /// The server of a lost registration.
    pub(super) previous: Option<Url>,
    /// What the last server answered that did not take the line.
    pub(super) last_error: Option<Box<LineError>>,
}

/// A registration that is asked for.
#[derive(Debug)]
pub(super) struct Trying {
    pub(super) op: Op,
    pub(super) server: Url,
    pub(super) round: Round,
    /// The place in the round's list.
    pub(super) index: usize,
    /// Whether another device was deleted to make room.
    pub(super) freed: bool,
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
    /// Whether the application believes that keepalives are not answered.
    pub(super) troubled: bool,
    /// The keepalive that is not answered yet, and when it was due.
    pub(super) asking: Option<(Op, Instant)>,
    /// When the keepalive was due that is sent earlier because of what was heard of the network.
    pub(super) beat: Option<Instant>,
    pub(super) failback: Option<Failback>,
}

/// How far a failback is while the backup still has the line.
#[derive(Debug)]
pub(super) enum Failback {
    /// A primary is asked whether it is up.
    Pinging { op: Op, index: usize },
    /// A primary is asked to take the line.
    Asking { op: Op, server: Url, index: usize },
}

/// A failback to a primary that takes no second registration.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) op: Op,
    pub(super) primary: Url,
    /// Whether the backup has been left: then the primary is being asked.
    pub(super) left: bool,
    pub(super) backup: Box<Active>,
}

#[derive(Debug)]
pub(super) struct Leaving {
    /// What to tell at the end.
    pub(super) outcome: Unregistered,
    /// The server of what is given up.
    pub(super) server: Option<Url>,
    /// Whether the application is waiting to hear.
    pub(super) tell: bool,
}

/// A request that goes on although the line has moved on: what it brings, or is about, is given up.
#[derive(Debug)]
pub(super) struct Stray {
    pub(super) op: Op,
    pub(super) server: Url,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// A registration that nobody wants any more is not answered yet.
    Asked,
    /// A registration is being deleted.
    Deleting { device: Arc<MobiusDevice>, retried: bool },
}

/// A registration that was refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refusal {
    /// Why.
    pub error: LineError,
    /// With a device limit: the devices that the server lists, and whether each is this client's.
    pub devices: Vec<(MobiusDevice, bool)>,
}

impl From<LineError> for Refusal {
    fn from(error: LineError) -> Self {
        Self { error, devices: Vec::new() }
    }
}

impl Refusal {
    /// Whether the user has as many devices as allowed.
    pub(super) fn is_device_limit(&self) -> bool {
        self.error.is_device_limit()
    }
}

impl Active {
    /// Whether a failback waits for the answer to this request for registration.
    pub(super) fn asks_primary(&self, op: Op) -> bool {
        matches!(&self.failback, Some(Failback::Asking { op: asked, .. }) if *asked == op)
    }
}
