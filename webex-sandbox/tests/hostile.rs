//! Everything that a hostile or broken cloud can send.

mod common;

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{Client, MercuryClient};
use http::Method;
use serde_json::{Value, json};
use webex_sandbox::{
    Control, Fill, Hydra, Mercury, Mobius, OAuth, OAuthClient, Redirect, Region, Sandbox, U2c, Wdm,
};

const ELSEWHERE: &str = "https://evil.example/x";
const DISCOVERY: &str = "/api/v1/calling/web/?regionCode=a&countryCode=b";

async fn plain() -> (Sandbox, Client) {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    (sandbox, client)
}

#[tokio::test]
async fn an_error_can_quote_the_request_in_every_form() {
    let (sandbox, client) = plain().await;
    sandbox.fail(Wdm::register()).with(403).quote().once();
    let answer = client.post("/wdm/api/v1/devices", json!({"deviceType": "a secret/text"})).await;
    assert_eq!(answer.status, 403);
    let said = answer.json()["message"].as_str().unwrap().to_owned();
    for form in [
        format!("Bearer {}", client.token),
        BASE64_STANDARD.encode(&client.token),
        "a secret/text".to_owned(),
        "a+secret%2Ftext".to_owned(),
        BASE64_STANDARD.encode("a secret/text"),
    ] {
        assert!(said.contains(&form), "{form}");
    }
    assert_eq!(answer.json()["error_description"], said);
    assert_eq!(answer.json()["errors"][0]["description"], said);

    sandbox.fail(OAuth::token()).quote().times(2);
    let fields = [("grant_type", "client_credentials"), ("client_secret", "s/e")];
    let said = client.form("/v1/access_token", &fields).await;
    assert_eq!((said.status, &said.json()["error"]), (400, &json!("invalid_request")));
    assert!(said.text.contains("s/e ") && said.text.contains("s%2Fe"));
    let basic = Some((OAuthClient::DEFAULT_ID, "s/e"));
    let said = client.form_as("/v1/access_token", &fields[..1], basic).await;
    assert!(said.text.contains(" s/e s%2Fe"), "{}", said.text);

    let device = client.device().await;
    sandbox.fail(Mercury::authorize()).quote().once();
    let mut socket = MercuryClient::open(&sandbox, &device, "").await;
    socket.authorize(&client.token).await;
    assert_eq!(socket.closed().await, Some((4401, client.token.clone())));
}

#[tokio::test]
async fn a_request_can_be_sent_elsewhere_in_every_way() {
    let (sandbox, client) = plain().await;
    let to = || ELSEWHERE.to_owned();
    sandbox.fail(Hydra::me()).redirect(Redirect::Status(to())).once();
    sandbox.fail(Hydra::me()).with(302).redirect(Redirect::Status(to())).once();
    sandbox.fail(Hydra::me()).redirect(Redirect::Header(to())).once();
    sandbox.fail(Hydra::me()).redirect(Redirect::Locus(to())).once();
    sandbox.fail(Hydra::me()).redirect(Redirect::Site(to())).once();
    for status in [307, 302] {
        let answer = client.get("/v1/people/me").await;
        assert_eq!((answer.status, answer.header("location")), (status, Some(ELSEWHERE)));
    }
    let answer = client.get("/v1/people/me").await;
    assert_eq!((answer.status, answer.header("cisco-location")), (200, Some(ELSEWHERE)));
    let locus = client.get("/v1/people/me").await;
    let body = json!({"errorCode": 2_000_002, "location": ELSEWHERE});
    assert_eq!((locus.status, locus.json()), (404, body));
    let site = client.get("/v1/people/me").await;
    let body = json!({"code": 404_100, "data": {"siteFullUrl": ELSEWHERE}});
    assert_eq!((site.status, site.json()), (404, body));
}

