//! Every constant of discovery and of a line's registration, with its unit, source and reason.
//!
//! "Reference client" is the official JavaScript SDK. A time that the server sends takes precedence,
//! within the bounds given here.

use std::{ops::RangeInclusive, time::Duration};

pub use crate::model::policy::{SLOW_RETRY, SLOW_RETRY_MIN};

// --- discovery ---------------------------------------------------------------------------------

/// The most servers that are accepted from discovery. Real answers list a handful; each server costs
/// a request in every round.
pub const MAX_SERVERS: usize = 64;

/// Time allowed for discovering the servers again before the known ones are used: region, catalog and
/// one cluster, each with time for a slow answer.
pub const REDISCOVERY_LIMIT: Duration = Duration::from_secs(60);

// --- keepalive ---------------------------------------------------------------------------------

/// Time between keepalives if the server sends none. Reference client.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The shortest time between keepalives that a server may ask for, so that a mistake of the server
/// causes no flood.
pub const KEEPALIVE_MIN: Duration = Duration::from_secs(1);

/// The longest time between keepalives that a server may ask for. A dead registration should be
/// noticed within an hour.
pub const KEEPALIVE_MAX: Duration = Duration::from_secs(3600);

/// The first keepalive is sent up to this part of an interval early (1/10), at random, so that lines
/// registered at the same moment do not stay in step. Never late, because the server may drop the
/// registration after the interval.
pub const KEEPALIVE_SPREAD: u32 = 10;

/// Keepalives missed in a row after which a registration is lost. Reference client, for calling and
/// guest calling.
pub const KEEPALIVE_THRESHOLD: u32 = 5;

/// The same for the contact center. Reference client.
pub const KEEPALIVE_THRESHOLD_CONTACT_CENTER: u32 = 4;

/// Time allowed for the answer to a keepalive. The reference client waits for ever over HTTP, and
/// 10 s on its websocket.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

// --- the search for a server -------------------------------------------------------------------

/// Base of the wait between two rounds of the primaries. Reference client.
pub const RETRY_BASE: Duration = Duration::from_secs(30);

/// Base of the part of that wait that grows: 2 to the power of the attempt, in seconds. Reference
/// client.
pub const RETRY_EXPONENT_BASE: u64 = 2;

/// Bounds of the random part of that wait. Reference client: 1,000 to 10,000 ms, whole seconds.
pub const RETRY_RANDOM_S: RangeInclusive<u64> = 1..=10;

/// Time for which the primaries are tried before the backups. Reference client.
pub const FAILOVER_AFTER: Duration = Duration::from_secs(114);

/// The shortest wait before another round of the primaries. When less is left of
/// [`FAILOVER_AFTER`], the backups follow at once. Reference client.
pub const FAILOVER_MIN_WAIT: Duration = Duration::from_secs(30);

/// The greatest age of a saved failover state that is still used. The reference client has no limit,
/// so that a state of last week sends a line straight to the backups. Five minutes cover a restart.
pub const FAILOVER_STATE_MAX_AGE: Duration = Duration::from_secs(300);

/// [`SLOW_RETRY`] varies by up to this part of it (1/5), at random, so that the lines that a failing
/// service has lost do not come back in step.
pub const SLOW_RETRY_SPREAD: u32 = 5;

/// Time that the report of a registration unknown to its server waits for the answer to the next
/// registration request: a takeover by another device is then reported as one event. Two seconds
/// cover a normal answer.
pub const LOSS_REPORT_DELAY: Duration = Duration::from_secs(2);

/// Base of the wait after a failed attempt to register with the address of a new WDM device; it
/// doubles up to [`RENEWAL_RETRY_MAX`]. The registration in force is valid meanwhile, but its calls
/// are announced to the old device.
pub const RENEWAL_RETRY: Duration = Duration::from_secs(10);

/// The longest such wait.
pub const RENEWAL_RETRY_MAX: Duration = Duration::from_secs(320);

// --- Retry-After -------------------------------------------------------------------------------

/// The pause after a 429 without a usable `Retry-After`. The reference client makes none.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

/// The bounds for a server's `Retry-After`.
pub const RETRY_AFTER_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);

/// A `Retry-After` shorter than this is waited for; otherwise other servers are tried. Reference
/// client.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

// --- failback ----------------------------------------------------------------------------------

/// Shortest time until a failback if the registration has none. Reference client: 60 min.
pub const REHOMING_MIN: Duration = Duration::from_secs(60 * 60);

/// Longest time until a failback if the registration has none. Reference client: 120 min.
pub const REHOMING_MAX: Duration = Duration::from_secs(120 * 60);

/// The bounds for a server's rehoming interval, so that a mistake of the server neither causes a
/// flood nor strands the line.
pub const REHOMING_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Failbacks in a row that are answered 429 and tried again soon. After that the next rehoming
/// interval is awaited. Reference client.
pub const FAILBACK_429_RETRIES: u32 = 5;

/// Time allowed for the answer to a ping.
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);

// --- others ------------------------------------------------------------------------------------

/// Time allowed for [`Line::deregister`](crate::Line::deregister): enough for one slow answer, and
/// short enough for a program that wants to end.
pub const DEREGISTER_LIMIT: Duration = Duration::from_secs(5);

/// Time between checks whether the calls have ended that a move waits for. Reference client.
pub const CALLS_POLL: Duration = Duration::from_secs(5);

/// The shortest time between a request that a change of the network causes and the request before, so
/// that a flapping network causes no flood. Reference client's flap timer.
pub const HINT_GAP: Duration = Duration::from_secs(5);

/// Returns the wait before round `attempt + 1`: 30 s + 2^attempt s + 1 to 10 s.
pub(crate) fn retry_interval(attempt: u32, random: &mut fastrand::Rng) -> Duration {
    let exponential = Duration::from_secs(RETRY_EXPONENT_BASE.pow(attempt.min(16)));
    RETRY_BASE + exponential + Duration::from_secs(random.u64(RETRY_RANDOM_S))
}

/// Returns the interval, shortened at random by up to 1/[`KEEPALIVE_SPREAD`].
pub(crate) fn spread(interval: Duration, random: &mut fastrand::Rng) -> Duration {
    let early = between(Duration::ZERO, interval / KEEPALIVE_SPREAD, random);
    interval.saturating_sub(early)
}

/// Returns the pause that a server asked for, within [`RETRY_AFTER_BOUNDS`].
pub(crate) fn retry_after(asked: Duration) -> Duration {
    asked.clamp(*RETRY_AFTER_BOUNDS.start(), *RETRY_AFTER_BOUNDS.end())
}

/// Returns a random time between two, in either order.
pub(crate) fn between(a: Duration, b: Duration, random: &mut fastrand::Rng) -> Duration {
    let (low, high) = (a.min(b).as_millis() as u64, a.max(b).as_millis() as u64);
    Duration::from_millis(random.u64(low..=high))
}
