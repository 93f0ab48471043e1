//! Every duration of the Mercury connection, with its source.

use std::time::Duration;

/// From a pong to the next ping. The reference client's `pingInterval`.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);

/// From a ping to the moment the connection counts as dead. The reference client's `pongTimeout`:
/// below [`PING_INTERVAL`], so that two pings are never in flight.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(14);

/// How long the server's close frame is waited for before the connection is dropped. The reference
/// client's `forceCloseDelay`.
pub const FORCE_CLOSE_DELAY: Duration = Duration::from_secs(2);

/// From the open socket to its authorization. The server closes an unauthorized socket after
/// 30 s; a client that waited longer would wait for nothing.
pub const AUTHORIZATION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long dialling may take: name, TCP, TLS and the upgrade together. Twice the connect timeout
/// of HTTP, because an upgrade is answered only after the server has looked up the registration.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// Base of the back-off: the longest wait before the second attempt. Reference client.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);

/// The longest wait between two attempts. Reference client.
pub const BACKOFF_CAP: Duration = Duration::from_secs(32);

/// How long a connection must have been authorized for the back-off to start anew: a server that
/// accepts and closes at once must not be asked in a fast loop.
pub const STABLE_AFTER: Duration = Duration::from_secs(30);

/// How long a predecessor may stay after its successor has taken over. The server closes it itself,
/// within seconds; a server that forgets to must not leave two sockets.
pub const RETIRE_TIMEOUT: Duration = Duration::from_secs(30);
