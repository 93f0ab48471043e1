//! The happy path of both products, request by request.

mod common;

use common::{Client, MercuryClient};
use http::Method;
use serde_json::json;
use webex_sandbox::{Mobius, Sandbox, Service, Wdm};

#[tokio::test]
async fn a_meetings_device_registers_and_unregisters() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::new(&sandbox);

    let catalog = client.get("/u2c/api/v1/catalog?format=hostmap").await.json();
    let wdm = catalog["serviceLinks"]["wdm"].as_str().unwrap();
    assert_eq!(wdm, sandbox.url("/wdm/api/v1").as_str());

    let device = client.device().await;
    let url = device["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{wdm}/devices/")));
    assert_eq!(device["userId"], sandbox.user().id);
    assert_eq!(sandbox.devices()[0].url, url);

    let (mut socket, first) = MercuryClient::authorized(&sandbox, &device, &client.token).await;
    assert_eq!(first["data"]["eventType"], "mercury.buffer_state");
    assert_eq!(first["sequenceNumber"], 1);
    assert!(first.get("type").is_none());
    socket.send(json!({"messageId": first["id"], "type": "ack"})).await;
    socket.send(json!({"id": "p1", "type": "ping"})).await;
    let pong = socket.next().await;
    assert_eq!((&pong["id"], &pong["type"]), (&json!("p1"), &json!("pong")));
    assert_eq!(pong["sequenceNumber"], 2);
    socket.send(json!({"messageId": "p1", "type": "ack"})).await;
    sandbox.wait_for(|s| s.sockets()[0].unacknowledged.is_empty()).await.unwrap();

    let delivered = sandbox.push_event(sandbox.user(), &json!({"eventType": "mobius.call"}));
    assert_eq!(delivered, 1);
    let event = socket.next().await;
    assert_eq!(event["data"]["eventType"], "mobius.call");
    assert_eq!(event["sequenceNumber"], 3);

    socket.close(3050, "meetings unregister").await;
    sandbox.wait_for(|s| s.sockets().is_empty()).await.unwrap();
    assert_eq!(
        serde_json::to_value(&sandbox.closed_sockets()[0].closed).unwrap(),
        json!({"by": "client", "code": 3050, "reason": "meetings unregister"})
    );
    assert_eq!(client.delete(url).await.status, 204);
    assert!(sandbox.devices().is_empty());
    assert_eq!(client.delete(url).await.status, 404);
}

#[tokio::test]
async fn a_line_registers_keeps_alive_and_unregisters() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::new(&sandbox);
    let device = client.device().await;

    let region = client.get("/v1/region").await.json();
    let query = format!(
        "regionCode={}&countryCode={}",
        region["clientRegion"].as_str().unwrap(),
        region["countryCode"].as_str().unwrap()
    );
    let servers = client.get(&format!("/api/v1/calling/web/?{query}")).await.json();
    let primary = servers["primary"]["uris"][0].as_str().unwrap();
    assert_eq!(primary, sandbox.url("/mobius/primary-1/api/v1").as_str());
    assert_eq!(servers["backup"]["uris"].as_array().unwrap().len(), 2);

    let body = json!({
        "userId": device["userId"],
        "clientDeviceUri": device["url"],
        "serviceData": {"indicator": "calling", "domain": ""},
    });
    let line = client.post(&format!("{primary}/calling/web/device"), body).await.json();
    assert_eq!(line["keepaliveInterval"], 30);
    assert_eq!(line["rehomingIntervalMin"], 60);
    let uri = line["device"]["uri"].as_str().unwrap();
    assert!(uri.starts_with(&format!("{primary}/calling/web/devices/")));

    let status = client.send(Method::POST, &format!("{uri}/status"), None).await;
    assert_eq!(status.status, 200);
    assert_eq!(sandbox.lines()[0].keepalives, 1);
    assert_eq!(sandbox.lines()[0].instance, "primary-1");
    let list = format!("{primary}/calling/web/devices?userid={}", client.user_id);
    assert_eq!(client.get(&list).await.json()["devices"][0]["uri"], uri);
    assert_eq!(client.get(&format!("{primary}/ping")).await.status, 200);

    assert_eq!(client.delete(uri).await.status, 200);
    assert!(sandbox.lines().is_empty());
    assert_eq!(client.send(Method::POST, &format!("{uri}/status"), None).await.status, 404);
}

