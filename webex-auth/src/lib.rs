//! Who the user is: every way to sign in to Webex, and tokens that renew themselves.
//!
//! A program uses this crate in this order:
//!
//! 1. It signs its user in: with an [`Integration`] and a browser ([`LoopbackListener`],
//!    [`Authorizations`]), on another device ([`Integration::device_sign_in`]), as a [`Guest`] or
//!    [`JwtGuest`], for the XML API ([`meetings_xml`]). Or it has a token already.
//! 2. It wraps the result in [`Credentials`], and makes [`Tokens`] from them: a cheap handle that
//!    returns the
//!    current [`AccessToken`] for each request, and takes reports of a 401. In the background the
//!    tokens are
//!    renewed in time.
//! 3. It may set a [`Store`], so that the sign-in outlives the process and is shared with others.
//! 4. It watches the [`TokenState`], to find out when the user has to sign in again.
//!
//! The guide `docs/auth.md` has the details, including what to do when a token is refused.
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
//!
//! # Features
//! None is on by default: `browser` (opens the system browser), `qr` (draws the link of a device
//! sign-in), `keyring` and `redis` (stores).

/// Compiles the examples of the guide with the tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/auth.md")]
struct Guide;

mod credentials;
mod device;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod guest;
mod http;
mod lifecycle;
mod loopback;
pub mod meetings_xml;
mod oauth;
mod org;
pub mod pasted;
mod provider;
mod random;
pub mod retry_after;
mod scope;
mod server_text;
mod service_app;
mod store;
pub mod timer;
pub mod timings;
mod token;
mod token_error;
mod token_set;
mod tokens;

#[cfg(feature = "browser")]
pub use self::loopback::open_browser;
#[cfg(feature = "keyring")]
pub use self::store::KeyringStore;
#[cfg(feature = "redis")]
pub use self::store::RedisStore;
pub use secrecy::SecretString;

pub use self::{
    credentials::Credentials,
    device::{DeviceError, DevicePrompt, DeviceSignIn, DeviceState},
    guest::{BadIssuerSecret, Guest, GuestIssuer, JwtGuest},
    http::{BoxFuture, ReqwestHttp, TokenHttp, TokenReply, TokenRequest, TokenTransportError},
    lifecycle::{
        clock::{Clock, Moment, SystemClock},
        state::{ReauthReason, RenewError, TokenState},
    },
    loopback::{LoopbackError, LoopbackListener},
    oauth::{
        answer::is_page,
        authorize::{
            Authorization, AuthorizationRequest, Authorizations, CodeGrant, Redirect, RedirectError,
        },
        endpoints::{ClientAuth, OAuthEndpoints},
        error::{OAuthError, ServerReply},
        integration::{Integration, IntegrationBuilder},
        pkce::PkceMethod,
    },
    org::OrgIdError,
    provider::{ProviderError, TokenProvider},
    scope::{InvalidScope, MissingScopes, Scope, Scopes},
    server_text::ServerText,
    store::{DirectoryStore, HeldLock, MemoryStore, Store, StoreError, StoreLock},
    token::AccessToken,
    token_error::TokenError,
    token_set::TokenSet,
    tokens::{TokenStates, Tokens, TokensBuilder},
};
