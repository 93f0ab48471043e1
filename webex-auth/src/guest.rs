//! Guests: users without an account, created by the application.
//!
//! There are two ways, both [`TokenProvider`]s, so that a guest's token is replaced when it
//! expires:
//!
//! * [`Guest`]: a service app with the scope `guest-issuer:write` asks Webex for a guest's token.
//! * [`JwtGuest`]: the older guest issuer; the application signs a JWT and exchanges it. A program
//!   that must
//!   not have the issuer's secret gets JWTs from its backend: [`JwtGuest::from_backend`].

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;
use thiserror::Error;
use uuid::Uuid;

use crate::{
    http::{BoxFuture, TokenHttp, TokenRequest},
    oauth::{endpoints::OAuthEndpoints, error::OAuthError, wire},
    provider::{ProviderError, TokenProvider},
    timings,
    token::AccessToken,
    token_set::TokenSet,
    tokens::Tokens,
};

/// A guest created by a service app (`POST guests/token`).
///
/// The same `subject` is the same guest each time.
///
/// ```no_run
/// use webex_auth::{Credentials, OAuthEndpoints, Guest, Tokens};
///
/// # fn run(service_app: Tokens) {
/// let guest = Guest::new(OAuthEndpoints::webex(), service_app, "visitor-17", "Ada");
/// let credentials = Credentials::provider(guest);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Guest {
    endpoints: OAuthEndpoints,
    service_app: Tokens,
    subject: String,
    display_name: String,
}

impl Guest {
    /// A guest. `service_app` are the tokens of the service app, which its integration renews.
    pub fn new(
        endpoints: OAuthEndpoints,
        service_app: Tokens,
        subject: impl Into<String>,
        display_name: impl Into<String>,
    ) -> Self {
        Self { endpoints, service_app, subject: subject.into(), display_name: display_name.into() }
    }

    /// Gets a token for the guest. A refused token of the service app (401) is renewed once.
    ///
    /// # Errors
    /// [`ProviderError::Temporary`] or [`ProviderError::Permanent`] when the service app has no
    /// token, [`ProviderError::OAuth`] with the server's error.
    pub async fn token(&self, http: &dyn TokenHttp) -> Result<TokenSet, ProviderError> {
        let token = self.service_app.token().await.map_err(no_service_app)?;
        match self.request(http, &token).await {
            Err(error) if error.reply().is_some_and(|reply| reply.status() == 401) => {
                let token = self.service_app.replace(&token).await.map_err(no_service_app)?;
                Ok(self.request(http, &token).await?)
            }
            result => Ok(result?),
        }
    }

    async fn request(
        &self,
        http: &dyn TokenHttp,
        token: &AccessToken,
    ) -> Result<TokenSet, OAuthError> {
        let url = self.endpoints.guests.clone();
        let url = url.ok_or(OAuthError::NotConfigured("guest endpoint"))?;
        let request = self
            .endpoints
            .request(url)
            .authorization(SecretString::from(token.authorization()))
            .json(
                &json!({ "subject": self.subject, "displayName": self.display_name }),
                Vec::new(),
            );
        obtain(http, request).await
    }
}

impl TokenProvider for Guest {
    fn provide<'a>(
        &'a self,
        http: &'a dyn TokenHttp,
    ) -> BoxFuture<'a, Result<TokenSet, ProviderError>> {
        Box::pin(self.token(http))
    }
}

fn no_service_app(error: crate::TokenError) -> ProviderError {
    match error {
        crate::TokenError::Unavailable { .. } => ProviderError::temporary(error),
        _ => ProviderError::permanent(error),
    }
}

/// An older guest issuer: an id and a secret that signs JWTs.
#[derive(Clone)]
pub struct GuestIssuer {
    id: String,
    secret: SecretString,
}

impl GuestIssuer {
    /// An issuer with its id and its secret as the developer portal shows it (base64).
    pub fn new(id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self { id: id.into(), secret: secret.into() }
    }

    /// Signs a JWT (HS256) for a guest. Missing names are generated: `guest-user-{uuid}` and `Guest
    /// User - {uuid}`. It is valid for an hour from `now`.
    ///
    /// # Errors
    /// [`BadIssuerSecret`] when the secret is not base64.
    pub fn jwt(
        &self,
        subject: Option<&str>,
        display_name: Option<&str>,
        now: SystemTime,
    ) -> Result<SecretString, BadIssuerSecret> {
        let id = Uuid::new_v4();
        let expires = now + timings::GUEST_JWT;
        let claims = json!({
            "sub": subject.map_or_else(|| format!("guest-user-{id}"), str::to_owned),
            "name": display_name.map_or_else(|| format!("Guest User - {id}"), str::to_owned),
            "iss": self.id,
            "exp": expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        });
        let key = ANY_PADDING.decode(self.secret.expose_secret().trim());
        let key = key.map_err(|_| BadIssuerSecret)?;
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string()),
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| BadIssuerSecret)?;
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        Ok(SecretString::from(format!("{signed}.{signature}")))
    }
}

impl fmt::Debug for GuestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestIssuer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A guest issuer's secret that does not have the form of the developer portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the guest issuer's secret is no base64: copy it again from the developer portal")]
pub struct BadIssuerSecret;

