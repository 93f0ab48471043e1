//! The lifecycle of a WDM device as a state machine: no I/O, no clock.
//!
//! Driven like every machine of this crate: pass in what happened, perform the actions that
//! [`poll_action`](Machine::poll_action) returns, sleep until
//! [`poll_timeout`](Machine::poll_timeout). At most one request is in flight.
//!
//! ```text
//!             want                    durable one found
//!   Absent ────┬──► Restoring ─────────────────────────┐
//!     ▲        │        │ none (without a store: at once)
//!     │        │        ▼                              ▼
//!     │        └──► Registering ──► Registered ◄──► Refreshing
//!     │               │ ▲   │ failed    │ not wanted
//!     │      too many ▼ │   ▼           ▼
//!     │         MakingRoom Failed    Deleting ──► Absent, or Left (the service did not answer)
//!     └─────────────────────┴───────────┘
//! ```
//!
//! A machine whose device outlives the process ([`Machine::durable`]) first looks for the device of
//! an earlier run. That device is used at once, while the refresh that verifies it is in flight, so
//! that a socket can be opened in parallel. If it turns out to be gone, a new one is registered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use webex_auth::timer::TimerTable;

use super::{
    record::Device,
    timings::{
        DURABLE_REFRESH, HINT_PAUSE, RETRY_CAP, ROOM_TRIES, UNPROVEN_TRIES, WAIT_CAP, refresh_after,
    },
};

/// What the driver has to do. Each action is answered once: [`Machine::handle_restored`] for
/// [`Restore`](Self::Restore), [`Machine::handle_record`] for [`Register`](Self::Register) and
/// [`Refresh`](Self::Refresh), [`Machine::handle_room`] for [`MakeRoom`](Self::MakeRoom),
/// [`Machine::handle_deleted`] for [`Delete`](Self::Delete).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Look for the device of an earlier run.
    Restore,
    /// Register a device.
    Register,
    /// Refresh this device.
    Refresh(Arc<Device>),
    /// Delete unused devices of this program, because the user has too many.
    MakeRoom,
    /// Delete this device.
    Delete(Arc<Device>),
}

/// Why a device request failed, as far as the machine needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Failure {
    /// The service does not know the device.
    NotFound,
    /// The service refuses this request; repeating it does not help.
    Refused,
    /// The user has too many devices.
    Excessive,
    /// The service asked to wait this long.
    Wait(Duration),
    /// There is no token, or the service refused it.
    Unauthorized,
    /// Anything else.
    Other,
}

/// The state of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Status {
    /// There is no device, and none is wanted.
    Absent,
    /// Being registered.
    Registering,
    /// Registered, as far as the machine knows.
    Registered,
    /// Being deleted.
    Deleting,
    /// Wanted, but the service refused; [`Machine::want`] tries again.
    Failed,
    /// Not wanted, but the service did not confirm the deletion; [`Machine::unwant`] tries again.
    Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    Refresh,
    Retry,
}

#[derive(Debug)]
enum State {
    Absent,
    Restoring,
    Registering,
    MakingRoom,
    /// The device was lost while in use, and registering it again failed.
    Retrying,
    Registered(Arc<Device>),
    Refreshing(Arc<Device>),
    Deleting(Arc<Device>),
    /// Holds the device that could not be refreshed, which may still exist.
    Failed(Option<Arc<Device>>),
    Left(Arc<Device>),
}

/// What happens to the device when it is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Deleted,
    /// It stays registered for the next start.
    Left,
}

/// The machine. See the [module documentation](self).
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // independent facts
pub(crate) struct Machine {
    wanted: bool,
    end: End,
    state: State,
    ttl: Option<Duration>,
    /// Whether the device outlives the process.
    durable: bool,
    /// Whether a device has worked since it was wanted. If it is then lost, it is registered again
    /// automatically.
    proven: bool,
    /// A device was left registered for the next start.
    left_behind: bool,
    /// When the device expires unless it is refreshed.
    ends: Option<Instant>,
    failures: u32,
    /// Why the latest request failed.
    latest: Option<Failure>,
    rooms: u32,
    timers: TimerTable<Timer>,
    action: Option<Action>,
    random: fastrand::Rng,
}

