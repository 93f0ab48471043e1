//! Combines two clocks into one that neither sleep nor a changed wall clock can turn back.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

/// A point in time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of day. Goes on during sleep; can be set.
    pub wall: SystemTime,
    /// Time since any fixed point. Cannot be set; may stand still during sleep.
    pub monotonic: Duration,
}

/// A source of time. Programs use [`SystemClock`]; tests use virtual time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The current moment.
    fn now(&self) -> Moment;
}

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment { wall: SystemTime::now(), monotonic: self.0.elapsed() }
    }
}

/// Time that never goes back: at each step it advances by the clock that advanced more.
///
/// A wall clock that is set forward looks like sleep and counts as time. This can only cause an
/// early renewal, never the use of an expired token.
#[derive(Debug)]
pub(super) struct SteadyClock {
    last: Option<Moment>,
    elapsed: Duration,
}

impl SteadyClock {
    pub(super) fn new() -> Self {
        Self { last: None, elapsed: Duration::ZERO }
    }

    /// Advances to `now` and returns the time since the first call.
    pub(super) fn advance(&mut self, now: Moment) -> Duration {
        if let Some(last) = self.last {
            let monotonic = now.monotonic.saturating_sub(last.monotonic);
            let wall = now.wall.duration_since(last.wall).unwrap_or_default();
            self.elapsed = self.elapsed.saturating_add(monotonic.max(wall)).min(END_OF_TIME);
        }
        self.last = Some(now);
        self.elapsed
    }
}

/// Adding a pause to it does not overflow, even with an absurd wall clock.
const END_OF_TIME: Duration = Duration::from_secs(u64::MAX / 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sleep_and_ignores_a_clock_that_is_set_back() {
        let moment = |wall, monotonic| Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(wall),
            monotonic: Duration::from_secs(monotonic),
        };
        let mut steady = SteadyClock::new();
        let mut at = |wall, monotonic| steady.advance(moment(wall, monotonic)).as_secs();
        assert_eq!(at(1_000, 0), 0);
        assert_eq!(at(1_010, 10), 10, "both go on");
        assert_eq!(at(1_110, 11), 110, "sleep");
        assert_eq!(at(10, 21), 120, "the wall clock is set back");
        assert_eq!(at(20, 31), 130, "and goes on from there");
    }
}
