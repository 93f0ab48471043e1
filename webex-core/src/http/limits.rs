//! Limits on what a server may send. What is beyond a limit is not read, so that no answer can use
//! up the program's memory or time.

/// The largest answer that is read, in bytes. Default of
/// [`Request::answer_limit`](super::Request::answer_limit). The largest known answers are service
/// catalogs, of some hundred kilobytes.
pub const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// How much of an answer with an error status is read, in bytes. The rest is cut off, because the
/// status is what matters. The largest known errors list the devices of a user: some ten kilobytes.
pub(super) const ERROR_LIMIT: usize = 64 * 1024;

/// How much of an unused answer is read, in bytes: enough to reuse the connection after the usual
/// answers to a keepalive.
pub(super) const UNUSED_LIMIT: usize = 4 * 1024;
