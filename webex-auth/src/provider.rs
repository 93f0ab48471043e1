//! Tokens that the application gets in another way: from a backend that mints them, or guests.

use std::{error::Error as StdError, fmt, future::Future, sync::Arc};

use thiserror::Error;

use crate::{
    http::{BoxFuture, TokenHttp},
    oauth::error::OAuthError,
    token_set::TokenSet,
};

/// A source of tokens that needs no refresh token, because it can always be called again.
///
/// Closures that return a future are sources:
///
/// ```
/// use std::time::Duration;
/// use webex_auth::{AccessToken, Credentials, ProviderError, TokenSet};
///
/// # async fn ask_my_backend() -> Result<String, std::io::Error> { Ok("abc".into()) }
/// let credentials = Credentials::provider(|| async {
///     let token = ask_my_backend().await.map_err(ProviderError::temporary)?;
///     let token = AccessToken::parse(&token).map_err(ProviderError::permanent)?;
///     Ok(TokenSet::new(token).expires_in(Duration::from_hours(1)))
/// });
/// ```
pub trait TokenProvider: Send + Sync {
    /// Gets a token. There are no concurrent calls; `http` is the SDK's client, if one is needed.
    fn provide<'a>(
        &'a self,
        http: &'a dyn TokenHttp,
    ) -> BoxFuture<'a, Result<TokenSet, ProviderError>>;
}

impl<F, T> TokenProvider for F
where
    F: Fn() -> T + Send + Sync,
    T: Future<Output = Result<TokenSet, ProviderError>> + Send + 'static,
{
    fn provide<'a>(
        &'a self,
        _: &'a dyn TokenHttp,
    ) -> BoxFuture<'a, Result<TokenSet, ProviderError>> {
        Box::pin(self())
    }
}

/// Why a source has no token. Its text may be logged, so it must hold no secret.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The source may have a token later.
    #[error("{0}")]
    Temporary(#[source] Arc<dyn StdError + Send + Sync>),
    /// The source has no token until the user or the program acts.
    #[error("{0}")]
    Permanent(#[source] Arc<dyn StdError + Send + Sync>),
    /// A request to Webex failed.
    #[error(transparent)]
    OAuth(#[from] OAuthError),
}

impl ProviderError {
    /// The source may have a token later.
    pub fn temporary(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Temporary(source.into().into())
    }

    /// The source has no token until the user or the program acts.
    pub fn permanent(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Permanent(source.into().into())
    }

    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Temporary(_) => true,
            Self::Permanent(_) => false,
            Self::OAuth(error) => error.is_transient(),
        }
    }
}

impl fmt::Debug for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_temporary() { "temporary" } else { "permanent" };
        write!(f, "ProviderError({kind}: {self})")
    }
}
