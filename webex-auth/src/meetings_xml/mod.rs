//! Webex Meetings integrations: the older OAuth service for the XML API.
//!
//! It differs from Webex's public API in details, all of which are handled here: its own scopes,
//! `plain` PKCE with ten characters, refresh tokens that are sent with the site's name in front,
//! and an answer with more about the user. The resulting token goes into the [`SecurityContext`] of
//! an XML request.
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
//!     .site("acme.webex.com".parse()?)
//!     .build();
//! let http = ReqwestHttp::from_builder(reqwest::Client::builder())?;
//!
//! let authorization = integration.authorization()?.start();
//! println!("open {}", authorization.url());
//! let grant = authorization.finish(Redirect::parse(&redirected_to))?;
//! let signed_in = integration.exchange(&http, grant).await?;
//! let context = SecurityContext::new(&"acme".parse()?, signed_in.tokens().access_token());
//! # Ok(()) }
//! ```

mod context;
mod site;

use std::{collections::BTreeSet, fmt, sync::Arc, time::SystemTime};

use secrecy::SecretString;
use url::Url;

use crate::{
    http::{TokenHttp, TokenRequest},
    oauth::{
        answer::Fields,
        authorize::{AuthorizationRequest, CodeGrant},
        client::{Client, Form},
        endpoints::ClientAuth,
        error::OAuthError,
        pkce::PkceMethod,
        wire,
    },
    scope::{Scope, Scopes},
    server_text::ServerText,
    timings,
    token_set::TokenSet,
};

pub use self::{
    context::SecurityContext,
    site::{InvalidSite, SiteName},
};

/// The authorize URL from Cisco's own sample code. The public page has no address.
const AUTHORIZE: &str = "https://api.webex.com/v1/oauth2/authorize";

/// The token URL, from the same source.
const TOKEN: &str = "https://api.webex.com/v1/oauth2/token";

/// What a Meetings integration may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MeetingsScope {
    /// `all_read`: read everything the user may see.
    AllRead,
    /// `user_modify`: change the user's details.
    UserModify,
    /// `meeting_modify`: create and change meetings.
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
    client: Client,
    scopes: BTreeSet<MeetingsScope>,
    site: Option<SiteName>,
    authorize: Url,
    token: Url,
    plain_http: bool,
    pkce: PkceMethod,
}

impl MeetingsIntegration {
    /// Builds an integration with its client id. Defaults: no secret, no redirect URI, no scopes,
    /// the site of the answer's issuer, Cisco's endpoints, `plain` PKCE.
    pub fn builder(client_id: impl Into<String>) -> MeetingsIntegrationBuilder {
        MeetingsIntegrationBuilder(Config {
            client: Client::new(client_id),
            scopes: BTreeSet::new(),
            site: None,
            authorize: Url::parse(AUTHORIZE).expect("a constant URL"),
            token: Url::parse(TOKEN).expect("a constant URL"),
            plain_http: false,
            pkce: PkceMethod::Plain,
        })
    }

