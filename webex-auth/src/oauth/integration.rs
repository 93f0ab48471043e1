//! An integration: the program's registration with Webex, and its requests.
//!
//! [`Integration`] is configuration and does no I/O by itself: each request gets the HTTP client to
//! use. The browser's part of a sign-in is in [`authorize`](super::authorize).

use std::{fmt, sync::Arc, time::SystemTime};

use secrecy::SecretString;
use url::Url;

use crate::{
    http::TokenHttp,
    oauth::{
        authorize::{AuthorizationRequest, CodeGrant},
        client::{Client, Form, plain},
        endpoints::{ClientAuth, OAuthEndpoints},
        error::OAuthError,
        pkce::PkceMethod,
        wire,
    },
    scope::{Scope, Scopes},
    token::AccessToken,
    token_set::TokenSet,
};

/// A Webex integration (an OAuth client), as registered in the developer portal.
///
/// Clones share the configuration. `Debug` does not show the secret.
///
/// ```no_run
/// use webex_auth::{Integration, Redirect, ReqwestHttp, Scopes};
///
/// # async fn run(redirected_to: String) -> Result<(), Box<dyn std::error::Error>> {
/// let integration = Integration::builder("C1234")
///     .secret(std::env::var("WEBEX_CLIENT_SECRET")?)
///     .redirect_uri("https://app.example/callback")
///     .scopes(Scopes::calling())
///     .build();
/// let http = ReqwestHttp::from_builder(reqwest::Client::builder())?;
///
/// let authorization = integration.authorization()?.start();
/// println!("open {}", authorization.url());
/// let grant = authorization.finish(Redirect::parse(&redirected_to))?;
/// let tokens = integration.exchange(&http, grant).await?;
/// tokens.require(integration.scopes())?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Integration(Arc<Config>);

#[derive(Clone)]
struct Config {
    client: Client,
    scopes: Scopes,
    endpoints: OAuthEndpoints,
    pkce: Option<PkceMethod>,
}

impl Integration {
    /// Builds an integration with its client id. Defaults: no secret, no redirect URI, no scopes,
    /// the public API's endpoints, PKCE with S256.
    pub fn builder(client_id: impl Into<String>) -> IntegrationBuilder {
        IntegrationBuilder(Config {
            client: Client::new(client_id),
            scopes: Scopes::default(),
            endpoints: OAuthEndpoints::default(),
            pkce: Some(PkceMethod::S256),
        })
    }

