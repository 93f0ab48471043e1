//! The one HTTP client, seen from the server.

use std::time::Duration;

use webex_core::{Auth, Credentials, Endpoints, ErrorKind, HttpError, Request, Transport, Webex};
use webex_sandbox::{Hydra, Sandbox, Wdm};

fn client(sandbox: &Sandbox) -> Webex {
    let ca = sandbox.ca_pem().unwrap().as_bytes();
    let transport = Transport::builder().extra_roots_pem(ca).unwrap().build().unwrap();
    client_with(sandbox, transport)
}

fn client_with(sandbox: &Sandbox, transport: Transport) -> Webex {
    Webex::builder()
        .credentials(Credentials::access_token(sandbox.token()))
        .endpoints(Endpoints::at(sandbox.origin().as_str()).unwrap())
        .transport(transport)
        .build()
        .unwrap()
}

fn people(sandbox: &Sandbox) -> Request {
    Request::get(sandbox.url("/v1/people/me"))
}

#[tokio::test]
async fn requests_carry_what_the_services_expect() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    for _ in 0..2 {
        webex.http().send(people(&sandbox)).await.unwrap();
    }
    let requests = sandbox.requests().of(Hydra::me());
    let ids: Vec<_> = requests.iter().map(|request| request.tracking_id().unwrap()).collect();
    let (session, n) = ids[0].rsplit_once('_').unwrap();
    assert_eq!((n, ids[1]), ("1", format!("{session}_2").as_str()));
    let request = requests.first().unwrap();
    assert!(request.header("authorization").is_some());
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("content-type"), None, "there is no body");
    assert_eq!(request.version(), "HTTP/2.0");
}

#[tokio::test]
async fn the_token_is_not_sent_where_it_is_not_asked_for_and_nothing_where_it_is_not_allowed() {
    let sandbox = Sandbox::start().await.unwrap();
    let other = Sandbox::start().await.unwrap();
    let transport = Transport::builder()
        .extra_roots_pem(sandbox.ca_pem().unwrap().as_bytes())
        .and_then(|builder| builder.extra_roots_pem(other.ca_pem().unwrap().as_bytes()))
        .and_then(webex_core::TransportBuilder::build)
        .unwrap();
    let webex = client_with(&sandbox, transport);
    let header = |sandbox: &Sandbox| {
        let requests = sandbox.requests().of(Hydra::me());
        requests.last().unwrap().header("authorization").map(str::to_owned)
    };

    let anonymous = webex.http().send(people(&sandbox).auth(Auth::None)).await.unwrap_err();
    assert_eq!(anonymous.kind(), ErrorKind::Unauthorized);
    assert_eq!(header(&sandbox), None);

    // Another port is another origin: a cloud that is not the user's.
    for request in [people(&other), people(&other).auth(Auth::None)] {
        let stranger = webex.http().send(request).await.unwrap_err();
        assert!(matches!(&stranger, HttpError::NotAllowed { .. }), "{stranger:?}");
        assert!(stranger.to_string().contains(other.origin().as_str().trim_end_matches('/')));
        assert_eq!(stranger.kind(), ErrorKind::Protocol);
    }
    assert!(other.requests().is_empty());

    // An unlisted address of the application gets the request, without the token, and cannot redirect it elsewhere.
    let own = webex.http().send(people(&other).auth(Auth::Bearer).unlisted()).await.unwrap_err();
    assert_eq!((own.status(), header(&other)), (Some(401), None));
    let here = sandbox.url("/v1/people/me");
    other.fail(Hydra::me()).with(307).header("location", &here).once();
    sandbox.clear_requests();
    let away = webex.http().send(people(&other).unlisted()).await.unwrap_err();
    assert!(matches!(away, HttpError::Redirect { .. }), "{away:?}");
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn redirects_of_both_kinds_are_followed_and_counted() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let me = sandbox.url("/v1/people/me");
    sandbox.fail(Hydra::me()).with(308).header("location", &me).once();
    webex.http().send(people(&sandbox)).await.unwrap();
    sandbox.fail(Hydra::me()).with(200).header("cisco-location", &me).once();
    let answer = webex.http().send(people(&sandbox)).await.unwrap();
    assert!(answer.json::<serde_json::Value>().unwrap()["id"].is_string());
    // In the logs it is one request, however often it was sent.
    let requests = sandbox.requests().of(Hydra::me());
    let ids: Vec<_> = requests.iter().map(|request| request.tracking_id().unwrap()).collect();
    assert_eq!((ids[0], ids[2]), (ids[1], ids[3]));

    sandbox.fail(Hydra::me()).with(307).header("location", &me).always();
    let circle = webex.http().send(people(&sandbox)).await.unwrap_err();
    assert!(matches!(circle, HttpError::Redirect { .. }), "{circle:?}");
    sandbox.clear_faults();
    for (status, location) in [(302, me.as_str()), (307, "http://127.0.0.1:1/")] {
        sandbox.fail(Hydra::me()).with(status).header("location", location).once();
        let error = webex.http().send(people(&sandbox)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{status} {location}");
    }
}

#[tokio::test]
async fn failures_are_reported_with_their_kind() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let wait = Some(Duration::from_secs(17));
    for (status, kind) in [
        (400, ErrorKind::Rejected),
        (403, ErrorKind::Forbidden),
        (404, ErrorKind::NotFound),
        (429, ErrorKind::RateLimited { retry_after: wait }),
        (503, ErrorKind::Server),
    ] {
        let body = serde_json::json!({"message": "what the service says"});
        let fault = sandbox.fail(Hydra::me()).with(status).body(body);
        fault.header("Retry-After", "17").once();
        let error = webex.http().send(people(&sandbox)).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains("what the service says"), "{error}");
        assert!(error.tracking_id().is_some());
    }

    // When a connection ends without an answer, a repeatable request is sent once more.
    let reset = sandbox.fail(Hydra::me()).reset().once();
    webex.http().send(people(&sandbox)).await.unwrap();
    assert_eq!(reset.fired(), 1);
    let reset = sandbox.fail(Hydra::me()).reset().always();
    let error = webex.http().send(people(&sandbox)).await.unwrap_err();
    assert_eq!((error.kind(), reset.fired()), (ErrorKind::Network, 2), "{error}");
    reset.clear();
    let reset = sandbox.fail(Wdm::register()).reset().once();
    let post = Request::post(sandbox.url("/wdm/api/v1/devices")).json(&1);
    let error = webex.http().send(post).await.unwrap_err();
    assert_eq!((error.kind(), reset.fired()), (ErrorKind::Network, 1), "{error}");

    sandbox.fail(Hydra::me()).hang().once();
    let limit = Duration::from_millis(200);
    let error = webex.http().send(people(&sandbox).timeout(limit)).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { after, .. } if after == limit), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_trusted_gets_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let distrusting = client_with(&sandbox, Transport::builder().build().unwrap());
    let error = distrusting.http().send(people(&sandbox)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    for told in ["issued by \"", "extra_roots_pem", "--ca"] {
        assert!(error.to_string().contains(told), "{error}");
    }
    assert!(sandbox.requests().is_empty());

    let trusting = Transport::builder().danger_accept_invalid_certs(true).build().unwrap();
    client_with(&sandbox, trusting).http().send(people(&sandbox)).await.unwrap();
}
