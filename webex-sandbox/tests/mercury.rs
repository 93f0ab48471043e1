//! The Mercury socket: authorization, closes, silence, gaps, take-over, switchover.

mod common;

use std::time::{Duration, Instant};

use common::{Client, MercuryClient};
use serde_json::{Value, json};
use webex_sandbox::{Closed, Mercury, Mutation, Sandbox};

struct Setup {
    sandbox: Sandbox,
    client: Client,
    device: Value,
}

async fn setup() -> Setup {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    let device = client.device().await;
    Setup { sandbox, client, device }
}

impl Setup {
    async fn socket(&self) -> MercuryClient {
        MercuryClient::authorized(&self.sandbox, &self.device, &self.client.token).await.0
    }

    /// Id of the newest socket.
    fn last(&self) -> u64 {
        self.sandbox.sockets().last().unwrap().id
    }
}

#[tokio::test]
async fn a_wrong_token_is_closed_with_4401() {
    let t = setup().await;
    let mut socket = MercuryClient::open(&t.sandbox, &t.device, "").await;
    socket.authorize("stranger").await;
    assert_eq!(socket.closed().await, Some((4401, "not authorized".into())));
    t.sandbox.wait_for(|s| s.sockets().is_empty()).await.unwrap();
    let record = &t.sandbox.closed_sockets()[0];
    assert!(matches!(&record.closed, Some(Closed::Server(close)) if close.code == 4401));
    // What the client sent is kept, without the token.
    assert_eq!(record.received[0]["type"], "authorization");
    assert!(!record.received[0].to_string().contains("stranger"));
}

#[tokio::test]
async fn somebody_elses_socket_and_a_missing_entitlement_are_closed_with_4403() {
    let t = setup().await;
    let other = t.sandbox.add_user("bob@example.com");
    let mut socket = MercuryClient::open(&t.sandbox, &t.device, "").await;
    socket.authorize(other.token()).await;
    assert_eq!(socket.closed().await.unwrap().0, 4403);

    let barred =
        t.sandbox.add_user(webex_sandbox::NewUser::from("eve@example.com").without_mercury());
    let client = Client::with_token(&t.sandbox, barred.token(), &barred.id);
    let mut socket = MercuryClient::open(&t.sandbox, &client.device().await, "").await;
    socket.authorize(barred.token()).await;
    assert_eq!(socket.closed().await.unwrap().0, 4403);
}

#[tokio::test]
async fn an_unknown_registration_is_4404_or_404() {
    let t = setup().await;
    assert_eq!(t.client.delete(t.device["url"].as_str().unwrap()).await.status, 204);
    let mut socket = MercuryClient::open(&t.sandbox, &t.device, "").await;
    assert_eq!(socket.closed().await.unwrap().0, 4404);

    let bare = t.device["webSocketUrl"].as_str().unwrap();
    let refused = MercuryClient::open_url(&t.sandbox, bare).await.err().unwrap();
    assert!(refused.to_string().contains("404"), "{refused}");
}

#[tokio::test]
async fn the_close_of_a_client_is_answered_with_its_own_code() {
    let t = setup().await;
    let mut socket = t.socket().await;
    let answer = socket.close(3050, "meetings unregister").await;
    assert_eq!(answer, Some((3050, "meetings unregister".into())));
}

#[tokio::test]
async fn without_authorization_the_socket_is_closed_with_1008() {
    let sandbox = Sandbox::builder()
        .plain(true)
        .authorization_timeout(Duration::from_millis(50))
        .start()
        .await
        .unwrap();
    let device = Client::new(&sandbox).device().await;
    let mut socket = MercuryClient::open(&sandbox, &device, "").await;
    // A ping before authorization is not answered.
    socket.send(json!({"id": "p", "type": "ping"})).await;
    let (code, reason) = socket.closed().await.unwrap();
    assert_eq!(code, 1008);
    assert!(reason.contains("50 ms"), "{reason}");
}

#[tokio::test]
async fn every_close_code_can_be_scripted() {
    let t = setup().await;
    for code in [1000, 1001, 1003, 1008, 1011, 1012, 3050, 4000, 4001, 4400, 4401, 4403, 4404] {
        let mut socket = t.socket().await;
        assert!(t.sandbox.close_socket(t.last(), code, "as told"));
        assert_eq!(socket.closed().await, Some((code, "as told".into())));
        t.sandbox.wait_for(|s| s.sockets().is_empty()).await.unwrap();
    }
    let mut socket = t.socket().await;
    t.sandbox.close_socket(t.last(), 1005, "");
    assert_eq!(socket.closed().await, Some((1005, String::new())));

    for end in [Sandbox::drop_socket, Sandbox::reset_socket] {
        t.sandbox.wait_for(|s| s.sockets().is_empty()).await.unwrap();
        let mut socket = t.socket().await;
        assert!(end(&t.sandbox, t.last()));
        assert_eq!(socket.closed().await, None);
    }
}

