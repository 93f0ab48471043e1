//! The ways to sign in besides the plain redirect: another device, the system browser, Meetings
//! (XML API) integrations, guests. On the wire, against the sandbox.

#[path = "common/wire.rs"]
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use webex_auth::{
    Credentials, DeviceError, DeviceState, Guest, GuestIssuer, JwtGuest, LoopbackError,
    LoopbackListener, OAuthEndpoints, OAuthError, PkceMethod, ProviderError, RedirectError, Scope,
    Scopes, TokenHttp, TokenState, Tokens,
    meetings_xml::{
        MeetingsIntegration, MeetingsIntegrationBuilder, MeetingsScope, SecurityContext,
    },
    timings,
};
use webex_sandbox::{OAuth, OAuthClient};

use wire::{Cloud, client};

fn http(cloud: &Cloud) -> Arc<dyn TokenHttp> {
    Arc::clone(&cloud.http) as Arc<dyn TokenHttp>
}

// --- another device -------------------------------------------------------------------------

/// A server that allows polls at once, so that no test waits.
async fn fast_polls() -> Cloud {
    Cloud::with(|policy| policy.device_poll_interval = Duration::ZERO).await
}

#[tokio::test]
async fn a_device_signs_in_while_the_user_decides_elsewhere() {
    let cloud = fast_polls().await;
    let integration = cloud.integration().build();
    let mut sign_in = integration.device_sign_in(http(&cloud)).await.unwrap();

    let begin = cloud.http.last();
    assert_eq!((&*begin.path, begin.basic), ("/v1/device/authorize", false));
    assert_eq!(begin.fields(), ["client_id", "scope"]);
    let prompt = sign_in.prompt().clone();
    assert_eq!(prompt.code(), begin.body["user_code"].as_str().unwrap());
    assert_eq!(prompt.link().as_str(), begin.body["verification_uri"].as_str().unwrap());
    assert!(prompt.link_with_code().unwrap().as_str().contains(prompt.code()));
    assert_eq!(prompt.life(), Duration::from_mins(5));
    #[cfg(feature = "qr")]
    assert!(prompt.qr().unwrap().lines().count() > 10);
    cloud.leaks.assert_absent("debug", format!("{sign_in:?}"));

    let Some(DeviceState::Waiting { time_left }) = sign_in.next().await else { panic!() };
    assert!(time_left > Duration::from_mins(4));
    let Some(DeviceState::Waiting { .. }) = sign_in.next().await else { panic!() };
    let poll = cloud.http.last();
    assert_eq!((&*poll.path, poll.basic, poll.status), ("/v1/device/token", true, 428));
    assert_eq!(poll.fields(), ["client_id", "device_code", "grant_type"]);

    cloud.sandbox.identity().approve_device(prompt.code(), cloud.sandbox.user());
    let states: Vec<_> = sign_in.into_stream().collect().await;
    let [DeviceState::SignedIn(tokens)] = states.as_slice() else { panic!("{states:?}") };
    assert_eq!(cloud.whoami(tokens.access_token()).await, 200);
    assert!(tokens.expose_refresh_token().is_some());
    assert_eq!(tokens.granted(), Some(&Scopes::calling()));
}

#[tokio::test]
async fn a_device_sign_in_reports_how_it_ended() {
    let cloud = fast_polls().await;
    let integration = cloud.integration().build();
    let sign_in = integration.device_sign_in(http(&cloud)).await.unwrap();
    cloud.sandbox.identity().deny_device(sign_in.prompt().code());
    assert!(matches!(sign_in.finish().await, Err(DeviceError::Denied)));

    for (body, expired) in [
        (json!({ "error": "expired_token" }), true),
        (json!({ "errors": [{ "description": "expired_token" }], "message": "no" }), true),
        (json!({ "error": "invalid_grant" }), false),
        (json!({ "message": "invalid_grant" }), false),
    ] {
        let sign_in = integration.device_sign_in(http(&cloud)).await.unwrap();
        let _fault = cloud.sandbox.fail(OAuth::device_token()).with(400).body(body).once();
        match sign_in.finish().await.unwrap_err() {
            DeviceError::Expired => assert!(expired),
            DeviceError::Refused(OAuthError::InvalidGrant(_)) => assert!(!expired),
            other => panic!("{other}"),
        }
    }

    cloud.sandbox.oauth_policy(|policy| policy.device_code_lifetime = Duration::ZERO);
    let sign_in = integration.device_sign_in(http(&cloud)).await.unwrap();
    assert!(matches!(sign_in.finish().await, Err(DeviceError::Expired)));
}

