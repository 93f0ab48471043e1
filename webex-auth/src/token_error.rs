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
    /// The token has a character that no token has. Nothing was sent: it was pasted wrong.
    #[error("the access token is malformed: {0}")]
    Malformed(PasteError),
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
    /// The authorization server refused the integration (its secret, registration or scopes), not the
    /// sign-in: the stored tokens are kept.
    #[error("the integration was refused, correct its configuration: {reason}")]
    Configuration {
        /// What the server said.
        reason: String,
    },
    /// The store of the tokens cannot be read or written, or is damaged.
    #[error("the token store failed: {reason}")]
    Store {
        /// How it failed, and what to do.
        reason: String,
    },
    /// Something is missing to make the tokens. Names it.
    #[error("these credentials need {0}: use `Tokens::builder`")]
    NotConfigured(&'static str),
    /// The runtime that looked after the tokens was shut down.
    #[error("the runtime that renews the tokens was shut down")]
    Stopped,
}
