//! The deadlines of a state machine, and the clock of those who drive one.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// The present time, for a machine. tokio's clock, so that tests can pause it.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Sleeps until the deadline; for ever without one.
pub async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// How far this machine's clock is from the service's.
#[derive(Debug)]
pub(crate) struct ClockOffset(AtomicI64);

impl Default for ClockOffset {
    fn default() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }
}

/// An offset that no clock can have.
const UNKNOWN: i64 = i64::MIN;

impl ClockOffset {
    /// What the service wrote at `theirs`, in milliseconds since 1970, has arrived.
    pub(crate) fn observe(&self, ours: SystemTime, theirs: i64) {
        let since = ours.duration_since(UNIX_EPOCH).unwrap_or_default();
        let ours = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.0.store(ours.saturating_sub(theirs), Ordering::Relaxed);
    }

    /// By how many milliseconds this machine's clock is ahead, as the latest message shows.
    pub(crate) fn ms(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|offset| *offset != UNKNOWN)
    }
}

/// The timers of one machine: at most one deadline per timer, soonest first when asked.
///
/// A machine has a handful, so a list beats a map. `T` is the machine's one `Timer` enum.
#[derive(Debug, Clone)]
pub struct TimerTable<T> {
    armed: Vec<(T, Instant)>,
}

impl<T> Default for TimerTable<T> {
    fn default() -> Self {
        Self { armed: Vec::new() }
    }
}

impl<T: Copy + Eq> TimerTable<T> {
    /// Arms a timer, replacing its earlier deadline.
    pub fn set(&mut self, timer: T, at: Instant) {
        self.stop(timer);
        self.armed.push((timer, at));
    }

    /// Disarms a timer; nothing happens when it is not armed.
    pub fn stop(&mut self, timer: T) {
        self.armed.retain(|(armed, _)| *armed != timer);
    }

    /// Disarms all.
    pub fn clear(&mut self) {
        self.armed.clear();
    }

    /// When a timer is due, if it is armed.
    pub fn deadline(&self, timer: T) -> Option<Instant> {
        self.armed.iter().find(|(armed, _)| *armed == timer).map(|(_, at)| *at)
    }

    /// The soonest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.armed.iter().map(|(_, at)| *at).min()
    }

    /// Takes the most overdue timer out of the table; call until it answers `None`.
    #[must_use = "an expired timer that is dropped is lost"]
    pub fn expire(&mut self, now: Instant) -> Option<T> {
        let due = self.armed.iter().enumerate().filter(|(_, (_, at))| *at <= now);
        let (index, _) = due.min_by_key(|(_, (_, at))| *at)?;
        Some(self.armed.remove(index).0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_offset_is_unknown_until_something_is_heard() {
        let clock = ClockOffset::default();
        assert_eq!(clock.ms(), None);
        let ours = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        clock.observe(ours, 1_700_000_000_250);
        assert_eq!(clock.ms(), Some(-250), "this machine is behind");
        clock.observe(ours, i64::MIN);
        assert_eq!(clock.ms(), Some(i64::MAX));
    }

    #[test]
    fn expires_in_order_and_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = TimerTable::default();
        timers.set('b', at(20));
        timers.set('a', at(10));
        timers.set('c', at(30));
        timers.set('c', at(15));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.expire(at(9)), None);
        assert_eq!(timers.expire(at(16)), Some('a'));
        assert_eq!(timers.expire(at(16)), Some('c'));
        assert_eq!(timers.expire(at(16)), None);
        timers.stop('b');
        assert_eq!(timers.next(), None);
    }
}