#[tokio::test]
async fn a_device_sign_in_survives_a_busy_or_unreachable_server() {
    let cloud = fast_polls().await;
    let integration = cloud.integration().build();
    let mut sign_in = integration.device_sign_in(http(&cloud)).await.unwrap();
    cloud.sandbox.identity().approve_device(sign_in.prompt().code(), cloud.sandbox.user());
    let _fault = cloud.sandbox.fail(OAuth::device_token()).with(503).once();
    assert!(matches!(sign_in.next().await, Some(DeviceState::Waiting { .. })));
    let state = sign_in.next().await;
    assert!(matches!(state, Some(DeviceState::Unreachable { .. })), "{state:?}");
    // A user interface that redraws once a second cancels `next` again and again.
    let state = loop {
        let tick = tokio::time::sleep(Duration::from_millis(1));
        tokio::select! {
            biased;
            state = sign_in.next() => break state,
            () = tick => assert!(sign_in.time_left() > Duration::ZERO),
        }
    };
    assert!(matches!(state, Some(DeviceState::SignedIn(_))), "{state:?}");
    assert!(sign_in.next().await.is_none());
}

#[tokio::test]
async fn endpoints_without_device_sign_in_say_so() {
    let cloud = Cloud::start().await;
    let broker = OAuthEndpoints::broker(cloud.sandbox.origin());
    let integration = cloud.integration().endpoints(broker).build();
    let error = integration.device_sign_in(http(&cloud)).await.unwrap_err();
    assert!(matches!(error, OAuthError::NotConfigured(_)), "{error}");
}

// --- the system browser ---------------------------------------------------------------------

/// A listener on a free port, with a client for which its address is registered.
async fn listener(cloud: &Cloud) -> (LoopbackListener, webex_auth::Integration) {
    let listener = LoopbackListener::bind(0, "callback").await.unwrap();
    let uri = listener.redirect_uri();
    assert!(uri.starts_with("http://127.0.0.1:") && uri.ends_with("/callback"), "{uri}");
    let app = OAuthClient::confidential("desktop", OAuthClient::DEFAULT_SECRET).redirect_uri(&uri);
    cloud.sandbox.identity().add_client(app);
    let integration = webex_auth::Integration::builder("desktop")
        .secret(OAuthClient::DEFAULT_SECRET)
        .redirect_uri(uri)
        .scopes(Scopes::calling())
        .endpoints(cloud.api())
        .build();
    (listener, integration)
}

#[tokio::test]
async fn the_browsers_redirect_comes_back_to_this_machine() {
    let cloud = Cloud::start().await;
    let (listener, integration) = listener(&cloud).await;
    let (uri, browser) = (listener.redirect_uri(), client().build().unwrap());
    let authorization = integration.authorization().unwrap().start();
    let location = cloud.open(authorization.url()).await;
    let waiting = tokio::spawn(listener.wait(authorization));

    // Other requests of a browser or another program; none of them ends the sign-in.
    let status = async |url: &str| browser.get(url).send().await.unwrap().status().as_u16();
    assert_eq!(status(&uri.replace("callback", "favicon.ico")).await, 404);
    assert_eq!(status(&format!("{uri}?code=forged&state=guessed")).await, 400);
    assert_eq!(status(&uri).await, 400);
    assert_eq!(browser.post(&location).send().await.unwrap().status(), 403);
    let rebound = browser.get(&location).header("host", "evil.example").send().await.unwrap();
    assert_eq!(rebound.status(), 403);
    let address = uri.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let silent = TcpStream::connect(address).await.unwrap();

    let page = browser.get(&location).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    assert!(page.text().await.unwrap().contains("You are signed in"));
    let grant = waiting.await.unwrap().unwrap();
    let tokens = integration.exchange(&*cloud.http, grant).await.unwrap();
    assert_eq!(cloud.whoami(tokens.access_token()).await, 200);
    drop(silent);
    assert!(TcpStream::connect(address).await.is_err(), "one sign-in, then the port is closed");
}

