//! The progress of a device sign-in.

use std::time::Duration;

use thiserror::Error;

use crate::{oauth::error::OAuthError, token_set::TokenSet};

/// The progress of a device sign-in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DeviceState {
    /// The user has not decided yet. Comes at the start and after each poll.
    Waiting {
        /// How long the code is still valid.
        time_left: Duration,
    },
    /// The server was not reached; polling goes on, less often.
    Unreachable {
        /// The error of the last poll.
        error: OAuthError,
        /// How long the code is still valid.
        time_left: Duration,
    },
    /// The user has consented. The last state.
    SignedIn(TokenSet),
    /// The sign-in has failed. The last state.
    Failed(DeviceError),
}

/// Why a device sign-in failed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The user refused.
    #[error("the user refused: ask again only when the user wants to")]
    Denied,
    /// The code was not entered in time.
    #[error("the code was not entered in time: start the sign-in again")]
    Expired,
    /// The server refused.
    #[error("the sign-in was refused")]
    Refused(#[source] OAuthError),
}
