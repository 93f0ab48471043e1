//! Registered OAuth clients.

use std::{fmt, time::Duration};

use serde::Deserialize;

use crate::{seconds, state::policy::OAuthPolicy};

/// A client (integration) known to the authorization server.
///
/// ```
/// use webex_sandbox::OAuthClient;
///
/// let integration = OAuthClient::confidential("my-app", "s3cret")
///     .redirect_uri("https://app.example/callback")
///     .scopes(["spark:webrtc_calling", "spark:calls_read"]);
/// let native = OAuthClient::public("my-native-app").redirect_uri("http://127.0.0.1:8080/cb");
/// let meetings = OAuthClient::confidential("xml-app", "s3cret").meetings_site("acme");
/// # let _ = (integration, native, meetings);
/// ```
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct OAuthClient {
    pub(crate) id: String,
    /// `None` makes the client public: it authenticates with PKCE only.
    #[serde(default)]
    pub(crate) secret: Option<String>,
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    #[serde(default = "all_scopes")]
    pub(crate) scopes: Vec<String>,
    /// Site of a Meetings integration.
    #[serde(default)]
    pub(crate) meetings_site: Option<String>,
    /// Base64 secret with which guest JWTs of this issuer are signed.
    #[serde(default)]
    pub(crate) guest_secret: Option<String>,
    #[serde(default)]
    lifetimes: Option<Lifetimes>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lifetimes {
    #[serde(rename = "access_s", with = "seconds")]
    access: Duration,
    #[serde(rename = "refresh_s", with = "seconds")]
    refresh: Duration,
}

impl OAuthClient {
    /// Id of the client that exists from the start.
    pub const DEFAULT_ID: &'static str = "sandbox-client";
    /// Secret of the client that exists from the start.
    pub const DEFAULT_SECRET: &'static str = "sandbox-secret";
    /// First redirect URI of the client that exists from the start.
    pub const DEFAULT_REDIRECT_URI: &'static str = "https://app.example/callback";
    /// Base64 secret for guest JWTs issued by [`OAuthClient::DEFAULT_ID`].
    pub const DEFAULT_GUEST_SECRET: &'static str = "c2FuZGJveC1ndWVzdC1zZWNyZXQ=";

    /// A client with a secret. It may use every scope until [`scopes`](Self::scopes) says otherwise.
    pub fn confidential(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { secret: Some(secret.into()), ..Self::public(id) }
    }

    /// A client without a secret; it has to use PKCE.
    pub fn public(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: None,
            redirect_uris: Vec::new(),
            scopes: all_scopes(),
            meetings_site: None,
            guest_secret: None,
            lifetimes: None,
        }
    }

    /// Adds a redirect URI. A request must match one exactly.
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uris.push(uri.into());
        self
    }

    /// Sets the scopes it may request.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Makes it an integration of a Meetings site: tokens live 2 hours and 60 days, a refresh token
    /// has to be sent as `{site}_{token}`, a plain PKCE challenge has at most 10 characters, and the
    /// answer has the additional fields of that service.
    pub fn meetings_site(mut self, site: impl Into<String>) -> Self {
        self.meetings_site = Some(site.into());
        self.lifetimes(Duration::from_hours(2), Duration::from_hours(60 * 24))
    }

    /// Sets how long its access and refresh tokens live, instead of the policy's times.
    pub fn lifetimes(mut self, access: Duration, refresh: Duration) -> Self {
        self.lifetimes = Some(Lifetimes { access, refresh });
        self
    }

    /// Makes it a guest issuer: JWTs whose `iss` is its id, signed with this (base64) secret, sign guests in.
    pub fn guest_issuer(mut self, base64_secret: impl Into<String>) -> Self {
        self.guest_secret = Some(base64_secret.into());
        self
    }

    pub(crate) fn sandbox_default() -> Self {
        Self::confidential(Self::DEFAULT_ID, Self::DEFAULT_SECRET)
            .redirect_uri(Self::DEFAULT_REDIRECT_URI)
            .redirect_uri("http://localhost:8080/callback")
            .redirect_uri("http://127.0.0.1:8080/callback")
            .guest_issuer(Self::DEFAULT_GUEST_SECRET)
    }

    /// Lifetimes of access and refresh tokens.
    pub(crate) fn token_lifetimes(&self, policy: &OAuthPolicy) -> (Duration, Duration) {
        self.lifetimes
            .map_or((policy.access_token_lifetime, policy.refresh_token_lifetime), |lifetimes| {
                (lifetimes.access, lifetimes.refresh)
            })
    }

    /// Whether it may request all of these scopes.
    pub(crate) fn may_use(&self, scopes: &[String]) -> bool {
        scopes.iter().all(|scope| self.scopes.contains(scope))
    }
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient")
            .field("id", &self.id)
            .field("redirect_uris", &self.redirect_uris)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Scopes that an unrestricted client may request: those of calling and meetings, of service
/// accounts and guests, and of Meetings integrations.
fn all_scopes() -> Vec<String> {
    [
        "spark:all",
        "spark:kms",
        "spark:people_read",
        "spark:webrtc_calling",
        "spark:calls_read",
        "spark:calls_write",
        "spark:xsi",
        "webexsquare:admin",
        "guest-issuer:write",
        "all_read",
        "user_modify",
        "meeting_modify",
        "recording_modify",
        "setting_modify",
    ]
    .map(str::to_owned)
    .into()
}