impl Machine {
    /// A machine at rest, whose device ends with the process. `ttl` as in
    /// [`DeviceConfig`](super::DeviceConfig); `seed` makes jitter repeatable.
    pub(crate) fn new(ttl: Option<Duration>, seed: u64) -> Self {
        Self {
            wanted: false,
            end: End::Deleted,
            state: State::Absent,
            ttl,
            durable: false,
            proven: false,
            left_behind: false,
            ends: None,
            failures: 0,
            latest: None,
            rooms: 0,
            timers: TimerTable::default(),
            action: None,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// A machine at rest, whose device outlives the process: it has no TTL, and is restored first.
    pub(crate) fn durable(seed: u64) -> Self {
        Self { durable: true, ..Self::new(None, seed) }
    }

    // --- state ---------------------------------------------------------------------------------

    /// The state of the device.
    pub(crate) fn status(&self) -> Status {
        match self.state {
            State::Absent => Status::Absent,
            State::Restoring | State::Registering | State::MakingRoom | State::Retrying => {
                Status::Registering
            }
            State::Registered(_) | State::Refreshing(_) => Status::Registered,
            State::Deleting(_) => Status::Deleting,
            State::Failed(_) => Status::Failed,
            State::Left(_) => Status::Left,
        }
    }

    /// The device, while it is registered as far as the machine knows.
    pub(crate) fn device(&self) -> Option<&Arc<Device>> {
        match &self.state {
            State::Registered(device) | State::Refreshing(device) => Some(device),
            _ => None,
        }
    }

    /// Whether the present device is known to work: the service has answered about it, or
    /// [`prove`](Self::prove) was called.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven && self.device().is_some()
    }

    // --- commands ------------------------------------------------------------------------------

    /// Starts to want a device. One that could not be deleted is used again.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
        match &self.state {
            State::Absent | State::Failed(_) if self.durable => {
                self.timers.clear();
                self.action = Some(Action::Restore);
                self.state = State::Restoring;
            }
            State::Absent | State::Failed(None) => self.register(),
            State::Left(device) | State::Failed(Some(device)) => {
                let device = Arc::clone(device);
                self.refresh_now(device);
            }
            _ => {}
        }
    }

    /// Whether a device was left registered for the next start, and nothing else is in progress.
    pub(crate) fn is_left_behind(&self) -> bool {
        self.left_behind && matches!(self.state, State::Absent)
    }

    /// How often in a row a request has failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Stops wanting a device and deletes it, also one that was left for the next start.
    pub(crate) fn unwant(&mut self) {
        self.unwanted(End::Deleted);
        if self.is_left_behind() {
            self.action = Some(Action::Restore);
            self.state = State::Restoring;
        }
        if let State::Registered(device) | State::Left(device) | State::Failed(Some(device)) =
            &self.state
        {
            let device = Arc::clone(device);
            self.delete(device);
        }
    }

    /// Stops wanting a device. One that outlives the process stays registered for the next start;
    /// others are deleted, as by [`unwant`](Self::unwant).
    pub(crate) fn leave(&mut self) {
        if !self.durable {
            return self.unwant();
        }
        self.unwanted(End::Left);
        if let State::Registered(_) | State::Left(_) | State::Failed(_) = &self.state {
            self.timers.clear();
            self.left_behind = true;
            self.state = State::Absent;
        }
    }

    /// Gives up the device without a request, because the service would no longer answer for this
    /// user. A later answer to a request in flight changes nothing.
    pub(crate) fn forget(&mut self) {
        self.timers.clear();
        self.action = None;
        self.proven = false;
        self.ends = None;
        self.latest = None;
        self.state = if self.wanted { State::Failed(None) } else { State::Absent };
    }

    /// Refreshes the record, because its socket address does not work.
    pub(crate) fn refresh(&mut self) {
        if let State::Registered(device) = &self.state {
            let device = Arc::clone(device);
            self.refresh_now(device);
        }
    }

    /// Deletes the device and then registers a new one, because its socket address is refused for
    /// good. Returns false when another request is in flight.
    pub(crate) fn replace(&mut self) -> bool {
        let State::Registered(device) = &self.state else { return false };
        let device = Arc::clone(device);
        self.delete(device);
        true
    }

