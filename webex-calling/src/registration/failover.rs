//! The state of a failover, across a restart.
//!
//! A search for a server continues where it was; otherwise a program that restarts again and again
//! would never reach the backups. The saved state is read once, when the line first registers. A
//! state older than [`FAILOVER_STATE_MAX_AGE`](crate::timings::FAILOVER_STATE_MAX_AGE) is not used.
//! It is deleted when the line is registered, deregistered, or fails for good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How far a search for a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failover {
    /// The number of the next round of the primaries.
    pub(crate) attempt: u32,
    /// How long the search has been going on.
    pub(crate) elapsed: Duration,
    /// Whether the backups were next.
    pub(crate) backup: bool,
}

/// A [`Failover`] as it is saved, with the reference client's names and units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SavedFailover {
    attempt: u32,
    /// In seconds.
    time_elapsed: u64,
    /// In seconds since 1970.
    retry_scheduled_time: u64,
    server_type: ServerType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ServerType {
    Primary,
    Backup,
}

impl SavedFailover {
    /// Returns the form to save, at that time of the wall clock.
    pub(crate) fn new(failover: Failover, at: SystemTime) -> Self {
        Self {
            attempt: failover.attempt,
            time_elapsed: failover.elapsed.as_secs(),
            retry_scheduled_time: at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            server_type: if failover.backup { ServerType::Backup } else { ServerType::Primary },
        }
    }

    /// Returns the state and its age. A time in the future, from a clock that was set back, counts as
    /// very old.
    pub(crate) fn read(&self, at: SystemTime) -> (Failover, Duration) {
        let failover = Failover {
            attempt: self.attempt,
            elapsed: Duration::from_secs(self.time_elapsed),
            backup: self.server_type == ServerType::Backup,
        };
        let then = UNIX_EPOCH.checked_add(Duration::from_secs(self.retry_scheduled_time));
        let age = then.and_then(|then| at.duration_since(then).ok()).unwrap_or(Duration::MAX);
        (failover, age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_saved_in_the_reference_clients_form() {
        let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let failover = Failover { attempt: 2, elapsed: Duration::from_secs(41), backup: false };
        let saved = SavedFailover::new(failover, at);
        let json = serde_json::to_value(&saved).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"attempt": 2, "timeElapsed": 41,
                "retryScheduledTime": 1_700_000_000, "serverType": "primary"})
        );
        let read: SavedFailover = serde_json::from_value(json).unwrap();
        let age = Duration::from_secs(9);
        assert_eq!(read.read(at + age), (failover, age));
        assert_eq!(read.read(at - age).1, Duration::MAX, "the clock was set back");
    }
}
