//! Every grant of the token endpoint, and every refusal, on the wire against the sandbox's strict
//! authorization server.

#[path = "common/wire.rs"]
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use webex_auth::{
    AccessToken, CodeGrant, Credentials, Integration, OAuthEndpoints, OAuthError, PkceMethod,
    ReauthReason, Redirect, RedirectError, ReqwestHttp, Scope, Scopes, TokenError, TokenHttp,
    TokenSet, TokenState, Tokens, timings,
};
use webex_sandbox::{OAuth, OAuthClient};

use wire::{Cloud, REDIRECT};

/// Asserts the lifetime of a token by the sandbox's policy; requests take a little of it.
fn assert_life(end: Option<SystemTime>, seconds: u64) {
    let left = end.unwrap().duration_since(SystemTime::now()).unwrap();
    let expected = Duration::from_secs(seconds);
    assert!(left <= expected && left + Duration::from_mins(1) > expected, "{left:?}");
}

#[tokio::test]
async fn a_code_is_exchanged_with_form_authentication_and_pkce() {
    let cloud = Cloud::start().await;
    let integration = cloud.integration().build();
    let grant = cloud.grant(integration.authorization().unwrap()).await.unwrap();
    assert_eq!(grant.org_id().unwrap(), cloud.sandbox.user().org_id);
    let tokens = integration.exchange(&*cloud.http, grant).await.unwrap();

    let exchange = cloud.http.last();
    assert_eq!((exchange.path.as_str(), exchange.basic), ("/v1/access_token", false));
    let fields =
        ["client_id", "client_secret", "code", "code_verifier", "grant_type", "redirect_uri"];
    assert_eq!(exchange.fields(), fields);
    assert_eq!(exchange.field("grant_type"), Some("authorization_code"));
    assert_eq!(exchange.field("redirect_uri"), Some(REDIRECT));

    assert_eq!(cloud.whoami(tokens.access_token()).await, 200);
    assert_eq!(tokens.access_token().org_id().unwrap(), cloud.sandbox.user().org_id);
    assert_life(tokens.expires(), 1_209_599);
    assert_life(tokens.refresh_expires(), 7_775_999);
    assert_eq!(tokens.granted(), Some(&Scopes::calling()));
    tokens.require(&Scopes::calling()).unwrap();
    let error = tokens.require(&Scopes::meetings()).unwrap_err();
    assert_eq!(error.missing, Scopes::meetings());
}

#[tokio::test]
async fn the_broker_accepts_basic_authentication_for_every_grant() {
    let cloud = Cloud::start().await;
    let broker = OAuthEndpoints::broker(cloud.sandbox.origin());
    let integration = cloud.integration().endpoints(broker).build();
    let grant = cloud.grant(integration.authorization().unwrap()).await.unwrap();
    let tokens = integration.exchange(&*cloud.http, grant).await.unwrap();
    let exchange = cloud.http.last();
    assert_eq!((&*exchange.path, exchange.basic), ("/idb/oauth2/v1/access_token", true));
    let fields = ["code", "code_verifier", "grant_type", "redirect_uri", "self_contained_token"];
    assert_eq!(exchange.fields(), fields);

    let renewed = integration.refresh(&*cloud.http, &tokens).await.unwrap();
    let exchange = cloud.http.last();
    assert!(exchange.basic);
    assert_eq!(exchange.fields(), ["grant_type", "redirect_uri", "refresh_token"]);
    assert_ne!(renewed.access_token(), tokens.access_token());

    let tokens = integration.client_credentials(&*cloud.http).await.unwrap();
    let exchange = cloud.http.last();
    assert!(exchange.basic);
    assert_eq!(exchange.fields(), ["grant_type", "scope", "self_contained_token"]);
    assert_eq!(tokens.expose_refresh_token(), None);

    let none = cloud.integration().scopes(Scopes::default()).build();
    let tokens = none.client_credentials(&*cloud.http).await.unwrap();
    assert_eq!(cloud.http.last().field("scope"), Some("webexsquare:admin"));
    assert_eq!(tokens.granted(), Some(&[Scope::SQUARED_ADMIN].into()));
}

