//! The clock that answers report (`Date`).

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use http::HeaderValue;

/// Largest clock error, seconds: a hundred years, so that years keep four digits.
const LIMIT: i64 = 100 * 365 * 24 * 3_600;

/// The error of the clock, in seconds.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicI64);

impl Clock {
    pub(crate) fn set_skew(&self, seconds: i64) {
        self.0.store(seconds.clamp(-LIMIT, LIMIT), Ordering::Release);
    }

    pub(crate) fn skew(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    /// The date to report. `None` when the clock is right and the server's own date can be used.
    pub(crate) fn date(&self) -> Option<HeaderValue> {
        let skew = self.skew();
        let by = Duration::from_secs(skew.unsigned_abs());
        let now = SystemTime::now();
        let told = match skew {
            0 => return None,
            1.. => now.checked_add(by)?,
            // Dates before 1970 cannot be sent.
            _ => now.checked_sub(by)?.max(SystemTime::UNIX_EPOCH),
        };
        HeaderValue::from_str(&httpdate::fmt_http_date(told)).ok()
    }
}