/// A guest whose JWT is exchanged for a token (`POST jwt/login`). Only for existing issuers; Webex
/// creates no new ones.
#[derive(Clone)]
pub struct JwtGuest {
    endpoints: OAuthEndpoints,
    jwts: Arc<dyn Jwts>,
}

impl JwtGuest {
    /// A guest of an issuer whose secret the program has.
    pub fn new(
        endpoints: OAuthEndpoints,
        issuer: GuestIssuer,
        subject: impl Into<String>,
        display_name: impl Into<String>,
    ) -> Self {
        let jwts = Signed { issuer, subject: subject.into(), display_name: display_name.into() };
        Self { endpoints, jwts: Arc::new(jwts) }
    }

    /// A guest whose JWTs the application gets elsewhere, from its backend. It is called for a
    /// fresh one each time.
    pub fn from_backend<F, T>(endpoints: OAuthEndpoints, jwt: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<SecretString, ProviderError>> + Send + 'static,
    {
        Self { endpoints, jwts: Arc::new(Backend(jwt)) }
    }

    /// Gets a token for the guest.
    ///
    /// # Errors
    /// [`ProviderError::Permanent`] when no JWT can be signed, the backend's error, or
    /// [`ProviderError::OAuth`] with the server's error.
    pub async fn token(&self, http: &dyn TokenHttp) -> Result<TokenSet, ProviderError> {
        let url = self.endpoints.jwt_login.clone();
        let url = url.ok_or(OAuthError::NotConfigured("JWT login endpoint"))?;
        let jwt = self.jwts.next().await?;
        // The bare JWT: this endpoint does not accept `Bearer`.
        Ok(obtain(http, self.endpoints.request(url).authorization(jwt)).await?)
    }
}

impl TokenProvider for JwtGuest {
    fn provide<'a>(
        &'a self,
        http: &'a dyn TokenHttp,
    ) -> BoxFuture<'a, Result<TokenSet, ProviderError>> {
        Box::pin(self.token(http))
    }
}

impl fmt::Debug for JwtGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtGuest").finish_non_exhaustive()
    }
}

/// A source of JWTs.
trait Jwts: Send + Sync {
    fn next(&self) -> BoxFuture<'_, Result<SecretString, ProviderError>>;
}

struct Signed {
    issuer: GuestIssuer,
    subject: String,
    display_name: String,
}

impl Jwts for Signed {
    fn next(&self) -> BoxFuture<'_, Result<SecretString, ProviderError>> {
        let (subject, name) = (Some(&*self.subject), Some(&*self.display_name));
        let jwt = self.issuer.jwt(subject, name, SystemTime::now());
        Box::pin(std::future::ready(jwt.map_err(ProviderError::permanent)))
    }
}

struct Backend<F>(F);

impl<F, T> Jwts for Backend<F>
where
    F: Fn() -> T + Send + Sync,
    T: Future<Output = Result<SecretString, ProviderError>> + Send + 'static,
{
    fn next(&self) -> BoxFuture<'_, Result<SecretString, ProviderError>> {
        Box::pin((self.0)())
    }
}

/// Portals and password managers differ in whether they keep the `=` at the end.
const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Sends a request to either endpoint and reads the answer.
async fn obtain(http: &dyn TokenHttp, request: TokenRequest) -> Result<TokenSet, OAuthError> {
    let asked = SystemTime::now();
    let reply = wire::send(http, request).await?;
    let fields = wire::fields(&reply)?;
    let token = wire::access_token(&fields, &["accessToken", "token", "access_token"])?;
    let set = TokenSet::new(token).issued_at(asked);
    let life = fields.number("expiresIn").or_else(|| fields.number("expires_in"));
    Ok(match life {
        Some(seconds) => set.expires_in(Duration::from_secs(seconds)),
        None => set,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jwt_is_signed_with_the_decoded_secret() {
        let issuer = GuestIssuer::new("issuer-1", "c2VjcmV0LWtleQ==");
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let jwt = issuer.jwt(Some("guest-1"), Some("Ada"), now).unwrap();
        let parts: Vec<_> = jwt.expose_secret().split('.').collect();
        let decode = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
        };
        assert_eq!(decode(parts[0]), json!({"typ": "JWT", "alg": "HS256"}));
        assert_eq!(
            decode(parts[1]),
            json!({"sub": "guest-1", "name": "Ada", "iss": "issuer-1", "exp": 4_600})
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(b"secret-key").unwrap();
        mac.update(format!("{}.{}", parts[0], parts[1]).as_bytes());
        mac.verify_slice(&URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
    }

    #[test]
    fn names_are_generated_and_bad_secrets_reported() {
        let issuer = GuestIssuer::new("issuer-1", "c2VjcmV0LWtleQ");
        let jwt = issuer.jwt(None, None, UNIX_EPOCH).unwrap();
        let claims = jwt.expose_secret().split('.').nth(1).unwrap();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert!(claims.contains("\"guest-user-") && claims.contains("\"Guest User - "), "{claims}");
        let bad = GuestIssuer::new("issuer-1", "not base64!");
        assert_eq!(bad.jwt(None, None, UNIX_EPOCH).unwrap_err(), BadIssuerSecret);
        assert!(!format!("{issuer:?} {bad:?}").contains("c2VjcmV0"));
    }
}