#[tokio::test]
async fn scopes_are_reduced_without_client_authentication() {
    let cloud = Cloud::start().await;
    let tokens = cloud.sign_in().await;
    let integration = cloud.integration().build();
    let fewer = Scopes::from([Scope::CALLS_READ]);
    let reduced =
        integration.reduce_scopes(&*cloud.http, tokens.access_token(), &fewer).await.unwrap();
    assert_eq!(reduced.granted(), Some(&fewer));
    let exchange = cloud.http.last();
    assert!(!exchange.basic);
    let fields = ["client_id", "grant_type", "scope", "self_contained_token", "token"];
    assert_eq!(exchange.fields(), fields);

    let more = Scopes::meetings();
    let error = integration.reduce_scopes(&*cloud.http, tokens.access_token(), &more).await;
    assert!(matches!(error, Err(OAuthError::InvalidScope(_))));
}

#[tokio::test]
async fn a_refresh_keeps_what_the_answer_leaves_out() {
    let cloud = Cloud::with(|policy| policy.return_refresh_token = false).await;
    let tokens = cloud.sign_in().await;
    let integration = cloud.integration().build();
    let renewed = integration.refresh(&*cloud.http, &tokens).await.unwrap();
    assert_eq!(cloud.http.last().body.get("refresh_token"), None);
    assert_eq!(renewed.expose_refresh_token(), tokens.expose_refresh_token());
    assert_eq!(renewed.refresh_expires(), tokens.refresh_expires());
    assert!(integration.refresh(&*cloud.http, &renewed).await.is_ok());
}

#[tokio::test]
async fn a_rotated_refresh_token_replaces_the_old_one() {
    let cloud = Cloud::with(|policy| policy.rotate_refresh_tokens = true).await;
    let tokens = cloud.sign_in().await;
    let integration = cloud.integration().build();
    let renewed = integration.refresh(&*cloud.http, &tokens).await.unwrap();
    assert_ne!(renewed.expose_refresh_token(), tokens.expose_refresh_token());
    let error = integration.refresh(&*cloud.http, &tokens).await;
    assert!(matches!(error, Err(OAuthError::InvalidGrant(_))), "the old one is dead");
    assert!(integration.refresh(&*cloud.http, &renewed).await.is_ok());
}

#[tokio::test]
async fn answers_without_expiry_are_tokens_that_do_not_expire() {
    let cloud = Cloud::with(|policy| policy.return_expiry = false).await;
    let tokens = cloud.sign_in().await;
    assert_eq!((tokens.expires(), tokens.refresh_expires()), (None, None));
}

#[tokio::test]
async fn a_token_type_in_front_or_missing_and_numbers_as_text_are_accepted() {
    let cloud = Cloud::start().await;
    let token = cloud.sandbox.issue_token(cloud.sandbox.user(), None).unwrap();
    let patch = json!({
        "access_token": format!("Bearer {token}"),
        "token_type": null,
        "expires_in": "3600",
        "refresh_token_expires_in": "7200",
    });
    cloud.leaks.add(&token);
    let _fault = cloud.sandbox.fail(OAuth::token()).merge(patch).once();
    let tokens = cloud.sign_in().await;
    assert_eq!(tokens.access_token().expose(), token);
    assert_life(tokens.expires(), 3_600);
    assert_life(tokens.refresh_expires(), 7_200);
    assert_eq!(cloud.whoami(tokens.access_token()).await, 200);
}

