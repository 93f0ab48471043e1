//! A line's registration as a state machine: no I/O, no clock, no tasks.
//!
//! # Driving it
//! 1. Report what happened with the `handle_*` methods, each with the present time.
//! 2. Carry out the actions that [`poll_action`](Machine::poll_action) returns, until it returns
//!    `None`.
//! 3. Sleep until [`poll_timeout`](Machine::poll_timeout) or the next input. At the deadline call
//!    [`handle_timeout`](Machine::handle_timeout).
//!
//! Each request has an [`Op`]. An answer to a request that is no longer expected is ignored, so that
//! a late answer cannot change a state that has moved on; a registration that it brings is deleted.
//! Every request has to end by itself in bounded time.
//!
//! At any time at most one registration request is under way, and there is one keepalive timer.
//!
//! ```text
//!          register            accepted                 deregister
//!   Idle ───────────► Registering ──────► Registered ──────────► Deregistering ──► Idle
//!                     ▲  │ all refused     │    ▲ │ lost
//!               timer │  ▼         failback▼    │ └──► Registering, same server first
//!                    Waiting              Moving
//!                     │ tried often enough: a long wait, then Discovering, Registering
//!                     │
//!                     ▼ final error
//!                   Failed ── register ──► Registering
//! ```
//!
//! Each phase has a file: `search` (which server next, and when), `active` (keepalives), `failback`,
//! `device_limit` (too many devices), `deregister`, `network` (hints).

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;
use webex_core::{HttpError, User, timer::TimerTable};

use super::{
    failover::Failover,
    state::{Action, Loss, Next, Op, Orphan, Refusal, Search, State, Timer},
};
use crate::{
    mobius::{
        timings::{
            FAILOVER_STATE_MAX_AGE, KEEPALIVE_THRESHOLD, KEEPALIVE_THRESHOLD_CONTACT_CENTER,
            RETRY_AFTER_DEFAULT, SLOW_RETRY, retry_after,
        },
        transport::NetworkHint,
        wire::Registration,
    },
    model::{
        config::ServiceIndicator,
        error::{LineError, LineErrorType},
        event::{Connecting, LineEvent, Unregistered},
        info::{LineInfo, LineStatus},
        policy::{CallActivity, RegistrationPolicy},
        servers::Servers,
        state::{LineState, Upcoming},
    },
};

/// What a line is registered for, and the application's choices about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// The service. Failover rules depend on it.
    pub(crate) service: ServiceIndicator,
    /// The choices.
    pub(crate) policy: RegistrationPolicy,
    /// See [`CallingConfig::unregistered_per_server`](crate::CallingConfig::unregistered_per_server).
    pub(crate) unregistered_per_server: bool,
}

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Machine {
    pub(super) wanted: bool,
    pub(super) state: State,
    pub(super) servers: Arc<Servers>,
    pub(super) settings: Settings,
    pub(super) calls: Option<Arc<dyn CallActivity>>,
    pub(super) info: Arc<LineInfo>,
    pub(super) user: Option<Arc<User>>,
    /// The address of the WDM device, if it has changed since the last registration request.
    pub(super) client_device: Option<String>,
    pub(super) searching: Search,
    /// Servers that sent `Retry-After`, and until when they must not be asked.
    pub(super) busy: Vec<(Url, Instant)>,
    /// Failbacks in a row that were answered 429.
    pub(super) failbacks_refused: u32,
    pub(super) orphans: Vec<Orphan>,
    /// A loss that is not reported yet.
    pub(super) loss: Option<Loss>,
    /// When a new token last became available.
    token_at: Option<Instant>,
    /// When a search last began because of a new token.
    pub(super) token_search: Option<Instant>,
    /// Whether a failover state is saved.
    pub(super) saved: bool,
    pub(super) offline: bool,
    /// When the last registration request or keepalive was sent.
    pub(super) sent: Option<Instant>,
    last_op: u32,
    pub(super) timers: TimerTable<Timer>,
    actions: VecDeque<Action>,
    pub(super) random: fastrand::Rng,
}

