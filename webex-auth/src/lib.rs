//! Who the user is: Webex access tokens and where they come from.
//!
//! A program meets this crate in this order:
//!
//! 1. It has a token (from the developer portal, an OAuth flow, or its own backend) and wraps it in
//!    [`Credentials`].
//! 2. The SDK turns the credentials into [`Tokens`], a cheap handle that every request asks for the
//!    current [`AccessToken`], and that is told when a server answered 401.
//! 3. A token knows its organisation ([`AccessToken::org_id`]) and how to present itself in an
//!    `Authorization` header, and never prints itself.
//!
//! ```
//! use webex_auth::{Credentials, Tokens};
//!
//! # fn main() -> Result<(), webex_auth::TokenError> {
//! let tokens = Tokens::new(Credentials::access_token("Bearer YWJj_P0A1_0e600000-0000-4000-8000-000000000003"))?;
//! let token = tokens.current().expect("a fixed token is always at hand");
//! assert_eq!(token.org_id().unwrap(), "0e600000-0000-4000-8000-000000000003");
//! assert!(!format!("{token:?}").contains("YWJj"));
//! # Ok(()) }
//! ```

mod credentials;
mod device;
mod guest;
mod http;
pub mod lifecycle;
mod loopback;
pub mod meetings_xml;
mod oauth;
mod org;
mod provider;
mod random;
pub mod retry_after;
mod scope;
mod store;
pub mod timings;
mod token;
mod token_set;
mod tokens;

#[cfg(feature = "browser")]
pub use self::loopback::open_browser;
#[cfg(feature = "keyring")]
pub use self::store::KeyringStore;
#[cfg(feature = "redis")]
pub use self::store::RedisStore;
pub use self::{
    credentials::{Credentials, TokenError},
    device::{DeviceError, DevicePrompt, DeviceSignIn, DeviceState},
    guest::{BadIssuerSecret, Guest, GuestIssuer, JwtGuest},
    http::{BoxFuture, ReqwestHttp, TokenHttp, TokenReply, TokenRequest, TransportError},
    lifecycle::{ReauthReason, RenewError, TokenState},
    loopback::{LoopbackError, LoopbackListener},
    oauth::{
        authorize::{
            Authorization, AuthorizationRequest, Authorizations, CodeGrant, Redirect, RedirectError,
        },
        endpoints::{ClientAuth, Endpoints},
        error::{OAuthError, ServerReply},
        integration::{Integration, IntegrationBuilder},
        pkce::PkceMethod,
    },
    org::OrgIdError,
    provider::{ProviderError, TokenProvider},
    scope::{InvalidScope, MissingScopes, Scope, Scopes},
    store::{DirectoryStore, HeldLock, MemoryStore, Store, StoreError, StoreLock},
    token::AccessToken,
    token_set::TokenSet,
    tokens::{TokenStates, Tokens, TokensBuilder},
};