#[tokio::test]
async fn revoking_ends_both_tokens_and_an_unknown_one_is_no_error() {
    let cloud = Cloud::start().await;
    let tokens = cloud.sign_in().await;
    let integration = cloud.integration().build();
    integration.revoke(&*cloud.http, tokens.access_token()).await.unwrap();
    let exchange = cloud.http.last();
    assert_eq!((&*exchange.path, exchange.basic), ("/idb/oauth2/v1/revoke", true));
    assert_eq!(exchange.fields(), ["token", "token_type_hint"]);
    assert_eq!(cloud.whoami(tokens.access_token()).await, 401);
    integration.revoke_set(&*cloud.http, &tokens).await.unwrap();
    let error = integration.refresh(&*cloud.http, &tokens).await;
    assert!(matches!(error, Err(OAuthError::InvalidGrant(_))));

    let nowhere =
        cloud.integration().endpoints(OAuthEndpoints::api(&cloud.sandbox.url("/v1"))).build();
    let error = nowhere.revoke(&*cloud.http, tokens.access_token()).await;
    assert!(matches!(error, Err(OAuthError::NotConfigured(_))));
}

#[tokio::test]
async fn a_code_is_for_one_use_one_minute_one_address_and_one_verifier() {
    let cloud = Cloud::start().await;
    let integration = cloud.integration().build();
    let code = async || {
        let authorization = integration.authorization().unwrap().start();
        let location = cloud.open(authorization.url()).await;
        let code = url::Url::parse(&location).unwrap();
        code.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    };
    let exchange = async |grant: CodeGrant| integration.exchange(&*cloud.http, grant).await;
    let is_dead = |result: Result<TokenSet, OAuthError>| {
        assert!(matches!(result, Err(OAuthError::InvalidGrant(_))), "{result:?}");
    };
    is_dead(exchange(CodeGrant::new(code().await, REDIRECT)).await); // no verifier
    let wrong = CodeGrant::new(code().await, REDIRECT).verifier("x".repeat(43));
    is_dead(exchange(wrong).await);
    let elsewhere = CodeGrant::new(code().await, "http://localhost:8080/callback");
    is_dead(exchange(elsewhere).await);
    is_dead(exchange(CodeGrant::new("never-issued", REDIRECT)).await);

    let plain = cloud.integration().pkce(None).build();
    let authorization = plain.authorization().unwrap().start();
    let location = cloud.open(authorization.url()).await;
    let grant = authorization.finish(Redirect::parse(&location)).unwrap();
    plain.exchange(&*cloud.http, grant).await.unwrap();
    let code = cloud.http.last().field("code").unwrap().to_owned();
    is_dead(plain.exchange(&*cloud.http, CodeGrant::new(code, REDIRECT)).await); // used

    cloud.sandbox.oauth_policy(|policy| policy.code_lifetime = Duration::ZERO);
    let grant = cloud.grant(integration.authorization().unwrap()).await.unwrap();
    is_dead(exchange(grant).await); // too old
}

#[tokio::test]
async fn a_secret_is_optional_here_and_required_by_the_server() {
    let cloud = Cloud::start().await;
    let public = Integration::builder(OAuthClient::DEFAULT_ID)
        .redirect_uri(REDIRECT)
        .scopes(Scopes::calling())
        .endpoints(cloud.api())
        .build();
    let grant = cloud.grant(public.authorization().unwrap()).await.unwrap();
    let error = public.exchange(&*cloud.http, grant).await.unwrap_err();
    assert!(matches!(error, OAuthError::InvalidClient(_)), "{error}");
    assert!(error.to_string().contains("correct the configuration"), "{error}");

    cloud.sandbox.oauth_policy(|policy| policy.secret_optional_with_pkce = true);
    let grant = cloud.grant(public.authorization().unwrap()).await.unwrap();
    public.exchange(&*cloud.http, grant).await.unwrap();
    let fields = ["client_id", "code", "code_verifier", "grant_type", "redirect_uri"];
    assert_eq!(cloud.http.last().fields(), fields);
    assert!(matches!(
        public.client_credentials(&*cloud.http).await,
        Err(OAuthError::NotConfigured("client secret"))
    ));
}