#[tokio::test]
async fn faults_apply_to_connect_authorize_and_ping() {
    let t = setup().await;
    t.sandbox.fail(Mercury::connect()).with(503).once();
    let url = t.device["webSocketUrl"].as_str().unwrap();
    let refused = MercuryClient::open_url(&t.sandbox, url).await.err().unwrap();
    assert!(refused.to_string().contains("503"), "{refused}");

    t.sandbox.fail(Mercury::connect()).close(1011, "overload").once();
    let mut socket = MercuryClient::open(&t.sandbox, &t.device, "").await;
    assert_eq!(socket.closed().await, Some((1011, "overload".into())));

    t.sandbox.fail(Mercury::authorize()).close(4400, "no").once();
    let mut socket = MercuryClient::open(&t.sandbox, &t.device, "").await;
    socket.authorize(&t.client.token).await;
    assert_eq!(socket.closed().await, Some((4400, "no".into())));

    t.sandbox.fail(Mercury::authorize()).with(401).once();
    let mut socket = MercuryClient::open(&t.sandbox, &t.device, "").await;
    socket.authorize(&t.client.token).await;
    assert_eq!(socket.closed().await.unwrap().0, 4401);

    let mut socket = t.socket().await;
    let fault = t.sandbox.fail(Mercury::ping()).hang().once();
    socket.send(json!({"id": "lost", "type": "ping"})).await;
    socket.send(json!({"id": "kept", "type": "ping"})).await;
    assert_eq!(socket.next().await["id"], "kept");
    assert_eq!(fault.fired(), 1);

    t.sandbox.fail(Mercury::ping()).merge(json!({"id": "other"})).once();
    socket.send(json!({"id": "p", "type": "ping"})).await;
    assert_eq!(socket.next().await["id"], "other");
}

