//! Scripted failures of HTTP requests, and the time they take.

mod common;

use std::time::{Duration, Instant};

use common::{Client, http};
use http::Method;
use serde_json::json;
use webex_sandbox::{Hydra, Mobius, Sandbox, Service, U2c, Wdm};

async fn plain() -> (Sandbox, Client) {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    (sandbox, client)
}

#[tokio::test]
async fn a_status_comes_with_headers_and_body() {
    let (sandbox, client) = plain().await;
    sandbox
        .fail(Mobius::register())
        .with(429)
        .header("Retry-After", 7)
        .body(json!({"errorCode": 1}))
        .once();
    let answer = client.line("primary-1", "https://x.example/1").await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    assert_eq!(answer.json(), json!({"errorCode": 1}));
    assert_eq!(sandbox.requests().of(Service::Mobius).answered(429).count(), 1);
    assert!(sandbox.lines().is_empty());
}

#[tokio::test]
async fn faults_in_a_row_make_a_sequence() {
    let (sandbox, client) = plain().await;
    sandbox.fail(Hydra::me()).after(1).with(500).times(2);
    sandbox.fail(Hydra::me()).with(404).once();
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(client.get("/v1/people/me").await.status);
    }
    // The first fault skips one request, which the second fault takes.
    assert_eq!(seen, [404, 500, 500, 200, 200]);
}

#[tokio::test]
async fn a_fault_can_be_for_one_user_and_be_cleared() {
    let (sandbox, client) = plain().await;
    let bob = sandbox.add_user("bob@example.com");
    let bobs = Client::with_token(&sandbox, bob.token(), &bob.id);
    let fault = sandbox.fail(Service::Hydra).for_user(&bob).with(503).always();
    assert_eq!(client.get("/v1/people/me").await.status, 200);
    assert_eq!(bobs.get("/v1/people/me").await.status, 503);
    assert_eq!(bobs.get("/v1/meetingPreferences").await.status, 503);
    fault.clear();
    assert_eq!(bobs.get("/v1/people/me").await.status, 200);
    assert_eq!(fault.fired(), 2);
}

#[tokio::test]
async fn an_answer_can_be_patched() {
    let (sandbox, client) = plain().await;
    let patch = json!({"serviceLinks": {"wdm": null, "hydra": "https://other.example/v1"}});
    sandbox.fail(U2c::postauth()).merge(patch).once();
    let links = client.get("/u2c/api/v1/catalog").await.json()["serviceLinks"].clone();
    assert!(links.get("wdm").is_none());
    assert_eq!(links["hydra"], "https://other.example/v1");
    assert!(links["conversation"].is_string());
}

#[tokio::test]
async fn refused_and_reset_requests_get_no_answer() {
    for tls in [false, true] {
        for http1 in [false, true] {
            let sandbox = Sandbox::builder().plain(!tls).start().await.unwrap();
            let mut client = Client::new(&sandbox);
            client.http = http(&sandbox, http1);
            assert_eq!(client.get("/v1/people/me").await.status, 200);
            sandbox.fail(Hydra::me()).refuse().once();
            assert!(client.try_send(Method::GET, "/v1/people/me", None).await.is_err());
            sandbox.fail(Hydra::me()).reset().once();
            assert!(client.try_send(Method::GET, "/v1/people/me", None).await.is_err());
            assert_eq!(client.get("/v1/people/me").await.status, 200);
            let log = sandbox.requests().of(Hydra::me());
            assert_eq!(log.count(), 4);
            assert_eq!(log.answered(200).count(), 2);
        }
    }
}

#[tokio::test]
async fn a_refused_stream_leaves_others_on_the_connection_alone() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::new(&sandbox);
    client.get("/v1/people/me").await; // opens the HTTP/2 connection
    sandbox.fail(Wdm::list()).delay(Duration::from_millis(50)).once();
    sandbox.fail(Hydra::me()).refuse().once();
    let slow = client.get("/wdm/api/v1/devices");
    let refused = client.try_send(Method::GET, "/v1/people/me", None);
    let (slow, refused) = tokio::join!(slow, refused);
    assert_eq!(slow.status, 200);
    assert!(refused.is_err());
    let connections: Vec<_> =
        sandbox.requests().iter().map(webex_sandbox::Request::connection).collect();
    assert_eq!(connections, [1, 1, 1]);
}

