//! Webex Meetings integrations: the older OAuth service of the XML API.
//!
//! It differs from Webex's public API in small things, all of which are kept here: its own scopes,
//! `plain` PKCE with ten characters, refresh tokens that are sent with the site's name in front, and
//! an answer that says more about the user. What is signed in with it goes into the
//! [`SecurityContext`] of an XML request.
//!
//! ```no_run
//! use webex_auth::{Credentials, Redirect, ReqwestHttp, Tokens};
//! use webex_auth::meetings_xml::{MeetingsIntegration, MeetingsScope, SecurityContext};
//!
//! # async fn run(redirected_to: String) -> Result<(), Box<dyn std::error::Error>> {
//! let integration = MeetingsIntegration::builder("C1234")
//!     .secret(std::env::var("WEBEX_CLIENT_SECRET")?)
//!     .redirect_uri("https://app.example/callback")
//!     .scopes([MeetingsScope::AllRead, MeetingsScope::MeetingModify])
//!     .site("acme")
//!     .build();
//! let http = ReqwestHttp::from_builder(reqwest::Client::builder())?;
//!
//! let authorization = integration.authorization()?.start();
//! println!("open {}", authorization.url());
//! let grant = authorization.finish(Redirect::parse(&redirected_to))?;
//! let signed_in = integration.exchange(&http, grant).await?;
//! let context = SecurityContext::new("acme", signed_in.tokens().access_token());
//! # Ok(()) }
//! ```

mod context;

use std::{collections::BTreeSet, fmt, sync::Arc, time::SystemTime};

use secrecy::SecretString;
use serde::Deserialize;
use url::{Host, Url};

use crate::{
    http::{TokenHttp, TokenRequest},
    oauth::{
        authorize::{AuthorizationRequest, CodeGrant},
        endpoints::ClientAuth,
        error::OAuthError,
        integration::{Integration, plain},
        pkce::PkceMethod,
        wire::{self, TokenAnswer},
    },
    scope::{Scope, Scopes},
    token_set::TokenSet,
};

pub use self::context::SecurityContext;

/// Where users are asked, by Cisco's own sample code. The public page names no address.
const AUTHORIZE: &str = "https://api.webex.com/v1/oauth2/authorize";

/// Where tokens are exchanged, from the same source.
const TOKEN: &str = "https://api.webex.com/v1/oauth2/token";

/// What a Meetings integration may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MeetingsScope {
    /// `all_read`: read whatever the user may see.
    AllRead,
    /// `user_modify`: change the user's details.
    UserModify,
    /// `meeting_modify`: make and change meetings.
    MeetingModify,
    /// `recording_modify`: change recordings.
    RecordingModify,
    /// `setting_modify`: change site settings; administrators only.
    SettingModify,
}

impl MeetingsScope {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllRead => "all_read",
            Self::UserModify => "user_modify",
            Self::MeetingModify => "meeting_modify",
            Self::RecordingModify => "recording_modify",
            Self::SettingModify => "setting_modify",
        }
    }
}

impl From<MeetingsScope> for Scope {
    fn from(scope: MeetingsScope) -> Self {
        Self::new(scope.as_str()).expect("a constant scope")
    }
}

/// A Webex Meetings integration. Clones share the configuration; `Debug` does not show the secret.
#[derive(Clone)]
pub struct MeetingsIntegration(Arc<Config>);

#[derive(Clone)]
struct Config {
    client_id: String,
    secret: Option<SecretString>,
    redirect_uri: Option<String>,
    scopes: BTreeSet<MeetingsScope>,
    site: Option<String>,
    authorize: Url,
    token: Url,
    pkce: PkceMethod,
}

impl MeetingsIntegration {
    /// Begins an integration with its client id. Defaults: no secret, no redirect URI, no scopes,
    /// the site of the answer's issuer, Cisco's endpoints, `plain` PKCE.
    pub fn builder(client_id: impl Into<String>) -> MeetingsIntegrationBuilder {
        MeetingsIntegrationBuilder(Config {
            client_id: client_id.into(),
            secret: None,
            redirect_uri: None,
            scopes: BTreeSet::new(),
            site: None,
            authorize: Url::parse(AUTHORIZE).expect("a constant URL"),
            token: Url::parse(TOKEN).expect("a constant URL"),
            pkce: PkceMethod::Plain,
        })
    }

