//! Every duration and count of the device, with its source.

use std::time::Duration;

/// How long the cloud keeps a device that is not refreshed. Reference client: 1,800 s.
pub const EPHEMERAL_TTL: Duration = Duration::from_secs(1800);

/// How long the cloud keeps the device of a phone: 180 days, as the native SDKs ask for.
pub const MOBILE_TTL: Duration = Duration::from_secs(15_552_000);

/// Added to half the TTL before a refresh (reference client: 60 s, so 960 s for 1,800 s), unless a
/// short TTL leaves less room.
pub(super) const REFRESH_AFTER_HALF: Duration = Duration::from_secs(60);

/// How often a device without TTL is refreshed. The service forgets one after 7 days without use;
/// a day also tells it from those that nobody uses any more, which others may delete.
pub(crate) const DURABLE_REFRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest wait before a failed request is repeated.
pub(super) const RETRY_CAP: Duration = Duration::from_secs(32);

/// From a hint to the repetition: hints come from outside and must not make a fast loop.
pub(super) const HINT_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait that a service may ask for.
pub(super) const WAIT_CAP: Duration = Duration::from_secs(60 * 60);

/// How often room is made for one registration before its refusal is told.
pub(super) const ROOM_TRIES: u32 = 3;

/// How soon after a device was made anew, because its socket address was refused for good, another
/// one may be: a service that refuses every address must not be asked for a new device every minute.
pub(crate) const REPLACE_PAUSE: Duration = Duration::from_secs(10 * 60);

/// How often the refresh of a device of an earlier run may fail before that is told: about 5 s.
/// Then whoever waits learns why, as for a first registration.
pub(super) const UNPROVEN_TRIES: u32 = 3;

/// A refresh may be late, and clocks differ: so much later a device counts as stale.
pub(super) const STALE_SLACK: Duration = Duration::from_secs(10 * 60);

/// Half the TTL, and a little more: late enough to be rare, early enough for several retries.
pub(super) fn refresh_after(ttl: Duration) -> Duration {
    ttl / 2 + REFRESH_AFTER_HALF.min(ttl / 4)
}
