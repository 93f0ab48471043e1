//! The state of a user's tokens, for a program to watch and show.

use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::{oauth::error::OAuthError, provider::ProviderError, store::error::StoreError, timings};

/// The state of a user's tokens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TokenState {
    /// At this state there is a token that can be used.
    Valid {
        /// When it expires; `None` when it does not, as far as the SDK knows.
        until: Option<SystemTime>,
    },
    /// At this state a token is being obtained; a previous one may still be usable.
    Refreshing,
    /// At this state renewals fail but are repeated; the previous token may still be usable.
    Degraded {
        /// When it first failed.
        since: SystemTime,
        /// The latest error.
        error: RenewError,
    },
    /// At this state no new token can be obtained, and only the user or the program can change
    /// that. The last one may still be valid for a while:
    /// [`Tokens::current`](crate::Tokens::current) returns it, so that what is registered with it
    /// can be given up.
    ReauthRequired {
        /// Why.
        reason: ReauthReason,
    },
}

/// Why the user has to sign in again.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ReauthReason {
    /// The authorization server refused to renew the tokens: the sign-in has ended.
    #[error("the tokens were not renewed")]
    Refused(#[source] OAuthError),
    /// The authorization server refused the integration: its secret, registration or scopes. The
    /// sign-in is still valid; once the configuration is corrected, the stored tokens work again.
    #[error("the integration was refused")]
    Configuration(#[source] OAuthError),
    /// The stored tokens are damaged, or belong to another program. New ones replace them.
    #[error("the stored tokens cannot be used")]
    Store(#[source] StoreError),
    /// The tokens could not be renewed before they expired. Not final: the next request for a token
    /// tries again, so show it as a network problem first.
    #[error("the tokens could not be renewed before they expired")]
    Unreachable(#[source] RenewError),
    /// The authorization server returned the same token again.
    #[error("the authorization server keeps giving the same token")]
    Unchanged,
    /// The token is expired or was refused by a service, and it cannot be renewed.
    #[error("the token is expired or refused and cannot be renewed")]
    NotRenewable,
    /// There are no tokens yet.
    #[error("nobody has signed in yet")]
    NotSignedIn,
    /// The tokens were removed from the store: the user signed out, perhaps in another process.
    #[error("the user signed out")]
    SignedOut,
    /// The program's own source of tokens has none.
    #[error("the application supplies no token")]
    Provider(#[source] ProviderError),
}

impl ReauthReason {
    /// Whether only a new sign-in helps.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Unreachable(_))
    }
}

/// Why a renewal failed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum RenewError {
    /// The authorization server.
    #[error("renewing failed: {0}")]
    OAuth(#[from] OAuthError),
    /// The store that processes share.
    #[error("the token store failed: {0}")]
    Store(#[from] StoreError),
    /// The program's own source of tokens.
    #[error("the application's token source failed: {0}")]
    Provider(#[from] ProviderError),
    /// The authorization server returned the same token again.
    #[error("the authorization server gave the same token again")]
    Unchanged,
    /// The new token had expired when it arrived.
    #[error("the new token was expired on arrival")]
    ExpiredOnArrival,
}

impl RenewError {
    /// How long the server asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::OAuth(error) => error.retry_after(),
            _ => None,
        }
    }

    /// How long the server asked to wait; zero counts as no time.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let asked = self.retry_after().filter(|pause| !pause.is_zero());
        let limited = matches!(self, Self::OAuth(OAuthError::RateLimited(_)));
        asked.or_else(|| limited.then_some(timings::RATE_LIMITED))
    }
}
