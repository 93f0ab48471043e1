//! How much a server may say. What is beyond a limit is not read, so that one answer costs neither the
//! memory nor the time of the program.

/// The largest answer that is read, in bytes. Default of
/// [`Request::answer_limit`](super::Request::answer_limit). The largest known are service catalogs,
/// of some hundred kilobytes.
pub const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// How much of an answer with an error status is read, in bytes; the rest is cut off, since it is the
/// status that counts. The largest known list the devices of a user: some ten kilobytes.
pub(super) const ERROR_LIMIT: usize = 64 * 1024;

/// How much is read of an answer that nobody looks at, in bytes: enough for the connection to be used
/// again after what services answer to a keepalive.
pub(super) const UNUSED_LIMIT: usize = 4 * 1024;