impl Machine {
    /// A machine at rest. `seed` makes its random waits repeatable.
    pub(crate) fn new(servers: Arc<Servers>, settings: Settings, seed: u64) -> Self {
        Self {
            wanted: false,
            state: State::Idle,
            servers,
            settings,
            calls: None,
            info: Arc::new(LineInfo::new()),
            user: None,
            client_device: None,
            searching: Search::default(),
            busy: Vec::new(),
            failbacks_refused: 0,
            orphans: Vec::new(),
            loss: None,
            token_at: None,
            token_search: None,
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

    /// Returns where the registration stands.
    pub(crate) fn state(&self) -> LineState {
        match &self.state {
            State::Idle => LineState::Idle,
            State::Waiting(_) => LineState::Waiting,
            State::Registered(_) => LineState::Registered,
            State::Deregistering(ending) if ending.report => LineState::Deregistering,
            State::Failed { .. } => LineState::Failed,
            // A new registration may wait for the deletion of an earlier one.
            State::Discovering { .. }
            | State::Registering(_)
            | State::MakingRoom { .. }
            | State::Moving(_)
            | State::Deregistering(_) => LineState::Connecting,
        }
    }

    /// Returns what it does by itself next, and when.
    pub(crate) fn upcoming(&self) -> Option<(Upcoming, Instant)> {
        let at = |timer, what| self.timers.deadline(timer).map(|at| (what, at));
        match &self.state {
            State::Waiting(_) => at(Timer::Retry, Upcoming::Retry),
            State::Registered(_) => {
                let keepalive = at(Timer::Keepalive, Upcoming::Keepalive);
                let failback = at(Timer::Failback, Upcoming::Failback);
                let all = [keepalive, failback, at(Timer::Renewal, Upcoming::Retry)];
                all.into_iter().flatten().min_by_key(|(_, at)| *at)
            }
            _ => None,
        }
    }

    /// Returns the properties of the line.
    pub(crate) fn info(&self) -> &Arc<LineInfo> {
        &self.info
    }

    /// Returns the number of keepalives missed in a row after which a registration is lost.
    pub(crate) fn threshold(&self) -> u32 {
        match self.settings.service {
            ServiceIndicator::ContactCenter => KEEPALIVE_THRESHOLD_CONTACT_CENTER,
            _ => KEEPALIVE_THRESHOLD,
        }
    }

    // --- commands ------------------------------------------------------------------------------

    /// The application wants the line registered, from now until `handle_deregister`.
    pub(crate) fn handle_register(&mut self, now: Instant) {
        self.wanted = true;
        self.token_search = None;
        match &self.state {
            // First end what is left of an earlier registration.
            State::Idle | State::Failed { .. } if !self.orphans.is_empty() => {
                self.adopt_orphan(now, Connecting::Requested);
            }
            State::Idle | State::Failed { .. } | State::Waiting(Next::Slow | Next::Token) => {
                self.begin(now, Connecting::Requested);
            }
            // It is under way, or begins again when the deregistration has ended.
            _ => {}
        }
    }

    /// As `handle_register`, from the state that an earlier run of the program saved `age` ago.
    pub(crate) fn handle_resume(&mut self, now: Instant, failover: Failover, age: Duration) {
        self.saved = true;
        let resting = matches!(self.state, State::Idle) && self.orphans.is_empty();
        if !resting || age > FAILOVER_STATE_MAX_AGE || self.servers.is_empty() {
            self.forget();
            return self.handle_register(now);
        }
        self.wanted = true;
        self.emit(LineEvent::Connecting { reason: Connecting::Requested });
        self.resume_search(now, failover, age);
    }

    /// Sets the source of whether calls are active.
    pub(crate) fn set_call_activity(&mut self, calls: Arc<dyn CallActivity>) {
        self.calls = Some(calls);
    }

    // --- answers and events --------------------------------------------------------------------

    /// The answer to [`Action::Register`].
    pub(crate) fn handle_registration(
        &mut self,
        now: Instant,
        op: Op,
        answer: Result<Registration, Refusal>,
    ) {
        if let Some(orphan) = self.take_orphan(op) {
            return self.on_orphan_registered(now, orphan, answer);
        }
        match std::mem::take(&mut self.state) {
            State::Registering(attempt) if attempt.op == op => {
                self.on_registration(now, *attempt, answer);
            }
            State::Registered(active) if active.awaits_primary(op) => {
                self.on_primary_registration(now, active, answer);
            }
            State::Registered(active) if active.awaits_renewal(op) => {
                self.on_renewal(now, active, answer);
            }
            State::Moving(moving) if moving.backup_deleted && moving.op == op => {
                self.on_move_registration(now, *moving, answer);
            }
            other => self.state = other,
        }
    }

    /// The answer to [`Action::Keepalive`].
    pub(crate) fn handle_keepalive(&mut self, now: Instant, op: Op, answer: Result<(), LineError>) {
        match std::mem::take(&mut self.state) {
            State::Registered(active) if active.keepalive.is_some_and(|(asked, _)| asked == op) => {
                self.on_keepalive_answer(now, active, answer);
            }
            other => self.state = other,
        }
    }

    /// The answer to [`Action::Deregister`].
    pub(crate) fn handle_deregistered(
        &mut self,
        now: Instant,
        op: Op,
        answer: Result<(), HttpError>,
    ) {
        if let Some(orphan) = self.take_orphan(op) {
            return self.on_orphan_deleted(now, orphan, answer);
        }
        match std::mem::take(&mut self.state) {
            State::MakingRoom { op: expected, attempt } if expected == op => {
                self.on_room_made(now, *attempt, answer);
            }
            State::Moving(moving) if !moving.backup_deleted && moving.op == op => {
                self.on_backup_deleted(now, moving, answer);
            }
            other => self.state = other,
        }
    }

    /// The answer to [`Action::Ping`].
    pub(crate) fn handle_ping(&mut self, now: Instant, op: Op, answer: Result<(), LineError>) {
        self.on_ping_answer(now, op, answer);
    }

    /// The answer to [`Action::Rediscover`].
    pub(crate) fn handle_servers(
        &mut self,
        now: Instant,
        op: Op,
        answer: Result<Arc<Servers>, LineError>,
    ) {
        match std::mem::take(&mut self.state) {
            State::Discovering { op: expected, then } if expected == op => {
                self.on_servers(now, then, answer);
            }
            other => self.state = other,
        }
    }

    /// The server reports that it dropped the registration; only of that device, if it names one.
    pub(crate) fn handle_down(&mut self, _now: Instant, device_id: Option<&str>) {
        match std::mem::take(&mut self.state) {
            State::Registered(active)
                if device_id.is_none_or(|id| id == active.device.device_id) =>
            {
                self.on_down(*active);
            }
            // The backup was about to be left.
            State::Moving(moving)
                if !moving.backup_deleted
                    && device_id.is_none_or(|id| id == moving.backup.device.device_id) =>
            {
                self.act(Action::Cancel(moving.op));
                self.on_down(*moving.backup);
            }
            other => self.state = other,
        }
    }

    /// A sign of a change of the network.
    pub(crate) fn handle_network(&mut self, now: Instant, hint: NetworkHint) {
        self.on_network(now, hint);
    }

    /// The user's record has arrived.
    pub(crate) fn handle_user(&mut self, user: Arc<User>) {
        let info = self.info.with_user(&user);
        self.user = Some(user);
        if !Arc::ptr_eq(&info, &self.info) {
            self.info = info;
            if self.info.status == LineStatus::Active {
                self.emit(LineEvent::Changed(Arc::clone(&self.info)));
            }
        }
    }

    /// There is a new token. A line that failed only for lack of one registers again.
    ///
    /// A server that refuses every token must not cause a loop of renewals and requests: the first
    /// search begins at once, the next ones not before [`SLOW_RETRY`].
    pub(crate) fn handle_token(&mut self, now: Instant) {
        self.token_at = Some(now);
        if !matches!(self.state, State::Failed { awaits_token: true }) || !self.wanted {
            return;
        }
        let soonest = self.token_search.map_or(now, |last| now.max(last + SLOW_RETRY));
        if soonest > now {
            self.wait(now, soonest - now, Next::Token);
        } else {
            self.search_with_token(now);
        }
    }

    /// Begins a search because of a new token.
    pub(super) fn search_with_token(&mut self, now: Instant) {
        self.token_search = Some(now);
        if self.orphans.is_empty() {
            self.begin(now, Connecting::NewToken);
        } else {
            self.adopt_orphan(now, Connecting::NewToken);
        }
    }

    /// The WDM device was registered again, with this address.
    pub(crate) fn handle_client_device(&mut self, now: Instant, address: String) {
        let address = Some(address);
        if let State::Registered(active) = &mut self.state {
            active.stale = active.client_device != address;
        }
        self.client_device = address;
        self.renew(now);
    }

    /// A deadline has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        // A driver wakes a little late. Keepalives follow their deadlines, not the wake-ups.
        if self.loss.as_ref().is_some_and(|loss| loss.report_at <= now) {
            self.report_loss();
        }
        let keepalive_due = self.timers.deadline(Timer::Keepalive).unwrap_or(now);
        while let Some(timer) = self.timers.expire(now) {
            match (timer, &self.state) {
                (Timer::Retry, State::Waiting(next)) => {
                    let next = *next;
                    self.on_retry_timer(now, next);
                }
                (Timer::Retry, State::Discovering { op, then }) => {
                    let (op, then) = (*op, *then);
                    self.act(Action::Cancel(op));
                    self.on_servers(now, then, Err(LineError::no_servers()));
                }
                (Timer::Keepalive, State::Registered(_)) => {
                    self.on_keepalive_timer(now, keepalive_due);
                }
                (Timer::Renewal, State::Registered(_)) => self.renew(now),
                (Timer::Failback, State::Registered(_)) => self.on_failback_timer(now),
                (Timer::Deregister, State::Deregistering(_)) => self.on_deregister_timer(now),
                // A timer of an earlier state.
                _ => {}
            }
        }
    }

    // --- actions and deadline ------------------------------------------------------------------

    /// Returns the next action; call until it returns `None`.
    #[must_use = "an action that is dropped is never carried out"]
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() {
            // A line idles for hours between two events: free the memory.
            self.actions = VecDeque::new();
        }
        action
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let report = self.loss.as_ref().map(|loss| loss.report_at);
        self.timers.next().into_iter().chain(report).min()
    }