#[tokio::test]
async fn addresses_can_be_foreign_in_every_answer() {
    let (sandbox, client) = plain().await;
    for (format, list) in [("hostmap", "/hostCatalog"), ("U2CV2", "/services")] {
        sandbox.fail(U2c::postauth()).foreign("evil.example:1").once();
        let catalog = client.get(&format!("/u2c/api/v1/catalog?format={format}")).await;
        assert_eq!(catalog.status, 200);
        assert!(!catalog.text.contains("127.0.0.1"), "{format}");
        let list = catalog.json().pointer(list).unwrap().to_string();
        assert!(list.contains("evil.example:1"), "{format}: {list}");
    }
    sandbox.fail(Mobius::discovery()).foreign("http://evil.example").once();
    let uri = client.get(DISCOVERY).await.json()["primary"]["uris"][0].clone();
    assert_eq!(uri, "http://evil.example/mobius/primary-1/api/v1");
    sandbox.fail(Wdm::register()).foreign("evil.example").once();
    let device = client.device().await;
    let told = |name: &str| device[name].as_str().unwrap().to_owned();
    assert!(told("url").starts_with("http://evil.example/wdm/"));
    assert!(told("webSocketUrl").starts_with("ws://evil.example/"));

    // Refusals contain addresses too.
    sandbox.mobius_policy(|policy| policy.line_limit = Some(1));
    assert_eq!(client.line("primary-1", "https://x.example/1").await.status, 200);
    sandbox.fail(Mobius::register()).foreign("evil.example").once();
    let full = client.line("primary-1", "https://x.example/2").await;
    let uri = full.json()["devices"][0]["uri"].as_str().unwrap().to_owned();
    assert_eq!((full.status, uri.starts_with("http://evil.example/")), (403, true));

    // A single value can be set, also to `null`.
    sandbox.fail(U2c::postauth()).set("/serviceLinks/wdm", json!(null)).once();
    let links = client.get("/u2c/api/v1/catalog?format=hostmap").await.json();
    let links = links["serviceLinks"].as_object().unwrap().clone();
    assert!(links["wdm"].is_null() && links["hydra"].is_string());
}

#[tokio::test]
async fn an_answer_can_be_oversized() {
    let (sandbox, client) = plain().await;
    sandbox.fail(Hydra::me()).fill(Fill::WideMib(3)).once();
    let wide = client.get("/v1/people/me").await;
    assert!((3 << 20..4 << 20).contains(&wide.text.len()), "{}", wide.text.len());
    let body = wide.json();
    assert_eq!(body["filler"][70_000], json!({"": 0}));
    assert_eq!(body["emails"], json!([sandbox.user().email]));

    sandbox.fail(Hydra::me()).fill(Fill::Deep(300_000)).once();
    let deep = client.get("/v1/people/me").await.text;
    assert_eq!(deep.matches('[').count(), deep.matches(']').count());
    assert!(deep.contains(&"[".repeat(300_000)) && deep.ends_with("]}"));

    sandbox.fail(Hydra::me()).with(500).fill(Fill::Endless).once();
    let url = sandbox.url("/v1/people/me");
    let mut endless = client.http.get(url).send().await.unwrap();
    assert_eq!(endless.status(), 500);
    let mut read = 0;
    while read < 8 << 20 {
        read += endless.chunk().await.unwrap().expect("no end").len();
    }
    drop(endless);

    sandbox.fail(Mobius::discovery()).entries("/primary/uris", 60_000).once();
    let uris = client.get(DISCOVERY).await.json()["primary"]["uris"].clone();
    let uris: std::collections::HashSet<_> =
        uris.as_array().unwrap().iter().map(|uri| uri.as_str().unwrap().to_owned()).collect();
    assert_eq!(uris.len(), 60_000);
}

#[tokio::test]
async fn a_captive_portal_can_replace_any_answer() {
    let (sandbox, client) = plain().await;
    sandbox.fail(Wdm::register()).portal().once();
    sandbox.fail(OAuth::token()).with(400).portal().once();
    sandbox.fail(Mercury::connect()).with(511).portal().once();
    let page = client.post("/wdm/api/v1/devices", json!({"deviceType": "WEB"})).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text.starts_with("<!DOCTYPE html>"));
    assert!(sandbox.devices().is_empty());
    let page = client.form("/v1/access_token", &[]).await;
    assert_eq!((page.status, page.text.starts_with('<')), (400, true));
    let device = client.device().await;
    let error = MercuryClient::open_url(&sandbox, device["webSocketUrl"].as_str().unwrap()).await;
    assert!(error.err().unwrap().to_string().contains("511"));
}