    /// A link for the user's browser.
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] without a redirect URI; [`OAuthError::BadSecret`] and
    /// [`OAuthError::PlainHttp`] when the code could not be exchanged.
    pub fn authorization(&self) -> Result<AuthorizationRequest, OAuthError> {
        let config = &*self.0;
        config.client.secret()?;
        for url in [&config.authorize, &config.token] {
            wire::check_private(url, config.plain_http)?;
        }
        let scopes: Scopes = config.scopes.iter().copied().map(Scope::from).collect();
        Ok(AuthorizationRequest::new(
            config.authorize.clone(),
            &config.client.id,
            config.client.redirect_uri()?,
            scopes,
            Some(config.pkce),
        ))
    }

    /// Exchanges a code for tokens.
    ///
    /// # Errors
    /// [`OAuthError::InvalidGrant`] when the code is used, too old, or not for this redirect URI or
    /// verifier; otherwise the server's error.
    pub async fn exchange(
        &self,
        http: &dyn TokenHttp,
        grant: CodeGrant,
    ) -> Result<MeetingsTokens, OAuthError> {
        self.obtain(http, Client::code_form(grant), None).await
    }

    /// Renews tokens. The refresh token is sent with the site's name in front.
    ///
    /// # Errors
    /// [`OAuthError::NotConfigured`] when `old` has no refresh token, [`OAuthError::InvalidGrant`]
    /// when it is expired, used or revoked; otherwise the server's error.
    pub async fn refresh(
        &self,
        http: &dyn TokenHttp,
        old: &TokenSet,
    ) -> Result<MeetingsTokens, OAuthError> {
        let token = old.expose_refresh_token().ok_or(OAuthError::NotConfigured("refresh token"))?;
        // This service requires the redirect URI in every request.
        self.0.client.redirect_uri()?;
        let form = self.0.client.refresh_form(self.prefixed(token, None));
        self.obtain(http, form, Some(old)).await
    }

    async fn obtain(
        &self,
        http: &dyn TokenHttp,
        form: Form,
        old: Option<&TokenSet>,
    ) -> Result<MeetingsTokens, OAuthError> {
        let sent_at = SystemTime::now();
        let request = TokenRequest::new(self.0.token.clone()).plain_http(self.0.plain_http);
        let request = self.0.client.authenticate(request, form, ClientAuth::Form)?;
        let reply = wire::send(http, request).await?;
        let fields = wire::fields(&reply)?;
        let about = About::read(&fields);
        let tokens = wire::token_set(&fields, sent_at)?;
        Ok(MeetingsTokens { tokens: self.completed(tokens, &about).after(old), about })
    }

    /// Adds what this service documents but leaves out of its answer: the lifetimes, and the site's
    /// name before the refresh token. This is done here, where the issuer is known; a stored token
    /// is sent unchanged.
    fn completed(&self, mut tokens: TokenSet, about: &About) -> TokenSet {
        if tokens.expires().is_none() {
            tokens = tokens.expires_in(timings::MEETINGS_ACCESS);
        }
        if let Some(token) = tokens.expose_refresh_token() {
            let prefixed = self.prefixed(token, about.iss.as_ref());
            tokens = tokens.replaced_refresh_token(prefixed);
            if tokens.refresh_expires().is_none() {
                tokens = tokens.refresh_expires_in(timings::MEETINGS_REFRESH);
            }
        }
        tokens
    }

    /// The refresh token as it is sent: `{site}_{token}`.
    fn prefixed(&self, token: &str, issuer: Option<&ServerText>) -> SecretString {
        let site = self.0.site.clone().or_else(|| issuer?.as_str().parse().ok());
        SecretString::from(match site {
            Some(site) if !token.starts_with(&format!("{site}_")) => format!("{site}_{token}"),
            _ => token.to_owned(),
        })
    }
}

impl fmt::Debug for MeetingsIntegration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeetingsIntegration")
            .field("client", &self.0.client)
            .field("scopes", &self.0.scopes)
            .field("site", &self.0.site)
            .finish_non_exhaustive()
    }
}

/// Builds a [`MeetingsIntegration`].
#[derive(Clone)]
#[must_use = "build() makes the integration"]
pub struct MeetingsIntegrationBuilder(Config);

impl MeetingsIntegrationBuilder {
    /// Sets the client secret, without characters that are often pasted around one
    /// ([`pasted::secret`](crate::pasted::secret)). Default: none.
    pub fn secret(mut self, secret: impl Into<SecretString>) -> Self {
        self.0.client.secret = Some(secret.into());
        self
    }

    /// Sets the redirect URI, exactly as registered.
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.0.client.redirect_uri = Some(uri.into());
        self
    }

    /// Sets the scopes to request. Default: none.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = MeetingsScope>) -> Self {
        self.0.scopes = scopes.into_iter().collect();
        self
    }

    /// Sets the site: `"acme.webex.com".parse()?`. Default: the first part of the issuer's host name
    /// in the answer.
    pub fn site(mut self, site: SiteName) -> Self {
        self.0.site = Some(site);
        self
    }

    /// Sets the endpoints. Default: those of Cisco's own sample code, since the public page has
    /// none.
    pub fn endpoints(mut self, authorize: Url, token: Url) -> Self {
        self.0.authorize = authorize;
        self.0.token = token;
        self
    }

    /// Allows `http` addresses on other machines. Default: only on this one.
    ///
    /// Danger: anyone on the network path can read client secret and tokens.
    pub fn danger_allow_plain_http(mut self) -> Self {
        self.0.plain_http = true;
        self
    }

    /// Sets the PKCE method. Default: [`PkceMethod::Plain`], as documented; S256 also works,
    /// according to Cisco's own sample code.
    pub fn pkce(mut self, method: PkceMethod) -> Self {
        self.0.pkce = method;
        self
    }

    /// Builds the integration.
    pub fn build(self) -> MeetingsIntegration {
        MeetingsIntegration(Arc::new(self.0))
    }
}

impl fmt::Debug for MeetingsIntegrationBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.clone().build(), f)
    }
}

/// The result of a Meetings sign-in: tokens, and who signed in.
#[derive(Debug, Clone)]
pub struct MeetingsTokens {
    tokens: TokenSet,
    about: About,
}