    /// Parses the address that the developer portal shows for an integration: client id, redirect
    /// URI and scopes from its query, the authorize endpoint from the rest.
    ///
    /// The other endpoints are those next to the authorize endpoint.
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] when it has no client id.
    pub fn from_authorization_url(url: &Url) -> Result<IntegrationBuilder, OAuthError> {
        let parameter = |wanted: &str| {
            let found = url.query_pairs().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.into_owned())
        };
        let client_id = parameter("client_id").ok_or(OAuthError::NotConfigured("client id"))?;
        let mut authorize = url.clone();
        authorize.set_query(None);
        authorize.set_fragment(None);
        let path = authorize.path().trim_end_matches("authorize").to_owned();
        let mut base = authorize.clone();
        let endpoints = if let Some(root) = path.strip_suffix("idb/oauth2/v1/") {
            base.set_path(root);
            OAuthEndpoints::broker(&base)
        } else {
            base.set_path(&path);
            OAuthEndpoints::api(&base)
        };
        let mut builder = Self::builder(client_id).endpoints(endpoints.authorize(authorize));
        if let Some(uri) = parameter("redirect_uri") {
            builder = builder.redirect_uri(uri);
        }
        if let Some(scopes) = parameter("scope").and_then(|scope| scope.parse().ok()) {
            builder = builder.scopes(scopes);
        }
        Ok(builder)
    }

    /// The client id.
    pub fn client_id(&self) -> &str {
        &self.0.client.id
    }

    /// The redirect URI.
    pub fn redirect_uri(&self) -> Option<&str> {
        self.0.client.redirect_uri.as_deref()
    }

    /// The scopes that the integration requests.
    pub fn scopes(&self) -> &Scopes {
        &self.0.scopes
    }

    /// The addresses of the authorization server.
    pub fn endpoints(&self) -> &OAuthEndpoints {
        &self.0.endpoints
    }

    /// The PKCE method, if PKCE is used.
    pub fn pkce(&self) -> Option<PkceMethod> {
        self.0.pkce
    }

    /// A link for the user's browser, with the integration's scopes, redirect URI and PKCE.
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] without a redirect URI; [`OAuthError::BadSecret`] and
    /// [`OAuthError::PlainHttp`] when the code could not be exchanged.
    pub fn authorization(&self) -> Result<AuthorizationRequest, OAuthError> {
        let endpoints = self.endpoints();
        self.0.client.secret()?;
        for url in [&endpoints.authorize, &endpoints.token] {
            wire::check_private(url, endpoints.plain_http)?;
        }
        Ok(AuthorizationRequest::new(
            endpoints.authorize.clone(),
            self.client_id(),
            self.0.client.redirect_uri()?,
            self.scopes().clone(),
            self.pkce(),
        ))
    }

    /// Exchanges a code for tokens.
    ///
    /// # Errors
    /// [`OAuthError::InvalidGrant`] when the code is used, older than a minute, or not for this
    /// redirect URI or verifier; otherwise the server's error.
    pub async fn exchange(
        &self,
        http: &dyn TokenHttp,
        grant: CodeGrant,
    ) -> Result<TokenSet, OAuthError> {
        let mut form = Client::code_form(grant);
        self.contained(&mut form);
        self.obtain(http, form).await
    }

    /// Renews tokens. What the answer leaves out (refresh token, scopes) is copied from `old`.
    ///
    /// The refresh token in the result replaces the old one: store it before it is used.
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] when `old` has no refresh token, [`OAuthError::InvalidGrant`]
    /// when it is expired, used or revoked; otherwise the server's error.
    pub async fn refresh(
        &self,
        http: &dyn TokenHttp,
        old: &TokenSet,
    ) -> Result<TokenSet, OAuthError> {
        let token = old.expose_refresh_token().ok_or(OAuthError::NotConfigured("refresh token"))?;
        Ok(self.obtain(http, self.0.client.refresh_form(plain(token))).await?.after(Some(old)))
    }

    /// Gets tokens for a refresh token alone, such as that of a service app.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn refresh_with(
        &self,
        http: &dyn TokenHttp,
        refresh_token: &str,
    ) -> Result<TokenSet, OAuthError> {
        let set = self.obtain(http, self.0.client.refresh_form(plain(refresh_token))).await?;
        // The answer may leave out the refresh token.
        Ok(match set.expose_refresh_token() {
            Some(_) => set,
            None => set.refresh_token(refresh_token),
        })
    }

    /// Gets tokens for the program itself, without a user (`client_credentials`).
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] without a secret; otherwise the server's error.
    pub async fn client_credentials(&self, http: &dyn TokenHttp) -> Result<TokenSet, OAuthError> {
        if self.0.client.secret.is_none() {
            return Err(OAuthError::NotConfigured("client secret"));
        }
        let default = Scopes::from([Scope::SQUARED_ADMIN]);
        let scopes = if self.scopes().is_empty() { &default } else { self.scopes() };
        let mut form =
            vec![("grant_type", plain("client_credentials")), ("scope", plain(scopes.to_string()))];
        self.contained(&mut form);
        self.obtain(http, form).await
    }

    /// Gets a token with fewer scopes, for a service that should not get all of them.
    ///
    /// # Errors
    /// [`OAuthError::InvalidScope`] when `scopes` are not among the token's; otherwise the server's
    /// error.
    pub async fn reduce_scopes(
        &self,
        http: &dyn TokenHttp,
        token: &AccessToken,
        scopes: &Scopes,
    ) -> Result<TokenSet, OAuthError> {
        // This grant has no client authentication: the token itself is the proof.
        let form = vec![
            ("grant_type", plain("urn:cisco:oauth:grant-type:scope-reduction")),
            ("token", plain(token.expose())),
            ("scope", plain(scopes.to_string())),
            ("client_id", plain(self.client_id())),
            ("self_contained_token", plain("true")),
        ];
        let request = self.endpoints().request(self.endpoints().token.clone()).form(form);
        wire::obtain(http, request, SystemTime::now()).await
    }

    /// Revokes an access token.
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] when the endpoints have no revoke URL; otherwise the server's
    /// error. An unknown or already expired token is not an error.
    pub async fn revoke(
        &self,
        http: &dyn TokenHttp,
        token: &AccessToken,
    ) -> Result<(), OAuthError> {
        self.revoke_as(http, token.expose(), "access_token").await
    }

    /// Revokes a whole set: its refresh token, then its access token.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke). Both are tried before the first error is returned.
    pub async fn revoke_set(&self, http: &dyn TokenHttp, set: &TokenSet) -> Result<(), OAuthError> {
        let refresh = match set.expose_refresh_token() {
            Some(token) => self.revoke_as(http, token, "refresh_token").await,
            None => Ok(()),
        };
        let access = self.revoke(http, set.access_token()).await;
        refresh.and(access)
    }

    async fn revoke_as(
        &self,
        http: &dyn TokenHttp,
        token: &str,
        hint: &'static str,
    ) -> Result<(), OAuthError> {
        let url = self.endpoints().revoke.clone();
        let url = url.ok_or(OAuthError::NotConfigured("revoke endpoint"))?;
        let form = vec![("token", plain(token)), ("token_type_hint", plain(hint))];
        // The revoke endpoint is the identity broker's, which accepts only Basic.
        let request = self.endpoints().request(url);
        let request = self.0.client.authenticate(request, form, ClientAuth::Basic)?;
        wire::send(http, request).await.map(drop)
    }

    async fn obtain(&self, http: &dyn TokenHttp, form: Form) -> Result<TokenSet, OAuthError> {
        let request = self.endpoints().request(self.endpoints().token.clone());
        let request = self.0.client.authenticate(request, form, self.endpoints().client_auth)?;
        // The lifetime counts from before the request, because the answer took some time.
        wire::obtain(http, request, SystemTime::now()).await
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    fn contained(&self, form: &mut Form) {
        if self.endpoints().self_contained {
            form.push(("self_contained_token", plain("true")));
        }
    }
}

