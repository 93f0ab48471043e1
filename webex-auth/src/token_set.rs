//! The result of a sign-in: an access token, its lifetime, and what renews it.
//!
//! A [`TokenSet`] is made from an answer of an authorization server (or from parts, by a backend
//! that mints tokens), is stored as JSON, and is held by [`Tokens`](crate::Tokens).

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    scope::{MissingScopes, Scopes},
    token::AccessToken,
    token_error::TokenError,
};

/// An access token and its details.
///
/// Cloning is cheap enough for occasional use; `Debug` shows times and scopes only.
#[derive(Clone)]
pub struct TokenSet {
    access_token: AccessToken,
    issued: SystemTime,
    expires: Option<SystemTime>,
    refresh_token: Option<SecretString>,
    refresh_expires: Option<SystemTime>,
    scopes: Option<Scopes>,
}

impl TokenSet {
    /// A token that was issued now, never expires and cannot be refreshed.
    ///
    /// Add details with the setters.
    pub fn new(access_token: AccessToken) -> Self {
        Self {
            access_token,
            issued: SystemTime::now(),
            expires: None,
            refresh_token: None,
            refresh_expires: None,
            scopes: None,
        }
    }

    /// Sets when the token was issued, from which its lifetime counts. Call it before the setters
    /// of lifetimes.
    #[must_use]
    pub fn issued_at(mut self, issued: SystemTime) -> Self {
        self.issued = issued;
        self
    }

    /// Sets the lifetime of the access token. Default: for ever.
    #[must_use]
    pub fn expires_in(mut self, life: Duration) -> Self {
        self.expires = self.issued.checked_add(life);
        self
    }

    /// Sets the refresh token. Default: none.
    #[must_use]
    pub fn refresh_token(mut self, token: impl Into<SecretString>) -> Self {
        self.refresh_token = Some(token.into());
        self
    }

    /// Sets the lifetime of the refresh token. Default: for ever.
    #[must_use]
    pub fn refresh_expires_in(mut self, life: Duration) -> Self {
        self.refresh_expires = self.issued.checked_add(life);
        self
    }

    /// Sets the granted scopes. Default: unknown.
    #[must_use]
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// The access token.
    pub fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// When the set was issued, by this machine's clock.
    pub fn issued(&self) -> SystemTime {
        self.issued
    }

    /// When the access token expires, if it does.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The refresh token. A secret.
    pub fn expose_refresh_token(&self) -> Option<&str> {
        self.refresh_token.as_ref().map(ExposeSecret::expose_secret)
    }

    /// When the refresh token expires, if that is known.
    pub fn refresh_expires(&self) -> Option<SystemTime> {
        self.refresh_expires
    }

    /// The granted scopes, if the server sent them.
    pub fn granted(&self) -> Option<&Scopes> {
        self.scopes.as_ref()
    }

    /// Checks that the token has the scopes a program needs.
    ///
    /// A server that sends no scopes has granted the requested ones (RFC 6749 §5.1), so such a set
    /// passes.
    ///
    /// # Errors
    /// [`MissingScopes`], which lists those that were not granted.
    pub fn require(&self, needed: &Scopes) -> Result<(), MissingScopes> {
        let Some(granted) = &self.scopes else { return Ok(()) };
        let missing = needed.missing_from(granted);
        if missing.is_empty() { Ok(()) } else { Err(MissingScopes { missing }) }
    }

    /// The set as if it had been issued at `issued`, with the same lifetimes.
    pub(crate) fn counted_from(mut self, issued: SystemTime) -> Self {
        let before = self.issued;
        let moved = |time: SystemTime| issued.checked_add(time.duration_since(before).ok()?);
        self.expires = self.expires.and_then(moved);
        self.refresh_expires = self.refresh_expires.and_then(moved);
        self.issued = issued;
        self
    }

    /// The set with another form of its refresh token.
    pub(crate) fn replaced_refresh_token(mut self, token: SecretString) -> Self {
        self.refresh_token = Some(token);
        self
    }

    /// Copies from `old` what a refresh answer may leave out: refresh token, its expiry, scopes.
    #[must_use]
    pub(crate) fn after(mut self, old: Option<&Self>) -> Self {
        let Some(old) = old else { return self };
        if self.refresh_token.is_none() {
            self.refresh_token.clone_from(&old.refresh_token);
            self.refresh_expires = self.refresh_expires.or(old.refresh_expires);
        }
        if self.scopes.is_none() {
            self.scopes.clone_from(&old.scopes);
        }
        self
    }

