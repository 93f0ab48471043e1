//! The rules of the HTTP client that the reference client lacks, on the wire. The name of each test
//! starts with its row in the list of the reference's weaknesses; row 4's embargo has a file of its
//! own (`embargo.rs`).

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use serde_json::json;
use support::{
    any_host, builder, client, client_of, cloud, people, tinyproxy::free_port, trusting,
};
use tokio::time::Instant;
use url::Url;
use webex_auth::ServerText;
use webex_core::{
    ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, Credentials, Endpoints, ErrorKind, HttpError, Proxy, Request,
    Transport, Webex,
};
use webex_sandbox::{Hydra, Sandbox, Service};
use webex_tests::user::renewable;

// --- row 3: what happens after a 401 -------------------------------------------------------------

#[tokio::test]
async fn row_03_one_renewal_and_one_replay_and_the_second_401_is_reported_unchanged() {
    let sandbox = Arc::new(Sandbox::start().await.unwrap());
    let (credentials, renewed) = renewable(&sandbox);
    let webex = client_of(&sandbox, credentials, trusting(&sandbox));
    sandbox.fail(Hydra::me()).with(401).body(json!({"message": "not you"})).once();
    webex.http().send(people(&sandbox)).await.unwrap();
    assert_eq!(renewed.load(Ordering::Relaxed), 2, "the first token and one more");
    let requests = sandbox.requests().of(Hydra::me());
    let ids: Vec<_> = requests.iter().map(|request| request.tracking_id().unwrap()).collect();
    assert_eq!(ids[0], ids[1], "the replay is the same request");
    let tokens: Vec<_> = requests.iter().map(|r| r.header("authorization").unwrap()).collect();
    assert_ne!(tokens[0], tokens[1]);

    sandbox.clear_requests();
    sandbox.fail(Hydra::me()).with(401).body(json!({"message": "not you"})).times(2);
    let error = webex.http().send(people(&sandbox)).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unauthorized, Some(401)));
    assert!(error.to_string().contains("not you") && error.tracking_id().is_some(), "{error}");
    assert_eq!(sandbox.requests().of(Hydra::me()).count(), 2);
    assert_eq!(renewed.load(Ordering::Relaxed), 3, "one renewal a request");
}

#[tokio::test]
async fn row_03_a_401_without_a_way_to_renew_is_reported_unchanged() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox, trusting(&sandbox));
    sandbox.fail(Hydra::me()).with(401).body(json!({"message": "not you"})).once();
    let error = webex.http().send(people(&sandbox)).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(sandbox.requests().of(Hydra::me()).count(), 1);
}