#[tokio::test]
async fn a_wrong_secret_is_a_matter_of_configuration() {
    let cloud = Cloud::start().await;
    let tokens = cloud.sign_in().await;
    cloud.leaks.add("quite-wrong-secret");
    for endpoints in [cloud.api(), OAuthEndpoints::broker(cloud.sandbox.origin())] {
        let wrong = cloud.integration().secret("quite-wrong-secret").endpoints(endpoints).build();
        let error = wrong.refresh(&*cloud.http, &tokens).await.unwrap_err();
        assert!(matches!(error, OAuthError::InvalidClient(_)), "{error}"); // 400 and 401
    }
}

#[tokio::test]
async fn the_link_accepts_hints_and_other_parameters() {
    let cloud = Cloud::start().await;
    let user = cloud.sandbox.add_user("bob@example.com");
    let integration = cloud.integration().build();
    let request = integration.authorization().unwrap().login_hint("bob@example.com");
    let request = request.prompt("select_account").parameter("nonce", "n-1");
    let grant = cloud.grant(request).await.unwrap();
    let tokens = integration.exchange(&*cloud.http, grant).await.unwrap();
    assert_eq!(cloud.whoami(tokens.access_token()).await, 200);
    assert_eq!(tokens.access_token().org_id().unwrap(), user.org_id);
    let authorize = cloud.sandbox.requests().of(OAuth::authorize());
    let request = authorize.iter().next().unwrap();
    for (name, value) in
        [("login_hint", "bob@example.com"), ("prompt", "select_account"), ("nonce", "n-1")]
    {
        assert_eq!(request.query_value(name).as_deref(), Some(value));
    }
    assert_eq!(request.query_value("code_challenge_method").as_deref(), Some("S256"));
}

#[tokio::test]
async fn every_error_of_the_redirect_has_its_own_variant() {
    let cloud = Cloud::start().await;
    let integration = cloud.integration().build();
    let mut seen = std::collections::HashSet::new();
    for code in [
        "invalid_request",
        "unauthorized_client",
        "access_denied",
        "unsupported_response_type",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "something_new",
    ] {
        cloud.sandbox.identity().refuse(code);
        let error = cloud.grant(integration.authorization().unwrap()).await.unwrap_err();
        let RedirectError::Refused(error) = error else { panic!("{error}") };
        assert_eq!(error.reply().unwrap().code(), Some(code));
        assert!(error.reply().unwrap().description().is_some());
        assert!(seen.insert(std::mem::discriminant(&error)), "{code}");
    }
    cloud.sandbox.identity().agree();
    let scopes = "spark:all spark:unknown".parse().unwrap();
    let request = integration.authorization().unwrap().scopes(scopes);
    let error = cloud.grant(request).await.unwrap_err();
    assert!(matches!(error, RedirectError::Refused(OAuthError::InvalidScope(_))), "{error}");
}

#[tokio::test]
async fn every_error_of_the_token_endpoint_has_its_own_variant_and_advice() {
    let cloud = Cloud::start().await;
    let tokens = cloud.sign_in().await;
    let integration = cloud.integration().build();
    let mut seen = std::collections::HashMap::new();
    for (code, advice) in [
        ("invalid_request", "report it"),
        ("invalid_client", "correct the configuration"),
        ("invalid_grant", "sign in again"),
        ("unauthorized_client", "correct its registration"),
        ("unsupported_grant_type", "check which endpoints"),
        ("invalid_scope", "correct the scopes"),
        ("access_denied", "ask again only when"),
        ("expired_token", "start the sign-in again"),
        ("slow_down", "poll less often"),
        ("authorization_pending", "keep polling"),
        ("an_unknown_code", "sign in again"),
    ] {
        let body = json!({ "error": code, "error_description": "as it is" });
        let _fault = cloud.sandbox.fail(OAuth::token()).with(400).body(body).once();
        let error = integration.refresh(&*cloud.http, &tokens).await.unwrap_err();
        assert!(error.to_string().contains(advice), "{error}");
        assert!(error.to_string().contains("as it is"), "{error}");
        let other = seen.insert(std::mem::discriminant(&error), code);
        assert_eq!(other, None, "{code}");
    }
}

