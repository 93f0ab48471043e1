//! Where tokens come from, and the handle that requests take them from.

use std::{fmt, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::AccessToken;

/// What the application has to prove who its user is.
///
/// A value without behaviour: give it to the SDK's builder, which makes [`Tokens`] from it.
#[derive(Clone)]
pub struct Credentials(Source);

#[derive(Clone)]
enum Source {
    Fixed(SecretString),
}

impl Credentials {
    /// A ready-made access token: a personal token, a bot's, or one minted elsewhere.
    ///
    /// It cannot be refreshed: when the service refuses it, requests fail with
    /// [`TokenError::Rejected`] and the application has to bring a new one. The text is taken in the
    /// forms of [`AccessToken::parse`] and checked when [`Tokens`] are made.
    pub fn access_token(token: impl Into<String>) -> Self {
        Self(Source::Fixed(SecretString::from(token.into())))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Fixed(_) => f.write_str("Credentials::AccessToken([redacted])"),
        }
    }
}

/// Why there is no usable token. The answer is always the application's: sign in again, or give a
/// well-formed token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The token is empty.
    #[error("the access token is empty")]
    Empty,
    /// The token has characters that no token has.
    #[error("the access token is malformed: it may hold only visible ASCII characters")]
    Malformed,
    /// The service refused the token and nothing can renew it.
    #[error("the access token was refused and cannot be refreshed: sign in again")]
    Rejected,
}

/// The tokens of one user: what requests take their token from.
///
/// Clones share their state.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<AccessToken>);

impl Tokens {
    /// Makes the handle. Does no I/O.
    ///
    /// # Errors
    /// [`TokenError::Empty`] or [`TokenError::Malformed`] for a token that cannot be one.
    pub fn new(credentials: Credentials) -> Result<Self, TokenError> {
        match credentials.0 {
            Source::Fixed(token) => Ok(Self(Arc::new(AccessToken::parse(token.expose_secret())?))),
        }
    }

    /// The token at hand, when it can be used without waiting.
    pub fn current(&self) -> Option<AccessToken> {
        Some(AccessToken::clone(&self.0))
    }

    /// The token to use now; waits while one is being obtained.
    ///
    /// # Errors
    /// [`TokenError::Rejected`] when none can be had any more.
    #[allow(clippy::unused_async)] // waits once tokens can be refreshed
    pub async fn token(&self) -> Result<AccessToken, TokenError> {
        Ok(AccessToken::clone(&self.0))
    }

    /// Takes note that a server answered 401 to `refused`, and gives a token worth a second try.
    ///
    /// # Errors
    /// [`TokenError::Rejected`] when there is none: the 401 is final.
    pub async fn replace(&self, refused: &AccessToken) -> Result<AccessToken, TokenError> {
        if *self.0 == *refused { Err(TokenError::Rejected) } else { self.token().await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fixed_token_is_final_when_refused() {
        let tokens = Tokens::new(Credentials::access_token("abc")).unwrap();
        let token = tokens.token().await.unwrap();
        assert_eq!(tokens.replace(&token).await, Err(TokenError::Rejected));
    }

    #[test]
    fn credentials_do_not_print_the_token() {
        let credentials = Credentials::access_token("very-secret-value");
        assert!(!format!("{credentials:?}").contains("secret-value"));
        assert!(Tokens::new(Credentials::access_token(" ")).is_err());
    }
}
