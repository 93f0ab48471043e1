//! Every duration and count of the device, with its source.

use std::time::Duration;

/// How long the cloud keeps a device that is not refreshed. Reference client: 1,800 s.
pub const EPHEMERAL_TTL: Duration = Duration::from_secs(1800);

/// How long the cloud keeps the device of a phone: 180 days, as the native SDKs request.
pub const MOBILE_TTL: Duration = Duration::from_secs(15_552_000);

/// Added to half the TTL before a refresh (reference client: 60 s, so 960 s for 1,800 s), unless a
/// short TTL leaves less time.
pub(super) const REFRESH_AFTER_HALF: Duration = Duration::from_secs(60);

/// How often a device without TTL is refreshed. The service drops one after 7 days without use; a
/// daily refresh also distinguishes it from unused devices, which may be deleted.
pub(crate) const DURABLE_REFRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest wait before a failed request is repeated.
pub(super) const RETRY_CAP: Duration = Duration::from_secs(32);

/// Wait from a hint to the repetition: hints come from outside and must not cause a fast loop.
pub(super) const HINT_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait that a service may ask for.
pub(super) const WAIT_CAP: Duration = Duration::from_secs(60 * 60);

/// How often room is made for one registration before its refusal is reported.
pub(super) const ROOM_TRIES: u32 = 3;

/// Minimum time between two replacements of a device whose socket address is refused for good: a
/// service that refuses every address must not get a new device every minute.
pub(crate) const REPLACE_PAUSE: Duration = Duration::from_secs(10 * 60);

/// How often the refresh of a device of an earlier run may fail before that is reported: about 5 s.
/// The caller then learns the reason, as for a first registration.
pub(super) const UNPROVEN_TRIES: u32 = 3;

/// A refresh may be late, and clocks differ: only after this margin does a device count as stale.
pub(super) const STALE_SLACK: Duration = Duration::from_secs(10 * 60);

/// Slightly more than half the TTL: late enough to be rare, early enough for several retries.
pub(super) fn refresh_after(ttl: Duration) -> Duration {
    ttl / 2 + REFRESH_AFTER_HALF.min(ttl / 4)
}