#[tokio::test]
async fn a_request_can_take_effect_and_its_answer_be_replaced_or_lost() {
    let (sandbox, client) = plain().await;
    let device = client.device().await;
    let url = device["url"].as_str().unwrap();
    for status in [304, 204] {
        sandbox.fail(Wdm::refresh()).carried_out().with(status).once();
        let body = Some(json!({"deviceType": "WEB"}));
        let answer = client.send(Method::PUT, url, body).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, ""));
    }
    assert_eq!(sandbox.devices()[0].refreshes, 2);

    sandbox.fail(Mobius::register()).carried_out().refuse().once();
    let body = json!({"userId": client.user_id, "clientDeviceUri": url});
    let path = "/mobius/primary-1/api/v1/calling/web/device";
    assert!(client.try_send(Method::POST, path, Some(body)).await.is_err());
    assert_eq!(sandbox.lines().len(), 1);
}

#[tokio::test]
async fn answers_can_report_a_wrong_time() {
    let (sandbox, client) = plain().await;
    sandbox.set_clock_skew(-86_400);
    let date = client.get("/v1/region").await.header("date").unwrap().to_owned();
    let date = httpdate::parse_http_date(&date).unwrap();
    let behind = std::time::SystemTime::now().duration_since(date).unwrap().as_secs();
    assert!((86_399..86_500).contains(&behind), "{behind}");
    sandbox.fail(Region::lookup()).header("Date", "yesterday").once();
    assert_eq!(client.get("/v1/region").await.header("date"), Some("yesterday"));
    sandbox.set_clock_skew(0);
    let date = client.get("/v1/region").await.header("date").unwrap().to_owned();
    let off =
        std::time::SystemTime::now().duration_since(httpdate::parse_http_date(&date).unwrap());
    assert!(off.is_ok_and(|off| off.as_secs() < 100));
}

#[tokio::test]
async fn kept_connections_can_be_closed_used_or_not() {
    let (sandbox, client) = plain().await;
    let device = client.device().await;
    let (mut socket, _) = MercuryClient::authorized(&sandbox, &device, &client.token).await;
    let (host, port) =
        (sandbox.origin().host_str().unwrap().to_owned(), sandbox.origin().port().unwrap());
    let unused = tokio::net::TcpStream::connect((host, port)).await.unwrap();
    sandbox.set_idle_limit(Some(Duration::from_millis(20)));
    // It ends without receiving a byte.
    unused.readable().await.unwrap();
    assert_eq!(unused.try_read(&mut [0; 16]).unwrap(), 0);
    // A request in flight is not cut off, however long it takes.
    sandbox.fail(Hydra::me()).delay(Duration::from_millis(100)).once();
    assert_eq!(client.get("/v1/people/me").await.status, 200);
    // Neither is a socket.
    sandbox.set_idle_limit(None);
    let connection = |sandbox: &Sandbox| sandbox.requests().last().unwrap().connection();
    client.get("/v1/region").await;
    let first = connection(&sandbox);
    client.get("/v1/region").await;
    assert_eq!(connection(&sandbox), first);
    sandbox.push_event(&client.user_id, &json!({"eventType": "still.there"}));
    assert_eq!(socket.next().await["data"]["eventType"], "still.there");
}