    /// A link for the user's browser.
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] without a redirect URI.
    pub fn authorization(&self) -> Result<AuthorizationRequest, OAuthError> {
        let config = &*self.0;
        let scopes: Scopes = config.scopes.iter().copied().map(Scope::from).collect();
        Ok(AuthorizationRequest::new(
            config.authorize.clone(),
            &config.client_id,
            self.redirect_uri()?,
            scopes,
            Some(config.pkce),
        ))
    }

    /// Exchanges a code for tokens.
    ///
    /// # Errors
    /// [`OAuthError::InvalidGrant`] when the code is used, too old, or not for this redirect URI or
    /// verifier; the others by what the server says.
    pub async fn exchange(
        &self,
        http: &dyn TokenHttp,
        grant: CodeGrant,
    ) -> Result<MeetingsTokens, OAuthError> {
        let mut form = vec![
            ("grant_type", plain("authorization_code")),
            ("code", grant.code),
            ("redirect_uri", plain(grant.redirect_uri)),
        ];
        if let Some(verifier) = grant.verifier {
            form.push(("code_verifier", verifier));
        }
        self.obtain(http, form, None).await
    }

    /// Renews tokens. The refresh token is sent with the site's name in front.
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] when `old` has no refresh token, [`OAuthError::InvalidGrant`]
    /// when it is expired, used or revoked; the others by what the server says.
    pub async fn refresh(
        &self,
        http: &dyn TokenHttp,
        old: &TokenSet,
    ) -> Result<MeetingsTokens, OAuthError> {
        let token = old.expose_refresh_token().ok_or(OAuthError::NotConfigured("refresh token"))?;
        let form = vec![
            ("grant_type", plain("refresh_token")),
            ("refresh_token", self.prefixed(token, None)),
            ("redirect_uri", plain(self.redirect_uri()?)),
        ];
        self.obtain(http, form, Some(old)).await
    }

    async fn obtain(
        &self,
        http: &dyn TokenHttp,
        form: Vec<(&'static str, SecretString)>,
        old: Option<&TokenSet>,
    ) -> Result<MeetingsTokens, OAuthError> {
        let sent_at = SystemTime::now();
        let mut client = Integration::builder(&self.0.client_id);
        if let Some(secret) = &self.0.secret {
            client = client.secret(secret.clone());
        }
        let request = TokenRequest::new(self.0.token.clone());
        let request = client.build().authenticate(request, form, ClientAuth::Form);
        let reply = wire::send(http, request).await?;

        let mut tokens = TokenAnswer::parse(reply.body())?.into_set(sent_at)?;
        let about: About = serde_json::from_str(reply.body())
            .map_err(|_| OAuthError::BadAnswer("a field about the user is malformed"))?;
        // Prefixed here, while the issuer is known: a stored token is sent as it is.
        if let Some(token) = tokens.expose_refresh_token() {
            let prefixed = self.prefixed(token, about.iss.as_deref());
            tokens = tokens.replaced_refresh_token(prefixed);
        }
        Ok(MeetingsTokens { tokens: tokens.after(old), about })
    }

    fn redirect_uri(&self) -> Result<&str, OAuthError> {
        self.0.redirect_uri.as_deref().ok_or(OAuthError::NotConfigured("redirect URI"))
    }

    /// The refresh token as it is sent: `{site}_{token}`.
    fn prefixed(&self, token: &str, issuer: Option<&str>) -> SecretString {
        let site = self.0.site.clone().or_else(|| issuer.and_then(site_of));
        SecretString::from(match site {
            Some(site) if !token.starts_with(&format!("{site}_")) => format!("{site}_{token}"),
            _ => token.to_owned(),
        })
    }
}

impl fmt::Debug for MeetingsIntegration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeetingsIntegration")
            .field("client_id", &self.0.client_id)
            .field("secret", &self.0.secret.is_some())
            .field("redirect_uri", &self.0.redirect_uri)
            .field("scopes", &self.0.scopes)
            .field("site", &self.0.site)
            .finish_non_exhaustive()
    }
}

/// Makes a [`MeetingsIntegration`].
#[derive(Clone)]
#[must_use = "build() makes the integration"]
pub struct MeetingsIntegrationBuilder(Config);

impl MeetingsIntegrationBuilder {
    /// Sets the client secret. Default: none.
    pub fn secret(mut self, secret: impl Into<SecretString>) -> Self {
        self.0.secret = Some(secret.into());
        self
    }

    /// Sets where the browser is redirected to; exactly as registered.
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.0.redirect_uri = Some(uri.into());
        self
    }

    /// Sets what to ask for. Default: nothing.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = MeetingsScope>) -> Self {
        self.0.scopes = scopes.into_iter().collect();
        self
    }

    /// Sets the name of the site: `acme` for `acme.webex.com`. Default: the first part of the
    /// issuer's host name in the answer.
    pub fn site(mut self, name: impl Into<String>) -> Self {
        self.0.site = Some(name.into());
        self
    }

    /// Sets the endpoints. Default: those of Cisco's own sample code, since the public page names
    /// none.
    pub fn endpoints(mut self, authorize: Url, token: Url) -> Self {
        self.0.authorize = authorize;
        self.0.token = token;
        self
    }

    /// Sets how PKCE is done. Default: [`PkceMethod::Plain`], as documented; S256 also works, by
    /// Cisco's own sample code.
    pub fn pkce(mut self, method: PkceMethod) -> Self {
        self.0.pkce = method;
        self
    }

    /// Makes the integration.
    pub fn build(self) -> MeetingsIntegration {
        MeetingsIntegration(Arc::new(self.0))
    }
}

