//! The sandbox's authorization server, and an HTTP client that records all requests and registers
//! every secret in them with the leak check.

#![allow(dead_code)] // each test program uses its part

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;
use webex_auth::{
    AuthorizationRequest, BoxFuture, CodeGrant, Integration, IntegrationBuilder, OAuthEndpoints,
    Redirect, RedirectError, ReqwestHttp, Scopes, TokenHttp, TokenReply, TokenRequest, TokenSet,
    TokenTransportError,
};
use webex_sandbox::{OAuthClient, OAuthPolicy, Sandbox};
use webex_tests::leak::LeakCheck;

pub(crate) const REDIRECT: &str = OAuthClient::DEFAULT_REDIRECT_URI;

/// A sandbox, and a client for it.
pub(crate) struct Cloud {
    pub(crate) sandbox: Sandbox,
    pub(crate) http: Arc<Recorder>,
    browser: reqwest::Client,
    pub(crate) leaks: LeakCheck,
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(policy: impl FnOnce(&mut OAuthPolicy)) -> Self {
        let secrets = [OAuthClient::DEFAULT_SECRET, OAuthClient::DEFAULT_GUEST_SECRET];
        let leaks = LeakCheck::install(secrets);
        let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
        sandbox.oauth_policy(policy);
        leaks.add(sandbox.token());
        let browser = client().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { sandbox, http: Recorder::new(), browser, leaks }
    }

    /// The sandbox as the public API.
    pub(crate) fn api(&self) -> OAuthEndpoints {
        let revoke = self.sandbox.url("/idb/oauth2/v1/revoke");
        OAuthEndpoints::api(&self.sandbox.url("/v1")).revoke(revoke)
    }

    /// The sandbox's ready-made client at the public API.
    pub(crate) fn integration(&self) -> IntegrationBuilder {
        Integration::builder(OAuthClient::DEFAULT_ID)
            .secret(OAuthClient::DEFAULT_SECRET)
            .redirect_uri(REDIRECT)
            .scopes(Scopes::calling())
            .endpoints(self.api())
    }

    /// Opens a link as the user's browser does, and returns the redirect.
    pub(crate) async fn open(&self, link: &Url) -> String {
        for (name, value) in link.query_pairs() {
            // With `plain` PKCE it is the verifier.
            if matches!(&*name, "state" | "code_challenge") {
                self.leaks.add(value);
            }
        }
        let response = self.browser.get(link.clone()).send().await.unwrap();
        assert_eq!(response.status(), 302, "{}", response.text().await.unwrap());
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        let fields = Url::parse(&location).unwrap();
        for (name, value) in fields.query_pairs() {
            if name == "code" {
                self.leaks.add(value);
            }
        }
        location
    }

    /// Signs in up to the code.
    pub(crate) async fn grant(
        &self,
        request: AuthorizationRequest,
    ) -> Result<CodeGrant, RedirectError> {
        let authorization = request.start();
        let location = self.open(authorization.url()).await;
        authorization.finish(Redirect::parse(&location))
    }

    /// Signs in with the ready-made client.
    pub(crate) async fn sign_in(&self) -> TokenSet {
        let integration = self.integration().build();
        let grant = self.grant(integration.authorization().unwrap()).await.unwrap();
        integration.exchange(&*self.http, grant).await.unwrap()
    }

    /// The status that a service answers a token with.
    pub(crate) async fn whoami(&self, token: &webex_auth::AccessToken) -> u16 {
        let request = self.browser.get(self.sandbox.url("/v1/people/me"));
        let response = request.header("authorization", token.authorization()).send().await;
        response.unwrap().status().as_u16()
    }
}

/// A reqwest builder that works without TLS: these tests speak plain HTTP to the sandbox.
pub(crate) fn client() -> reqwest::ClientBuilder {
    static PROVIDER: std::sync::Once = std::sync::Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have installed it
    });
    reqwest::Client::builder()
}

/// A recorded request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) path: String,
    pub(crate) basic: bool,
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) form: Vec<(String, String)>,
}

impl Exchange {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The names of the form's fields, sorted.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.form.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

/// An HTTP client that records.
pub(crate) struct Recorder {
    inner: ReqwestHttp,
    seen: Mutex<Vec<Exchange>>,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        let inner = ReqwestHttp::from_builder(client()).unwrap();
        Arc::new(Self { inner, seen: Mutex::default() })
    }

    pub(crate) fn all(&self) -> Vec<Exchange> {
        self.seen.lock().clone()
    }

    pub(crate) fn last(&self) -> Exchange {
        self.seen.lock().last().cloned().expect("a request was made")
    }
}

const SECRET_FIELDS: [&str; 11] = [
    "code",
    "code_verifier",
    "client_secret",
    "refresh_token",
    "token",
    "device_code",
    "access_token",
    "accessToken",
    "user_code",
    "verification_uri_complete",
    "password",
];

impl TokenHttp for Recorder {
    fn send<'a>(
        &'a self,
        request: &'a TokenRequest,
    ) -> BoxFuture<'a, Result<TokenReply, TokenTransportError>> {
        let leaks = LeakCheck::install([""; 0]);
        let authorization = request.authorization_header().map(str::to_owned);
        let basic = authorization.as_deref().and_then(|value| value.strip_prefix("Basic "));
        let is_basic = basic.is_some();
        if let Some(value) = &authorization {
            leaks.add(value.split_once(' ').map_or(&**value, |(_, credentials)| credentials));
        }
        if let Some(pair) = basic.and_then(|value| STANDARD.decode(value).ok()) {
            leaks.add(String::from_utf8(pair).unwrap());
        }
        let body = request.body();
        let form: Vec<_> = if request.content_type() == Some("application/json") {
            Vec::new()
        } else {
            form_urlencoded::parse(body.expose_secret().as_bytes()).into_owned().collect()
        };
        for (_, value) in form.iter().filter(|(name, _)| SECRET_FIELDS.contains(&&**name)) {
            leaks.add(value);
        }
        let path = request.url().path().to_owned();
        Box::pin(async move {
            let reply = self.inner.send(request).await?;
            let body: Value = serde_json::from_str(reply.body()).unwrap_or_default();
            for name in SECRET_FIELDS {
                if let Some(value) = body[name].as_str().filter(|value| value.len() >= 6) {
                    leaks.add(value);
                }
            }
            let status = reply.status();
            self.seen.lock().push(Exchange { path, basic: is_basic, status, body, form });
            Ok(reply)
        })
    }
}