    /// Records that the device works: its socket is online.
    pub(crate) fn prove(&mut self) {
        if self.wanted && self.device().is_some() {
            self.proven = true;
        }
    }

    /// Handles a hint that the network may have changed or the machine has slept: a request that
    /// failed is repeated soon, unless the service asked to wait.
    pub(crate) fn handle_hint(&mut self, now: Instant) {
        let timer = match self.state {
            State::Retrying => Timer::Retry,
            State::Registered(_) if self.failures > 0 => Timer::Refresh,
            _ => return,
        };
        let soon = now + HINT_PAUSE;
        let asked_to_wait = matches!(self.latest, Some(Failure::Wait(_)));
        if !asked_to_wait && self.timers.deadline(timer).is_some_and(|due| due > soon) {
            self.timers.set(timer, soon);
        }
    }

    /// Handles a new token: a request that failed for lack of one is repeated at once.
    pub(crate) fn handle_token(&mut self, now: Instant) {
        if self.latest != Some(Failure::Unauthorized) {
            return;
        }
        match self.state {
            State::Failed(_) if self.wanted => self.want(),
            State::Retrying => self.timers.set(Timer::Retry, now),
            State::Registered(_) if self.failures > 0 => self.timers.set(Timer::Refresh, now),
            _ => {}
        }
    }

    /// Whether the device failed for lack of a token, so that a new one brings it back.
    pub(crate) fn wants_token(&self) -> bool {
        matches!(self.state, State::Failed(_)) && self.latest == Some(Failure::Unauthorized)
    }

    /// The clock stood still while the machine slept, but the service's did not: the refresh is due
    /// sooner by that much.
    pub(crate) fn handle_slept(&mut self, now: Instant, unseen: Duration) {
        let sooner = |at: Instant| at.checked_sub(unseen).map_or(now, |at| at.max(now));
        self.ends = self.ends.map(sooner);
        if let Some(due) = self.timers.deadline(Timer::Refresh) {
            self.timers.set(Timer::Refresh, sooner(due));
        }
    }

    // --- what happened -------------------------------------------------------------------------

    /// The answer to [`Action::Restore`].
    pub(crate) fn handle_restored(&mut self, found: Option<Arc<Device>>) {
        if !matches!(self.state, State::Restoring) {
            return;
        }
        match found {
            Some(device) if self.wanted => self.refresh_now(device),
            Some(device) if self.end == End::Deleted => self.delete(device),
            None if self.wanted => self.register(),
            found => {
                self.left_behind = found.is_some();
                self.state = State::Absent;
            }
        }
    }

    /// The answer to [`Action::Register`] or [`Action::Refresh`].
    pub(crate) fn handle_record(&mut self, now: Instant, answer: Result<Arc<Device>, Failure>) {
        let old = match std::mem::replace(&mut self.state, State::Absent) {
            State::Registering => None,
            State::Refreshing(device) => Some(device),
            other => {
                self.state = other;
                return;
            }
        };
        self.latest = answer.as_ref().err().copied();
        match (answer, old) {
            (Ok(device), _) => self.registered(now, device),
            (Err(failure), Some(device)) => self.refresh_failed(now, device, failure),
            (Err(Failure::Excessive), None) if self.wanted && self.rooms < ROOM_TRIES => {
                self.rooms += 1;
                self.action = Some(Action::MakeRoom);
                self.state = State::MakingRoom;
            }
            (Err(failure), None) => self.register_failed(now, failure),
        }
    }

    /// The answer to [`Action::MakeRoom`]: how many devices are gone.
    pub(crate) fn handle_room(&mut self, now: Instant, answer: Result<usize, Failure>) {
        if !matches!(self.state, State::MakingRoom) {
            return;
        }
        match answer {
            Ok(1..) if self.wanted => self.register(),
            Ok(_) => self.register_failed(now, Failure::Excessive),
            Err(failure) => {
                self.latest = Some(failure);
                self.register_failed(now, failure);
            }
        }
    }

