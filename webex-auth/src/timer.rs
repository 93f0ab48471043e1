//! The deadlines of a state machine, and the clock of its driver.
//!
//! Every machine of the SDK keeps its timers in a [`TimerTable`]; `webex_core::timer` is this module.

use std::time::Instant;

/// The current time, for a machine. Uses tokio's clock, so that tests can pause it.
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

/// The timers of one machine: at most one deadline per timer, soonest first.
///
/// A machine has only a few timers, so a list is faster than a map. `T` is the machine's `Timer`
/// enum; `I` is its time: a point on the clock or the time since its start.
#[derive(Debug, Clone)]
pub struct TimerTable<T, I = Instant> {
    armed: Vec<(T, I)>,
}

impl<T, I> Default for TimerTable<T, I> {
    fn default() -> Self {
        Self { armed: Vec::new() }
    }
}

impl<T: Copy + Eq, I: Copy + Ord> TimerTable<T, I> {
    /// Arms a timer, replacing its earlier deadline. `None` disarms it.
    pub fn set(&mut self, timer: T, at: impl Into<Option<I>>) {
        self.stop(timer);
        self.armed.extend(at.into().map(|at| (timer, at)));
    }

    /// Disarms a timer, if it is armed.
    pub fn stop(&mut self, timer: T) {
        self.armed.retain(|(armed, _)| *armed != timer);
    }

    /// Disarms all.
    pub fn clear(&mut self) {
        self.armed.clear();
    }

    /// When a timer is due, if it is armed.
    pub fn deadline(&self, timer: T) -> Option<I> {
        self.armed.iter().find(|(armed, _)| *armed == timer).map(|(_, at)| *at)
    }

    /// The soonest deadline.
    pub fn next(&self) -> Option<I> {
        self.armed.iter().map(|(_, at)| *at).min()
    }

    /// Removes and returns the most overdue timer; call until it returns `None`.
    #[must_use = "an expired timer that is dropped is lost"]
    pub fn expire(&mut self, now: I) -> Option<T> {
        let due = self.armed.iter().filter(|(_, at)| *at <= now);
        let (timer, _) = *due.min_by_key(|(_, at)| *at)?;
        self.stop(timer);
        Some(timer)
    }

    /// As [`expire`](Self::expire), but of the timers that are due together it returns the first in
    /// this order, however overdue the others are. A timer that is not in `order` stays.
    #[must_use = "an expired timer that is dropped is lost"]
    pub fn expire_in_order(&mut self, order: &[T], now: I) -> Option<T> {
        let due = |timer: &T| self.deadline(*timer).is_some_and(|at| at <= now);
        let timer = order.iter().copied().find(due)?;
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn table() -> TimerTable<char, u32> {
        let mut timers = TimerTable::default();
        timers.set('b', 20);
        timers.set('a', 10);
        timers.set('c', 30);
        timers.set('c', 15);
        timers
    }

    #[test]
    fn expires_soonest_first_and_once() {
        let mut timers = table();
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.expire(9), None);
        assert_eq!(timers.expire(16), Some('a'));
        assert_eq!(timers.expire(16), Some('c'));
        assert_eq!(timers.expire(16), None);
        timers.stop('b');
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_machine_may_order_timers_that_are_due_together() {
        let mut timers = table();
        let order = ['c', 'b', 'a'];
        assert_eq!(timers.expire_in_order(&order, 9), None);
        assert_eq!(timers.expire_in_order(&order, 16), Some('c'));
        assert_eq!(timers.expire_in_order(&order, 16), Some('a'));
        assert_eq!(timers.expire_in_order(&order, 16), None);
        assert_eq!(timers.deadline('b'), Some(20));
        timers.set('b', None);
        assert_eq!(timers.next(), None);
        timers.set('b', 1);
        timers.clear();
        assert_eq!(timers.deadline('b'), None);
    }

    #[tokio::test(start_paused = true)]
    async fn sleeps_until_the_deadline_and_not_longer() {
        let (start, wait) = (now(), Duration::from_secs(3));
        sleep_until(Some(start + wait)).await;
        assert_eq!(now() - start, wait);
        assert!(tokio::time::timeout(wait, sleep_until(None)).await.is_err());
    }
}
