//! The addresses of an authorization server, and how a client authenticates there.

use url::Url;

use crate::http::TokenRequest;

/// How the client id and secret are sent to the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuth {
    /// As the form fields `client_id` and `client_secret`.
    Form,
    /// As HTTP Basic authorization.
    Basic,
}

/// The addresses of one authorization server.
///
/// Start from a preset and change what differs with the setters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthEndpoints {
    pub(crate) authorize: Url,
    pub(crate) token: Url,
    pub(crate) revoke: Option<Url>,
    pub(crate) logout: Option<Url>,
    pub(crate) device_authorize: Option<Url>,
    pub(crate) device_token: Option<Url>,
    pub(crate) applications: Option<Url>,
    pub(crate) guests: Option<Url>,
    pub(crate) jwt_login: Option<Url>,
    pub(crate) client_auth: ClientAuth,
    /// The broker issues opaque or self-contained tokens; clients request the latter.
    pub(crate) self_contained: bool,
    pub(crate) plain_http: bool,
}

impl OAuthEndpoints {
    /// The public API: `https://webexapis.com/v1`. The default.
    pub fn webex() -> Self {
        Self::api(&fixed("https://webexapis.com/v1"))
    }

    /// The public API of Webex for Government: `https://api-usgov.webex.com/v1`.
    pub fn fedramp() -> Self {
        Self::api(&fixed("https://api-usgov.webex.com/v1"))
    }

    /// The public API of the integration environment: `https://integration.webexapis.com/v1`.
    pub fn integration_test() -> Self {
        Self::api(&fixed("https://integration.webexapis.com/v1"))
    }

    /// A public API at another base, such as a sandbox's `https://localhost:8443/v1`.
    ///
    /// The revoke endpoint is not documented for the public API. For [`webex`](Self::webex) it is
    /// the identity broker's; [`revoke`](Self::revoke) sets it elsewhere.
    pub fn api(base: &Url) -> Self {
        let at = |path: &str| join(base, path);
        let webex = base.host_str() == Some("webexapis.com");
        let broker = webex.then(|| Self::broker(&fixed("https://idbroker.webex.com")));
        Self {
            authorize: at("authorize"),
            token: at("access_token"),
            revoke: broker.as_ref().and_then(|broker| broker.revoke.clone()),
            logout: None,
            device_authorize: Some(at("device/authorize")),
            device_token: Some(at("device/token")),
            applications: Some(at("applications")),
            guests: Some(at("guests/token")),
            jwt_login: Some(at("jwt/login")),
            client_auth: ClientAuth::Form,
            self_contained: false,
            plain_http: false,
        }
    }

    /// The identity broker: `https://idbroker.webex.com`. Basic client authentication.
    pub fn idbroker() -> Self {
        Self::broker(&fixed("https://idbroker.webex.com"))
    }

    /// The identity broker of the integration environment: `https://idbrokerbts.webex.com`.
    pub fn idbroker_test() -> Self {
        Self::broker(&fixed("https://idbrokerbts.webex.com"))
    }

    /// An identity broker at another base, such as the one a service catalog names.
    pub fn broker(base: &Url) -> Self {
        let at = |path: &str| join(base, &format!("idb/oauth2/v1/{path}"));
        Self {
            authorize: at("authorize"),
            token: at("access_token"),
            revoke: Some(at("revoke")),
            logout: Some(at("logout")),
            device_authorize: None,
            device_token: None,
            applications: None,
            guests: None,
            jwt_login: None,
            client_auth: ClientAuth::Basic,
            self_contained: true,
            plain_http: false,
        }
    }

    /// Sets the authorize URL, which the user's browser opens.
    #[must_use]
    pub fn authorize(mut self, url: Url) -> Self {
        self.authorize = url;
        self
    }

    /// Sets the token URL.
    #[must_use]
    pub fn token(mut self, url: Url) -> Self {
        self.token = url;
        self
    }

    /// Sets the revoke URL. Default: the broker's for Webex itself, none for another public API.
    #[must_use]
    pub fn revoke(mut self, url: Url) -> Self {
        self.revoke = Some(url);
        self
    }

    /// Sets the addresses that start and poll a device sign-in.
    #[must_use]
    pub fn device(mut self, authorize: Url, token: Url) -> Self {
        self.device_authorize = Some(authorize);
        self.device_token = Some(token);
        self
    }

    /// Sets how the client authenticates. Default: form fields at a public API, Basic at a broker.
    #[must_use]
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = client_auth;
        self
    }
}

impl OAuthEndpoints {
    /// Allows `http` addresses on other machines. Default: only on this one.
    ///
    /// Danger: anyone on the network path can read client secret and tokens.
    #[must_use]
    pub fn danger_allow_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    pub(crate) fn request(&self, url: Url) -> TokenRequest {
        TokenRequest::new(url).plain_http(self.plain_http)
    }

    /// Whether tokens can be revoked.
    pub fn can_revoke(&self) -> bool {
        self.revoke.is_some()
    }
}

impl Default for OAuthEndpoints {
    fn default() -> Self {
        Self::webex()
    }
}

/// `base` with `path` below it, whether or not `base` ends with a slash.
fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

fn fixed(url: &str) -> Url {
    Url::parse(url).expect("a constant URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_the_documented_addresses() {
        let webex = OAuthEndpoints::default();
        assert_eq!(webex.authorize.as_str(), "https://webexapis.com/v1/authorize");
        assert_eq!(webex.token.as_str(), "https://webexapis.com/v1/access_token");
        let device = webex.device_token.unwrap();
        assert_eq!(device.as_str(), "https://webexapis.com/v1/device/token");
        let broker = OAuthEndpoints::idbroker();
        assert_eq!(
            broker.revoke.unwrap().as_str(),
            "https://idbroker.webex.com/idb/oauth2/v1/revoke"
        );
        assert_eq!(broker.client_auth, ClientAuth::Basic);
        let gov = OAuthEndpoints::fedramp();
        assert_eq!(gov.token.as_str(), "https://api-usgov.webex.com/v1/access_token");
        assert_eq!(gov.revoke, None);
    }

    #[test]
    fn a_slash_at_the_end_of_a_base_does_not_matter() {
        let one = OAuthEndpoints::api(&fixed("https://localhost:8443/v1/"));
        assert_eq!(one, OAuthEndpoints::api(&fixed("https://localhost:8443/v1")));
    }
}
