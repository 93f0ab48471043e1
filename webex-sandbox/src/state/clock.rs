//! The clock that answers tell (`Date`).

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use http::HeaderValue;

/// Furthest that the clock is off, seconds: a hundred years, so that dates have four digits.
const LIMIT: i64 = 100 * 365 * 24 * 3_600;

/// How far it is off, in seconds.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicI64);

impl Clock {
    pub(crate) fn set_skew(&self, seconds: i64) {
        self.0.store(seconds.clamp(-LIMIT, LIMIT), Ordering::Release);
    }

    pub(crate) fn skew(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    /// The date to tell; `None` when the clock is right, and the server's own will do.
    pub(crate) fn date(&self) -> Option<HeaderValue> {
        let skew = self.skew();
        let by = Duration::from_secs(skew.unsigned_abs());
        let now = SystemTime::now();
        let told = match skew {
            0 => return None,
            1.. => now.checked_add(by)?,
            // There is no date before 1970.
            _ => now.checked_sub(by)?.max(SystemTime::UNIX_EPOCH),
        };
        HeaderValue::from_str(&httpdate::fmt_http_date(told)).ok()
    }
}