#[tokio::test]
async fn row_03_requests_refused_together_renew_the_token_once() {
    let sandbox = Arc::new(Sandbox::start().await.unwrap());
    let (credentials, renewed) = renewable(&sandbox);
    let webex = client_of(&sandbox, credentials, trusting(&sandbox));
    webex.http().send(people(&sandbox)).await.unwrap();
    assert!(sandbox.revoke_token(webex.tokens().current().unwrap().expose()));
    let requests = (0..8).map(|_| webex.http().send(people(&sandbox)));
    for outcome in futures_util::future::join_all(requests).await {
        outcome.unwrap();
    }
    assert_eq!(renewed.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn row_03_an_authorization_of_the_requests_own_is_not_the_users_to_renew() {
    let sandbox = Arc::new(Sandbox::start().await.unwrap());
    let (credentials, renewed) = renewable(&sandbox);
    let webex = client_of(&sandbox, credentials, trusting(&sandbox));
    webex.tokens().token().await.unwrap();
    let before = renewed.load(Ordering::Relaxed);
    let own = people(&sandbox).header("authorization", "Basic c29tZWJvZHk=");
    let error = webex.http().send(own).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(renewed.load(Ordering::Relaxed), before);
    assert_eq!(sandbox.requests().of(Hydra::me()).count(), 1);
}

// --- row 4: identity services that answer 429 ----------------------------------------------------

#[tokio::test]
async fn row_04_an_identity_service_that_answers_429_is_not_asked_for_a_while() {
    let sandbox = Sandbox::start().await.unwrap();
    let hosts = Proxy::new(&any_host(&sandbox).address()).unwrap();
    let webex = builder(&sandbox)
        .endpoints(Endpoints::production())
        .transport(trusting(&sandbox).proxy(hosts).build().unwrap())
        .build()
        .unwrap();
    let get = |url: &str| webex.http().send(Request::get(url.parse().unwrap()));
    let all = sandbox.fail(Service::Other).with(429).header("Retry-After", "7").always();
    let error = get("https://idbroker.webex.com/limits/x").await.unwrap_err();
    let wait = Some(Duration::from_secs(7));
    assert_eq!(error.kind(), ErrorKind::RateLimited { retry_after: wait });
    let seen = sandbox.requests();
    let first = seen.last().unwrap();
    for name in ["spark-user-agent", "cisco-no-http-redirect"] {
        assert_eq!(first.header(name), None, "identity services get no {name}");
    }

    let paused = get("https://idbroker.webex.com/limits/y").await.unwrap_err();
    assert!(matches!(paused, HttpError::Paused { .. }), "{paused:?}");
    let ErrorKind::RateLimited { retry_after: Some(left) } = paused.kind() else { panic!() };
    assert!(left <= Duration::from_secs(7) && left > Duration::from_secs(1), "{left:?}");
    assert_eq!(sandbox.requests().count(), 1, "not sent");

    // Other APIs of the host, and services other than identity, still get requests.
    for url in [
        "https://idbroker.webex.com/others/x",
        "https://limits.wbx2.com/limits/x",
        "https://limits.wbx2.com/limits/x",
    ] {
        assert_eq!(get(url).await.unwrap_err().status(), Some(429), "{url}");
    }
    assert_eq!(all.fired(), 4);
}

// --- row 5: where the token may go ---------------------------------------------------------------

#[tokio::test]
async fn row_05_the_token_goes_to_whole_labels_over_tls_only() {
    let sandbox = Sandbox::start().await.unwrap();
    let hosts = Proxy::new(&any_host(&sandbox).address()).unwrap();
    let transport = Transport::builder().danger_accept_invalid_certs(true).proxy(hosts);
    let webex = Webex::builder()
        .credentials(Credentials::access_token(sandbox.token()))
        .endpoints(Endpoints::production())
        .transport(transport.build().unwrap())
        .danger_insecure_anywhere(true)
        .build()
        .unwrap();
    // The user's token as the sandbox's log shows it.
    let token = Sandbox::fingerprint(sandbox.token());
    // Whether a host got the token; it must never get a request that is not allowed.
    let came = |host: &str| {
        let requests = sandbox.requests();
        let there: Vec<_> = requests.iter().filter(|request| request.host() == host).collect();
        let carries = |request: &&&webex_sandbox::Request| {
            request.header("authorization").is_some_and(|value| value.contains(&token))
        };
        assert_eq!(there.iter().filter(carries).count(), there.len(), "{host}");
        !there.is_empty()
    };
    for (origin, may) in [
        ("https://api.ciscospark.com", true),
        ("https://a.b.wbx2.com", true),
        ("https://webex.com", true),
        ("https://webex.com.evil.example", false),
        ("https://evilwebex.com", false),
        ("https://webex.com@evil.example", false),
        ("https://evil.example/webex.com", false),
        ("https://a.b.wbx2.com:8443", false),
        ("https://api-usgov.webex.com", false),
    ] {
        let url: Url = format!("{origin}/v1/people/me").parse().unwrap();
        let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        sandbox.clear_requests();
        let _ = webex.http().send(Request::get(url.clone())).await;
        assert_eq!(came(&host), may, "{origin}");
        // A redirect does not get there either.
        sandbox.clear_requests();
        sandbox.fail(Hydra::me()).with(200).header("cisco-location", url.as_str()).once();
        let here = "https://hydra.wbx2.com/v1/people/me".parse().unwrap();
        let _ = webex.http().send(Request::get(here)).await;
        assert_eq!(came(&host), may, "redirected to {origin}");
    }
}

#[tokio::test]
async fn row_05_an_authorization_of_its_own_does_not_follow_to_another_origin() {
    let sandbox = Sandbox::start().await.unwrap();
    let other = Sandbox::start().await.unwrap();
    let transport = trusting(&sandbox).extra_roots_pem(other.ca_pem().unwrap().as_bytes());
    let webex = builder(&sandbox)
        .endpoints(cloud(&sandbox).trusting(other.origin().as_str()).unwrap())
        .transport(transport.unwrap().build().unwrap())
        .build()
        .unwrap();
    let there = other.url("/v1/people/me");
    sandbox.fail(Hydra::me()).with(307).header("location", &there).once();
    let request = people(&sandbox).header("authorization", "Basic c29tZWJvZHk=");
    let error = webex.http().send(request).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    let header = |sandbox: &Sandbox| {
        let requests = sandbox.requests();
        requests.last().unwrap().header("authorization").map(str::to_owned)
    };
    assert!(header(&sandbox).is_some());
    assert_eq!(header(&other), None);
}

// --- row 9: deadlines ----------------------------------------------------------------------------

#[tokio::test]
async fn row_09_a_connection_has_a_deadline() {
    // It accepts connections, and never sends anything, not even TLS.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let sandbox = Sandbox::start().await.unwrap();
    let limit = Duration::from_millis(200);
    let webex = client(&sandbox, trusting(&sandbox).connect_timeout(limit));
    let error = webex.http().send(Request::get(url.parse().unwrap()).unlisted()).await.unwrap_err();
    assert!(matches!(&error, HttpError::Network { reason, .. } if reason.contains("0.2 s")));
    assert_eq!(error.kind(), ErrorKind::Network);
    // Through a proxy that hangs, the error names the proxy.
    let address = silent.local_addr().unwrap().to_string();
    let hanging = trusting(&sandbox).connect_timeout(limit).proxy(Proxy::new(&address).unwrap());
    let error = client(&sandbox, hanging).http().send(people(&sandbox)).await.unwrap_err();
    assert!(matches!(&error, HttpError::Proxy { proxy, .. } if *proxy == address), "{error:?}");
    assert!(CONNECT_TIMEOUT < ATTEMPT_TIMEOUT);
}

#[tokio::test]
async fn row_09_an_attempt_has_a_deadline_by_default() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox, trusting(&sandbox));
    webex.http().send(people(&sandbox)).await.unwrap();
    sandbox.fail(Hydra::me()).hang().once();
    tokio::time::pause();
    let started = Instant::now();
    let error = webex.http().send(people(&sandbox)).await.unwrap_err();
    assert!(
        matches!(error, HttpError::Timeout { after, .. } if after == ATTEMPT_TIMEOUT),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(started.elapsed().as_secs(), ATTEMPT_TIMEOUT.as_secs());
}

#[tokio::test]
async fn row_09_the_whole_has_a_deadline_over_replays_and_redirects() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox, trusting(&sandbox));
    let me = sandbox.url("/v1/people/me");
    let slow = Duration::from_millis(80);
    // Each attempt is in time, but not all of them together.
    sandbox.fail(Hydra::me()).with(307).header("location", &me).delay(slow).always();
    let limit = Duration::from_millis(200);
    let request = people(&sandbox).attempt_timeout(Duration::from_secs(5)).timeout(limit);
    let error = webex.http().send(request).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { after, .. } if after == limit), "{error:?}");
    // And the other way around: a single attempt takes too long.
    let short = Duration::from_millis(20);
    let request = people(&sandbox).attempt_timeout(short);
    let error = webex.http().send(request).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { after, .. } if after == short), "{error:?}");
}

