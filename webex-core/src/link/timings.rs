//! Every duration of the link beside those of its device and socket, with its reason.

use std::time::Duration;

/// How often the clocks are compared while the link is up: how long a sleep goes unnoticed at most.
/// A third of the ping interval, so that it is noticed well before a ping would tell.
pub const SLEEP_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// More missing time than this was a sleep. Shorter ones harm no connection; a busy machine and a
/// clock that is being adjusted stay below it.
pub(super) const SLEEP_THRESHOLD: Duration = Duration::from_secs(5);

/// How long an ended client may take to give up its device: a closing handshake and one request,
/// each with time for one slow answer.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);
