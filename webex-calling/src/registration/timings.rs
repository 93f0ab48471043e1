//! Every constant of a line's registration, with its unit, source and reason.
//!
//! "Reference client" is the official JavaScript SDK. Where the server names a time, that wins,
//! within the bounds given here.

use std::{ops::RangeInclusive, time::Duration};

// --- keepalive ---------------------------------------------------------------------------------

/// Time between keepalives where the server names none. Reference client.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The shortest time between keepalives that a server may ask for. Below it a mistake of the
/// server's would become a flood.
pub const KEEPALIVE_MIN: Duration = Duration::from_secs(1);

/// The longest time between keepalives that a server may ask for: an hour, after which a dead
/// registration should have been noticed.
pub const KEEPALIVE_MAX: Duration = Duration::from_secs(3600);

/// The first keepalive comes up to this part of an interval early (1/10), at random: lines that
/// were registered in the same moment are then not in step for ever. Only early, because the
/// interval may be all that the server grants.
pub const KEEPALIVE_SPREAD: u32 = 10;

/// Keepalives missed in a row after which a registration counts as lost. Reference client, for
/// calling and guest calling.
pub const KEEPALIVE_THRESHOLD: u32 = 5;

/// The same for the contact center. Reference client.
pub const KEEPALIVE_THRESHOLD_CONTACT_CENTER: u32 = 4;

/// How long a keepalive may wait for its answer. The reference client waits for ever over HTTP,
/// and 10 s on its websocket.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

// --- looking for a server ----------------------------------------------------------------------

/// Base of the wait between two rounds of the primaries. Reference client.
pub const RETRY_BASE: Duration = Duration::from_secs(30);

/// Base of the part of that wait that grows: 2 to the power of the attempt, in seconds. Reference
/// client.
pub const RETRY_EXPONENT_BASE: u64 = 2;

/// Bounds of the random part of that wait. Reference client: 1,000 to 10,000 ms, whole seconds.
pub const RETRY_RANDOM_S: RangeInclusive<u64> = 1..=10;

/// How long the primaries are tried before the backups are. Reference client.
pub const FAILOVER_AFTER: Duration = Duration::from_secs(114);

/// The shortest wait worth another round of the primaries; when less is left of
/// [`FAILOVER_AFTER`], the backups are tried at once. Reference client.
pub const FAILOVER_MIN_WAIT: Duration = Duration::from_secs(30);

/// How old a saved failover state may be to be gone on with. The reference client has no limit, so
/// that a state of last week sends a line straight to the backups. Five minutes: a restart, not a
/// holiday.
pub const FAILOVER_STATE_MAX_AGE: Duration = Duration::from_secs(300);

/// How long after all servers have refused a line they are tried again, by default. The reference
/// client does not. Five minutes: soon enough for people, rare enough for a service in trouble.
pub const SLOW_RETRY: Duration = Duration::from_secs(300);

/// The shortest such wait that an application may choose: all servers are asked after each, and
/// sooner than [`RETRY_BASE`] not even the first rounds come.
pub const SLOW_RETRY_MIN: Duration = RETRY_BASE;

/// That wait is longer or shorter by up to this part of it (1/5), at random: the lines that a
/// failing service has lost do not come back in step.
pub const SLOW_RETRY_SPREAD: u32 = 5;

/// How long asking for the servers anew may take before the known ones are used: region, catalog
/// and one cluster, each with time for a slow answer.
pub const REDISCOVERY_LIMIT: Duration = Duration::from_secs(60);

// --- Retry-After -------------------------------------------------------------------------------

/// What 429 without a usable `Retry-After` asks for. The reference client asks again at once.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

/// The bounds within which a server's `Retry-After` is kept to.
pub const RETRY_AFTER_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);

/// A `Retry-After` shorter than this is waited for; from here on other servers are tried instead.
/// Reference client.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

// --- failback ----------------------------------------------------------------------------------

/// The soonest failback where the registration in force names none. Reference client: 60 min.
pub const REHOMING_MIN: Duration = Duration::from_secs(60 * 60);

/// The latest failback where the registration in force names none. Reference client: 120 min.
pub const REHOMING_MAX: Duration = Duration::from_secs(120 * 60);

/// The bounds within which a server's rehoming interval is kept to. A second, so that a mistake
/// does not become a flood; a day, so that it does not strand the line.
pub const REHOMING_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// How often in a row a failback that met 429 is tried again soon, before the next rehoming
/// interval is awaited. Reference client.
pub const FAILBACK_429_RETRIES: u32 = 5;

/// How long a server may take to say that it is up.
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);

// --- everything else ---------------------------------------------------------------------------

/// How long [`Line::deregister`](crate::Line::deregister) may take: time for one slow answer, and
/// little enough for a program that wants to end.
pub const DEREGISTER_LIMIT: Duration = Duration::from_secs(5);

/// How often it is seen whether the calls have ended that a move waits for. Reference client.
pub const CALLS_POLL: Duration = Duration::from_secs(5);

/// The least time between what the network's return, a change of network or a wake-up causes and
/// the request before: a network that flaps must not become a flood. Reference client's flap timer.
pub const HINT_GAP: Duration = Duration::from_secs(5);

/// The wait before round `attempt + 1`: 30 s + 2^attempt s + 1 to 10 s.
pub fn retry_interval(attempt: u32, random: &mut fastrand::Rng) -> Duration {
    let exponential = Duration::from_secs(RETRY_EXPONENT_BASE.pow(attempt.min(16)));
    RETRY_BASE + exponential + Duration::from_secs(random.u64(RETRY_RANDOM_S))
}

/// An interval, shortened at random by up to 1/[`KEEPALIVE_SPREAD`].
pub fn spread(interval: Duration, random: &mut fastrand::Rng) -> Duration {
    let early = between(Duration::ZERO, interval / KEEPALIVE_SPREAD, random);
    interval.saturating_sub(early)
}

/// What a server asks for, within [`RETRY_AFTER_BOUNDS`].
pub fn retry_after(asked: Duration) -> Duration {
    asked.clamp(*RETRY_AFTER_BOUNDS.start(), *RETRY_AFTER_BOUNDS.end())
}

/// A time drawn evenly between two, whichever of them is the longer.
pub fn between(a: Duration, b: Duration, random: &mut fastrand::Rng) -> Duration {
    let (low, high) = (a.min(b).as_millis() as u64, a.max(b).as_millis() as u64);
    Duration::from_millis(random.u64(low..=high))
}
