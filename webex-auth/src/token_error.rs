//! Why a request gets no token.

use thiserror::Error;

use crate::pasted::PasteError;

/// Why there is no usable token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The token is empty.
    #[error("the access token is empty")]
    Empty,
    /// The token has an invalid character. Nothing was sent.
    #[error("the access token is malformed: {0}")]
    Malformed(PasteError),
    /// The service refused the token and it cannot be renewed. The state of the
    /// [`Tokens`](crate::Tokens) has the reason.
    #[error("the access token was refused and cannot be refreshed: sign in again")]
    Rejected,
    /// The token has expired, and renewing it fails for now. The renewal is repeated.
    #[error("there is no access token for now, try later: {reason}")]
    Unavailable {
        /// The error of the renewal.
        reason: String,
    },
    /// The authorization server refused the integration (its secret, registration or scopes), not
    /// the sign-in: the stored tokens are kept.
    #[error("the integration was refused, correct its configuration: {reason}")]
    Configuration {
        /// The server's error.
        reason: String,
    },
    /// The store of the tokens cannot be read or written, or is damaged.
    #[error("the token store failed: {reason}")]
    Store {
        /// The failure, and what to do.
        reason: String,
    },
    /// A setting is missing. Names it.
    #[error("these credentials need {0}: use `Tokens::builder`")]
    NotConfigured(&'static str),
    /// The runtime of the tokens' task was shut down.
    #[error("the runtime that renews the tokens was shut down")]
    Stopped,
}
