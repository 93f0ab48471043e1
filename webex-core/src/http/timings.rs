//! Every duration of the HTTP client, with its reason and source.
//!
//! "Reference client" is the official JavaScript SDK.

use std::time::Duration;

/// How long one attempt of a request may take, from sending to the last byte of its answer. Default
/// of [`Request::attempt_timeout`](super::Request::attempt_timeout). The reference client has no
/// limit, so that one lost answer hangs it; Webex services answer within seconds. Shorter than
/// [`REQUEST_TIMEOUT`], so that the error names the host that hangs after a redirect or a renewed
/// token.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a whole request may take, including the wait for a token, the replay and the redirects.
/// Default of [`Request::timeout`](super::Request::timeout).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may take: name lookup, TCP, proxy and TLS together. Default of
/// [`TransportBuilder::connect_timeout`](super::TransportBuilder::connect_timeout). Long enough for
/// a slow mobile network, short enough to detect a dead host while the user still waits.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an HTTP/2 connection with requests in flight is probed, so that a dead one is noticed
/// before the request's own deadline.
pub(super) const HTTP2_PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// How long an HTTP/2 probe may stay unanswered.
pub(super) const HTTP2_PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that was dialled ahead is kept unused. Long enough for the steps of a
/// start on a slow network, much shorter than servers wait for the first byte (usually a minute).
pub(super) const AHEAD_LIFE: Duration = Duration::from_secs(10);

/// How long the HTTP library keeps an idle connection (reqwest's default): a host used since then
/// needs no dialling.
pub(super) const POOLED: Duration = Duration::from_secs(90);

/// How long a host is remembered for the next start after its last use: a month of leave.
pub(super) const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Precision of a host's last use: the saved list is not rewritten more often because of it.
pub(super) const USE_EXACT_TO: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause after a 429 of an identity service that gives no time, or an unreadable one (reference
/// client).
pub(super) const IDENTITY_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause of an identity service, whatever it asks for (reference client).
pub(super) const IDENTITY_PAUSE_MAX: Duration = Duration::from_secs(3_600);