#[tokio::test]
async fn a_hanging_request_is_in_the_log_and_ends_with_its_client() {
    let (sandbox, client) = plain().await;
    sandbox.fail(Hydra::me()).hang().once();
    let hanging = {
        let client = client.clone();
        tokio::spawn(async move { client.try_send(Method::GET, "/v1/people/me", None).await })
    };
    sandbox
        .wait_for(|s| {
            s.requests().of(Hydra::me()).last().is_some_and(webex_sandbox::Request::is_pending)
        })
        .await
        .unwrap();
    hanging.abort();
    sandbox
        .wait_for(|s| s.requests().of(Hydra::me()).iter().all(|request| !request.is_pending()))
        .await
        .unwrap();
    assert_eq!(sandbox.requests().of(Hydra::me()).last().unwrap().status(), None);
}

#[tokio::test]
async fn an_instance_that_is_down_answers_nothing_until_it_is_up() {
    let (sandbox, client) = plain().await;
    assert!(sandbox.down("primary-1"));
    assert!(!sandbox.down("primary-9"));
    let ping = "/mobius/primary-1/api/v1/ping";
    assert!(client.try_send(Method::GET, ping, None).await.is_err());
    assert_eq!(client.get("/mobius/primary-2/api/v1/ping").await.status, 200);
    // Discovery at the cluster address still works.
    let discovery = "/api/v1/calling/web/?regionCode=a&countryCode=b";
    assert_eq!(client.get(discovery).await.status, 200);
    sandbox.up("primary-1");
    assert_eq!(client.get(ping).await.status, 200);
}

#[tokio::test]
async fn latency_is_added_once_and_side_by_side() {
    let latency = Duration::from_millis(250);
    let sandbox = Sandbox::builder().latency(latency).start().await.unwrap();
    let client = Client::new(&sandbox);
    client.get("/v1/people/me").await;
    let start = Instant::now();
    let (a, b, c) = tokio::join!(
        client.get("/v1/people/me"),
        client.get("/v1/people/me"),
        client.get("/wdm/api/v1/devices")
    );
    let took = start.elapsed();
    assert_eq!([a.status, b.status, c.status], [200; 3]);
    assert!(took >= latency && took < 2 * latency, "{took:?}");
    sandbox.set_latency(Duration::ZERO);
    let start = Instant::now();
    client.get("/v1/people/me").await;
    assert!(start.elapsed() < latency);
}

#[tokio::test]
async fn a_new_connection_can_be_slow() {
    let latency = Duration::from_millis(250);
    let sandbox = Sandbox::builder().plain(true).connection_latency(latency).start().await.unwrap();
    let client = Client::new(&sandbox);
    let start = Instant::now();
    client.get("/v1/people/me").await;
    assert!(start.elapsed() >= latency);
    let start = Instant::now();
    client.get("/v1/people/me").await; // the connection is already open
    assert!(start.elapsed() < latency);
}

#[tokio::test]
async fn the_log_is_a_ring_and_goes_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.jsonl");
    let sandbox =
        Sandbox::builder().plain(true).log_capacity(2).request_log(&path).start().await.unwrap();
    let client = Client::new(&sandbox);
    for path in ["/v1/region", "/v1/people/me", "/nowhere"] {
        client.get(path).await;
    }
    let log = sandbox.requests();
    assert_eq!(log.iter().map(webex_sandbox::Request::number).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(log.last().unwrap().operation().to_string(), "other.unknown");
    assert_eq!(sandbox.counts().requests, 3);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&client.token));
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[1]["operation"], &lines[1]["status"]), (&json!("me"), &json!(200)));
    assert_eq!(lines[2]["status"], 404);
}

#[tokio::test]
async fn nothing_runs_on_after_shutdown() {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    client.get("/v1/people/me").await;
    let address =
        (sandbox.origin().host_str().unwrap().to_owned(), sandbox.origin().port().unwrap());
    sandbox.shutdown().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(client.try_send(Method::GET, "/v1/people/me", None).await.is_err());
}