// --- rules without a row ----------------------------------------------------------------

#[tokio::test]
async fn redirects_by_body_are_followed_and_have_a_cap_of_their_own() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox, trusting(&sandbox));
    let me = sandbox.url("/v1/people/me");
    let elsewhere = || Request::get(sandbox.url("/v1/elsewhere"));
    let count = || sandbox.requests().count();

    let locus = json!({"errorCode": 2_000_002, "location": me});
    sandbox.fail(Service::Other).with(404).body(locus).once();
    webex.http().send(elsewhere()).await.unwrap();
    assert_eq!(count(), 2);

    let port = sandbox.origin().port().unwrap();
    let site = json!({"code": 404_100, "data": {"siteFullUrl": format!("127.0.0.1:{port}")}});
    let circle = sandbox.fail(Hydra::me()).with(404).body(site.clone()).always();
    let error = webex.http().send(people(&sandbox)).await.unwrap_err();
    assert!(matches!(error, HttpError::Redirect { .. }), "{error:?}");
    assert_eq!(circle.fired(), 1 + 5);
    circle.clear();

    // Requests before joining go to the site without the token.
    sandbox.fail(Service::Other).with(404).body(site).once();
    let join = Request::get(sandbox.url("/wbxappapi/v1/preJoin"));
    let _ = webex.http().send(join).await;
    let requests = sandbox.requests();
    let [.., first, second] = requests.iter().as_slice() else { panic!() };
    assert!(first.header("authorization").is_some());
    assert_eq!(second.header("authorization"), None);

    // A 404 that only looks like a redirect is a 404.
    for body in [json!({"errorCode": 2_000_002}), json!({"code": 404_100}), json!([])] {
        sandbox.fail(Hydra::me()).with(404).body(body).once();
        assert_eq!(webex.http().send(people(&sandbox)).await.unwrap_err().status(), Some(404));
    }
}