#[tokio::test]
async fn a_request_in_pieces_is_read() {
    let cloud = Cloud::start().await;
    let (listener, integration) = listener(&cloud).await;
    let address = listener.redirect_uri()["http://".len()..].split('/').next().unwrap().to_owned();
    let authorization = integration.authorization().unwrap().start();
    let location = cloud.open(authorization.url()).await;
    let waiting = tokio::spawn(listener.wait(authorization));
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let target = location.split_once(&address).unwrap().1;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    for piece in request.as_bytes().chunks(7) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_and_no_answer_have_different_errors() {
    let cloud = Cloud::start().await;
    let (port, integration) = listener(&cloud).await;
    cloud.sandbox.identity().refuse("access_denied");
    let authorization = integration.authorization().unwrap().start();
    let location = cloud.open(authorization.url()).await;
    let waiting = tokio::spawn(port.wait(authorization));
    let page = client().build().unwrap().get(&location).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("not signed in"));
    let error = waiting.await.unwrap().unwrap_err();
    let LoopbackError::Redirect(RedirectError::Refused(error)) = error else { panic!("{error}") };
    assert!(matches!(error, OAuthError::AccessDenied(_)), "{error}");

    let (port, integration) = listener(&cloud).await;
    let authorization = integration.authorization().unwrap().start();
    let result = port.timeout(Duration::ZERO).wait(authorization).await;
    assert!(matches!(result, Err(LoopbackError::TimedOut)));

    let taken = LoopbackListener::bind(0, "/").await.unwrap();
    let number = taken.redirect_uri().rsplit(':').next().unwrap().trim_end_matches('/').parse();
    let error = LoopbackListener::bind(number.unwrap(), "/").await.unwrap_err();
    assert!(matches!(error, LoopbackError::Port(_)), "{error}");
}

// --- Meetings (XML API) integrations --------------------------------------------------------

const SITE_REDIRECT: &str = "https://xml.example/callback";

/// A Meetings integration of the site `acme`.
fn meetings(cloud: &Cloud) -> MeetingsIntegrationBuilder {
    let app = OAuthClient::confidential("xml-app", OAuthClient::DEFAULT_SECRET);
    cloud.sandbox.identity().add_client(app.redirect_uri(SITE_REDIRECT).meetings_site("acme"));
    MeetingsIntegration::builder("xml-app")
        .secret(OAuthClient::DEFAULT_SECRET)
        .redirect_uri(SITE_REDIRECT)
        .scopes([MeetingsScope::AllRead, MeetingsScope::UserModify, MeetingsScope::SettingModify])
        .endpoints(cloud.sandbox.url("/v1/oauth2/authorize"), cloud.sandbox.url("/v1/oauth2/token"))
}

#[tokio::test]
async fn a_meetings_sign_in_has_every_documented_parameter_and_field() {
    let cloud = Cloud::start().await;
    let integration = meetings(&cloud).build();
    let grant = cloud.grant(integration.authorization().unwrap()).await.unwrap();
    let authorize = cloud.sandbox.requests().of(OAuth::authorize());
    let request = authorize.iter().next().unwrap();
    assert!(request.query().contains("scope=all_read+setting_modify+user_modify"));
    assert_eq!(request.query_value("response_type").as_deref(), Some("code"));
    assert_eq!(request.query_value("client_id").as_deref(), Some("xml-app"));
    assert_eq!(request.query_value("redirect_uri").as_deref(), Some(SITE_REDIRECT));
    assert_eq!(request.query_value("code_challenge_method").as_deref(), Some("plain"));

    let signed_in = integration.exchange(&*cloud.http, grant).await.unwrap();
    let exchange = cloud.http.last();
    assert!(!exchange.basic);
    let fields =
        ["client_id", "client_secret", "code", "code_verifier", "grant_type", "redirect_uri"];
    assert_eq!(exchange.fields(), fields);
    assert_eq!(exchange.field("code_verifier").unwrap().len(), 10);

    let user = cloud.sandbox.user();
    assert_eq!(signed_in.user_name(), Some(&*user.display_name));
    assert_eq!(signed_in.email(), Some(&*user.email));
    assert_eq!(signed_in.authentication_id(), Some(&*user.email));
    assert_eq!(signed_in.issuer(), Some("https://acme.webex.com"));
    assert_eq!(signed_in.site_name().unwrap().as_str(), "acme");
    assert_eq!((signed_in.site_id(), signed_in.user_id()), (Some(1_000_001), Some(2_000_001)));
    let tokens = signed_in.tokens();
    let life = tokens.expires().unwrap().duration_since(tokens.issued()).unwrap();
    assert_eq!(life, Duration::from_hours(2), "by the answer");
    let life = tokens.refresh_expires().unwrap().duration_since(tokens.issued()).unwrap();
    assert_eq!(life, Duration::from_hours(60 * 24), "by the documentation");
    assert_eq!(tokens.granted().unwrap().to_string(), "all_read setting_modify user_modify");

    let xml = SecurityContext::new(&"acme".parse().unwrap(), tokens.access_token())
        .to_message("<bodyContent/>");
    assert!(xml.expose_secret().contains(tokens.access_token().expose()));
    cloud.leaks.assert_absent("debug", format!("{signed_in:?} {integration:?}"));
}

