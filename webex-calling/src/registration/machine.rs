//! A line's registration as a state machine: no I/O, no clock, no tasks.
//!
//! # Driving it
//! 1. Tell it what happened: [`register`](Machine::register), [`deregister`](Machine::deregister)
//!    and the `handle_*` methods, each with the present time.
//! 2. Carry out what [`poll_action`](Machine::poll_action) hands out, until it answers `None`.
//! 3. Sleep until [`poll_timeout`](Machine::poll_timeout), or the next thing happens; at the
//!    deadline call [`handle_timeout`](Machine::handle_timeout).
//!
//! Each request carries an [`Op`]; an answer to any but the latest is ignored, so that nothing
//! that arrives late can change a state that has moved on. At most one request and one keepalive
//! timer exist at any time.
//!
//! ```text
//!          register            accepted                 deregister
//!   Idle ───────────► Trying ───────────► Registered ───────────────► Leaving ──► Idle
//!                     ▲  │ all refused       │ lost
//!               timer │  ▼                   │
//!                    Waiting                 └──► Trying, where it was first
//!                     │ tried enough
//!                     ▼
//!                   Failed ── register ──► Trying
//! ```

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;
use webex_core::{HttpError, timer::TimerTable};

use super::timings::{
    FAILOVER_AFTER, FAILOVER_MIN_WAIT, KEEPALIVE_INTERVAL, KEEPALIVE_MAX, KEEPALIVE_MIN,
    RETRY_AFTER_MAX, retry_interval,
};
use crate::{
    discovery::Servers,
    line::{Connecting, LineError, LineEvent, LineInfo, LineStatus, Unregistered},
    mobius::{MobiusDevice, Registration},
};

/// Names one request, so that late answers of an earlier one are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Op(u32);

/// What the driver has to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Action {
    /// Register with a server; report [`Machine::handle_registration`].
    Register(Op, Url),
    /// Send a keepalive; report [`Machine::handle_keepalive`].
    Keepalive(Op, MobiusDevice),
    /// Give up a registration; report [`Machine::handle_deregistered`].
    Deregister(Op, Url, MobiusDevice),
    /// Tell the subscribers.
    Emit(LineEvent),
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
    /// Waiting before servers are asked again.
    Waiting,
    /// Registered.
    Registered,
    /// Giving up the registration.
    Deregistering,
    /// Given up after a final error; [`Machine::register`] tries again.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The end of a wait between rounds.
    Retry,
    /// The next keepalive.
    Keepalive,
}

/// Which list of servers is being gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// The server of a lost registration, before all others.
    Previous,
    /// The primaries, for the n-th time.
    Primary { attempt: u32 },
    /// The backups; twice at most.
    Backup { second: bool },
}

#[derive(Debug)]
enum State {
    Idle,
    Trying { op: Op, server: Url, round: Round, index: usize },
    Waiting(Round),
    Registered(Box<Active>),
    Leaving { op: Op },
    Failed,
}

#[derive(Debug)]
struct Active {
    server: Url,
    device: MobiusDevice,
    interval: Duration,
    missed: u32,
    /// The keepalive that is not answered yet, and when it was due.
    asking: Option<(Op, Instant)>,
}

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub struct Machine {
    wanted: bool,
    state: State,
    servers: Arc<Servers>,
    threshold: u32,
    info: Arc<LineInfo>,
    previous: Option<Url>,
    /// When the present search for a server began.
    since: Option<Instant>,
    /// The longest `Retry-After` of the present round.
    retry_after: Option<Duration>,
    last_error: Option<LineError>,
    last_op: u32,
    timers: TimerTable<Timer>,
    actions: VecDeque<Action>,
    random: fastrand::Rng,
}

