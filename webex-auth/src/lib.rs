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
mod org;
mod token;

pub use self::{
    credentials::{Credentials, TokenError, Tokens},
    org::OrgIdError,
    token::AccessToken,
};