impl fmt::Debug for Integration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Integration")
            .field("client", &self.0.client)
            .field("scopes", &self.0.scopes.to_string())
            .finish_non_exhaustive()
    }
}

/// Builds an [`Integration`].
#[derive(Clone)]
#[must_use = "build() makes the integration"]
pub struct IntegrationBuilder(Config);

impl IntegrationBuilder {
    /// Sets the client secret, without characters that are often pasted around one
    /// ([`pasted::secret`](crate::pasted::secret)). Webex documents it as required, even with PKCE;
    /// a program that cannot keep a secret may try without. Default: none.
    pub fn secret(mut self, secret: impl Into<SecretString>) -> Self {
        self.0.client.secret = Some(secret.into());
        self
    }

    /// Sets the redirect URI, exactly as registered, including a trailing slash.
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.0.client.redirect_uri = Some(uri.into());
        self
    }

    /// Sets the scopes to request. Default: none.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.0.scopes = scopes;
        self
    }

    /// Sets the authorization server. Default: [`OAuthEndpoints::webex`].
    pub fn endpoints(mut self, endpoints: OAuthEndpoints) -> Self {
        self.0.endpoints = endpoints;
        self
    }

    /// Sets the PKCE method. `None` turns PKCE off, so that anyone who sees a code can use it.
    /// Default: S256.
    pub fn pkce(mut self, method: Option<PkceMethod>) -> Self {
        self.0.pkce = method;
        self
    }

    /// Builds the integration.
    pub fn build(self) -> Integration {
        Integration(Arc::new(self.0))
    }
}

impl fmt::Debug for IntegrationBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.clone().build(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let builder = Integration::builder("C1").secret("s3cret-value");
        let text = format!("{builder:?} {:?}", builder.clone().build());
        assert!(!text.contains("s3cret") && text.contains("C1"), "{text}");
    }

    #[test]
    fn bad_settings_are_refused_before_the_browser_opens() {
        let builder = Integration::builder("C1").redirect_uri("https://app.example/cb");
        let error = builder.clone().secret("two words").build().authorization().unwrap_err();
        assert!(matches!(error, OAuthError::BadSecret(_)), "{error}");
        for (base, is_fine) in [
            ("http://auth.example/v1", false),
            ("http://127.0.0.1.example/v1", false),
            ("http://10.0.0.1:80/v1", false),
            ("ftp://localhost/v1", false),
            ("http://127.0.0.1:8080/v1", true),
            ("http://[::1]/v1", true),
            ("http://localhost/v1", true),
            ("https://auth.example/v1", true),
        ] {
            let endpoints = OAuthEndpoints::api(&base.parse().unwrap());
            let result = builder.clone().endpoints(endpoints.clone()).build().authorization();
            assert_eq!(result.is_ok(), is_fine, "{base}");
            if let Err(error) = result {
                assert!(matches!(error, OAuthError::PlainHttp(_)), "{error}");
            }
            let anyway = builder.clone().endpoints(endpoints.danger_allow_plain_http()).build();
            assert_eq!(anyway.authorization().is_ok(), !base.starts_with("ftp"), "{base}");
        }
    }

    #[test]
    fn an_authorization_url_configures_everything() {
        let url = "https://webexapis.com/v1/authorize?client_id=C1&response_type=code\
                   &redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fcb&scope=spark%3Aall+spark%3Akms";
        let integration =
            Integration::from_authorization_url(&url.parse().unwrap()).unwrap().build();
        assert_eq!(integration.client_id(), "C1");
        assert_eq!(integration.redirect_uri(), Some("http://localhost:3000/cb"));
        assert_eq!(*integration.scopes(), Scopes::meetings());
        assert_eq!(*integration.endpoints(), OAuthEndpoints::webex());

        let url = "https://idbroker.webex.com/idb/oauth2/v1/authorize?client_id=C1";
        let broker = Integration::from_authorization_url(&url.parse().unwrap()).unwrap().build();
        assert_eq!(*broker.endpoints(), OAuthEndpoints::idbroker());
        assert!(
            Integration::from_authorization_url(&"https://x.example/".parse().unwrap()).is_err()
        );
    }
}
