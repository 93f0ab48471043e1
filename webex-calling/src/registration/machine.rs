//! A line's registration as a state machine: no I/O, no clock, no tasks.
//!
//! # Driving it
//! 1. Tell it what happened: [`register`](Machine::register), [`deregister`](Machine::deregister)
//!    and the `handle_*` methods, each with the present time.
//! 2. Carry out what [`poll_action`](Machine::poll_action) hands out, until it answers `None`.
//! 3. Sleep until [`poll_timeout`](Machine::poll_timeout), or the next thing happens; at the
//!    deadline call [`handle_timeout`](Machine::handle_timeout).
//!
//! Each request carries an [`Op`]; an answer to one that is not expected any more is ignored, so
//! that nothing that arrives late can change a state that has moved on. What a late answer brings
//! is given up again. Every request has to end by itself in bounded time.
//!
//! At most one registration is being asked for at any time, and there is one keepalive timer.
//!
//! ```text
//!          register            accepted                 deregister
//!   Idle ───────────► Trying ───────────► Registered ───────────────► Leaving ──► Idle
//!                     ▲  │ all refused     │    ▲ │ lost
//!               timer │  ▼         failback▼    │ └──► Trying, where it was first
//!                    Waiting              Moving
//!                     │ all tried enough: a long wait, then Discovering, Trying
//!                     │
//!                     ▼ final error
//!                   Failed ── register ──► Trying
//! ```
//!
//! Each phase has a file: `search` (which server next, and when), `active` (keepalives), `failback`,
//! `limit` (too many devices), `leave` (giving up), `network` (hints).

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;
use webex_core::{HttpError, timer::TimerTable};

pub use super::state::{Action, LineState, NetworkHint, Op, Refusal, Upcoming};
use super::{
    policy::{CallActivity, RegistrationPolicy},
    saved::Failover,
    state::{Next, Search, Stage, State, Stray, Timer},
    timings::{
        FAILOVER_STATE_MAX_AGE, KEEPALIVE_THRESHOLD, KEEPALIVE_THRESHOLD_CONTACT_CENTER,
        RETRY_AFTER_DEFAULT, retry_after,
    },
};
use crate::{
    config::ServiceIndicator,
    discovery::Servers,
    line::{Connecting, LineError, LineEvent, LineInfo, LineStatus, Unregistered},
    mobius::Registration,
};

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub struct Machine {
    pub(super) wanted: bool,
    pub(super) state: State,
    pub(super) servers: Arc<Servers>,
    pub(super) policy: RegistrationPolicy,
    pub(super) service: ServiceIndicator,
    pub(super) calls: Option<Arc<dyn CallActivity>>,
    pub(super) info: Arc<LineInfo>,
    pub(super) searching: Search,
    /// Servers that asked to be left alone, and until when.
    pub(super) busy: Vec<(Url, Instant)>,
    /// Failbacks in a row that met 429.
    pub(super) failbacks_refused: u32,
    pub(super) strays: Vec<Stray>,
    /// Whether the failover state is kept.
    pub(super) saved: bool,
    pub(super) offline: bool,
    /// When the last registration was asked for, or keepalive sent.
    pub(super) sent: Option<Instant>,
    last_op: u32,
    pub(super) timers: TimerTable<Timer>,
    actions: VecDeque<Action>,
    pub(super) random: fastrand::Rng,
}