#[tokio::test]
async fn a_meetings_refresh_token_is_prefixed_once() {
    let cloud = Cloud::with(|policy| policy.rotate_refresh_tokens = true).await;
    // The site from the configuration, and from the issuer of the answer.
    for integration in
        [meetings(&cloud).site("acme".parse().unwrap()).build(), meetings(&cloud).build()]
    {
        let grant = cloud.grant(integration.authorization().unwrap()).await.unwrap();
        let signed_in = integration.exchange(&*cloud.http, grant).await.unwrap();
        let bare = cloud.http.last().body["refresh_token"].as_str().unwrap().to_owned();
        let mut tokens = signed_in.into_tokens();
        assert_eq!(tokens.expose_refresh_token(), Some(&*format!("acme_{bare}")));
        for _ in 0..2 {
            tokens = integration.refresh(&*cloud.http, &tokens).await.unwrap().into_tokens();
            let exchange = cloud.http.last();
            let fields =
                ["client_id", "client_secret", "grant_type", "redirect_uri", "refresh_token"];
            assert_eq!(exchange.fields(), fields);
            let token = exchange.field("refresh_token").unwrap();
            assert_eq!(token.matches("acme_").count(), 1, "once");
        }
    }
    let wrong = meetings(&cloud).site("other".parse().unwrap()).build();
    let grant = cloud.grant(wrong.authorization().unwrap()).await.unwrap();
    let tokens = wrong.exchange(&*cloud.http, grant).await.unwrap().into_tokens();
    let error = wrong.refresh(&*cloud.http, &tokens).await.unwrap_err();
    assert!(matches!(error, OAuthError::InvalidGrant(_)), "{error}");
}

#[tokio::test]
async fn a_meetings_answer_without_lives_has_the_documented_ones() {
    let cloud = Cloud::start().await;
    let patch = json!({ "expires_in": null, "refresh_token_expires_in": null });
    let _fault = cloud.sandbox.fail(OAuth::token()).merge(patch).once();
    // The site as people write it, and the application's own `state`.
    let site = " HTTPS://ACME.webex.com/meet/ada ".parse().unwrap();
    let integration = meetings(&cloud).site(site).build();
    let request = integration.authorization().unwrap().state("ticket 17/a random part");
    let grant = cloud.grant(request).await.unwrap();
    let authorize = cloud.sandbox.requests().of(OAuth::authorize());
    let state = authorize.iter().next().unwrap().query_value("state");
    assert_eq!(state.as_deref(), Some("ticket 17/a random part"));
    let tokens = integration.exchange(&*cloud.http, grant).await.unwrap().into_tokens();
    let life = |end: Option<std::time::SystemTime>| end.unwrap().duration_since(tokens.issued());
    assert_eq!(life(tokens.expires()).unwrap(), timings::MEETINGS_ACCESS);
    assert_eq!(life(tokens.refresh_expires()).unwrap(), timings::MEETINGS_REFRESH);
    let renewed = integration.refresh(&*cloud.http, &tokens).await.unwrap();
    assert_eq!(cloud.http.last().field("refresh_token"), tokens.expose_refresh_token());
    assert!(tokens.expose_refresh_token().unwrap().starts_with("acme_"));
    assert_ne!(renewed.tokens().access_token(), tokens.access_token());
}

#[tokio::test]
async fn a_meetings_answer_may_have_text_for_numbers_and_no_token_type() {
    let cloud = Cloud::start().await;
    let patch = json!({
        "token_type": null,
        "expires_in": "7200",
        "siteid": "1000001",
        "userid": "2000001",
        "user_name": null,
        "iss": null,
        "authentication_id": 4_711,
        "scope": ["user_modify", "all_read"],
        "email": { "odd": true },
    });
    let _fault = cloud.sandbox.fail(OAuth::token()).merge(patch).once();
    let integration = meetings(&cloud).site("acme".parse().unwrap()).pkce(PkceMethod::S256).build();
    let grant = cloud.grant(integration.authorization().unwrap()).await.unwrap();
    let signed_in = integration.exchange(&*cloud.http, grant).await.unwrap();
    assert_eq!((signed_in.user_name(), signed_in.email()), (None, None));
    assert_eq!(signed_in.authentication_id(), Some("4711"));
    assert_eq!(signed_in.tokens().granted().unwrap().to_string(), "all_read user_modify");
    assert_eq!((signed_in.site_id(), signed_in.user_id()), (Some(1_000_001), Some(2_000_001)));
    let tokens = signed_in.into_tokens();
    let life = tokens.expires().unwrap().duration_since(tokens.issued()).unwrap();
    assert_eq!(life, Duration::from_hours(2));

    // Such tokens renew themselves, too.
    let tokens = Tokens::builder(Credentials::meetings_xml(integration, tokens))
        .http(http(&cloud))
        .build()
        .unwrap();
    let token = tokens.token().await.unwrap();
    assert_ne!(tokens.replace(&token).await.unwrap(), token);
}