    /// The set as JSON, to be stored. A secret.
    pub fn to_json(&self) -> SecretString {
        let stored = Stored {
            version: 1,
            access_token: self.access_token.expose().to_owned(),
            issued_ms: to_ms(self.issued),
            expires_ms: self.expires.map(to_ms),
            refresh_token: self.expose_refresh_token().map(str::to_owned),
            refresh_expires_ms: self.refresh_expires.map(to_ms),
            scope: self.scopes.as_ref().map(Scopes::to_string),
        };
        SecretString::from(serde_json::to_string(&stored).expect("plain data"))
    }

    /// Parses the output of [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// [`TokenError::Store`] for any other text.
    pub fn from_json(json: &str) -> Result<Self, TokenError> {
        Self::read(json).ok_or_else(|| TokenError::Store {
            reason: "it holds no tokens of this program".into(),
        })
    }

    fn read(json: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(json).ok().filter(|s: &Stored| s.version == 1)?;
        Some(Self {
            access_token: AccessToken::parse(&stored.access_token).ok()?,
            issued: from_ms(stored.issued_ms),
            expires: stored.expires_ms.map(from_ms),
            refresh_token: stored.refresh_token.map(SecretString::from),
            refresh_expires: stored.refresh_expires_ms.map(from_ms),
            scopes: stored.scope.map(|scope| scope.parse()).transpose().ok()?,
        })
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("issued", &self.issued)
            .field("expires", &self.expires)
            .field("refreshable", &self.refresh_token.is_some())
            .field("refresh_expires", &self.refresh_expires)
            .field("scopes", &self.scopes.as_ref().map(Scopes::to_string))
            .finish_non_exhaustive()
    }
}

/// The stored form. Times are milliseconds since 1970.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    access_token: String,
    issued_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_expires_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

fn to_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn from_ms(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> TokenSet {
        TokenSet::new(AccessToken::parse("acc3ss-value").unwrap())
            .issued_at(from_ms(1_000))
            .expires_in(Duration::from_mins(1))
            .refresh_token("r3fresh-value")
            .refresh_expires_in(Duration::from_mins(10))
            .scopes("b a".parse().unwrap())
    }

    #[test]
    fn stored_tokens_can_be_read_back() {
        let json = set().to_json();
        let back = TokenSet::from_json(json.expose_secret()).unwrap();
        assert_eq!(back.to_json().expose_secret(), json.expose_secret());
        assert_eq!(back.expires(), Some(from_ms(61_000)));
        assert_eq!(back.expose_refresh_token(), Some("r3fresh-value"));
        assert!(TokenSet::from_json("{}").is_err());
        assert!(TokenSet::from_json(&json.expose_secret().replace(":1,", ":2,")).is_err());
    }

    #[test]
    fn an_absurd_life_does_not_panic() {
        let set = set().expires_in(Duration::MAX);
        assert_eq!(set.expires(), None);
        let json = r#"{"version":1,"access_token":"abc","issued_ms":18446744073709551615}"#;
        assert!(TokenSet::from_json(json).is_ok());
    }

    #[test]
    fn a_refresh_that_names_no_refresh_token_keeps_the_old_one() {
        let new = TokenSet::new(AccessToken::parse("new-value").unwrap());
        let kept = new.clone().after(Some(&set()));
        assert_eq!(kept.expose_refresh_token(), Some("r3fresh-value"));
        assert_eq!(kept.refresh_expires(), Some(from_ms(601_000)));
        assert_eq!(kept.granted(), set().granted());
        let rotated = new.refresh_token("rotated-value").after(Some(&set()));
        assert_eq!(rotated.expose_refresh_token(), Some("rotated-value"));
        assert_eq!(rotated.refresh_expires(), None);
    }

    #[test]
    fn missing_scopes_are_named() {
        assert!(set().require(&"a".parse().unwrap()).is_ok());
        let error = set().require(&"a c d".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("`c d`"), "{error}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", set());
        assert!(!text.contains("acc3ss") && !text.contains("r3fresh"), "{text}");
    }
}
