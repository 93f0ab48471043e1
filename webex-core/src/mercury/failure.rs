//! Why the event socket cannot be opened.

use std::fmt;

/// Why an attempt to open the event socket failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketFailure {
    /// No answer in time.
    Unanswered,
    /// The connection was refused or broken, or there is no token for now.
    Broken,
    /// The upgrade was answered with this HTTP status.
    Status(u16),
    /// The socket was opened, and not authorized in time.
    NotAuthorized,
    /// The socket was closed with this code before it was authorized.
    Closed(u16),
}

impl SocketFailure {
    /// A stable name, for logs and for languages without enums.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::Broken => "broken",
            Self::Status(_) => "status",
            Self::NotAuthorized => "notAuthorized",
            Self::Closed(_) => "closed",
        }
    }
}

impl fmt::Display for SocketFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered => f.write_str("nobody answered in time"),
            Self::Broken => f.write_str("the connection was refused or broken"),
            Self::Status(status @ (200..=399 | 511)) => write!(
                f,
                "the upgrade was answered with HTTP status {status}; a sign-in page or a proxy in \
                 between is likely"
            ),
            Self::Status(status) => write!(f, "the upgrade was answered with HTTP status {status}"),
            Self::NotAuthorized => f.write_str("it was not authorized in time"),
            Self::Closed(code) => write!(f, "it was closed with code {code}"),
        }
    }
}
