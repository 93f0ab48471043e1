//! Why a request gets no token.

use thiserror::Error;

/// Why there is no usable token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The token is empty.
    #[error("the access token is empty")]
    Empty,
    /// The token has characters that no token has, or stored tokens are not what was stored.
    #[error("the access token is malformed: it may hold only visible ASCII characters")]
    Malformed,
    /// The service refused the token and nothing can renew it. The state of the
    /// [`Tokens`](crate::Tokens) says why.
    #[error("the access token was refused and cannot be refreshed: sign in again")]
    Rejected,
    /// The token is used up and renewing it fails for now. It is tried again.
    #[error("there is no access token for now, try later: {reason}")]
    Unavailable {
        /// How renewing failed.
        reason: String,
    },
    /// Something is missing to make the tokens. Names it.
    #[error("these credentials need {0}: use `Tokens::builder`")]
    NotConfigured(&'static str),
    /// The runtime that looked after the tokens was shut down.
    #[error("the runtime that renews the tokens was shut down")]
    Stopped,
}
