//! WDM and Mobius beyond the happy path: limits, versions, and expiry.

mod common;

use std::time::Duration;

use common::Client;
use http::Method;
use serde_json::json;
use tokio::time::{advance, pause, resume};
use webex_sandbox::{MobiusInstance, Mutation, NewUser, Sandbox};

const EXCESSIVE: &str = "User has excessive device registrations";

async fn plain() -> (Sandbox, Client) {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    (sandbox, client)
}

/// Advances the paused clock and lets every task notice.
async fn pass(time: Duration) {
    advance(time).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_refresh_keeps_the_device_and_moves_its_version() {
    let (sandbox, client) = plain().await;
    let register = json!({"deviceType": "WEB", "name": "a", "ttl": 1800});
    let first = client.post("/wdm/api/v1/devices", register).await;
    let etag = first.header("etag").unwrap().to_owned();
    let device = first.json();
    let url = device["url"].as_str().unwrap();

    // Sending back the record unchanged keeps the version.
    let unchanged = client.send(Method::PUT, url, Some(device.clone())).await;
    assert_eq!(unchanged.status, 200);
    assert_eq!(unchanged.header("etag"), Some(etag.as_str()));
    assert_eq!(unchanged.json()["url"], url);

    let renamed = json!({"deviceType": "WEB", "name": "b", "ttl": 1800});
    let changed = client.send(Method::PUT, url, Some(renamed)).await;
    assert_ne!(changed.header("etag"), Some(etag.as_str()));
    assert_eq!(changed.json()["name"], "b");
    assert_eq!(sandbox.devices()[0].refreshes, 2);

    let etag = changed.header("etag").unwrap();
    let get =
        |etag: &str| client.http.get(url).header("if-none-match", etag).bearer_auth(&client.token);
    assert_eq!(get(etag).send().await.unwrap().status(), 304);
    assert_eq!(get("\"other\"").send().await.unwrap().status(), 200);
    let put = client
        .http
        .put(url)
        .header("if-none-match", etag)
        .bearer_auth(&client.token)
        .body(json!({"deviceType": "WEB", "name": "b", "ttl": 1800}).to_string());
    let body: serde_json::Value =
        serde_json::from_str(&put.send().await.unwrap().text().await.unwrap()).unwrap();
    assert!(body["features"].get("developer").is_none());
    assert!(body["features"]["user"].is_array());
}

#[tokio::test]
async fn details_are_given_as_asked() {
    let (_sandbox, client) = plain().await;
    let register = async |details: &str| {
        let path = format!("/wdm/api/v1/devices?includeUpstreamServices={details}");
        client.post(&path, json!({"deviceType": "WEB"})).await.json()
    };
    let all = register("all").await;
    assert!(all["webSocketUrl"].is_string() && all["features"].is_object());
    let none = register("none").await;
    assert!(none.get("webSocketUrl").is_none() && none.get("features").is_none());
    assert!(register("websocket,energyforecast").await["webSocketUrl"].is_string());
}

#[tokio::test]
async fn an_answer_can_be_as_long_as_a_real_one() {
    let (sandbox, client) = plain().await;
    let short = client.device().await;
    assert_eq!(short["features"]["developer"].as_array().unwrap().len(), 2);
    sandbox.wdm_policy(|policy| policy.extra_features = 350);
    let long = client.device().await;
    assert_eq!(long["features"]["developer"].as_array().unwrap().len(), 352);
    assert!((45_000..60_000).contains(&long.to_string().len()), "{}", long.to_string().len());
}

#[tokio::test]
async fn a_user_has_a_limited_number_of_devices() {
    let (sandbox, client) = plain().await;
    sandbox.wdm_policy(|policy| policy.device_limit = 2);
    let first = client.device().await;
    client.device().await;
    let refused = client.post("/wdm/api/v1/devices", json!({"deviceType": "WEB"})).await;
    assert_eq!((refused.status, &refused.json()["message"]), (403, &json!(EXCESSIVE)));
    let list = client.get("/wdm/api/v1/devices").await.json();
    assert_eq!(list["devices"].as_array().unwrap().len(), 2);
    assert!(list["devices"][0]["modificationTime"].is_string());
    client.delete(first["url"].as_str().unwrap()).await;
    client.device().await;
}

#[tokio::test]
async fn a_device_can_look_unused() {
    let (sandbox, client) = plain().await;
    client.device().await;
    let before = &sandbox.devices()[0];
    assert!(sandbox.age_device(&before.id, Duration::from_hours(48)));
    let path = format!("/sandbox/devices/{}", before.id);
    let hour = json!({"unused_s": 3600});
    assert_eq!(client.send(Method::PATCH, &path, Some(hour.clone())).await.status, 204);
    let list = client.get("/wdm/api/v1/devices").await.json();
    let modified: jiff::Timestamp =
        list["devices"][0]["modificationTime"].as_str().unwrap().parse().unwrap();
    assert_eq!(before.modified.duration_since(modified).as_hours(), 49);
    assert_eq!(client.send(Method::PATCH, "/sandbox/devices/x", Some(hour)).await.status, 404);
    assert!(!sandbox.age_device("x", Duration::ZERO));
}

#[tokio::test]
async fn devices_and_lines_of_others_cannot_be_touched() {
    let (sandbox, client) = plain().await;
    let bob = sandbox.add_user("bob@example.com");
    let bobs = Client::with_token(&sandbox, bob.token(), &bob.id);
    let device = client.device().await;
    let url = device["url"].as_str().unwrap();
    assert_eq!(bobs.delete(url).await.status, 404);
    assert_eq!(bobs.send(Method::PUT, url, Some(device.clone())).await.status, 404);
    let line = client.line("primary-1", url).await.json();
    let uri = line["device"]["uri"].as_str().unwrap();
    assert_eq!(bobs.delete(uri).await.status, 404);
    assert_eq!(bobs.send(Method::POST, &format!("{uri}/status"), None).await.status, 404);
    let list = format!("/mobius/primary-1/api/v1/calling/web/devices?userid={}", client.user_id);
    assert_eq!(bobs.get(&list).await.status, 403);
    // A registration for another user is refused.
    let forged = Client { user_id: client.user_id.clone(), ..bobs };
    assert_eq!(forged.line("primary-1", url).await.status, 400);
}

#[tokio::test]
async fn an_ephemeral_device_ends_with_its_ttl() {
    let (sandbox, client) = plain().await;
    let ephemeral = client.device().await;
    client.post("/wdm/api/v1/devices", json!({"deviceType": "WEB", "name": "durable"})).await;
    pause();
    pass(Duration::from_secs(1799)).await;
    assert_eq!(sandbox.devices().len(), 2);
    pass(Duration::from_secs(2)).await;
    sandbox.wait_for(|s| s.devices().len() == 1).await.unwrap();
    assert_eq!(sandbox.devices()[0].name, "durable");
    resume();
    assert_eq!(client.get(ephemeral["url"].as_str().unwrap()).await.status, 404);
    pause();
    pass(Duration::from_hours(7 * 24)).await;
    sandbox.wait_for(|s| s.devices().is_empty()).await.unwrap();
}

#[tokio::test]
async fn a_line_ends_after_three_missed_keepalives() {
    let (sandbox, client) = plain().await;
    let line = client.line("backup-1", "https://x.example/1").await.json();
    let status = format!("{}/status", line["device"]["uri"].as_str().unwrap());
    pause();
    pass(Duration::from_secs(100)).await;
    resume();
    // The third is late, but within the grace; it restarts the lifetime.
    assert_eq!(client.send(Method::POST, &status, None).await.status, 200);
    pause();
    pass(Duration::from_secs(104)).await;
    assert_eq!(sandbox.lines().len(), 1);
    pass(Duration::from_secs(2)).await;
    sandbox.wait_for(|s| s.lines().is_empty()).await.unwrap();
    resume();
    assert_eq!(client.send(Method::POST, &status, None).await.status, 404);
}

#[tokio::test]
async fn the_keepalive_interval_is_sent_in_seconds() {
    let sandbox = Sandbox::builder()
        .plain(true)
        .keepalive_interval(Duration::from_millis(250))
        .start()
        .await
        .unwrap();
    let client = Client::new(&sandbox);
    let line = client.line("primary-1", "https://x.example/1").await.json();
    assert_eq!(line["keepaliveInterval"], 0.25);
    sandbox.mobius_policy(|policy| policy.keepalive_interval = Duration::from_secs(5));
    let line = client.line("primary-1", "https://x.example/1").await.json();
    assert_eq!(line["keepaliveInterval"], 5);
}

#[tokio::test]
async fn registering_again_at_the_same_instance_keeps_the_line() {
    let (sandbox, client) = plain().await;
    let first = client.line("primary-1", "https://x.example/1").await.json();
    let again = client.line("primary-1", "https://x.example/1").await.json();
    assert_eq!(first["device"]["deviceId"], again["device"]["deviceId"]);
    let elsewhere = client.line("backup-1", "https://x.example/1").await.json();
    assert_ne!(first["device"]["deviceId"], elsewhere["device"]["deviceId"]);
    assert_eq!(sandbox.lines().len(), 2);
    // A line belongs to its own instance.
    let id = first["device"]["deviceId"].as_str().unwrap();
    let wrong = format!("/mobius/backup-1/api/v1/calling/web/devices/{id}/status");
    assert_eq!(client.send(Method::POST, &wrong, None).await.status, 404);
}

#[tokio::test]
async fn a_refusal_beyond_the_limit_lists_the_registered_devices() {
    let (sandbox, client) = plain().await;
    sandbox.mobius_policy(|policy| policy.line_limit = Some(1));
    let old = client.line("primary-2", "https://x.example/old").await.json();
    let refused = client.line("primary-1", "https://x.example/new").await;
    assert_eq!((refused.status, &refused.json()["errorCode"]), (403, &json!(101)));
    let in_the_way = &refused.json()["devices"][0];
    assert_eq!(in_the_way["uri"], old["device"]["uri"]);
    assert_eq!(in_the_way["clientDeviceUri"], "https://x.example/old");
    // The same device may move to another instance.
    assert_eq!(client.line("primary-1", "https://x.example/old").await.status, 200);
    client.delete(old["device"]["uri"].as_str().unwrap()).await;
}

#[tokio::test]
async fn a_superseded_line_hears_409() {
    let (sandbox, client) = plain().await;
    sandbox.mobius_policy(|policy| policy.single_session = true);
    let old = client.line("primary-1", "https://x.example/old").await.json();
    client.line("primary-1", "https://x.example/new").await;
    let status = format!("{}/status", old["device"]["uri"].as_str().unwrap());
    assert_eq!(client.send(Method::POST, &status, None).await.status, 409);
    assert!(sandbox.lines()[0].superseded);
}

#[tokio::test]
async fn a_user_without_calling_hears_403_with_102() {
    let (sandbox, _) = plain().await;
    let user = sandbox.add_user(NewUser::from("eve@example.com").without_calling());
    let client = Client::with_token(&sandbox, user.token(), &user.id);
    let refused = client.line("primary-1", "https://x.example/1").await;
    assert_eq!((refused.status, &refused.json()["errorCode"]), (403, &json!(102)));
}

#[tokio::test]
async fn instances_can_be_chosen() {
    let sandbox = Sandbox::builder()
        .plain(true)
        .mobius_instances([
            MobiusInstance::primary("only").with_region("EU"),
            MobiusInstance::backup("spare"),
        ])
        .start()
        .await
        .unwrap();
    let client = Client::new(&sandbox);
    let found = client.get("/api/v1/calling/web/?regionCode=a&countryCode=b").await.json();
    assert_eq!(found["primary"]["region"], "EU");
    assert_eq!(found["primary"]["uris"], json!([sandbox.url("/mobius/only/api/v1")]));
    assert_eq!(client.line("primary-1", "https://x.example/1").await.status, 404);
    assert_eq!(client.line("spare", "https://x.example/1").await.status, 200);
    let twice = Sandbox::builder()
        .mobius_instances([MobiusInstance::primary("a"), MobiusInstance::backup("a")])
        .start()
        .await;
    assert!(twice.is_err());
}

#[tokio::test]
async fn answers_can_lack_required_fields() {
    let (sandbox, client) = plain().await;
    sandbox.mutate(Mutation::DeviceWithoutSocketUrl, true);
    assert!(client.device().await.get("webSocketUrl").is_none());
    sandbox.mutate(Mutation::LineWithoutUri, true);
    sandbox.mutate(Mutation::LineWithoutKeepaliveInterval, true);
    let line = client.line("primary-1", "https://x.example/1").await.json();
    assert!(line["device"].get("uri").is_none() && line.get("keepaliveInterval").is_none());
    sandbox.mutate(Mutation::IgnoreUnregister, true);
    let id = line["device"]["deviceId"].as_str().unwrap();
    let gone = client.delete(&format!("/mobius/primary-1/api/v1/calling/web/devices/{id}")).await;
    assert_eq!((gone.status, sandbox.lines().len()), (200, 1));
    sandbox.mutate(Mutation::AcceptAnyToken, true);
    sandbox.revoke_token(&client.token);
    assert_eq!(client.get("/v1/people/me").await.status, 200);
}

#[tokio::test]
async fn a_wait_ends_when_the_condition_stays_false() {
    let (sandbox, _) = plain().await;
    pause();
    let error = sandbox.wait_for(|s| !s.lines().is_empty()).await.unwrap_err();
    assert_eq!(error.after, Duration::from_secs(10));
}
