//! Every duration of the service catalog, with its reason and source.
//!
//! "Reference client" is the official JavaScript SDK.

use std::time::Duration;

/// How long a saved catalog may be used (the reference client's limit).
pub(super) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// From this age on a catalog is refreshed in the background: half of [`KEPT_FOR`], so that a
/// program that runs daily never waits for one.
pub(super) const OLD: Duration = Duration::from_secs(12 * 60 * 60);

/// Minimum time between refreshes because of failing hosts or age. The network may be what fails.
pub(super) const REFRESH_PAUSE: Duration = Duration::from_secs(5 * 60);

/// How long a failed host is avoided while there are others. The reference client waits until all
/// have failed; a host that restarts is back within minutes.
pub(super) const FAILED_FOR: Duration = Duration::from_secs(5 * 60);

/// A request without an answer after this time counts against the host. A shorter one may only have
/// had a short deadline.
pub(super) const HOST_TIMEOUT: Duration = Duration::from_secs(10);

/// After an event the catalog is fetched within this time, at a random moment: the same event goes
/// to every client of an organisation, and several may come at once.
pub(super) const SPREAD: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_has_its_value() {
        let found = [KEPT_FOR, OLD, REFRESH_PAUSE, FAILED_FOR].map(|time| time.as_secs());
        assert_eq!(found, [86_400, 43_200, 300, 300]);
    }
}
