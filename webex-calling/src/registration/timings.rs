//! Every constant of a line's registration, with its source.

use std::time::Duration;

/// Time between keepalives where the server names none. Reference client.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The shortest time between keepalives that a server may ask for. Below it a mistake of the
/// server's would become a flood.
pub const KEEPALIVE_MIN: Duration = Duration::from_secs(1);

/// The longest time between keepalives that a server may ask for: an hour, after which a dead
/// registration should have been noticed.
pub const KEEPALIVE_MAX: Duration = Duration::from_secs(3600);

/// Keepalives missed in a row after which a registration counts as lost. Reference client, for
/// calling and guest calling.
pub const KEEPALIVE_THRESHOLD: u32 = 5;

/// The same for the contact center. Reference client.
pub const KEEPALIVE_THRESHOLD_CONTACT_CENTER: u32 = 4;

/// Base of the wait between two rounds of the primaries. Reference client.
pub const RETRY_BASE: Duration = Duration::from_secs(30);

/// Bounds of the random part of that wait. Reference client: 1,000 to 10,000 ms, whole seconds.
pub const RETRY_RANDOM_S: std::ops::RangeInclusive<u64> = 1..=10;

/// How long the primaries are tried before the backups are. Reference client.
pub const FAILOVER_AFTER: Duration = Duration::from_secs(114);

/// The shortest wait worth another round of the primaries; when less is left of
/// [`FAILOVER_AFTER`], the backups are tried at once. Reference client.
pub const FAILOVER_MIN_WAIT: Duration = Duration::from_secs(30);

/// A `Retry-After` of the backups up to here replaces the wait before their second round.
/// Reference client.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How long after all servers have refused a line they are tried again, by default. The reference
/// client does not. Five minutes: soon enough for people, rare enough for a service in trouble.
pub const SLOW_RETRY: Duration = Duration::from_secs(300);

/// The wait before round `attempt + 1`: 30 s + 2^attempt s + 1 to 10 s.
pub fn retry_interval(attempt: u32, random: &mut fastrand::Rng) -> Duration {
    let exponential = Duration::from_secs(1 << attempt.min(16));
    RETRY_BASE + exponential + Duration::from_secs(random.u64(RETRY_RANDOM_S))
}