impl Machine {
    /// A machine at rest. `service` brings its own rules of failover; `seed` makes waits
    /// repeatable.
    pub fn new(
        servers: Arc<Servers>,
        service: ServiceIndicator,
        policy: RegistrationPolicy,
        seed: u64,
    ) -> Self {
        Self {
            wanted: false,
            state: State::Idle,
            servers,
            policy,
            service,
            calls: None,
            info: Arc::new(LineInfo::new()),
            searching: Search::default(),
            busy: Vec::new(),
            failbacks_refused: 0,
            strays: Vec::new(),
            saved: false,
            offline: false,
            sent: None,
            last_op: 0,
            timers: TimerTable::default(),
            actions: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    // --- state ---------------------------------------------------------------------------------

    /// Where the registration is.
    pub fn state(&self) -> LineState {
        match &self.state {
            State::Idle => LineState::Idle,
            State::Waiting(_) => LineState::Waiting,
            State::Registered(_) => LineState::Registered,
            State::Leaving(leaving) if leaving.tell => LineState::Deregistering,
            State::Failed => LineState::Failed,
            // Registering again may wait for the last of an earlier registration to go.
            State::Discovering { .. }
            | State::Trying(_)
            | State::Freeing { .. }
            | State::Moving(_)
            | State::Leaving(_) => LineState::Connecting,
        }
    }

    /// What it will do by itself next, and when.
    pub fn upcoming(&self) -> Option<(Upcoming, Instant)> {
        let at = |timer, what| self.timers.deadline(timer).map(|at| (what, at));
        match &self.state {
            State::Waiting(_) => at(Timer::Retry, Upcoming::Retry),
            State::Registered(_) => {
                let keepalive = at(Timer::Keepalive, Upcoming::Keepalive);
                let both = [keepalive, at(Timer::Failback, Upcoming::Failback)];
                both.into_iter().flatten().min_by_key(|(_, at)| *at)
            }
            _ => None,
        }
    }

    /// What is known of the line.
    pub fn info(&self) -> &Arc<LineInfo> {
        &self.info
    }

    /// The servers that it knows of.
    pub fn servers(&self) -> &Arc<Servers> {
        &self.servers
    }

    /// How many keepalives may be missed in a row before a registration counts as lost.
    pub fn threshold(&self) -> u32 {
        match self.service {
            ServiceIndicator::ContactCenter => KEEPALIVE_THRESHOLD_CONTACT_CENTER,
            _ => KEEPALIVE_THRESHOLD,
        }
    }

    // --- commands ------------------------------------------------------------------------------

    /// Wants the line registered, from now until [`deregister`](Self::deregister).
    pub fn register(&mut self, now: Instant) {
        self.wanted = true;
        match &self.state {
            // What is left of an earlier registration comes first.
            State::Idle | State::Failed if !self.strays.is_empty() => self.take_up(now),
            State::Idle | State::Failed | State::Waiting(Next::Slow) => {
                self.begin(now, Connecting::Requested);
            }
            // It is on its way, or begins again once everything has been given up.
            _ => {}
        }
    }

    /// As [`register`](Self::register), going on where another run of the program was `age` ago.
    pub fn resume(&mut self, now: Instant, failover: Failover, age: Duration) {
        self.saved = true;
        let resting = matches!(self.state, State::Idle) && self.strays.is_empty();
        if !resting || age > FAILOVER_STATE_MAX_AGE || self.servers.is_empty() {
            self.forget();
            return self.register(now);
        }
        self.wanted = true;
        self.emit(LineEvent::Connecting { reason: Connecting::Requested });
        self.go_on(now, failover, age);
    }

    /// Tells the machine whom to ask about calls.
    pub fn set_calls(&mut self, calls: Arc<dyn CallActivity>) {
        self.calls = Some(calls);
    }

    // --- what happened -------------------------------------------------------------------------

    /// The answer to [`Action::Register`].
    pub fn handle_registration(
        &mut self,
        now: Instant,
        op: Op,
        answer: Result<Registration, Refusal>,
    ) {
        if let Some(stray) = self.stray(op) {
            return self.stray_registered(now, stray, answer);
        }
        match std::mem::take(&mut self.state) {
            State::Trying(trying) if trying.op == op => self.tried(now, *trying, answer),
            State::Registered(active) if active.asks_primary(op) => {
                self.primary_answered(now, active, answer);
            }
            State::Moving(moving) if moving.left && moving.op == op => {
                self.moved(now, *moving, answer);
            }
            other => self.state = other,
        }
    }

    /// The answer to [`Action::Keepalive`].
    pub fn handle_keepalive(&mut self, now: Instant, op: Op, answer: Result<(), LineError>) {
        match std::mem::take(&mut self.state) {
            State::Registered(active) if active.asking.is_some_and(|(asked, _)| asked == op) => {
                self.kept_alive(now, active, answer);
            }
            other => self.state = other,
        }
    }

    /// The answer to [`Action::Deregister`].
    pub fn handle_deregistered(&mut self, now: Instant, op: Op, answer: Result<(), HttpError>) {
        if let Some(stray) = self.stray(op) {
            return self.stray_deleted(now, stray, answer);
        }
        match std::mem::take(&mut self.state) {
            State::Freeing { op: expected, trying } if expected == op => {
                self.freed(now, *trying, answer);
            }
            State::Moving(moving) if !moving.left && moving.op == op => {
                self.backup_left(now, moving, answer);
            }
            other => self.state = other,
        }
    }

    /// The answer to [`Action::Ping`].
    pub fn handle_ping(&mut self, now: Instant, op: Op, answer: Result<(), LineError>) {
        self.pinged(now, op, answer);
    }

    /// The answer to [`Action::Rediscover`].
    pub fn handle_servers(
        &mut self,
        now: Instant,
        op: Op,
        answer: Result<Arc<Servers>, LineError>,
    ) {
        match std::mem::take(&mut self.state) {
            State::Discovering { op: expected, then } if expected == op => {
                self.discovered(now, then, answer);
            }
            other => self.state = other,
        }
    }

    /// The server says that it has dropped the registration; of that device, where it names one.
    pub fn handle_down(&mut self, _now: Instant, device_id: Option<&str>) {
        match std::mem::take(&mut self.state) {
            State::Registered(active)
                if device_id.is_none_or(|id| id == active.device.device_id) =>
            {
                self.down(*active);
            }
            // It was about to be left.
            State::Moving(moving)
                if !moving.left
                    && device_id.is_none_or(|id| id == moving.backup.device.device_id) =>
            {
                self.act(Action::Cancel(moving.op));
                self.down(*moving.backup);
            }
            other => self.state = other,
        }
    }

    /// Something was heard of the network.
    pub fn handle_network(&mut self, now: Instant, hint: NetworkHint) {
        self.hint(now, hint);
    }

    /// A deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        // A driver wakes a little late; the rhythm of keepalives is that of their deadlines.
        let beat = self.timers.deadline(Timer::Keepalive).unwrap_or(now);
        while let Some(timer) = self.timers.expire(now) {
            match (timer, &self.state) {
                (Timer::Retry, State::Waiting(next)) => {
                    let next = *next;
                    self.waited(now, next);
                }
                (Timer::Retry, State::Discovering { op, then }) => {
                    let (op, then) = (*op, *then);
                    self.act(Action::Cancel(op));
                    self.discovered(now, then, Err(LineError::no_servers()));
                }
                (Timer::Keepalive, State::Registered(_)) => self.keepalive(now, beat),
                (Timer::Failback, State::Registered(_)) => self.failback(now),
                (Timer::Leave, State::Leaving(_)) => self.leave_now(now),
                // A timer of a state that has been left.
                _ => {}
            }
        }
    }

    // --- what to do ----------------------------------------------------------------------------

    /// The next thing to do; call until it answers `None`.
    #[must_use = "an action that is dropped is never carried out"]
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() && self.actions.capacity() > 0 {
            // A line idles for hours between two events: it need not hold on to room for them.
            self.actions = VecDeque::new();
        }
        action
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    // --- shared by the phases ------------------------------------------------------------------

    pub(super) fn emit(&mut self, event: LineEvent) {
        self.act(Action::Emit(Box::new(event)));
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn op(&mut self) -> Op {
        self.last_op = self.last_op.wrapping_add(1);
        Op(self.last_op)
    }

    pub(super) fn inactive(&mut self) {
        if self.info.status != LineStatus::Inactive {
            Arc::make_mut(&mut self.info).status = LineStatus::Inactive;
        }
    }

    /// The end without success, after an error that trying again would not cure.
    pub(super) fn fail(&mut self, error: LineError) {
        self.rest();
        self.emit(LineEvent::Error(error));
    }

    /// Nothing more by itself.
    pub(super) fn rest(&mut self) {
        self.timers.clear();
        self.forget();
        self.inactive();
        self.searching.last_error = None;
        self.state = State::Failed;
    }

    /// The line is not registered any more.
    pub(super) fn unregistered(&mut self, reason: Unregistered, server: Option<Url>) {
        self.inactive();
        self.emit(LineEvent::Unregistered { reason, server });
    }

    /// Forgets the kept failover state.
    pub(super) fn forget(&mut self) {
        if std::mem::take(&mut self.saved) {
            self.act(Action::Forget);
        }
    }

    pub(super) fn calls_are_active(&self) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.is_active())
    }

