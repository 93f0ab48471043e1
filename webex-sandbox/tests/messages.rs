//! What bots need: messages, and sockets without special options.

mod common;

use common::{Client, MercuryClient};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use webex_sandbox::{Sandbox, WdmPolicy};

async fn sandbox() -> (Sandbox, Client) {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    (sandbox, client)
}

#[tokio::test]
async fn a_message_is_announced_by_an_event_and_read_by_rest() {
    let (sandbox, client) = sandbox().await;
    let device = client.device().await;
    let (mut socket, _) = MercuryClient::authorized(&sandbox, &device, &client.token).await;
    assert_eq!(sandbox.write_message(sandbox.user(), "bob@example.com", "hello"), 1);

    let event = socket.next().await;
    let activity = &event["data"]["activity"];
    assert_eq!(event["data"]["eventType"], "conversation.activity");
    assert_eq!(activity["verb"], "post");
    assert_eq!(activity["actor"]["emailAddress"], "bob@example.com");
    assert!(!event.to_string().contains("hello"), "the text is encrypted in events: {event}");

    // The conversation service returns the public id for the id of the activity.
    let id = activity["id"].as_str().unwrap();
    let public = client.get(&format!("/conversation/api/v1/messages/{id}")).await.json();
    let public = public["id"].as_str().unwrap();
    assert_ne!(public, id);
    let message = client.get(&format!("/v1/messages/{public}")).await.json();
    assert_eq!(message["text"], "hello");
    assert_eq!(message["personEmail"], "bob@example.com");
    assert_eq!(client.get("/v1/messages/nobody").await.status, 404);
}

#[tokio::test]
async fn a_message_is_accepted_when_it_names_a_recipient() {
    let (_sandbox, client) = sandbox().await;
    let answer =
        client.post("/v1/messages", json!({"toPersonEmail": "bob@x.y", "text": "hi"})).await;
    assert_eq!((answer.status, answer.json()["text"].as_str()), (200, Some("hi")));
    assert_eq!(client.post("/v1/messages", json!({"text": "hi"})).await.status, 400);
    assert_eq!(client.get("/v1/organizations").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_socket_that_asks_for_nothing_gets_a_ping_and_binary_frames() {
    let (sandbox, client) = sandbox().await;
    let device = client.device().await;
    let url = device["webSocketUrl"].as_str().unwrap();
    let mut socket = MercuryClient::open_url(&sandbox, url).await.unwrap();
    socket.authorize(&client.token).await;
    assert!(matches!(socket.next_message().await, Some(Message::Ping(_))));
    sandbox.push_event(sandbox.user(), &json!({"eventType": "a.b"}));
    let Some(Message::Binary(bytes)) = socket.next_message().await else {
        panic!("a binary frame was expected")
    };
    let event: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(event["data"]["eventType"], "a.b");
}

#[tokio::test]
async fn the_socket_may_have_an_origin_of_its_own() {
    let policy =
        WdmPolicy { socket_origin: Some("ws://localhost:1".to_owned()), ..WdmPolicy::default() };
    let sandbox = Sandbox::builder().plain(true).wdm_policy(policy).start().await.unwrap();
    let device = Client::new(&sandbox).device().await;
    let url = device["webSocketUrl"].as_str().unwrap();
    assert!(url.starts_with("ws://localhost:1/mercury/v1/apps/wx2/registrations/"), "{url}");
}
