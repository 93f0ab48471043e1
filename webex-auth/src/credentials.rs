//! The application's proof of who its user is.

use std::{fmt, sync::Arc};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    http::TokenHttp,
    meetings_xml::MeetingsIntegration,
    oauth::{error::OAuthError, integration::Integration},
    provider::{ProviderError, TokenProvider},
    token::AccessToken,
    token_error::TokenError,
    token_set::TokenSet,
};

/// The application's proof of who its user is.
///
/// A plain value: pass it to the SDK's builder (or to [`Tokens::builder`](crate::Tokens::builder)),
/// which makes [`Tokens`](crate::Tokens) from it.
#[derive(Clone)]
pub struct Credentials {
    pub(crate) source: Source,
    pub(crate) seed: Seed,
}

/// What renews the tokens.
#[derive(Clone)]
pub(crate) enum Source {
    Nothing,
    Integration(Integration),
    Meetings(MeetingsIntegration),
    Provider(Arc<dyn TokenProvider>),
}

/// The first tokens, unless a store has later ones.
#[derive(Clone)]
pub(crate) enum Seed {
    Nothing,
    AccessToken(SecretString),
    RefreshToken(SecretString),
    Tokens(TokenSet),
}

impl Credentials {
    /// A ready-made access token: a personal token, a bot's, or one minted elsewhere.
    ///
    /// It cannot be refreshed: a request for which a service refuses it fails with
    /// [`TokenError::Rejected`], the state becomes
    /// [`ReauthRequired`](crate::TokenState::ReauthRequired), and the application has to supply a
    /// new one ([`supply`](crate::Tokens::supply)). It is still sent with other requests, so that
    /// what was registered with it can be given up. The text may have any of the forms of
    /// [`AccessToken::parse`], and is checked when [`Tokens`](crate::Tokens) are made.
    pub fn access_token(token: impl Into<String>) -> Self {
        let seed = Seed::AccessToken(SecretString::from(token.into()));
        Self { source: Source::Nothing, seed }
    }

    /// The tokens of a sign-in, and the integration that renews them.
    ///
    /// If a store already has tokens, those are used, because they are later ones of the same
    /// sign-in. After a new sign-in use [`Tokens::supply`](crate::Tokens::supply).
    pub fn integration(integration: Integration, tokens: TokenSet) -> Self {
        Self { source: Source::Integration(integration), seed: Seed::Tokens(tokens) }
    }

    /// A refresh token and the integration it belongs to, such as a service app.
    pub fn refresh_token(integration: Integration, token: impl Into<SecretString>) -> Self {
        let seed = Seed::RefreshToken(token.into());
        Self { source: Source::Integration(integration), seed }
    }

    /// Tokens that are in the store, or will be, and the integration that renews them.
    pub fn stored(integration: Integration) -> Self {
        Self { source: Source::Integration(integration), seed: Seed::Nothing }
    }

    /// The tokens of a Webex Meetings (XML API) sign-in.
    pub fn meetings_xml(integration: MeetingsIntegration, tokens: TokenSet) -> Self {
        Self { source: Source::Meetings(integration), seed: Seed::Tokens(tokens) }
    }

    /// The application's own source of tokens, or a guest. It is called again whenever a token is needed.
    pub fn provider(provider: impl TokenProvider + 'static) -> Self {
        Self { source: Source::Provider(Arc::new(provider)), seed: Seed::Nothing }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match (&self.source, &self.seed) {
            (Source::Nothing, _) => "AccessToken",
            (Source::Integration(_), Seed::RefreshToken(_)) => "RefreshToken",
            (Source::Integration(_), Seed::Nothing) => "Stored",
            (Source::Integration(_), _) => "Integration",
            (Source::Meetings(_), _) => "MeetingsXml",
            (Source::Provider(_), _) => "Provider",
        };
        write!(f, "Credentials::{source}([redacted])")
    }
}

impl Source {
    /// Whether it can provide new tokens.
    pub(crate) fn can_renew(&self, refresh_token: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Integration(_) | Self::Meetings(_) => refresh_token,
            Self::Provider(_) => true,
        }
    }

    /// Gets new tokens. `old` is set unless this is a provider.
    pub(crate) async fn renew(
        &self,
        http: &dyn TokenHttp,
        old: Renewable<'_>,
    ) -> Result<TokenSet, ProviderError> {
        let missing = OAuthError::NotConfigured("refresh token");
        match (self, old) {
            (Self::Provider(provider), _) => provider.provide(http).await,
            (Self::Integration(integration), Renewable::Tokens(old)) => {
                Ok(integration.refresh(http, old).await?)
            }
            (Self::Integration(integration), Renewable::RefreshToken(token)) => {
                Ok(integration.refresh_with(http, token.expose_secret()).await?)
            }
            (Self::Meetings(integration), Renewable::Tokens(old)) => {
                Ok(integration.refresh(http, old).await?.into_tokens())
            }
            _ => Err(missing.into()),
        }
    }
}

/// What a renewal starts from.
#[derive(Clone, Copy)]
pub(crate) enum Renewable<'a> {
    Nothing,
    RefreshToken(&'a SecretString),
    Tokens(&'a TokenSet),
}

pub(crate) fn parse_seed(seed: &Seed) -> Result<Option<TokenSet>, TokenError> {
    Ok(match seed {
        Seed::AccessToken(token) => Some(TokenSet::new(AccessToken::parse(token.expose_secret())?)),
        Seed::Tokens(tokens) => Some(tokens.clone()),
        Seed::RefreshToken(_) | Seed::Nothing => None,
    })
}