#[tokio::test]
async fn every_request_is_logged_without_its_token() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::new(&sandbox);
    client.device().await;

    let log = sandbox.requests().of(Wdm::register());
    let request = log.last().unwrap();
    assert_eq!(request.method(), "POST");
    assert_eq!(request.path(), "/wdm/api/v1/devices");
    assert_eq!(request.query_value("includeUpstreamServices").as_deref(), Some("all"));
    assert_eq!(request.tracking_id(), Some("test_1"));
    assert_eq!(request.status(), Some(200));
    assert_eq!(request.user_id(), Some(client.user_id.as_str()));
    assert_eq!(request.version(), "HTTP/2.0");
    assert_eq!(request.json()["ttl"], 1800);
    let shown = request.header("authorization").unwrap();
    assert_eq!(shown, format!("Bearer {}", Sandbox::fingerprint(&client.token)));
    assert!(!serde_json::to_string(request).unwrap().contains(&client.token));
}

#[tokio::test]
async fn a_request_without_a_live_token_is_refused_by_every_service() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut client = Client::new(&sandbox);
    let good = client.token.clone();
    let paths = [
        "/u2c/api/v1/catalog",
        "/wdm/api/v1/devices",
        "/v1/people/me",
        "/v1/meetingPreferences",
        "/conversation/api/v1/users",
        "/calliope/api/discovery/v1/clusters",
        "/locus/api/v1/loci",
        "/mobius/primary-1/api/v1/calling/web/devices",
        "/api/v1/calling/web/?regionCode=a&countryCode=b",
    ];
    for path in paths {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    client.token = "stranger_SBX1_0e600000-0000-4000-8000-000000000003".to_owned();
    for path in paths {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(answer.json()["trackingId"], "test_1");
    }
    // Region discovery and the limited catalog need no token.
    assert_eq!(client.get("/v1/region").await.status, 200);
    let limited = "/u2c/api/v1/limited/catalog?orgId=x&format=hostmap";
    assert_eq!(client.get(limited).await.status, 200);

    client.token = good;
    assert!(sandbox.revoke_token(&client.token));
    assert_eq!(client.get("/v1/people/me").await.status, 401);
}

#[tokio::test]
async fn plain_http_serves_the_same() {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    assert_eq!(sandbox.origin().scheme(), "http");
    let client = Client::new(&sandbox);
    let device = client.device().await;
    assert!(device["webSocketUrl"].as_str().unwrap().starts_with("ws://127.0.0.1:"));
    let (_socket, first) = MercuryClient::authorized(&sandbox, &device, &client.token).await;
    assert_eq!(first["sequenceNumber"], 1);
    assert_eq!(client.line("backup-1", device["url"].as_str().unwrap()).await.status, 200);
    assert_eq!(sandbox.requests().of(Service::Mobius).on("backup-1").count(), 1);
}

#[tokio::test]
async fn a_failing_instance_fails_as_often_as_told() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::new(&sandbox);
    let fault = sandbox.fail(Mobius::register()).on("primary-1").with(503).times(2);
    assert_eq!(client.line("primary-2", "https://x.example/1").await.status, 200);
    assert_eq!(client.line("primary-1", "https://x.example/1").await.status, 503);
    assert_eq!(client.line("primary-1", "https://x.example/1").await.status, 503);
    assert_eq!(client.line("primary-1", "https://x.example/1").await.status, 200);
    assert_eq!(fault.fired(), 2);
}