impl fmt::Debug for MeetingsIntegrationBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.clone().build(), f)
    }
}

/// What a Meetings sign-in yields: tokens, and who signed in.
#[derive(Clone, Debug)]
pub struct MeetingsTokens {
    tokens: TokenSet,
    about: About,
}

/// The fields that only this service's answers have.
#[derive(Clone, Deserialize)]
struct About {
    user_name: Option<String>,
    iss: Option<String>,
    #[serde(default, deserialize_with = "wire::number")]
    siteid: Option<u64>,
    #[serde(default, deserialize_with = "wire::number")]
    userid: Option<u64>,
    authentication_id: Option<String>,
    email: Option<String>,
}

impl MeetingsTokens {
    /// The tokens. The refresh token has the site's name in front already.
    pub fn tokens(&self) -> &TokenSet {
        &self.tokens
    }

    /// The tokens, for [`Credentials::meetings_xml`](crate::Credentials::meetings_xml).
    pub fn into_tokens(self) -> TokenSet {
        self.tokens
    }

    /// The Webex user name.
    pub fn user_name(&self) -> Option<&str> {
        self.about.user_name.as_deref()
    }

    /// The account's e-mail address.
    pub fn email(&self) -> Option<&str> {
        self.about.email.as_deref()
    }

    /// Who issued the token.
    pub fn issuer(&self) -> Option<&str> {
        self.about.iss.as_deref()
    }

    /// The name of the site that the issuer's host name begins with.
    pub fn site_name(&self) -> Option<String> {
        self.issuer().and_then(site_of)
    }

    /// The id of the site.
    pub fn site_id(&self) -> Option<u64> {
        self.about.siteid
    }

    /// The id of the user.
    pub fn user_id(&self) -> Option<u64> {
        self.about.userid
    }

    /// The authentication id.
    pub fn authentication_id(&self) -> Option<&str> {
        self.about.authentication_id.as_deref()
    }
}

impl fmt::Debug for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("About")
            .field("iss", &self.iss)
            .field("siteid", &self.siteid)
            .field("userid", &self.userid)
            .finish_non_exhaustive()
    }
}

/// `acme` of `https://acme.webex.com/…` or `acme.webex.com`.
fn site_of(issuer: &str) -> Option<String> {
    let url = Url::parse(issuer).ok().filter(Url::has_host);
    let url = url.or_else(|| Url::parse(&format!("https://{issuer}")).ok())?;
    let Some(Host::Domain(host)) = url.host() else { return None };
    let (site, domain) = host.split_once('.')?;
    (domain.contains('.') && !site.is_empty()).then(|| site.to_owned())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_site_is_the_first_label_of_the_issuer() {
        for issuer in
            ["https://acme.webex.com/oauth", "acme.webex.com", "https://acme.webex.com:443"]
        {
            assert_eq!(site_of(issuer).as_deref(), Some("acme"), "{issuer}");
        }
        for issuer in ["webex.com", "https://localhost/", "https://10.0.0.1/", "", "not a host"] {
            assert_eq!(site_of(issuer), None, "{issuer}");
        }
    }

    #[test]
    fn the_prefix_is_added_once() {
        let with = |site: Option<&str>, issuer: Option<&str>, token: &str| {
            let mut builder = MeetingsIntegration::builder("c");
            if let Some(site) = site {
                builder = builder.site(site);
            }
            builder.build().prefixed(token, issuer).expose_secret().to_owned()
        };
        let issuer = Some("https://acme.webex.com");
        assert_eq!(with(Some("own"), issuer, "abc"), "own_abc", "configuration wins");
        assert_eq!(with(None, issuer, "abc"), "acme_abc");
        assert_eq!(with(None, issuer, "acme_abc"), "acme_abc");
        assert_eq!(with(None, None, "abc"), "abc");
    }

    #[test]
    fn the_link_is_the_documented_one() {
        let authorization = MeetingsIntegration::builder("C1")
            .redirect_uri("https://app.example/cb")
            .scopes([MeetingsScope::MeetingModify, MeetingsScope::AllRead])
            .build()
            .authorization()
            .unwrap()
            .start();
        let query = authorization.url().query().unwrap();
        assert!(query.contains("&scope=all_read+meeting_modify&"), "{query}");
        assert!(query.ends_with("&code_challenge_method=plain"), "{query}");
        let challenge = query.split("code_challenge=").nth(1).unwrap();
        assert_eq!(challenge.find('&'), Some(10), "{query}");
    }
}