#[tokio::test]
async fn error_bodies_of_all_shapes_are_parsed() {
    let cloud = Cloud::start().await;
    let tokens = cloud.sign_in().await;
    let integration = cloud.integration().build();
    let refresh = async |status: u16, body: Value| {
        let _fault = cloud.sandbox.fail(OAuth::token()).with(status).body(body).once();
        integration.refresh(&*cloud.http, &tokens).await.unwrap_err()
    };
    let error = refresh(
        400,
        json!({
            "message": "The request failed.",
            "errors": [{ "description": "invalid_grant: expired" }],
            "trackingId": "SANDBOX_1",
        }),
    )
    .await;
    assert!(matches!(error, OAuthError::InvalidGrant(_)), "{error}");
    assert_eq!(error.reply().unwrap().description(), Some("The request failed."));
    assert!(error.to_string().contains("tracking id"), "{error}");

    let error = refresh(400, json!({ "code": 400_001, "message": "invalid_client" })).await;
    assert!(matches!(error, OAuthError::InvalidClient(_)), "{error}");
    let error = refresh(400, json!({ "message": "no code" })).await;
    assert!(matches!(error, OAuthError::Refused(_)), "{error}");
    let error = refresh(400, json!("<html>no JSON</html>")).await;
    assert!(matches!(error, OAuthError::Intercepted(_)) && error.is_transient(), "{error}");
    let error = refresh(500, json!({ "error": "invalid_grant" })).await;
    assert!(matches!(error, OAuthError::Http(_)) && error.is_transient(), "{error}");
    let error = refresh(200, json!("<html>Welcome to our hotel</html>")).await;
    assert!(matches!(error, OAuthError::Intercepted(_)) && error.is_transient(), "{error}");
    let error = refresh(200, json!([])).await;
    assert!(matches!(error, OAuthError::BadAnswer(_)) && error.is_transient(), "{error}");

    // A server that quotes what it refuses.
    let quoted = format!("refresh token {} is used", tokens.expose_refresh_token().unwrap());
    let body = json!({ "error": "invalid_grant", "error_description": quoted });
    let error = refresh(400, body).await;
    cloud.leaks.assert_absent("the error", format!("{error} {error:?}"));
    assert!(error.to_string().contains("[redacted] is used"), "{error}");
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_is_in_the_error() {
    let cloud = Cloud::start().await;
    let tokens = cloud.sign_in().await;
    let integration = cloud.integration().build();
    for status in [429, 423, 503] {
        let _fault =
            cloud.sandbox.fail(OAuth::token()).with(status).header("Retry-After", 7).once();
        let error = integration.refresh(&*cloud.http, &tokens).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{status}");
        assert_eq!(matches!(error, OAuthError::RateLimited(_)), status == 429);
        assert!(error.is_transient());
    }
    let _fault = cloud.sandbox.fail(OAuth::token()).with(429).body(json!("")).once();
    let error = integration.refresh(&*cloud.http, &tokens).await.unwrap_err();
    assert!(matches!(error, OAuthError::RateLimited(_)) && error.retry_after().is_none());

    cloud.sandbox.oauth_policy(|policy| policy.token_requests_per_minute = Some(1));
    integration.refresh(&*cloud.http, &tokens).await.unwrap();
    let error = integration.refresh(&*cloud.http, &tokens).await.unwrap_err();
    assert!(error.retry_after().is_some_and(|pause| pause <= Duration::from_secs(61)), "{error}");
}

#[tokio::test]
async fn redirects_are_not_followed_with_secrets() {
    let cloud = Cloud::start().await;
    let tokens = cloud.sign_in().await;
    let location = cloud.sandbox.url("/v1/access_token");
    let _fault = cloud.sandbox.fail(OAuth::token()).with(307).header("Location", location).once();
    let before = cloud.sandbox.requests().count();
    let error = cloud.integration().build().refresh(&*cloud.http, &tokens).await.unwrap_err();
    assert!(matches!(error, OAuthError::Http(_)), "{error}");
    assert_eq!(cloud.sandbox.requests().count(), before + 1);
}

#[tokio::test]
async fn a_broken_connection_is_not_a_refusal() {
    let cloud = Cloud::start().await;
    let tokens = cloud.sign_in().await;
    let _fault = cloud.sandbox.fail(OAuth::token()).reset().once();
    let error = cloud.integration().build().refresh(&*cloud.http, &tokens).await.unwrap_err();
    assert!(matches!(error, OAuthError::Transport(_)) && error.is_transient(), "{error}");
}

#[tokio::test]
async fn plain_pkce_is_possible_where_it_is_asked_for() {
    let cloud = Cloud::start().await;
    // Too short for this server, which refuses it: it is meant for Meetings integrations only.
    let integration = cloud.integration().pkce(Some(PkceMethod::Plain)).build();
    let error = cloud.grant(integration.authorization().unwrap()).await.unwrap_err();
    assert!(matches!(error, RedirectError::Refused(OAuthError::InvalidRequest(_))), "{error}");
}

#[tokio::test]
async fn tokens_renew_themselves_against_a_real_server() {
    let cloud = Cloud::with(|policy| policy.rotate_refresh_tokens = true).await;
    let set = cloud.sign_in().await;
    let integration = cloud.integration().build();
    let tokens = Tokens::builder(Credentials::integration(integration, set))
        .http(Arc::clone(&cloud.http) as Arc<dyn TokenHttp>)
        .build()
        .unwrap();
    // Twice, so that the rotated refresh token is used.
    for _ in 0..2 {
        let token = tokens.token().await.unwrap();
        assert_eq!(cloud.whoami(&token).await, 200);
        cloud.sandbox.revoke_token(token.expose());
        assert_eq!(cloud.whoami(&token).await, 401);
        let token = tokens.replace(&token).await.unwrap();
        assert_eq!(cloud.whoami(&token).await, 200);
    }
    assert!(matches!(tokens.state(), TokenState::Valid { until: Some(_) }));

    tokens.sign_out().await.unwrap();
    assert_eq!(cloud.sandbox.identity().live_tokens(cloud.sandbox.user()), 1, "the ready-made one");
    assert_eq!(tokens.token().await, Err(TokenError::Rejected));
}

#[tokio::test]
async fn the_accounts_token_cap_is_safe_from_refusals_of_every_token() {
    let cloud = Cloud::start().await;
    let set = cloud.sign_in().await;
    let integration = cloud.integration().build();
    let tokens = Tokens::builder(Credentials::integration(integration, set))
        .http(Arc::clone(&cloud.http) as Arc<dyn TokenHttp>)
        .build()
        .unwrap();
    let before = cloud.sandbox.identity().live_tokens(cloud.sandbox.user());
    for _ in 0..50 {
        // A service that answers 401 to every token.
        let token = tokens.token().await.unwrap();
        let _ = tokens.replace(&token).await;
    }
    let made = cloud.sandbox.identity().live_tokens(cloud.sandbox.user()) - before;
    assert_eq!(made, timings::REFUSALS_AT_ONCE as usize);
}

#[tokio::test]
async fn a_server_that_gives_the_same_token_again_is_asked_once() {
    let cloud = Cloud::with(|policy| policy.return_same_access_token = true).await;
    let set = cloud.sign_in().await;
    let credentials = Credentials::integration(cloud.integration().build(), set);
    let tokens = Tokens::builder(credentials)
        .http(Arc::clone(&cloud.http) as Arc<dyn TokenHttp>)
        .build()
        .unwrap();
    let token = tokens.token().await.unwrap();
    let before = cloud.sandbox.requests().of(OAuth::token()).count();
    for _ in 0..5 {
        assert_eq!(tokens.replace(&token).await, Err(TokenError::Rejected));
    }
    assert_eq!(cloud.sandbox.requests().of(OAuth::token()).count(), before + 1);
    let TokenState::ReauthRequired { reason } = tokens.state() else { panic!() };
    assert!(matches!(reason, ReauthReason::Unchanged), "{reason}");
}

#[tokio::test]
async fn an_administrator_issues_the_tokens_of_a_service_app() {
    let cloud = Cloud::start().await;
    let admin = AccessToken::parse(cloud.sandbox.token()).unwrap();
    let (id, org) = (OAuthClient::DEFAULT_ID, cloud.sandbox.user().org_id.clone());
    let app = cloud.integration().build();
    let set = app.service_app_tokens(&*cloud.http, id, &admin, &org).await.unwrap();
    let exchange = cloud.http.last();
    assert_eq!(exchange.path, format!("/v1/applications/{id}/token"));
    assert_eq!(cloud.whoami(set.access_token()).await, 200);
    let renewed = app.refresh(&*cloud.http, &set).await.unwrap();
    assert_eq!(cloud.whoami(renewed.access_token()).await, 200);

    cloud.leaks.add("quite-wrong-secret");
    let wrong = cloud.integration().secret("quite-wrong-secret").build();
    let error = wrong.service_app_tokens(&*cloud.http, id, &admin, &org).await.unwrap_err();
    assert!(matches!(error, OAuthError::InvalidClient(_)), "{error}");
    let error = app.service_app_tokens(&*cloud.http, "a/../b", &admin, &org).await.unwrap_err();
    assert!(matches!(error, OAuthError::InvalidClient(_)), "{error}");
    assert_eq!(cloud.http.last().path, "/v1/applications/a%2F..%2Fb/token");
    let error = app.service_app_tokens(&*cloud.http, id, &admin, "elsewhere").await.unwrap_err();
    assert_eq!(error.reply().unwrap().status(), 403, "{error}");

    // A server that quotes what it was sent.
    let quoted = format!("{} of {}", OAuthClient::DEFAULT_SECRET, cloud.sandbox.token());
    let body = json!({ "message": quoted });
    let _fault = cloud.sandbox.fail(OAuth::application_token()).with(400).body(body).once();
    let error = app.service_app_tokens(&*cloud.http, id, &admin, &org).await.unwrap_err();
    assert!(error.to_string().contains("[redacted] of [redacted]"));
}

#[tokio::test]
async fn a_service_app_is_an_ordinary_refresh() {
    let cloud = Cloud::start().await;
    let set = cloud.sign_in().await;
    let app = cloud.integration().build();
    let refresh_token = set.expose_refresh_token().unwrap();
    let tokens = Tokens::builder(Credentials::refresh_token(app, refresh_token))
        .http(Arc::clone(&cloud.http) as Arc<dyn TokenHttp>)
        .build()
        .unwrap();
    let token = tokens.token().await.unwrap();
    assert_ne!(token, *set.access_token());
    assert_eq!(cloud.whoami(&token).await, 200);
}

/// A server that answers with a status and an endless body, and counts what it could send.
async fn endless(status: u16) -> (url::Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"client_id=c") {
            stream.read_buf(&mut request).await.unwrap();
        }
        let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n<html>");
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'x'; 65_536];
        while stream.write_all(&piece).await.is_ok() {
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    (address.parse().unwrap(), sent)
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_the_end() {
    let http = ReqwestHttp::from_builder(wire::client()).unwrap();
    for status in [200, 400, 503] {
        let (base, sent) = endless(status).await;
        let integration = Integration::builder("c").endpoints(OAuthEndpoints::api(&base)).build();
        let error = integration.refresh_with(&http, "r3fresh-value").await.unwrap_err();
        match status {
            200 => {
                let error = format!("{error:?}");
                assert!(error.contains("TooLarge"), "{error}");
            }
            400 => assert!(matches!(error, OAuthError::Intercepted(_)), "{error}"),
            _ => assert!(matches!(error, OAuthError::Http(_)), "{error}"),
        }
        // The sockets buffer more than what was read.
        assert!(sent.load(Ordering::Relaxed) < 16 << 20, "{status}: {sent:?}");
    }
}