    // --- servers that asked to be left alone ---------------------------------------------------

    /// Keeps to the server's `Retry-After`; 429 without one means a default.
    pub(super) fn note_busy(&mut self, now: Instant, server: &Url, error: &LineError) {
        let limited = (error.http_status == Some(429)).then_some(RETRY_AFTER_DEFAULT);
        let Some(asked) = error.retry_after.or(limited) else { return };
        self.busy.retain(|(other, until)| other != server && *until > now);
        self.busy.push((server.clone(), now + retry_after(asked)));
    }

    /// How long the server wants to be left alone.
    pub(super) fn busy_for(&self, now: Instant, server: &Url) -> Duration {
        let until = self.busy.iter().find(|(other, _)| other == server);
        until.map_or(Duration::ZERO, |(_, until)| until.saturating_duration_since(now))
    }

    /// How long until one of the servers may be asked; no time at all without any.
    pub(super) fn all_busy_for<'a>(
        &self,
        now: Instant,
        servers: impl IntoIterator<Item = &'a Url>,
    ) -> Duration {
        let waits = servers.into_iter().map(|server| self.busy_for(now, server));
        waits.min().unwrap_or_default()
    }

    // --- requests that go on although the line has moved on ------------------------------------

    fn stray(&mut self, op: Op) -> Option<Stray> {
        let index = self.strays.iter().position(|stray| stray.op == op)?;
        Some(self.strays.swap_remove(index))
    }

    pub(super) fn is_asked(stray: &Stray) -> bool {
        matches!(stray.stage, Stage::Asked)
    }
}
