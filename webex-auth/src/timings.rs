//! Every duration of this crate, with its reason.

use std::time::Duration;

/// Connecting to an authorization server, including TLS. Allows for two lost SYNs (1 s + 2 s) and a
/// slow handshake; if it takes longer, the server is unreachable.
pub const CONNECT: Duration = Duration::from_secs(10);

/// One whole request to an authorization server. Must be shorter than [`LOCK_LEASE`], so that a
/// lease is never lost to a server that answers late.
pub const REQUEST: Duration = Duration::from_secs(20);

/// How much of the reported lifetime passes before a token is renewed. Drawn evenly from this
/// range, so that processes started together do not refresh at the same time. The range is the
/// reference client's.
pub const REFRESH_AT: std::ops::Range<f64> = 0.6..0.9;

/// First pause after an unanswered renewal; doubles with each failure.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// Longest pause between two unanswered renewals: a token with the usual 14 days then has hundreds
/// of attempts, and a server that comes back is not overrun.
pub const BACKOFF_MAX: Duration = Duration::from_mins(5);

/// How long a renewal without network is repeated at least, even when the token has already
/// expired: after sleep the network takes some seconds to come back, and the user should not have
/// to sign in because of that.
pub const PERSISTENCE: Duration = Duration::from_mins(1);

/// After renewals were given up, a request tries again at most this often: a token should be
/// available soon after the network is, but not every request may go to a dead server.
pub const DEMAND_PAUSE: Duration = Duration::from_secs(5);

/// Pause after a 429 of the authorization server without a usable time; the same as webex-core's
/// for the identity services.
pub const RATE_LIMITED: Duration = Duration::from_mins(1);

/// Longest delay a `Retry-After` can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Renewals caused by a 401 that may follow each other at once. A server that refuses every token
/// must not make the client use up the account's 750 live tokens.
pub const REFUSALS_AT_ONCE: u32 = 5;

/// After each of these periods one more renewal caused by a 401 is allowed.
pub const REFUSAL_REFILL: Duration = Duration::from_mins(1);

/// How often the driver reads the clocks while it holds a token that expires: timers stand still
/// while the machine sleeps.
pub const SLEEP_CHECK: Duration = Duration::from_mins(1);

/// How long a process may hold the refresh lock of a store that many machines share, without
/// extending it. Longer than [`REQUEST`]; short enough for others to take over from a process that
/// died.
pub const LOCK_LEASE: Duration = Duration::from_secs(30);

/// One command to a store on another machine, including the connection.
pub const STORE_REQUEST: Duration = Duration::from_secs(5);

/// Pause between two attempts to take a refresh lock that another process holds.
pub const LOCK_POLL: Duration = Duration::from_millis(20);

/// How long to wait for the refresh lock. Three times [`LOCK_LEASE`]: two holders may die.
pub const LOCK_WAIT: Duration = Duration::from_secs(90);

/// How long an authorization may take, from making the link to the redirect. The user may need to
/// find a second factor.
pub const AUTHORIZATION: Duration = Duration::from_mins(10);

/// Pause between two polls of a device sign-in when the server gives none (RFC 8628 §3.5).
pub const DEVICE_POLL: Duration = Duration::from_secs(5);

/// How long a device code is valid when the server does not say: the value that Webex documents.
pub const DEVICE_LIFE: Duration = Duration::from_mins(5);

/// Longest accepted lifetime of a device code. Codes are entered within minutes.
pub const DEVICE_LIFE_MAX: Duration = Duration::from_hours(24);

/// Longest poll interval that a server may ask for: with more, the code would expire first.
pub const DEVICE_INTERVAL_MAX: Duration = Duration::from_mins(5);

/// Shortest pause between two polls, whatever the server asks for.
pub const DEVICE_POLL_MIN: Duration = Duration::from_secs(1);

/// Added to the pause each time the server reports that polls come too fast (RFC 8628 §3.5).
pub const DEVICE_SLOW_DOWN: Duration = Duration::from_secs(5);

/// Longest pause between two polls of a device sign-in: a code is only valid for minutes.
pub const DEVICE_POLL_MAX: Duration = Duration::from_mins(1);

/// Pause after the loopback listener could not accept a connection (for example without a free descriptor).
pub const LOOPBACK_ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long a browser may take to send the redirect's few hundred bytes.
pub const LOOPBACK_READ: Duration = Duration::from_secs(10);

/// Lifetime of an access token of a Meetings (XML API) integration when the answer has none, as
/// documented.
pub const MEETINGS_ACCESS: Duration = Duration::from_hours(2);

/// Lifetime of its refresh token, which the documented answer does not have.
pub const MEETINGS_REFRESH: Duration = Duration::from_hours(60 * 24);

/// Lifetime of a guest's JWT. It is exchanged at once; the margin is for skewed clocks.
pub const GUEST_JWT: Duration = Duration::from_hours(1);