#[tokio::test]
async fn pongs_and_sequence_numbers_can_be_wrong() {
    let t = setup().await;
    let mut socket = t.socket().await;
    let id = t.last();
    t.sandbox.wrong_pongs(id, true);
    socket.send(json!({"id": "p", "type": "ping"})).await;
    assert_ne!(socket.next().await["id"], "p");
    t.sandbox.wrong_pongs(id, false);
    t.sandbox.skip_sequence(id, 5);
    socket.send(json!({"id": "p", "type": "ping"})).await;
    let pong = socket.next().await;
    assert_eq!((&pong["id"], &pong["sequenceNumber"]), (&json!("p"), &json!(8)));
    t.sandbox.inject_frame(id, r#"{"raw":true}"#);
    assert_eq!(socket.next().await, json!({"raw": true}));
}

#[tokio::test]
async fn a_silent_socket_reads_but_does_not_answer() {
    let t = setup().await;
    let mut socket = t.socket().await;
    let id = t.last();
    t.sandbox.silence_socket(id, true);
    t.sandbox.wait_for(|s| s.sockets()[0].silent).await.unwrap();
    socket.send(json!({"id": "p1", "type": "ping"})).await;
    t.sandbox.wait_for(|s| s.sockets()[0].pings == 1).await.unwrap();
    t.sandbox.silence_socket(id, false);
    t.sandbox.wait_for(|s| !s.sockets()[0].silent).await.unwrap();
    socket.send(json!({"id": "p2", "type": "ping"})).await;
    assert_eq!(socket.next().await["id"], "p2");
}

#[tokio::test]
async fn a_second_connection_replaces_the_first_unless_both_are_wanted() {
    let t = setup().await;
    let mut first = t.socket().await;
    let mut second = t.socket().await; // asks for multipleConnections
    second.send(json!({"id": "p", "type": "ping"})).await;
    assert_eq!(second.next().await["type"], "pong");
    assert_eq!(t.sandbox.sockets().len(), 2);

    let mut third = MercuryClient::open(&t.sandbox, &t.device, "").await;
    third.authorize(&t.client.token).await;
    assert_eq!(third.next().await["data"]["eventType"], "mercury.buffer_state");
    assert_eq!(first.closed().await, Some((4000, "Replaced".into())));
    assert_eq!(second.closed().await, Some((4000, "Replaced".into())));
}

#[tokio::test]
async fn after_a_shutdown_the_old_socket_is_closed_with_4001() {
    let t = setup().await;
    let mut old = t.socket().await;
    t.sandbox.shutdown_socket(t.last());
    let frame = old.next().await;
    assert_eq!(frame["type"], "shutdown");
    assert!(frame["id"].is_string());
    // The old one works until the new one is authorized.
    old.send(json!({"id": "p", "type": "ping"})).await;
    assert_eq!(old.next().await["id"], "p");
    let start = Instant::now();
    let _new = t.socket().await;
    assert_eq!(old.closed().await.unwrap().0, 4001);
    // Not at once: the client needs a moment to make the switch.
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn events_reach_the_sockets_of_their_user_only() {
    let t = setup().await;
    let bob = t.sandbox.add_user("bob@example.com");
    let bobs = Client::with_token(&t.sandbox, bob.token(), &bob.id);
    let device = bobs.device().await;
    let mut anns_socket = t.socket().await;
    let (mut bobs_socket, _) = MercuryClient::authorized(&t.sandbox, &device, bob.token()).await;
    assert_eq!(t.sandbox.push_event(&bob, &json!({"eventType": "x.bob"})), 1);
    assert_eq!(t.sandbox.push_event(t.sandbox.user(), &json!({"eventType": "x.ann"})), 1);
    assert_eq!(anns_socket.next().await["data"]["eventType"], "x.ann");
    let event = bobs_socket.next().await;
    assert_eq!(event["data"]["eventType"], "x.bob");
    assert_eq!(event["alertType"], "full");
    assert_eq!(t.sandbox.push_event("nobody", &json!({})), 0);
}

#[tokio::test]
async fn registration_status_comes_first_when_asked_for() {
    let t = setup().await;
    let more = "&mercuryRegistrationStatus=true";
    let mut socket = MercuryClient::open(&t.sandbox, &t.device, more).await;
    socket.authorize(&t.client.token).await;
    let first = socket.next().await;
    assert_eq!(first["data"]["eventType"], "mercury.registration_status");
    assert!(first["data"]["localClusterServiceUrls"]["mercuryApiServiceUrl"].is_string());
}

#[tokio::test]
async fn mutations_break_the_protocol() {
    let t = setup().await;
    t.sandbox.mutate(Mutation::WrongFirstFrame, true);
    let (_, first) = MercuryClient::authorized(&t.sandbox, &t.device, &t.client.token).await;
    assert_ne!(first["data"]["eventType"], "mercury.buffer_state");
    t.sandbox.mutate(Mutation::WrongFirstFrame, false);

    let mut socket = t.socket().await;
    t.sandbox.mutate(Mutation::DuplicateEvents, true);
    t.sandbox.push_event(t.sandbox.user(), &json!({"eventType": "a.b"}));
    let (one, two) = (socket.next().await, socket.next().await);
    assert_eq!(one["id"], two["id"]);
}

#[tokio::test]
async fn an_ordinary_event_can_come_before_the_first_frame() {
    let t = setup().await;
    t.sandbox.mutate(Mutation::LateFirstFrame, true);
    let (mut socket, first) =
        MercuryClient::authorized(&t.sandbox, &t.device, &t.client.token).await;
    assert_eq!(first["data"]["eventType"], "sandbox.early");
    let second = socket.next().await;
    assert_eq!(second["data"]["eventType"], "mercury.buffer_state");
    assert_eq!((&first["sequenceNumber"], &second["sequenceNumber"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_socket_can_be_authorized_without_a_first_frame() {
    let t = setup().await;
    t.sandbox.fail(Mercury::authorize()).delay(Duration::from_secs(3600)).once();
    let mut socket = MercuryClient::open(&t.sandbox, &t.device, "").await;
    socket.authorize(&t.client.token).await;
    // It is authorized: events come, and no `mercury.buffer_state`.
    t.sandbox.wait_for(|s| s.sockets()[0].authorized).await.unwrap();
    t.sandbox.push_event(t.sandbox.user(), &json!({"eventType": "a.b"}));
    assert_eq!(socket.next().await["data"]["eventType"], "a.b");
}

#[tokio::test]
async fn a_pong_can_be_late_and_others_overtake_it() {
    let t = setup().await;
    let mut socket = t.socket().await;
    let delay = Duration::from_millis(300);
    t.sandbox.fail(Mercury::ping()).delay(delay).once();
    let started = Instant::now();
    socket.send(json!({"id": "late", "type": "ping"})).await;
    socket.send(json!({"id": "next", "type": "ping"})).await;
    assert_eq!(socket.next().await["id"], "next");
    assert_eq!(socket.next().await["id"], "late");
    assert!(started.elapsed() >= delay, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_upgrade_can_be_refused_with_headers() {
    let t = setup().await;
    t.sandbox.fail(Mercury::connect()).with(429).header("Retry-After", 7).once();
    let url = t.device["webSocketUrl"].as_str().unwrap();
    let refused = MercuryClient::open_url(&t.sandbox, url).await.err().unwrap();
    let tokio_tungstenite::tungstenite::Error::Http(answer) = refused else { panic!("{refused}") };
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
}

#[tokio::test]
async fn a_shutdown_can_leave_no_time_for_the_switch() {
    let t = setup().await;
    let mut socket = t.socket().await;
    let id = t.last();
    t.sandbox.shutdown_socket(id);
    t.sandbox.close_socket(id, 4001, "shutdown");
    assert_eq!(socket.next().await["type"], "shutdown");
    assert_eq!(socket.closed().await.unwrap().0, 4001);
}

#[tokio::test]
async fn latency_delays_each_answered_frame_once() {
    let t = setup().await;
    let mut socket = t.socket().await;
    let latency = Duration::from_millis(250);
    t.sandbox.set_latency(latency);
    let start = std::time::Instant::now();
    for id in ["a", "b", "c"] {
        socket.send(json!({"id": id, "type": "ping"})).await;
    }
    for id in ["a", "b", "c"] {
        assert_eq!(socket.next().await["id"], id);
    }
    // In parallel, not one after another.
    assert!(start.elapsed() >= latency && start.elapsed() < 2 * latency, "{:?}", start.elapsed());
}
