//! The difference between this machine's clock and the service's.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// The difference between this machine's clock and the service's.
#[derive(Debug)]
pub(crate) struct ClockOffset(AtomicI64);

impl Default for ClockOffset {
    fn default() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }
}

/// Marks an unknown offset; no clock can be that far off.
const UNKNOWN: i64 = i64::MIN;

impl ClockOffset {
    /// Records a message that the service wrote at `theirs`, in milliseconds since 1970.
    pub(crate) fn observe(&self, ours: SystemTime, theirs: i64) {
        let since = ours.duration_since(UNIX_EPOCH).unwrap_or_default();
        let ours = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.0.store(ours.saturating_sub(theirs), Ordering::Relaxed);
    }

    /// By how many milliseconds this machine's clock is ahead, according to the latest message.
    pub(crate) fn ms(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|offset| *offset != UNKNOWN)
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
}