#[tokio::test]
async fn both_forms_of_retry_after_are_read() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox, trusting(&sandbox));
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
    for (value, range) in [("17", 17..=17), (date.as_str(), 80..=90), ("soon", 0..=0)] {
        sandbox.fail(Hydra::me()).with(429).header("Retry-After", value).once();
        let error = webex.http().send(people(&sandbox)).await.unwrap_err();
        let ErrorKind::RateLimited { retry_after } = error.kind() else { panic!("{error:?}") };
        assert!(range.contains(&retry_after.unwrap_or_default().as_secs()), "{value}");
        assert_eq!(retry_after.is_none(), value == "soon");
    }
}

#[tokio::test]
async fn error_bodies_of_every_shape_become_one_error() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox, trusting(&sandbox));
    for (body, message, code) in [
        (json!({"error": "invalid_grant", "error_description": "d"}), "invalid_grant", None),
        (json!({"message": "m", "errors": [{"description": "x"}]}), "m", None),
        (json!({"message": "User has excessive device registrations"}), "User has excessive", None),
        (json!({"errorCode": 101, "devices": [], "userId": "u"}), "", Some(101)),
        (json!("a plain text"), "a plain text", None),
    ] {
        sandbox.fail(Hydra::me()).with(403).body(body.clone()).once();
        let error = webex.http().send(people(&sandbox)).await.unwrap_err();
        let service = error.service().unwrap();
        let told = service.message.as_ref().map_or("", ServerText::as_str);
        assert!(told.starts_with(message), "{body}");
        assert_eq!(service.message.is_none(), message.is_empty(), "{body}");
        assert_eq!(service.error_code, code, "{body}");
        let id = sandbox.requests().last().unwrap().tracking_id().unwrap().to_owned();
        assert_eq!(error.tracking_id(), Some(id.as_str()));
    }
}

#[tokio::test]
async fn a_host_that_is_down_is_named() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox, trusting(&sandbox));
    let url = format!("https://localhost:{}/?secret=hidden-word", free_port());
    let error = webex.http().send(Request::get(url.parse().unwrap()).unlisted()).await.unwrap_err();
    assert!(matches!(&error, HttpError::Network { host, .. } if host == "localhost"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hidden-word"), "{error:?}");
}