/// The fields that only this service's answers have, all optional.
#[derive(Clone)]
struct About {
    user_name: Option<ServerText>,
    iss: Option<ServerText>,
    siteid: Option<u64>,
    userid: Option<u64>,
    authentication_id: Option<ServerText>,
    email: Option<ServerText>,
}

impl About {
    fn read(fields: &Fields<'_>) -> Self {
        let text = |name| fields.text(name).map(|text| ServerText::new(&text));
        Self {
            user_name: text("user_name"),
            iss: text("iss"),
            siteid: fields.number("siteid"),
            userid: fields.number("userid"),
            authentication_id: text("authentication_id"),
            email: text("email"),
        }
    }
}

impl MeetingsTokens {
    /// The tokens. The refresh token already has the site's name in front.
    pub fn tokens(&self) -> &TokenSet {
        &self.tokens
    }

    /// The tokens, for [`Credentials::meetings_xml`](crate::Credentials::meetings_xml).
    pub fn into_tokens(self) -> TokenSet {
        self.tokens
    }

    /// The Webex user name.
    pub fn user_name(&self) -> Option<&str> {
        self.about.user_name.as_ref().map(ServerText::as_str)
    }

    /// The account's e-mail address.
    pub fn email(&self) -> Option<&str> {
        self.about.email.as_ref().map(ServerText::as_str)
    }

    /// The issuer of the token.
    pub fn issuer(&self) -> Option<&str> {
        self.about.iss.as_ref().map(ServerText::as_str)
    }

    /// The name of the site that the issuer's host name begins with.
    pub fn site_name(&self) -> Option<SiteName> {
        self.issuer()?.parse().ok()
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
        self.about.authentication_id.as_ref().map(ServerText::as_str)
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

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::*;

    /// Parses an answer.
    fn read(answer: &Value) -> (TokenSet, About) {
        let body = answer.to_string();
        let fields = Fields::parse(&body).unwrap();
        let about = About::read(&fields);
        let tokens = wire::token_set(&fields, SystemTime::UNIX_EPOCH).unwrap();
        (MeetingsIntegration::builder("c").build().completed(tokens, &about), about)
    }

    /// The documented answer with all its fields.
    fn documented() -> Value {
        json!({
            "access_token": "abc", "token_type": "bearer", "refresh_token": "def",
            "expires_in": 7_200, "scope": "all_read user_modify", "user_name": "ada",
            "iss": "https://acme.webex.com", "siteid": 1, "userid": 2, "authentication_id": "x",
            "email": "ada@example.com",
        })
    }

    #[test]
    fn missing_lifetimes_are_the_documented_ones() {
        let mut answer = documented();
        answer.as_object_mut().unwrap().remove("expires_in");
        let (tokens, _) = read(&answer);
        let life = |end: Option<SystemTime>| end.unwrap().duration_since(tokens.issued()).unwrap();
        assert_eq!(life(tokens.expires()).as_secs(), 2 * 3_600);
        assert_eq!(life(tokens.refresh_expires()).as_secs(), 60 * 86_400);
        assert_eq!(tokens.expose_refresh_token(), Some("acme_def"));
    }

    #[test]
    fn optional_fields_never_cost_a_sign_in() {
        let odd =
            [json!(null), json!(7), json!([1]), json!({"a": [true]}), json!(false), json!(1e300)];
        for value in odd.iter().chain(&[json!("\u{1b}[2J\u{202e}")]) {
            for name in ["user_name", "iss", "siteid", "userid", "authentication_id", "email", "x"]
            {
                let mut answer = documented();
                answer[name] = value.clone();
                let (tokens, about) = read(&answer);
                assert_eq!(tokens.access_token().expose(), "abc", "{name}: {value}");
                assert_eq!(tokens.granted().unwrap().to_string(), "all_read user_modify");
                let shown = [&about.user_name, &about.iss, &about.authentication_id, &about.email];
                let shown = shown.into_iter().flatten().map(ServerText::as_str).collect::<String>();
                assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
            }
        }
        let mut answer = documented();
        answer["authentication_id"] = json!(4_711);
        answer["scope"] = json!(["user_modify", "all_read"]);
        let (tokens, about) = read(&answer);
        assert_eq!(about.authentication_id.unwrap().as_str(), "4711");
        assert_eq!(tokens.granted().unwrap().to_string(), "all_read user_modify");
    }

    #[test]
    fn the_prefix_is_added_once() {
        let with = |site: Option<&str>, issuer: Option<&str>, token: &str| {
            let mut builder = MeetingsIntegration::builder("c");
            if let Some(site) = site {
                builder = builder.site(site.parse().unwrap());
            }
            let issuer = issuer.map(ServerText::new);
            builder.build().prefixed(token, issuer.as_ref()).expose_secret().to_owned()
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
