//! The authorization server: every grant, and every refusal.

#[path = "../common/mod.rs"]
mod common;
mod meetings;

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use common::{Answer, Client};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use webex_sandbox::{OAuth, OAuthClient, Sandbox};

const ID: &str = OAuthClient::DEFAULT_ID;
const SECRET: &str = OAuthClient::DEFAULT_SECRET;
const REDIRECT: &str = OAuthClient::DEFAULT_REDIRECT_URI;
const TOKEN: &str = "/v1/access_token";
const VERIFIER: &str = "a-verifier-that-is-just-long-enough-to-pass-0123456789";

struct T {
    sandbox: Sandbox,
    client: Client,
}

impl T {
    async fn start() -> Self {
        let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
        let client = Client::new(&sandbox);
        Self { sandbox, client }
    }

    async fn authorize(&self, fields: &[(&str, &str)]) -> Answer {
        let mut url = self.sandbox.url("/v1/authorize");
        url.query_pairs_mut().extend_pairs(fields);
        self.client.get(url.as_str()).await
    }

    /// Authorizes with the usual fields plus `more`, and returns the fields of the redirect.
    async fn redirected(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", ID),
            ("redirect_uri", REDIRECT),
            ("scope", "spark:all"),
            ("state", "s 1"),
        ];
        fields.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        fields.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        let answer = self.authorize(&fields).await;
        assert_eq!(answer.status, 302, "{answer:?}");
        let location = answer.header("location").unwrap();
        assert!(location.starts_with(REDIRECT) || location.contains("/cb"), "{location}");
        Url::parse(location)
            .unwrap()
            .query_pairs()
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect()
    }

    async fn code(&self, more: &[(&str, &str)]) -> String {
        value(&self.redirected(more).await, "code")
    }

    async fn exchange(&self, code: &str, more: &[(&str, &str)]) -> Answer {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", ID),
            ("client_secret", SECRET),
            ("redirect_uri", REDIRECT),
            ("code", code),
        ];
        fields.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        fields.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        self.client.form(TOKEN, &fields).await
    }

    async fn tokens(&self) -> Value {
        let answer = self.exchange(&self.code(&[]).await, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn refresh(&self, refresh_token: &str) -> Answer {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", ID),
            ("client_secret", SECRET),
            ("refresh_token", refresh_token),
        ];
        self.client.form(TOKEN, &fields).await
    }

    async fn is_live(&self, token: &str) -> bool {
        let client = Client { token: token.to_owned(), ..self.client.clone() };
        client.get("/v1/people/me").await.status == 200
    }
}

fn value(fields: &[(String, String)], name: &str) -> String {
    let found = fields.iter().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no {name} in {fields:?}")).1.clone()
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned()
}

#[track_caller]
fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (status, Some(code)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_code_is_exchanged_for_tokens_that_work() {
    let t = T::start().await;
    let fields = t.redirected(&[]).await;
    assert_eq!(value(&fields, "state"), "s 1");
    let code = value(&fields, "code");
    assert_eq!(code.split('_').nth(2), Some(t.sandbox.user().org_id.as_str()));
    let answer = t.exchange(&code, &[]).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 1_209_599);
    assert_eq!(body["refresh_token_expires_in"], 7_775_999);
    assert_eq!(body["scope"], "spark:all");
    let access = text(&body, "access_token");
    assert_eq!(access.split('_').count(), 3);
    assert!(t.is_live(&access).await);
    // Neither code nor secrets are in the log.
    let log = serde_json::to_string(&t.sandbox.requests().iter().collect::<Vec<_>>()).unwrap();
    for secret in [&code, SECRET, &access] {
        assert!(!log.contains(secret));
    }
}

