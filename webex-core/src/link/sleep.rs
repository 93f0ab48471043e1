//! Detects that the machine has slept: no I/O, no clock, like every machine of this crate.
//!
//! It compares two clocks. The monotonic clock, which timers use, stands still during suspend on
//! Linux, Android, macOS and iOS, while the wall clock goes on: more wall time than monotonic time
//! has passed. On Windows both go on, and so they do when a program is stopped and continued, or a
//! virtual machine is paused: then much more time has passed than the program meant to wait.
//! Linux's `CLOCK_BOOTTIME` would show only the first kind, and only there.
//!
//! A wall clock that is set forward looks the same. This costs one ping.

use std::time::{Duration, Instant, SystemTime};

use super::timings::{SLEEP_CHECK_INTERVAL, SLEEP_THRESHOLD};

/// The clocks at the last comparison.
#[derive(Debug)]
pub(super) struct SleepWatch {
    monotonic: Instant,
    wall: SystemTime,
}

impl SleepWatch {
    pub(super) fn new(now: Instant, wall: SystemTime) -> Self {
        Self { monotonic: now, wall }
    }

    /// When to call [`observe`](Self::observe) at the latest; sooner and more often is fine.
    pub(super) fn due(&self) -> Instant {
        self.monotonic + SLEEP_CHECK_INTERVAL
    }

    /// Compares the clocks with the last call. Returns how long the machine has slept since, if it did.
    pub(super) fn observe(&mut self, now: Instant, wall: SystemTime) -> Option<Slept> {
        let monotonic = now.saturating_duration_since(self.monotonic);
        // A wall clock that was set back shows nothing.
        let by_wall = wall.duration_since(self.wall).unwrap_or_default().saturating_sub(monotonic);
        let by_lateness = monotonic.saturating_sub(SLEEP_CHECK_INTERVAL);
        *self = Self::new(now, wall);
        let slept = Slept { time: by_wall.max(by_lateness), unseen: by_wall };
        (slept.time > SLEEP_THRESHOLD).then_some(slept)
    }
}

/// A sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slept {
    /// How long it was.
    pub(super) time: Duration,
    /// The part that the monotonic clock does not show: timers are late by this much.
    pub(super) unseen: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is detected when these seconds pass on each clock.
    fn found(monotonic: u64, wall: i64) -> Option<u64> {
        let (start, epoch) =
            (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30));
        let mut watch = SleepWatch::new(start, epoch);
        let by = Duration::from_secs(wall.unsigned_abs());
        let wall = if wall < 0 { epoch - by } else { epoch + by };
        let slept = watch.observe(start + Duration::from_secs(monotonic), wall);
        assert_eq!(watch.observe(watch.due(), wall + SLEEP_CHECK_INTERVAL), None, "told once");
        slept.map(|slept| slept.time.as_secs())
    }

    #[test]
    fn a_sleep_shows_on_the_wall_clock() {
        assert_eq!(found(5, 3605), Some(3600));
        assert_eq!(found(0, 6), Some(6));
        assert_eq!(found(3, 8), None, "too short to matter");
    }

    #[test]
    fn the_clocks_are_looked_at_again_after_an_interval() {
        let start = Instant::now();
        let watch = SleepWatch::new(start, SystemTime::UNIX_EPOCH);
        assert_eq!(watch.due(), start + SLEEP_CHECK_INTERVAL);
    }

    #[test]
    fn a_stopped_program_shows_on_both_clocks() {
        assert_eq!(found(65, 65), Some(60));
        assert_eq!(found(10, 10), None, "a busy machine");
    }

    #[test]
    fn the_part_that_timers_missed_is_separate() {
        let (start, epoch) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let second = Duration::from_secs(1);
        for (monotonic, wall, unseen) in [(5, 65, 60), (65, 65, 0), (65, 75, 10)] {
            let mut watch = SleepWatch::new(start, epoch);
            let slept = watch.observe(start + second * monotonic, epoch + second * wall).unwrap();
            assert_eq!(slept, Slept { time: second * 60, unseen: second * unseen });
        }
    }

    #[test]
    fn a_clock_that_is_set_does_no_harm() {
        assert_eq!(found(5, -86_400), None);
        assert_eq!(found(0, 0), None);
    }
}
