//! The life of a WDM device as a state machine: no I/O, no clock.
//!
//! Driven like every machine of this crate: tell it what happened, carry out what
//! [`poll_action`](Machine::poll_action) hands out, sleep until
//! [`poll_timeout`](Machine::poll_timeout). At most one request is under way at a time.
//!
//! ```text
//!   Absent ── want ──► Registering ──► Registered ◄──► Refreshing
//!     ▲                    │ failed        │ not wanted
//!     │                    ▼               ▼
//!     └──────────────── Failed          Deleting ──► Absent, or Left (the service did not answer)
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Device;
use crate::timer::TimerTable;

/// Added to half the TTL before a refresh (reference client: 60 s, so 960 s for 1,800 s), unless a
/// short TTL leaves less room.
const REFRESH_AFTER_HALF: Duration = Duration::from_secs(60);

/// The longest wait before a failed request is repeated.
const RETRY_CAP: Duration = Duration::from_secs(32);

/// What the driver has to do. Each is answered once: [`Machine::handle_record`] for the first two,
/// [`Machine::handle_deleted`] for the third.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Register a device.
    Register,
    /// Refresh this one.
    Refresh(Arc<Device>),
    /// Delete this one.
    Delete(Arc<Device>),
}

/// Why a device request failed, as far as the machine cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The service does not know the device.
    NotFound,
    /// Anything else.
    Other,
}

/// What the device is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// There is none, and none is wanted.
    Absent,
    /// Being registered.
    Registering,
    /// Registered.
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
    Registering,
    /// The device was lost while in use, and registering it anew failed.
    Retrying,
    Registered(Arc<Device>),
    Refreshing(Arc<Device>),
    Deleting(Arc<Device>),
    Failed,
    Left(Arc<Device>),
}

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub struct Machine {
    wanted: bool,
    state: State,
    ttl: Option<Duration>,
    /// Whether there has been a device since it was wanted: then losing it is repaired by itself.
    held: bool,
    failures: u32,
    timers: TimerTable<Timer>,
    action: Option<Action>,
    random: fastrand::Rng,
}