#[tokio::test]
async fn numbers_of_any_size_are_accepted_or_refused() {
    let (sandbox, client) = plain().await;
    let huge = u64::MAX;
    let device = json!({"deviceType": "WEB", "ttl": huge});
    let made = client.post("/wdm/api/v1/devices", device).await;
    assert_eq!(made.status, 200);
    let user = client.user_id.clone();
    let device = sandbox.devices()[0].id.clone();
    let socket_to = MercuryClient::open(&sandbox, &made.json(), "").await;
    let calls: Vec<(Method, String, Value)> = vec![
        (
            Method::PATCH,
            "/policies".into(),
            json!({
                "mobius": {"keepalive_interval": 1e19, "missed_keepalives": u32::MAX,
                           "call_keepalive_interval": 1e19, "line_limit": huge},
                "wdm": {"durable_lifetime": 1e19, "device_limit": huge, "device_limit_status": 9},
                "u2c": {"size": 0},
                "oauth": {"access_token_lifetime": 1e19, "refresh_token_lifetime": 1e19,
                          "code_lifetime": 1e19, "device_code_lifetime": 1e19,
                          "device_poll_interval": 1e19, "token_cap": huge},
            }),
        ),
        (Method::POST, format!("/users/{user}/tokens"), json!({"lifetime_s": 1e19})),
        (Method::POST, format!("/users/{user}/tokens/expire"), json!({"after_s": 1e19})),
        (Method::POST, "/tokens/expire".into(), json!({"token": client.token, "after_s": 1e19})),
        (Method::PATCH, format!("/devices/{device}"), json!({"unused_s": 1e19})),
        (Method::PUT, "/instances/primary-1".into(), json!({"keepalive_interval": 1e19})),
        (Method::PUT, "/clock".into(), json!({"skew_s": i64::MIN})),
        (Method::PUT, "/clock".into(), json!({"skew_s": i64::MAX})),
        (Method::PUT, "/connections".into(), json!({"idle_s": 1e19})),
        (Method::POST, "/sockets/1".into(), json!({"do": "skip_sequence", "by": huge})),
        (Method::POST, "/sockets/1".into(), json!({"do": "skip_sequence", "by": huge})),
        (Method::POST, "/faults".into(), json!({"target": "region", "status": 65_535, "times": 1})),
        (Method::POST, "/faults".into(), json!({"target": "region", "status": 100, "times": 1})),
        (Method::POST, "/faults".into(), json!({"target": "mercury.authorize", "delay_s": 1e19})),
        (Method::PATCH, "/policies".into(), json!({"mobius": {"keepalive_interval": 1e300}})),
        (Method::PATCH, "/policies".into(), json!({"mobius": {"keepalive_interval": -1}})),
        (Method::PUT, "/latency".into(), json!({"request_s": 1e300})),
        (Method::DELETE, "/faults/99999999999999999999".into(), json!({})),
    ];
    for (method, path, body) in calls {
        let answer = client.send(method, &format!("/sandbox{path}"), Some(body.clone())).await;
        assert!(matches!(answer.status, 200..=204 | 400 | 404), "{path} {body}: {answer:?}");
    }
    for wait in ["/wait?timeout_s=1e300", "/wait?timeout_s=1e19&lines=0"] {
        let answer = client.get(&format!("/sandbox{wait}")).await;
        assert!(matches!(answer.status, 200 | 400), "{wait}: {answer:?}");
    }
    // All of them in use: clients see odd numbers, but no 500 and no crash.
    let mut socket_to = socket_to;
    socket_to.authorize(&client.token).await;
    assert_eq!(
        client.post("/sandbox/sockets/1", json!({"do": "close", "code": 0})).await.status,
        204
    );
    assert_eq!(client.line("primary-1", "https://x.example/1").await.status, 200);
    let body = Some(json!({"deviceType": "WEB", "ttl": huge}));
    let refresh = client.send(Method::PUT, &format!("/wdm/api/v1/devices/{device}"), body).await;
    assert_eq!(refresh.status, 200);
    let id = sandbox.lines()[0].device_id.clone();
    let status = format!("/mobius/primary-1/api/v1/calling/web/devices/{id}/status");
    assert_eq!(client.post(&status, json!({})).await.status, 200);
    let start = [("client_id", OAuthClient::DEFAULT_ID), ("scope", "spark:all")];
    assert_eq!(client.form("/v1/device/authorize", &start).await.status, 200);
    let client_grant = [
        ("grant_type", "client_credentials"),
        ("client_id", OAuthClient::DEFAULT_ID),
        ("client_secret", OAuthClient::DEFAULT_SECRET),
    ];
    assert_eq!(client.form("/v1/access_token", &client_grant).await.status, 200);
    for _ in 0..2 {
        // An invalid status is replaced by a valid one.
        assert!(client.get("/v1/region").await.status >= 200);
    }
    assert_eq!(client.get("/v1/region").await.status, 200);
    // The same numbers from Rust.
    let forever = Duration::MAX;
    assert!(sandbox.issue_token(sandbox.user(), Some(forever)).is_some());
    sandbox.expire_token_in(&client.token, forever);
    sandbox.control(Control::SetConnections { idle: Some(forever) }).unwrap();
    sandbox.mobius_policy(|policy| policy.keepalive_interval = forever);
    assert_eq!(client.line("backup-1", "https://x.example/1").await.status, 200);
    sandbox.fail(Hydra::me()).delay(forever).once();
    sandbox.set_latency(forever);
}
