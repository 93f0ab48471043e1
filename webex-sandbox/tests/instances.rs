//! The behaviour of single Mobius instances, and what happens to their lines.

mod common;

use std::time::{Duration, Instant};

use common::{Client, MercuryClient};
use http::Method;
use serde_json::{Value, json};
use webex_sandbox::{Mobius, Outage, Sandbox};

const OTHER: &str = "https://wdm.example/devices/other";
const OWN: &str = "https://wdm.example/devices/own";

async fn plain() -> (Sandbox, Client) {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    (sandbox, client)
}

async fn ping(client: &Client, instance: &str) -> bool {
    let path = format!("/mobius/{instance}/api/v1/ping");
    client.try_send(Method::GET, &path, None).await.is_ok_and(|answer| answer.status == 200)
}

#[tokio::test]
async fn each_instance_can_be_down_in_its_own_way() {
    let (sandbox, client) = plain().await;
    for outage in [Outage::Refuse, Outage::Reset] {
        sandbox.instance("primary-1", |it| {
            it.down = true;
            it.outage = outage;
        });
        assert!(!ping(&client, "primary-1").await, "{outage:?}");
        assert!(ping(&client, "primary-2").await, "{outage:?}");
    }
    sandbox.instance("primary-1", |it| it.outage = Outage::Hang);
    let asked = sandbox.requests().of(Mobius::ping()).count();
    let hanging = tokio::spawn(async move { ping(&client, "primary-1").await });
    sandbox.wait_for(|s| s.requests().of(Mobius::ping()).count() > asked).await.unwrap();
    assert!(sandbox.requests().of(Mobius::ping()).last().unwrap().is_pending());
    hanging.abort();
    assert!(!sandbox.instance("primary-9", |it| it.down = true));
}

#[tokio::test]
async fn a_slow_instance_answers_late() {
    let (sandbox, client) = plain().await;
    let delay = Duration::from_millis(250);
    sandbox.instance("primary-1", |it| it.delay = delay);
    let start = Instant::now();
    assert!(ping(&client, "primary-1").await);
    assert!(start.elapsed() >= delay);
    let start = Instant::now();
    assert!(ping(&client, "primary-2").await);
    assert!(start.elapsed() < delay);
}

#[tokio::test]
async fn a_full_instance_lists_the_lines_it_holds() {
    let (sandbox, client) = plain().await;
    let held = client.line("primary-1", OTHER).await.json()["device"].clone();
    sandbox.instance("primary-1", |it| it.line_limit = Some(1));
    let refused = client.line("primary-1", OWN).await;
    assert_eq!(refused.status, 403);
    let body = refused.json();
    assert_eq!((&body["errorCode"], body["devices"].as_array().unwrap().len()), (&json!(101), 1));
    assert_eq!(body["devices"][0]["deviceId"], held["deviceId"]);
    assert_eq!(body["devices"][0]["clientDeviceUri"], OTHER);
    // The same line may register again, and the other servers have room.
    assert_eq!(client.line("primary-1", OTHER).await.status, 200);
    assert_eq!(client.line("primary-2", OWN).await.status, 200);

    // With a limit of 0 it is full for everybody.
    sandbox.instance("backup-1", |it| it.line_limit = Some(0));
    let refused = client.line("backup-1", OWN).await;
    assert_eq!((refused.status, &refused.json()["devices"]), (403, &json!([])));
}

#[tokio::test]
async fn a_forgetful_instance_answers_keepalives_with_404() {
    let (sandbox, client) = plain().await;
    sandbox.instance("primary-1", |it| it.forgetful = true);
    let line = client.line("primary-1", OWN).await.json();
    let status = format!("{}/status", line["device"]["uri"].as_str().unwrap());
    assert_eq!(client.send(Method::POST, &status, None).await.status, 404);
    assert!(sandbox.lines().is_empty());
}

#[tokio::test]
async fn each_instance_sends_its_own_intervals() {
    let (sandbox, client) = plain().await;
    let change = json!({
        "keepalive_interval": 5, "rehoming_interval_min": 1, "rehoming_interval_max": 2,
    });
    let path = "/sandbox/instances/backup-1";
    assert_eq!(client.send(Method::PATCH, path, Some(change)).await.status, 204);
    let answer = client.line("backup-1", OWN).await.json();
    let told = |answer: &Value| {
        ["keepaliveInterval", "rehomingIntervalMin", "rehomingIntervalMax"]
            .map(|name| answer[name].as_u64().unwrap())
    };
    assert_eq!(told(&answer), [5, 1, 2]);
    assert_eq!(told(&client.line("primary-1", OWN).await.json()), [30, 60, 120]);

    // Fields that a change leaves out keep their values; wrong ones are refused.
    assert_eq!(client.send(Method::PUT, path, Some(json!({"down": true}))).await.status, 204);
    let shown = client.get("/sandbox").await.json()["mobius_instances"][2].clone();
    assert_eq!((&shown["name"], &shown["down"]), (&json!("backup-1"), &json!(true)));
    assert_eq!((&shown["keepalive_interval"], &shown["delay"]), (&json!(5), &json!(0)));
    assert_eq!(client.send(Method::PUT, path, Some(json!({"slow": 1}))).await.status, 400);
    assert_eq!(sandbox.lines().len(), 2);
}

#[tokio::test]
async fn a_user_has_a_line_for_each_service() {
    let (sandbox, client) = plain().await;
    let register = |indicator: &str, domain: &str| {
        let body = json!({
            "userId": client.user_id,
            "clientDeviceUri": OWN,
            "serviceData": {"indicator": indicator, "domain": domain},
        });
        client.post("/mobius/primary-1/api/v1/calling/web/device", body)
    };
    let calling = register("calling", "").await.json();
    let agent = register("contactcenter", "a.example").await.json();
    let id = |answer: &Value| answer["device"]["deviceId"].as_str().unwrap().to_owned();
    assert_ne!(id(&calling), id(&agent));
    assert_eq!(id(&register("contactcenter", "a.example").await.json()), id(&agent));
    assert_eq!(sandbox.lines().len(), 2);
    assert_eq!(sandbox.lines()[1].domain, "a.example");
}

#[tokio::test]
async fn a_dropped_line_is_reported_by_an_event() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::new(&sandbox);
    let device = client.device().await;
    let (mut socket, _) = MercuryClient::authorized(&sandbox, &device, &client.token).await;
    client.line("primary-1", device["url"].as_str().unwrap()).await;
    let id = sandbox.lines()[0].device_id.clone();
    assert_eq!(client.post(&format!("/sandbox/lines/{id}/down"), json!({})).await.status, 204);
    let event = socket.next().await;
    let data = json!({"eventType": "registration.down", "deviceId": id});
    assert_eq!(event["data"], data);
    assert!(sandbox.lines().is_empty() && !sandbox.line_down(&id));
}
