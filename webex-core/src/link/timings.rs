//! The durations of the link itself, with their reasons. Its device and socket have their own.

use std::time::Duration;

/// How often the clocks are compared while the link is up, which is how long a sleep can go
/// unnoticed. A third of the ping interval, so that it is noticed well before a ping would fail.
pub const SLEEP_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// A larger jump of the clocks was a sleep. Shorter ones do no harm to a connection; a busy machine
/// and a clock that is being adjusted stay below it.
pub(super) const SLEEP_THRESHOLD: Duration = Duration::from_secs(5);

/// How long a client that ends may take to give up its device: a closing handshake and one request,
/// with time for one slow answer each.
pub(super) const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);
