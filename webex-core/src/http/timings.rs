//! Every duration of the HTTP client, with its reason and source.
//!
//! "Reference client" is the official JavaScript SDK.

use std::time::Duration;

/// How long one attempt of a request may take, from sending to the last byte of its answer. Default
/// of [`Request::attempt_timeout`](super::Request::attempt_timeout). The reference client has no
/// limit, so that one lost answer hangs it; Webex services answer within seconds. Shorter than
/// [`REQUEST_TIMEOUT`], so that a host that hangs after a redirect or a renewed token is the one
/// that is named.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a request may take in all: the token it waits for, its replay and its redirects
/// included. Default of [`Request::timeout`](super::Request::timeout).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may take: name, TCP, proxy and TLS together. Default of
/// [`TransportBuilder::connect_timeout`](super::TransportBuilder::connect_timeout): long enough for
/// a slow mobile network, short enough that a dead host is told from a slow one while a person still
/// waits.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an HTTP/2 connection with requests in flight is probed, so that one that died silently
/// is noticed before the request's own deadline.
pub(super) const HTTP2_PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// How long an HTTP/2 probe may stay unanswered.
pub(super) const HTTP2_PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that was dialled ahead is kept unused. Long enough for the steps of a start
/// on a slow network, much shorter than servers wait for the first byte (a minute is usual).
pub(super) const AHEAD_LIFE: Duration = Duration::from_secs(10);

/// How long the HTTP library keeps an idle connection (reqwest's default): a host that was asked
/// since needs no dialling.
pub(super) const POOLED: Duration = Duration::from_secs(90);

/// How long a host is remembered for the next start after its last use: a month off work.
pub(super) const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How exact the time of a host's last use is: the remembered list is not rewritten more often for
/// it.
pub(super) const USE_EXACT_TO: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause after a 429 of an identity service that names no time, or none that can be read
/// (reference client).
pub(super) const IDENTITY_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause of an identity service, whatever it names (reference client).
pub(super) const IDENTITY_PAUSE_MAX: Duration = Duration::from_secs(3_600);
