//! Every duration of this crate, with its reason.

use std::time::Duration;

/// Connecting to an authorization server, TLS included. Two lost SYNs (1 s + 2 s) and a slow
/// handshake fit; more means that there is no way.
pub const CONNECT: Duration = Duration::from_secs(10);

/// One whole request to an authorization server. Must be shorter than [`LOCK_LEASE`], so that a
/// lease is never lost to a server that answers late.
pub const REQUEST: Duration = Duration::from_secs(20);

/// How much of the reported life passes before a token is renewed, drawn evenly from this range so
/// that processes started together do not refresh together. The range is the reference client's.
pub const REFRESH_AT: std::ops::Range<f64> = 0.6..0.9;

/// First pause after a renewal that got no answer; doubles with each failure.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// Longest pause between two renewals that get no answer: a token of the usual 14 days has then
/// hundreds of chances, and a server that comes back is not met by a crowd.
pub const BACKOFF_MAX: Duration = Duration::from_mins(5);

/// How long a renewal that finds no network is repeated at least, even when the token has expired
/// already: after sleep the network takes some seconds to come back, and nobody should be asked to
/// sign in because of that.
pub const PERSISTENCE: Duration = Duration::from_mins(1);

/// When renewing was given up, a demand tries again at most this often: what is asked for should be
/// there soon after the network is, and a dead server must not be asked by every request.
pub const DEMAND_PAUSE: Duration = Duration::from_secs(5);

/// Pause after a 429 of the authorization server that names no usable time; as webex-core's for the
/// identity services.
pub const RATE_LIMITED: Duration = Duration::from_mins(1);

/// Longest delay a `Retry-After` can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Renewals caused by a 401 that may follow each other at once. A server that refuses every token
/// must not make the client fill the account's 750 live tokens.
pub const REFUSALS_AT_ONCE: u32 = 5;

/// One more renewal caused by a 401 is allowed after each of these.
pub const REFUSAL_REFILL: Duration = Duration::from_mins(1);

/// The driver looks at the clocks at least this often while it holds a token that expires: timers
/// stand still while the machine sleeps.
pub const SLEEP_CHECK: Duration = Duration::from_mins(1);

/// How long a process may hold the refresh lock of a store that many machines share, unless it
/// says that it still works. Longer than [`REQUEST`]; short enough for others to take over from a
/// process that died.
pub const LOCK_LEASE: Duration = Duration::from_secs(30);

/// One command to a store on another machine, connecting included.
pub const STORE_REQUEST: Duration = Duration::from_secs(5);

/// Between two attempts to take a refresh lock that another process holds.
pub const LOCK_POLL: Duration = Duration::from_millis(20);

/// How long to wait for the refresh lock. Three times [`LOCK_LEASE`]: two holders may die.
pub const LOCK_WAIT: Duration = Duration::from_secs(90);

/// How long an authorization may take, from making the link to the redirect. The user may have to
/// find a second factor.
pub const AUTHORIZATION: Duration = Duration::from_mins(10);

/// Pause between two polls of a device sign-in when the server names none (RFC 8628 §3.5).
pub const DEVICE_POLL: Duration = Duration::from_secs(5);

/// How long a device code is good when the server does not say: what Webex documents.
pub const DEVICE_LIFE: Duration = Duration::from_mins(5);

/// Longest life of a device code that is believed. Codes are entered within minutes.
pub const DEVICE_LIFE_MAX: Duration = Duration::from_hours(24);

/// Longest pause between polls that a server may ask for: with more, the user waits in vain.
pub const DEVICE_INTERVAL_MAX: Duration = Duration::from_mins(5);

/// Shortest pause between two polls, whatever the server names.
pub const DEVICE_POLL_MIN: Duration = Duration::from_secs(1);

/// Added to the pause each time the server says that polls come too fast (RFC 8628 §3.5).
pub const DEVICE_SLOW_DOWN: Duration = Duration::from_secs(5);

/// Longest pause between two polls of a device sign-in: a code lives for minutes only.
pub const DEVICE_POLL_MAX: Duration = Duration::from_mins(1);

/// After the loopback listener could not take a connection (such as without a free descriptor).
pub const LOOPBACK_ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long a browser may take to send the redirect's few hundred bytes.
pub const LOOPBACK_READ: Duration = Duration::from_secs(10);

/// Life of an access token of a Meetings (XML API) integration where the answer names none: what its
/// documentation says.
pub const MEETINGS_ACCESS: Duration = Duration::from_hours(2);

/// Life of its refresh token, which the documented answer does not name.
pub const MEETINGS_REFRESH: Duration = Duration::from_hours(60 * 24);

/// Life of a JWT made for a guest. It is exchanged at once; the margin is for skewed clocks.
pub const GUEST_JWT: Duration = Duration::from_hours(1);