impl Machine {
    /// A machine at rest. `threshold`: keepalives missed in a row after which a registration is
    /// lost; `seed` makes waits repeatable.
    pub fn new(servers: Arc<Servers>, threshold: u32, seed: u64) -> Self {
        Self {
            wanted: false,
            state: State::Idle,
            servers,
            threshold,
            info: Arc::new(LineInfo::new()),
            previous: None,
            since: None,
            retry_after: None,
            last_error: None,
            last_op: 0,
            timers: TimerTable::default(),
            actions: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    // --- state ---------------------------------------------------------------------------------

    /// Where the registration is.
    pub fn state(&self) -> LineState {
        match self.state {
            State::Idle => LineState::Idle,
            State::Trying { .. } => LineState::Connecting,
            State::Waiting(_) => LineState::Waiting,
            State::Registered(_) => LineState::Registered,
            State::Leaving { .. } => LineState::Deregistering,
            State::Failed => LineState::Failed,
        }
    }

    /// What it will do by itself next, and when.
    pub fn upcoming(&self) -> Option<(Upcoming, Instant)> {
        let at = |timer, what| self.timers.deadline(timer).map(|at| (what, at));
        at(Timer::Keepalive, Upcoming::Keepalive).or_else(|| at(Timer::Retry, Upcoming::Retry))
    }

    /// What is known of the line.
    pub fn info(&self) -> &Arc<LineInfo> {
        &self.info
    }

    // --- commands ------------------------------------------------------------------------------

    /// Wants the line registered, from now until [`deregister`](Self::deregister).
    pub fn register(&mut self, now: Instant) {
        self.wanted = true;
        if matches!(self.state, State::Idle | State::Failed) {
            self.emit(LineEvent::Connecting { reason: Connecting::Requested });
            self.search(now, Round::Primary { attempt: 1 });
        }
    }

    /// Wants it no longer: cancels waits, and gives up what exists. Always ends in `unregistered`.
    pub fn deregister(&mut self, _now: Instant) {
        self.wanted = false;
        match &self.state {
            State::Registered(active) => {
                let (server, device) = (active.server.clone(), active.device.clone());
                self.leave(server, device);
            }
            // A request under way may succeed: what it brings is given up then.
            State::Trying { .. } | State::Leaving { .. } => self.timers.clear(),
            State::Idle | State::Waiting(_) | State::Failed => {
                self.end(Unregistered::AlreadyGone);
            }
        }
    }

    // --- what happened -------------------------------------------------------------------------

    /// The answer to [`Action::Register`].
    pub fn handle_registration(
        &mut self,
        now: Instant,
        op: Op,
        answer: Result<Registration, LineError>,
    ) {
        let State::Trying { op: expected, server, round, index } = &self.state else { return };
        if *expected != op {
            return;
        }
        let (server, round, index) = (server.clone(), *round, *index);
        match answer {
            Ok(granted) if !self.wanted => self.leave(server, granted.device),
            Ok(granted) => self.registered(now, server, granted),
            Err(_) if !self.wanted => self.end(Unregistered::AlreadyGone),
            Err(error) if error.is_final() => self.fail(error),
            Err(error) => {
                self.retry_after = self.retry_after.max(error.retry_after);
                self.last_error = Some(error.clone());
                self.emit(LineEvent::ServerFailed {
                    server: server.clone(),
                    error: error.at(&server),
                });
                self.ask(now, round, index + 1);
            }
        }
    }

    /// The answer to [`Action::Keepalive`].
    pub fn handle_keepalive(&mut self, now: Instant, op: Op, answer: Result<(), LineError>) {
        let State::Registered(active) = &mut self.state else { return };
        let Some((_, due)) = active.asking.filter(|(expected, _)| *expected == op) else { return };
        active.asking = None;
        let error = match answer {
            Ok(()) => {
                let missed = std::mem::take(&mut active.missed);
                let next = next_keepalive(due, now, active.interval);
                self.timers.set(Timer::Keepalive, next);
                if missed > 0 {
                    let server = active.server.clone();
                    self.emit(LineEvent::Reconnected { server });
                }
                return;
            }
            Err(error) => error,
        };
        active.missed += 1;
        let (missed, interval, server) = (active.missed, active.interval, active.server.clone());
        let (of, error) = (self.threshold, error.at(&server));
        match error.http_status {
            // The server has forgotten the line: it takes it again, or another one does.
            Some(404) => {
                self.emit(LineEvent::Error(error.clone()));
                self.lost(server, error);
                self.search(now, Round::Primary { attempt: 1 });
            }
            // The user registered elsewhere: coming back would throw the other one out.
            Some(409) => {
                self.timers.clear();
                self.inactive();
                self.state = State::Failed;
                let (reason, server) = (Unregistered::Superseded(error.superseded()), Some(server));
                self.emit(LineEvent::Unregistered { reason, server });
            }
            Some(400 | 401) => {
                self.fail(error.clone());
                self.lost(server, error);
            }
            _ if error.is_final() && error.http_status.is_none() => {
                self.fail(error.clone());
                self.lost(server, error);
            }
            _ if missed >= self.threshold => {
                let told = (server.clone(), error.clone());
                self.emit(LineEvent::KeepaliveMissed { missed, of, server: told.0, error: told.1 });
                self.lost(server.clone(), error);
                self.previous = Some(server);
                self.search(now, Round::Previous);
            }
            _ => {
                let next = next_keepalive(due, now, interval);
                let asked = error.retry_after.map(|wait| now + wait.min(KEEPALIVE_MAX));
                self.timers.set(Timer::Keepalive, asked.map_or(next, |asked| asked.max(next)));
                let told = (server.clone(), error.clone());
                self.emit(LineEvent::KeepaliveMissed { missed, of, server: told.0, error: told.1 });
                self.emit(LineEvent::Reconnecting { missed, of, server, error });
            }
        }
    }

    /// The answer to [`Action::Deregister`].
    pub fn handle_deregistered(&mut self, now: Instant, op: Op, answer: Result<(), HttpError>) {
        if !matches!(self.state, State::Leaving { op: expected } if expected == op) {
            return;
        }
        self.end(match answer {
            Ok(()) => Unregistered::Deleted,
            Err(error) if matches!(error.status(), Some(404 | 410)) => Unregistered::AlreadyGone,
            Err(error) => Unregistered::NotReachable(error),
        });
        if self.wanted {
            self.register(now);
        }
    }

    /// A deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match (timer, &self.state) {
                (Timer::Retry, State::Waiting(round)) => {
                    let round = *round;
                    self.start(now, round);
                }
                (Timer::Keepalive, State::Registered(_)) => self.keepalive(now),
                // A timer of a state that has been left.
                _ => {}
            }
        }
    }

    // --- what to do ----------------------------------------------------------------------------

    /// The next thing to do; call until it answers `None`.
    #[must_use = "an action that is dropped is never carried out"]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    // --- searching for a server ----------------------------------------------------------------

    fn search(&mut self, now: Instant, round: Round) {
        self.since = Some(now);
        self.last_error = None;
        self.start(now, round);
    }

    fn start(&mut self, now: Instant, round: Round) {
        self.retry_after = None;
        self.ask(now, round, 0);
    }

    /// Asks the server at this place of the list, or decides what follows its end.
    fn ask(&mut self, now: Instant, round: Round, index: usize) {
        let server = match round {
            Round::Previous => self.previous.as_ref().filter(|_| index == 0),
            Round::Primary { .. } => self.servers.primary.get(index),
            Round::Backup { .. } => self.servers.backup.get(index),
        };
        let Some(server) = server.cloned() else { return self.exhausted(now, round) };
        let op = self.op();
        self.timers.clear();
        self.actions.push_back(Action::Register(op, server.clone()));
        self.state = State::Trying { op, server, round, index };
    }

    /// The end of a list without success.
    fn exhausted(&mut self, now: Instant, round: Round) {
        match round {
            Round::Previous => self.start(now, Round::Primary { attempt: 1 }),
            Round::Primary { attempt } => self.primaries_exhausted(now, attempt),
            Round::Backup { second: false } => {
                let wait = retry_interval(1, &mut self.random);
                let asked = self.retry_after.filter(|asked| *asked < RETRY_AFTER_MAX);
                let wait = asked.map_or(wait, |asked| asked.max(wait));
                self.wait(now, wait, Round::Backup { second: true });
            }
            Round::Backup { second: true } => self.give_up(),
        }
    }

    /// Another round of the primaries while there is time, then the backups.
    fn primaries_exhausted(&mut self, now: Instant, attempt: u32) {
        let elapsed = now.duration_since(self.since.unwrap_or(now));
        let left = FAILOVER_AFTER.saturating_sub(elapsed);
        let wait = retry_interval(attempt, &mut self.random).min(left);
        let asked = self.retry_after.unwrap_or_default();
        // A server that wants to be left alone for longer than there is time: do not wait for it.
        let at_once = asked > wait && asked > left;
        if wait > FAILOVER_MIN_WAIT && !at_once {
            self.wait(now, wait.max(asked), Round::Primary { attempt: attempt + 1 });
        } else if self.servers.backup.is_empty() {
            self.give_up();
        } else {
            self.start(now, Round::Backup { second: false });
        }
    }

    fn wait(&mut self, now: Instant, wait: Duration, then: Round) {
        self.timers.set(Timer::Retry, now + wait);
        self.state = State::Waiting(then);
    }

    fn give_up(&mut self) {
        let last = self.last_error.take();
        self.fail(LineError::exhausted(last));
    }

    // --- registered ----------------------------------------------------------------------------

    fn registered(&mut self, now: Instant, server: Url, granted: Registration) {
        let asked = granted.keepalive_interval.unwrap_or(KEEPALIVE_INTERVAL);
        let interval = asked.clamp(KEEPALIVE_MIN, KEEPALIVE_MAX);
        self.info = Arc::new(self.info.registered(&server, &granted));
        self.since = None;
        self.timers.set(Timer::Keepalive, now + interval);
        let device = granted.device;
        let active = Active { server, device, interval, missed: 0, asking: None };
        self.state = State::Registered(Box::new(active));
        self.emit(LineEvent::Registered(Arc::clone(&self.info)));
    }

    fn keepalive(&mut self, now: Instant) {
        let op = self.op();
        let State::Registered(active) = &mut self.state else { return };
        active.asking = Some((op, now));
        self.actions.push_back(Action::Keepalive(op, active.device.clone()));
    }

    // --- leaving -------------------------------------------------------------------------------

    fn leave(&mut self, server: Url, device: MobiusDevice) {
        let op = self.op();
        self.timers.clear();
        self.inactive();
        self.actions.push_back(Action::Deregister(op, server, device));
        self.state = State::Leaving { op };
    }

    /// The line is not registered any more, by the application's wish.
    fn end(&mut self, outcome: Unregistered) {
        self.timers.clear();
        self.inactive();
        self.state = State::Idle;
        let server = self.info.server.clone();
        self.emit(LineEvent::Unregistered { reason: outcome, server });
    }

    /// The registration is lost, against the application's wish.
    fn lost(&mut self, server: Url, error: LineError) {
        self.timers.clear();
        self.inactive();
        let (reason, server) = (Unregistered::Lost(error), Some(server));
        self.emit(LineEvent::Unregistered { reason, server });
    }

    fn fail(&mut self, error: LineError) {
        self.timers.clear();
        self.inactive();
        self.state = State::Failed;
        self.emit(LineEvent::Error(error));
    }

    fn inactive(&mut self) {
        if self.info.status != LineStatus::Inactive {
            Arc::make_mut(&mut self.info).status = LineStatus::Inactive;
        }
    }

    fn emit(&mut self, event: LineEvent) {
        self.actions.push_back(Action::Emit(event));
    }

    fn op(&mut self) -> Op {
        self.last_op += 1;
        Op(self.last_op)
    }
}

/// When the keepalive after the one that was due at `due` is due: an interval later, so that slow
/// answers do not shift the rhythm; after a sleep an interval from now, so that none is made up for.
fn next_keepalive(due: Instant, now: Instant, interval: Duration) -> Instant {
    let next = due + interval;
    if next > now { next } else { now + interval }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