// --- guests ---------------------------------------------------------------------------------

#[tokio::test]
async fn a_service_app_makes_guests() {
    let cloud = Cloud::start().await;
    let integration = cloud.integration().scopes([Scope::GUEST_ISSUER_WRITE].into()).build();
    let grant = cloud.grant(integration.authorization().unwrap()).await.unwrap();
    let set = integration.exchange(&*cloud.http, grant).await.unwrap();
    let service_app = Tokens::builder(Credentials::integration(integration, set))
        .http(http(&cloud))
        .build()
        .unwrap();
    let guest = Guest::new(cloud.api(), service_app.clone(), "visitor-17", "Ada");
    let tokens = Tokens::builder(Credentials::provider(guest)).http(http(&cloud)).build().unwrap();
    let first = tokens.token().await.unwrap();
    assert_eq!(cloud.whoami(&first).await, 200);
    assert!(matches!(tokens.state(), TokenState::Valid { until: Some(_) }));
    let made = cloud.sandbox.requests().of(OAuth::guest_token());
    let body = made.iter().next().unwrap().json();
    assert_eq!(body, json!({ "subject": "visitor-17", "displayName": "Ada" }));

    // A guest's token is replaced, even if the service app's own has expired in the meantime.
    cloud.sandbox.revoke_token(first.expose());
    cloud.sandbox.revoke_token(service_app.token().await.unwrap().expose());
    let second = tokens.replace(&first).await.unwrap();
    assert_eq!(cloud.whoami(&second).await, 200);
}

#[tokio::test]
async fn a_service_app_without_the_scope_gets_an_error() {
    let cloud = Cloud::start().await;
    let integration = cloud.integration().build();
    let set = cloud.sign_in().await;
    let service_app = Tokens::builder(Credentials::integration(integration, set))
        .http(http(&cloud))
        .build()
        .unwrap();
    let guest = Guest::new(cloud.api(), service_app, "visitor-17", "Ada");
    let error = guest.token(&*cloud.http).await.unwrap_err();
    assert!(error.to_string().contains("403"), "{error}");
}

#[tokio::test]
async fn a_guest_issuers_jwt_is_exchanged_and_repeated() {
    let cloud = Cloud::start().await;
    let issuer = GuestIssuer::new(OAuthClient::DEFAULT_ID, OAuthClient::DEFAULT_GUEST_SECRET);
    let guest = JwtGuest::new(cloud.api(), issuer.clone(), "visitor-18", "Bob");
    let tokens = Tokens::builder(Credentials::provider(guest)).http(http(&cloud)).build().unwrap();
    let first = tokens.token().await.unwrap();
    assert_eq!(cloud.whoami(&first).await, 200);
    let exchange = cloud.http.last();
    assert_eq!((&*exchange.path, exchange.basic), ("/v1/jwt/login", false));
    assert!(exchange.form.is_empty(), "no body");
    assert_ne!(tokens.replace(&first).await.unwrap(), first);

    // The JWT from elsewhere: a backend signs it when the program must not have the secret.
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let guest = JwtGuest::from_backend(cloud.api(), move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let now = std::time::SystemTime::now();
        let jwt = issuer.jwt(None, None, now).map_err(ProviderError::permanent);
        std::future::ready(jwt)
    });
    let set = guest.token(&*cloud.http).await.unwrap();
    assert_eq!(cloud.whoami(set.access_token()).await, 200);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_wrong_issuer_secret_is_a_permanent_error() {
    let cloud = Cloud::start().await;
    let issuer = GuestIssuer::new(OAuthClient::DEFAULT_ID, "d3Jvbmctc2VjcmV0");
    let guest = JwtGuest::new(cloud.api(), issuer, "visitor-19", "Eve");
    let error = guest.token(&*cloud.http).await.unwrap_err();
    let ProviderError::OAuth(error) = error else { panic!("{error}") };
    assert!(matches!(error, OAuthError::Refused(_)), "{error}");
}
