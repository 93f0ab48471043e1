//! Every duration of the Mercury connection, with its source.

use std::time::Duration;

/// From a pong to the next ping. The reference client's `pingInterval`.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);

/// Time after a ping until the connection counts as dead. The reference client's `pongTimeout`:
/// below [`PING_INTERVAL`], so that two pings are never in flight.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(14);

/// Replaces [`PONG_TIMEOUT`] after a hint that the network has changed or the machine has slept;
/// also the time limit of an attempt in progress at that moment. A live path answers within a round
/// trip, a mobile radio wakes in two to three seconds, and TCP has repeated a lost segment four
/// times by then (0.2, 0.6, 1.4 and 3 s).
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(4);

/// Minimum time from the start of an attempt to one that a hint starts: hints come from outside,
/// and an unstable network must not cause a fast loop.
pub const HINT_SPACING: Duration = Duration::from_secs(1);

/// How long the server's close frame is waited for before the connection is dropped. The reference
/// client's `forceCloseDelay`.
pub const FORCE_CLOSE_DELAY: Duration = Duration::from_secs(2);

/// Time from the open socket to its authorization. The server closes an unauthorized socket after
/// 30 s, so that waiting longer would be pointless.
pub const AUTHORIZATION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long dialling may take: name lookup, TCP, TLS and the upgrade together. Twice the connect
/// timeout of HTTP, because the server answers an upgrade only after looking up the registration.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// Base of the back-off: the longest wait after the first failure. Reference client.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);

/// The longest wait between two attempts that were answered. Reference client.
pub const BACKOFF_CAP: Duration = Duration::from_secs(32);

/// The longest time between the starts of two unanswered attempts: no route, no name, no answer in
/// time. Such an attempt costs no server anything, and back-off would only prolong the time without
/// a connection: this way the next attempt comes within three seconds of the network's return, and
/// the connection within five.
pub const UNREACHABLE_CAP: Duration = Duration::from_secs(3);

/// The wait after "too many requests" without a time. The reference client's, for the identity
/// service.
pub const RATE_LIMITED_WAIT: Duration = Duration::from_secs(60);

/// The longest `Retry-After` that is followed. The reference client's, for the identity service: a
/// mistaken header must not silence a client for a day.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(3600);

/// How long a connection must have been authorized to reset the back-off: a server that accepts and
/// closes at once must not cause a fast loop.
pub const STABLE_AFTER: Duration = Duration::from_secs(30);

/// How long a predecessor may stay after its successor has taken over. The server normally closes
/// it within seconds; if it does not, two sockets must not stay open.
pub const RETIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many attempts in a row may fail before that is reported, with the reason.
pub const TELL_AFTER_FAILURES: u32 = 3;

/// How long attempts may fail before that is reported, however few they are: an attempt that hangs
/// takes [`OPEN_TIMEOUT`].
pub const TELL_AFTER: Duration = Duration::from_secs(10);