    /// The answer to [`Action::Delete`].
    pub(crate) fn handle_deleted(&mut self, answer: Result<(), Failure>) {
        let State::Deleting(device) = std::mem::replace(&mut self.state, State::Absent) else {
            return;
        };
        self.left_behind = false;
        // A device that is already gone counts as deleted.
        if !matches!(answer, Ok(()) | Err(Failure::NotFound)) {
            self.state = State::Left(device);
        }
        if self.wanted {
            self.want();
        }
    }

    /// A deadline has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match (timer, &self.state) {
                (Timer::Refresh, State::Registered(device)) => {
                    let device = Arc::clone(device);
                    self.refresh_now(device);
                }
                (Timer::Retry, State::Retrying) => self.register(),
                _ => {}
            }
        }
    }

    // --- what to do ----------------------------------------------------------------------------

    /// The next action.
    #[must_use = "an action that is dropped is never carried out"]
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    // --- steps ---------------------------------------------------------------------------------

    fn register(&mut self) {
        self.timers.clear();
        self.action = Some(Action::Register);
        self.state = State::Registering;
    }

    fn refresh_now(&mut self, device: Arc<Device>) {
        self.timers.clear();
        self.action = Some(Action::Refresh(Arc::clone(&device)));
        self.state = State::Refreshing(device);
    }

    fn delete(&mut self, device: Arc<Device>) {
        self.timers.clear();
        self.action = Some(Action::Delete(Arc::clone(&device)));
        self.state = State::Deleting(device);
    }

    fn unwanted(&mut self, end: End) {
        (self.wanted, self.proven, self.rooms, self.end) = (false, false, 0, end);
        // A request is in flight: the device of its answer is then deleted or durable.
        if let State::Failed(None) | State::Retrying = self.state {
            self.timers.clear();
            self.state = State::Absent;
        }
    }

    fn registered(&mut self, now: Instant, device: Arc<Device>) {
        (self.failures, self.rooms, self.latest) = (0, 0, None);
        match (self.wanted, self.end) {
            (true, _) => {
                self.proven = true;
                self.ends = self.ttl.map(|ttl| now + ttl);
                let wait = self.ttl.map_or(DURABLE_REFRESH, refresh_after);
                self.timers.set(Timer::Refresh, now + wait);
                self.state = State::Registered(device);
            }
            (false, End::Deleted) => self.delete(device),
            (false, End::Left) => {
                self.left_behind = true;
                self.state = State::Absent;
            }
        }
    }

    fn refresh_failed(&mut self, now: Instant, device: Arc<Device>, failure: Failure) {
        let gone = match failure {
            Failure::NotFound => true,
            // A device of an earlier run may now belong to another user.
            Failure::Refused => !self.proven,
            _ => false,
        };
        match (self.wanted, self.end) {
            (true, _) if gone => self.register(),
            (true, _) if self.ends.is_some_and(|end| end <= now) => self.register(),
            (true, _) if !self.proven && self.failures + 1 >= UNPROVEN_TRIES => {
                self.fail(Some(device));
            }
            (true, _) => {
                let wait = self.pause(failure);
                self.timers.set(Timer::Refresh, now + wait);
                self.state = State::Registered(device);
            }
            (false, End::Deleted) if !gone => self.delete(device),
            // Gone or durable: `handle_record` has set the state to `Absent`.
            (false, _) => {}
        }
    }

    fn register_failed(&mut self, now: Instant, failure: Failure) {
        self.rooms = 0;
        if !self.wanted {
            self.state = State::Absent;
        } else if self.proven {
            let wait = self.pause(failure);
            self.timers.set(Timer::Retry, now + wait);
            self.state = State::Retrying;
        } else {
            self.fail(None);
        }
    }

    fn fail(&mut self, device: Option<Arc<Device>>) {
        self.failures = 0;
        self.state = State::Failed(device);
    }

    /// Between half and all of 1, 2, 4 … 32 s, and never less than the service asked for: a failed
    /// request is repeated soon, but never at once.
    fn pause(&mut self, failure: Failure) -> Duration {
        let cap = Duration::from_secs(1 << self.failures.min(5)).min(RETRY_CAP);
        self.failures += 1;
        let own = cap.mul_f64(0.5 + self.random.f64() / 2.0);
        match failure {
            Failure::Wait(asked) => own.max(asked.min(WAIT_CAP)),
            _ => own,
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