impl Machine {
    /// A machine at rest. `ttl` as in [`DeviceConfig`](super::DeviceConfig); `seed` makes jitter
    /// repeatable.
    pub fn new(ttl: Option<Duration>, seed: u64) -> Self {
        Self {
            wanted: false,
            state: State::Absent,
            ttl,
            held: false,
            failures: 0,
            timers: TimerTable::default(),
            action: None,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// What the device is at.
    pub fn status(&self) -> Status {
        match self.state {
            State::Absent => Status::Absent,
            State::Registering | State::Retrying => Status::Registering,
            State::Registered(_) | State::Refreshing(_) => Status::Registered,
            State::Deleting(_) => Status::Deleting,
            State::Failed => Status::Failed,
            State::Left(_) => Status::Left,
        }
    }

    /// The device, while it is registered.
    pub fn device(&self) -> Option<&Arc<Device>> {
        match &self.state {
            State::Registered(device) | State::Refreshing(device) => Some(device),
            _ => None,
        }
    }

    /// Wants a device. One that could not be deleted is taken back.
    pub fn want(&mut self) {
        self.wanted = true;
        match &self.state {
            State::Absent | State::Failed => self.register(),
            State::Left(device) => {
                let device = Arc::clone(device);
                self.refresh_now(device);
            }
            _ => {}
        }
    }

    /// Wants none.
    pub fn unwant(&mut self) {
        self.wanted = false;
        self.held = false;
        match &self.state {
            State::Registered(device) | State::Left(device) => {
                let device = Arc::clone(device);
                self.delete(device);
            }
            State::Failed | State::Retrying => {
                self.timers.clear();
                self.state = State::Absent;
            }
            // The answer to the request under way decides: what it brings is deleted then.
            State::Registering | State::Refreshing(_) | State::Absent | State::Deleting(_) => {}
        }
    }

    /// Asks the service for the present record, because its socket address does not work.
    pub fn refresh(&mut self) {
        if let State::Registered(device) = &self.state {
            let device = Arc::clone(device);
            self.refresh_now(device);
        }
    }

    /// The answer to [`Action::Register`] or [`Action::Refresh`].
    pub fn handle_record(&mut self, now: Instant, answer: Result<Arc<Device>, Failure>) {
        let old = match std::mem::replace(&mut self.state, State::Absent) {
            State::Registering => None,
            State::Refreshing(device) => Some(device),
            other => {
                self.state = other;
                return;
            }
        };
        match (answer, old) {
            (Ok(device), _) if !self.wanted => self.delete(device),
            (Ok(device), _) => {
                self.held = true;
                self.failures = 0;
                if let Some(ttl) = self.ttl {
                    self.timers.set(Timer::Refresh, now + refresh_after(ttl));
                }
                self.state = State::Registered(device);
            }
            (Err(Failure::NotFound), Some(_)) if self.wanted => self.register(),
            (Err(Failure::NotFound), Some(_)) => {}
            (Err(Failure::Other), Some(device)) if self.wanted => {
                let wait = self.backoff();
                self.timers.set(Timer::Refresh, now + wait);
                self.state = State::Registered(device);
            }
            (Err(Failure::Other), Some(device)) => self.delete(device),
            (Err(_), None) if self.held => {
                let wait = self.backoff();
                self.timers.set(Timer::Retry, now + wait);
                self.state = State::Retrying;
            }
            (Err(_), None) => self.state = if self.wanted { State::Failed } else { State::Absent },
        }
    }

    /// The answer to [`Action::Delete`].
    pub fn handle_deleted(&mut self, answer: Result<(), Failure>) {
        let State::Deleting(device) = std::mem::replace(&mut self.state, State::Absent) else {
            return;
        };
        if answer == Err(Failure::Other) {
            self.state = State::Left(device);
        }
        if self.wanted {
            self.want();
        }
    }

    /// A deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
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

    /// The next thing to do.
    #[must_use = "an action that is dropped is never carried out"]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

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

    /// Between half and all of 1, 2, 4 … 32 s: a request that failed is repeated soon, but never
    /// at once.
    fn backoff(&mut self) -> Duration {
        let cap = Duration::from_secs(1 << self.failures.min(5)).min(RETRY_CAP);
        self.failures += 1;
        cap.mul_f64(0.5 + self.random.f64() / 2.0)
    }
}

/// Half the TTL, and a little more: late enough to be rare, early enough for several retries.
fn refresh_after(ttl: Duration) -> Duration {
    ttl / 2 + REFRESH_AFTER_HALF.min(ttl / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(1800);

    fn device(name: &str) -> Arc<Device> {
        let json =
            format!(r#"{{"url":"https://w/{name}","webSocketUrl":"wss://m/{name}","userId":"u"}}"#);
        Arc::new(serde_json::from_str(&json).unwrap())
    }

    /// A machine with a registered device.
    fn registered(now: Instant) -> Machine {
        let mut machine = Machine::new(Some(TTL), 1);
        machine.want();
        assert_eq!(machine.poll_action(), Some(Action::Register));
        machine.handle_record(now, Ok(device("a")));
        assert_eq!(machine.status(), Status::Registered);
        machine
    }

    #[test]
    fn refreshes_in_time_and_again() {
        let mut now = Instant::now();
        let mut machine = registered(now);
        for _ in 0..3 {
            let due = machine.poll_timeout().unwrap();
            assert_eq!(due - now, Duration::from_secs(960));
            now = due;
            machine.handle_timeout(now);
            assert_eq!(machine.poll_action(), Some(Action::Refresh(device("a"))));
            machine.handle_record(now, Ok(device("a")));
        }
    }

    #[test]
    fn a_short_ttl_is_refreshed_before_it_ends() {
        for seconds in [1, 10, 100, 240, 1800] {
            let ttl = Duration::from_secs(seconds);
            assert!(refresh_after(ttl) <= ttl * 3 / 4, "{ttl:?}");
        }
    }

    #[test]
    fn a_failed_refresh_is_repeated_while_the_device_lives() {
        let now = Instant::now();
        let mut machine = registered(now);
        machine.refresh();
        assert!(machine.poll_action().is_some());
        machine.handle_record(now, Err(Failure::Other));
        assert_eq!(machine.status(), Status::Registered);
        let wait = machine.poll_timeout().unwrap() - now;
        assert!(wait >= Duration::from_millis(500) && wait <= RETRY_CAP, "{wait:?}");
    }

    #[test]
    fn a_device_that_is_gone_is_registered_anew_until_it_works() {
        let mut now = Instant::now();
        let mut machine = registered(now);
        machine.refresh();
        assert!(matches!(machine.poll_action(), Some(Action::Refresh(_))));
        machine.handle_record(now, Err(Failure::NotFound));
        for _ in 0..8 {
            assert_eq!(machine.poll_action(), Some(Action::Register));
            machine.handle_record(now, Err(Failure::Other));
            assert_eq!(machine.status(), Status::Registering);
            let due = machine.poll_timeout().unwrap();
            assert!(due - now <= RETRY_CAP);
            now = due;
            machine.handle_timeout(now);
        }
        assert_eq!(machine.poll_action(), Some(Action::Register));
        machine.handle_record(now, Ok(device("b")));
        assert_eq!(machine.device(), Some(&device("b")));
    }

    #[test]
    fn a_refusal_at_first_is_told_and_not_repeated_by_itself() {
        let now = Instant::now();
        let mut machine = Machine::new(Some(TTL), 1);
        machine.want();
        assert!(machine.poll_action().is_some());
        machine.handle_record(now, Err(Failure::Other));
        assert_eq!((machine.status(), machine.poll_timeout()), (Status::Failed, None));
        machine.want();
        assert_eq!(machine.poll_action(), Some(Action::Register));
    }

    #[test]
    fn what_is_registered_after_it_was_withdrawn_is_deleted() {
        let now = Instant::now();
        let mut machine = Machine::new(None, 1);
        machine.want();
        assert!(machine.poll_action().is_some());
        machine.unwant();
        machine.handle_record(now, Ok(device("late")));
        assert_eq!(machine.poll_action(), Some(Action::Delete(device("late"))));
        machine.handle_deleted(Ok(()));
        assert_eq!(machine.status(), Status::Absent);
    }

    #[test]
    fn a_deletion_without_confirmation_can_be_repeated_or_taken_back() {
        let now = Instant::now();
        for want in [false, true] {
            let mut machine = registered(now);
            machine.unwant();
            assert!(matches!(machine.poll_action(), Some(Action::Delete(_))));
            machine.handle_deleted(Err(Failure::Other));
            assert_eq!(machine.status(), Status::Left);
            if want {
                machine.want();
            } else {
                machine.unwant();
            }
            let again = machine.poll_action().unwrap();
            let device = device("a");
            let expected = if want { Action::Refresh(device) } else { Action::Delete(device) };
            assert_eq!(again, expected);
        }
    }

    #[test]
    fn wanted_again_while_deleting_registers_anew() {
        let now = Instant::now();
        let mut machine = registered(now);
        machine.unwant();
        assert!(machine.poll_action().is_some());
        machine.want();
        assert_eq!(machine.poll_action(), None);
        machine.handle_deleted(Ok(()));
        assert_eq!(machine.poll_action(), Some(Action::Register));
    }
}