#[tokio::test]
async fn a_code_works_once_and_a_replay_ends_its_tokens() {
    let t = T::start().await;
    let code = t.code(&[]).await;
    let first = t.exchange(&code, &[]).await.json();
    assert_error(&t.exchange(&code, &[]).await, 400, "invalid_grant");
    assert!(!t.is_live(&text(&first, "access_token")).await);
    assert_error(&t.refresh(&text(&first, "refresh_token")).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_code_expires() {
    let t = T::start().await;
    t.sandbox.oauth_policy(|policy| policy.code_lifetime = Duration::ZERO);
    let code = t.code(&[]).await;
    assert_error(&t.exchange(&code, &[]).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_code_is_bound_to_client_and_redirect_uri() {
    let t = T::start().await;
    t.sandbox
        .identity()
        .add_client(OAuthClient::confidential("other", "pw").redirect_uri(REDIRECT));
    let code = t.code(&[]).await;
    let as_other = [("client_id", "other"), ("client_secret", "pw")];
    assert_error(&t.exchange(&code, &as_other).await, 400, "invalid_grant");
    let elsewhere = [("redirect_uri", "http://localhost:8080/callback")];
    assert_error(&t.exchange(&code, &elsewhere).await, 400, "invalid_grant");
    // The failed attempt used up the code.
    assert_error(&t.exchange(&code, &[]).await, 400, "invalid_grant");
}

#[tokio::test]
async fn nothing_is_redirected_to_an_unregistered_uri() {
    let t = T::start().await;
    for uri in
        ["https://app.example/callback/", "https://app.example/callbac", "https://evil.example"]
    {
        let fields = [("response_type", "code"), ("client_id", ID), ("redirect_uri", uri)];
        let answer = t.authorize(&fields).await;
        assert_error(&answer, 400, "invalid_request");
        assert!(answer.header("location").is_none());
    }
    let unknown = [("response_type", "code"), ("client_id", "nobody"), ("redirect_uri", REDIRECT)];
    assert_error(&t.authorize(&unknown).await, 400, "invalid_client");
}

#[tokio::test]
async fn other_authorization_errors_are_redirected() {
    let t = T::start().await;
    let error = async |more: &[(&str, &str)]| {
        let fields = t.redirected(more).await;
        assert_eq!(value(&fields, "state"), "s 1");
        value(&fields, "error")
    };
    assert_eq!(error(&[("response_type", "id_token")]).await, "unsupported_response_type");
    assert_eq!(error(&[("response_type", "")]).await, "invalid_request");
    assert_eq!(error(&[("response_type", "token")]).await, "unauthorized_client");
    assert_eq!(error(&[("scope", "spark:all spark:flying")]).await, "invalid_scope");
    assert_eq!(error(&[("scope", "")]).await, "invalid_scope");
    assert_eq!(error(&[("code_challenge_method", "S256")]).await, "invalid_request");
    let short = [("code_challenge", "short"), ("code_challenge_method", "S256")];
    assert_eq!(error(&short).await, "invalid_request");
    assert_eq!(error(&[("login_hint", "stranger@example.com")]).await, "access_denied");
    t.sandbox.identity().refuse("access_denied");
    assert_eq!(error(&[]).await, "access_denied");
    t.sandbox.identity().agree();
    t.code(&[]).await;
}

#[tokio::test]
async fn the_user_who_signs_in_can_be_chosen() {
    let t = T::start().await;
    let bob = t.sandbox.add_user("bob@example.com");
    let eve = t.sandbox.add_user("eve@example.com");
    assert!(t.sandbox.identity().sign_in_as(&bob));
    let who = async |code: String| {
        let token = text(&t.exchange(&code, &[]).await.json(), "access_token");
        let client = Client { token, ..t.client.clone() };
        text(&client.get("/v1/people/me").await.json(), "id")
    };
    assert_eq!(who(t.code(&[]).await).await, bob.id);
    assert_eq!(who(t.code(&[("login_hint", "EVE@example.com")]).await).await, eve.id);
}

#[tokio::test]
async fn pkce_is_enforced() {
    let t = T::start().await;
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let s256 = [("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
    let plain = [("code_challenge", VERIFIER), ("code_challenge_method", "plain")];
    for asked in [&s256[..], &plain[..], &plain[..1]] {
        let good = [("code_verifier", VERIFIER)];
        assert_eq!(t.exchange(&t.code(asked).await, &good).await.status, 200);
        let bad = [("code_verifier", "another-verifier-that-is-long-enough-0123456789")];
        assert_error(&t.exchange(&t.code(asked).await, &bad).await, 400, "invalid_grant");
        assert_error(&t.exchange(&t.code(asked).await, &[]).await, 400, "invalid_grant");
    }
    let surplus = [("code_verifier", VERIFIER)];
    assert_error(&t.exchange(&t.code(&[]).await, &surplus).await, 400, "invalid_grant");

    t.sandbox.oauth_policy(|policy| policy.require_pkce = true);
    assert_eq!(value(&t.redirected(&[]).await, "error"), "invalid_request");
}

#[tokio::test]
async fn a_public_client_needs_pkce_and_no_secret() {
    let t = T::start().await;
    let uri = "http://127.0.0.1:9/cb";
    t.sandbox.identity().add_client(OAuthClient::public("native").redirect_uri(uri));
    let base = [("client_id", "native"), ("redirect_uri", uri)];
    assert_eq!(value(&t.redirected(&base).await, "error"), "invalid_request");

    let with_pkce = [&base[..], &[("code_challenge", VERIFIER)]].concat();
    let code = t.code(&with_pkce).await;
    let exchange = [&base[..], &[("client_secret", ""), ("code_verifier", VERIFIER)]].concat();
    assert_eq!(t.exchange(&code, &exchange).await.status, 200);

    // Only such clients may use the implicit flow; the token is in the fragment.
    let implicit = [
        ("response_type", "token"),
        ("client_id", "native"),
        ("redirect_uri", uri),
        ("scope", "spark:all"),
        ("state", "x"),
    ];
    let answer = t.authorize(&implicit).await;
    let location = Url::parse(answer.header("location").unwrap()).unwrap();
    let fragment = location.fragment().unwrap();
    assert!(fragment.contains("access_token=") && fragment.contains("state=x"), "{fragment}");
}

#[tokio::test]
async fn a_secret_is_needed_unless_policy_says_otherwise() {
    let t = T::start().await;
    let no_secret = [("client_secret", ""), ("code_verifier", VERIFIER)];
    let challenge = [("code_challenge", VERIFIER)];
    let code = t.code(&challenge).await;
    assert_error(&t.exchange(&code, &no_secret).await, 400, "invalid_client");
    t.sandbox.oauth_policy(|policy| policy.secret_optional_with_pkce = true);
    assert_eq!(t.exchange(&code, &no_secret).await.status, 200);
}

#[tokio::test]
async fn basic_and_form_authenticate_the_client() {
    let t = T::start().await;
    t.sandbox
        .identity()
        .add_client(OAuthClient::confidential("odd id", "p+w%:&").redirect_uri(REDIRECT));
    let grant = [("grant_type", "client_credentials")];
    let path = "/idb/oauth2/v1/access_token";
    // Raw, as many clients send it, and form-encoded, as the standard requires.
    for (id, secret) in [("odd id", "p+w%:&"), ("odd+id", "p%2Bw%25%3A%26")] {
        assert_eq!(t.client.form_as(path, &grant, Some((id, secret))).await.status, 200);
    }
    let form = [grant[0], ("client_id", "odd id"), ("client_secret", "p+w%:&")];
    assert_eq!(t.client.form(path, &form).await.status, 200);

    let wrong = t.client.form_as(path, &grant, Some((ID, "wrong"))).await;
    assert_error(&wrong, 401, "invalid_client");
    assert_eq!(wrong.header("www-authenticate"), Some("Basic"));
    let form = [grant[0], ("client_id", ID), ("client_secret", "wrong")];
    assert_error(&t.client.form(path, &form).await, 400, "invalid_client");
    let form = [grant[0], ("client_id", ID), ("client_secret", SECRET)];
    let both = t.client.form_as(path, &form, Some((ID, SECRET))).await;
    assert_error(&both, 400, "invalid_request");
}

#[tokio::test]
async fn malformed_token_requests_are_refused() {
    let t = T::start().await;
    let auth = [("client_id", ID), ("client_secret", SECRET)];
    let send = async |more: &[(&str, &str)]| {
        let fields = [&auth[..], more].concat();
        t.client.form(TOKEN, &fields).await
    };
    assert_error(&send(&[]).await, 400, "invalid_request");
    assert_error(&send(&[("grant_type", "password")]).await, 400, "unsupported_grant_type");
    assert_error(&send(&[("grant_type", "authorization_code")]).await, 400, "invalid_request");
    let twice = [("grant_type", "refresh_token"), ("grant_type", "refresh_token")];
    assert_error(&send(&twice).await, 400, "invalid_request");
    let json = t.client.post(TOKEN, json!({"grant_type": "refresh_token"})).await;
    assert_error(&json, 400, "invalid_request");
}

#[tokio::test]
async fn a_refresh_token_can_stay_or_rotate() {
    let t = T::start().await;
    let first = t.tokens().await;
    let refresh_token = text(&first, "refresh_token");
    let second = t.refresh(&refresh_token).await.json();
    assert_eq!(text(&second, "refresh_token"), refresh_token);
    assert_ne!(second["access_token"], first["access_token"]);
    // The old access token stays valid.
    assert!(t.is_live(&text(&first, "access_token")).await);

    t.sandbox.oauth_policy(|policy| policy.rotate_refresh_tokens = true);
    let third = t.refresh(&refresh_token).await.json();
    let rotated = text(&third, "refresh_token");
    assert_ne!(rotated, refresh_token);
    assert_error(&t.refresh(&refresh_token).await, 400, "invalid_grant");
    assert_eq!(t.refresh(&rotated).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_is_bound_to_its_client() {
    let t = T::start().await;
    t.sandbox.identity().add_client(OAuthClient::confidential("other", "pw"));
    let refresh_token = text(&t.tokens().await, "refresh_token");
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
    let as_other = t.client.form_as(TOKEN, &fields, Some(("other", "pw"))).await;
    assert_error(&as_other, 400, "invalid_grant");
    // Another client cannot revoke it either.
    let revoke = [("token", refresh_token.as_str())];
    t.client.form_as("/idb/oauth2/v1/revoke", &revoke, Some(("other", "pw"))).await;
    assert_eq!(t.refresh(&refresh_token).await.status, 200);
}

#[tokio::test]
async fn the_answer_to_a_refresh_can_be_odd() {
    let t = T::start().await;
    let first = t.tokens().await;
    let refresh_token = text(&first, "refresh_token");
    t.sandbox.oauth_policy(|policy| {
        policy.return_refresh_token = false;
        policy.return_same_access_token = true;
        policy.return_expiry = false;
    });
    let second = t.refresh(&refresh_token).await.json();
    assert_eq!(second["access_token"], first["access_token"]);
    for missing in ["refresh_token", "expires_in", "refresh_token_expires_in"] {
        assert!(second.get(missing).is_none(), "{second}");
    }
}

#[tokio::test]
async fn lifetimes_are_kept() {
    let t = T::start().await;
    t.sandbox.oauth_policy(|policy| {
        policy.access_token_lifetime = Duration::from_secs(1000);
        policy.refresh_token_lifetime = Duration::ZERO;
    });
    let body = t.tokens().await;
    assert_eq!(body["expires_in"], 1000);
    assert_error(&t.refresh(&text(&body, "refresh_token")).await, 400, "invalid_grant");
    let access = text(&body, "access_token");
    assert!(t.is_live(&access).await);
    assert!(t.sandbox.expire_token(&access));
    assert!(!t.is_live(&access).await);
}

#[tokio::test]
async fn a_refresh_may_narrow_but_not_widen() {
    let t = T::start().await;
    let code = t.code(&[("scope", "spark:all spark:kms")]).await;
    let refresh_token = text(&t.exchange(&code, &[]).await.json(), "refresh_token");
    let with_scope = async |scope: &str| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", ID),
            ("client_secret", SECRET),
            ("refresh_token", &refresh_token),
            ("scope", scope),
        ];
        t.client.form(TOKEN, &fields).await
    };
    assert_eq!(with_scope("spark:all").await.json()["scope"], "spark:all");
    assert_error(&with_scope("spark:all spark:xsi").await, 400, "invalid_scope");
}

#[tokio::test]
async fn scopes_can_be_reduced_without_client_authentication() {
    let t = T::start().await;
    let reduce = async |scope: &str| {
        let fields = [
            ("grant_type", "urn:cisco:oauth:grant-type:scope-reduction"),
            ("token", t.sandbox.token()),
            ("scope", scope),
            ("client_id", ID),
            ("self_contained_token", "true"),
        ];
        t.client.form("/idb/oauth2/v1/access_token", &fields).await
    };
    let body = reduce("spark:all").await.json();
    assert_eq!(body["scope"], "spark:all");
    assert!(body.get("refresh_token").is_none());
    assert!(t.is_live(&text(&body, "access_token")).await);
    assert_error(&reduce("spark:flying").await, 400, "invalid_scope");
}

#[tokio::test]
async fn tokens_are_capped_per_user() {
    let t = T::start().await;
    t.sandbox.oauth_policy(|policy| policy.token_cap = 3);
    let first = text(&t.tokens().await, "access_token");
    for _ in 0..3 {
        t.tokens().await;
    }
    assert_eq!(t.sandbox.identity().live_tokens(t.sandbox.user()), 3);
    assert!(!t.is_live(&first).await);
}

#[tokio::test]
async fn token_requests_can_be_limited() {
    let t = T::start().await;
    t.sandbox.oauth_policy(|policy| policy.token_requests_per_minute = Some(1));
    let body = t.tokens().await;
    let limited = t.refresh(&text(&body, "refresh_token")).await;
    assert_eq!(limited.status, 429);
    let wait: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
}

#[tokio::test]
async fn revoke_and_logout_end_tokens() {
    let t = T::start().await;
    let revoke = async |token: &str| {
        let fields = [("token", token), ("token_type_hint", "access_token")];
        t.client.form_as("/idb/oauth2/v1/revoke", &fields, Some((ID, SECRET))).await.status
    };
    let body = t.tokens().await;
    let access = text(&body, "access_token");
    assert_eq!(revoke(&access).await, 200);
    assert_eq!(revoke(&access).await, 200);
    assert!(!t.is_live(&access).await);
    assert_eq!(t.refresh(&text(&body, "refresh_token")).await.status, 200);

    let body = t.tokens().await;
    let logout = json!({"token": text(&body, "refresh_token"), "cisService": "webex"});
    assert_eq!(t.client.post("/idb/oauth2/v1/logout", logout).await.status, 204);
    assert!(!t.is_live(&text(&body, "access_token")).await);
    assert_error(&t.refresh(&text(&body, "refresh_token")).await, 400, "invalid_grant");

    let away = "/idb/oauth2/v1/logout?goto=https://evil.example";
    assert_eq!(t.client.get(away).await.status, 400);
    let home = format!("/idb/oauth2/v1/logout?goto={REDIRECT}");
    assert_eq!(t.client.get(&home).await.header("location"), Some(REDIRECT));
}

#[tokio::test]
async fn a_device_polls_until_its_user_agrees() {
    let t = T::start().await;
    t.sandbox.oauth_policy(|policy| policy.device_poll_interval = Duration::ZERO);
    let start = [("client_id", ID), ("scope", "spark:all")];
    let begun = t.client.form("/v1/device/authorize", &start).await.json();
    assert_eq!(begun["expires_in"], 300);
    let poll = async |code: &str| {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", code),
            ("client_id", ID),
        ];
        t.client.form_as("/v1/device/token", &fields, Some((ID, SECRET))).await
    };
    let code = text(&begun, "device_code");
    let pending = poll(&code).await;
    assert_eq!(pending.status, 428);
    assert_eq!(pending.json()["errors"][0]["description"], "authorization_pending");
    t.sandbox.oauth_policy(|policy| policy.device_poll_interval = Duration::from_mins(1));
    assert_eq!(poll(&code).await.json()["message"], "slow_down");

    let bob = t.sandbox.add_user("bob@example.com");
    assert!(t.sandbox.identity().approve_device(&text(&begun, "user_code"), &bob));
    let body = poll(&code).await.json();
    assert!(t.is_live(&text(&body, "access_token")).await);
    assert!(body["refresh_token"].is_string());
    assert_eq!(poll(&code).await.json()["message"], "invalid_grant");

    let denied = t.client.form("/v1/device/authorize", &start).await.json();
    assert!(t.sandbox.identity().deny_device(&text(&denied, "user_code")));
    assert_eq!(poll(&text(&denied, "device_code")).await.json()["message"], "access_denied");

    let opened = t.client.form("/v1/device/authorize", &start).await.json();
    assert_eq!(t.client.get(&text(&opened, "verification_uri_complete")).await.status, 200);
    assert_eq!(poll(&text(&opened, "device_code")).await.status, 200);

    t.sandbox.oauth_policy(|policy| policy.device_code_lifetime = Duration::ZERO);
    let expired = t.client.form("/v1/device/authorize", &start).await.json();
    assert_eq!(poll(&text(&expired, "device_code")).await.json()["message"], "expired_token");
}

#[tokio::test]
async fn every_oauth_error_can_be_scripted() {
    let t = T::start().await;
    let refresh_token = text(&t.tokens().await, "refresh_token");
    let body = json!({"error": "unauthorized_client", "error_description": "scripted"});
    t.sandbox.fail(OAuth::token()).with(400).body(body).once();
    assert_error(&t.refresh(&refresh_token).await, 400, "unauthorized_client");
    assert_eq!(t.refresh(&refresh_token).await.status, 200);
}

#[tokio::test]
async fn an_administrator_gets_a_service_apps_tokens() {
    let t = T::start().await;
    let ask = async |org: &str, secret: &str| {
        let body = json!({"clientId": ID, "clientSecret": secret, "targetOrgId": org});
        t.client.post(&format!("/v1/applications/{ID}/token"), body).await
    };
    let org = t.sandbox.user().org_id.clone();
    let body = ask(&org, SECRET).await.json();
    assert!(t.is_live(&text(&body, "access_token")).await);
    assert_eq!(t.refresh(&text(&body, "refresh_token")).await.status, 200);
    assert_eq!(ask(&org, "wrong").await.status, 400);
    assert_eq!(ask("elsewhere", SECRET).await.status, 403);
    let log = serde_json::to_string(&t.sandbox.requests().iter().collect::<Vec<_>>()).unwrap();
    assert!(!log.contains(SECRET));
}