    // --- shared by the phases ------------------------------------------------------------------

    pub(super) fn emit(&mut self, event: LineEvent) {
        self.report_loss();
        self.act(Action::Emit(Box::new(event)));
    }

    /// Reports a loss that is not reported yet.
    fn report_loss(&mut self) {
        if let Some(Loss { error, server, .. }) = self.loss.take() {
            let (reason, retry_in) = (Unregistered::Lost(error.clone()), error.retry_in);
            self.emit(LineEvent::Error(error));
            self.emit(LineEvent::Unregistered {
                reason,
                server: Some(server),
                will_retry: true,
                retry_in,
            });
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Asks a server to register the line. The request names the WDM device of this moment.
    pub(super) fn request_registration(&mut self, op: Op, server: Url) {
        self.client_device = None;
        self.act(Action::Register(op, server));
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

    /// The end without success, after an error that attempt again would not cure.
    pub(super) fn fail(&mut self, now: Instant, error: LineError) {
        if matches!(error.source, Some(HttpError::NoDevice { .. })) {
            // No server was asked. The device may come back a moment later.
            self.token_search = None;
        }
        self.stop(&error);
        self.emit(LineEvent::Error(error.not_retried()));
        self.check_token(now);
    }

    /// Searches again if a new token came while the last request was under way.
    pub(super) fn check_token(&mut self, now: Instant) {
        if self.token_at.is_some_and(|at| self.sent.is_none_or(|sent| sent <= at)) {
            self.handle_token(now);
        }
    }

    /// Stops: nothing more happens by itself.
    pub(super) fn stop(&mut self, error: &LineError) {
        self.timers.clear();
        self.forget();
        self.inactive();
        self.searching.last_error = None;
        self.state = State::Failed { awaits_token: error.kind == LineErrorType::TokenError };
    }

    /// Reports that the line is no longer registered.
    pub(super) fn unregistered(
        &mut self,
        reason: Unregistered,
        server: Option<Url>,
        will_retry: bool,
    ) {
        self.inactive();
        let retry_in = match reason.error() {
            Some(error) => error.retry_in,
            None => will_retry.then_some(Duration::ZERO),
        };
        self.emit(LineEvent::Unregistered { reason, server, will_retry, retry_in });
    }

    /// Deletes the saved failover state.
    pub(super) fn forget(&mut self) {
        if std::mem::take(&mut self.saved) {
            self.act(Action::Forget);
        }
    }

    pub(super) fn calls_are_active(&self) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.is_active())
    }

    // --- Retry-After ---------------------------------------------------------------------------

    /// Notes the server's `Retry-After`, or the default for a 429 without one.
    pub(super) fn note_busy(&mut self, now: Instant, server: &Url, error: &LineError) {
        let limited = (error.http_status == Some(429)).then_some(RETRY_AFTER_DEFAULT);
        let Some(asked) = error.retry_after.or(limited) else { return };
        self.busy.retain(|(other, until)| other != server && *until > now);
        self.busy.push((server.clone(), now + retry_after(asked)));
    }

    /// Returns how long the server must not be asked.
    pub(super) fn busy_for(&self, now: Instant, server: &Url) -> Duration {
        let until = self.busy.iter().find(|(other, _)| other == server);
        until.map_or(Duration::ZERO, |(_, until)| until.saturating_duration_since(now))
    }

    /// Returns how long until one of the servers may be asked; zero for an empty list.
    pub(super) fn all_busy_for<'a>(
        &self,
        now: Instant,
        servers: impl IntoIterator<Item = &'a Url>,
    ) -> Duration {
        let waits = servers.into_iter().map(|server| self.busy_for(now, server));
        waits.min().unwrap_or_default()
    }

    // --- orphans -------------------------------------------------------------------------------

    fn take_orphan(&mut self, op: Op) -> Option<Orphan> {
        let index = self.orphans.iter().position(|orphan| orphan.op == op)?;
        Some(self.orphans.swap_remove(index))
    }
}
