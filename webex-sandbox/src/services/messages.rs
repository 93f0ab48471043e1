//! What bots use: messages, and the organizations they may see.

use std::sync::Arc;

use axum::Router;
use serde_json::{Value, json};

use crate::{
    exchange::{
        call::Call,
        reply::Reply,
        route::{GET, POST, route},
    },
    operation::{Conversation, Hydra},
    state::messages::{Message, global_id, local_id},
    urls::Base,
    world::World,
};

/// The paths of the service.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/v1/organizations", route(GET, Hydra::organizations(), organizations))
        .route("/v1/messages", route(POST, Hydra::post_message(), post))
        .route("/v1/messages/{message}", route(GET, Hydra::message(), show))
        .route("/conversation/api/v1/messages/{message}", route(GET, Conversation::message(), show))
}

/// `GET /v1/messages/{id}`, and the conversation service's path to the same message.
pub(crate) async fn show(call: Call) -> Result<Reply, Reply> {
    call.user()?;
    let message = call.world.messages.lock().get(call.param("message"));
    message.map(|message| Reply::json(message.json())).ok_or_else(|| Reply::not_found("Message"))
}

/// `POST /v1/messages`: accepted, and delivered to nobody.
pub(crate) async fn post(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let body = call.object()?;
    let field = |name: &str| body.get(name).and_then(Value::as_str);
    let is_addressed = ["roomId", "toPersonId", "toPersonEmail"].iter().any(|n| field(n).is_some());
    if !is_addressed {
        return Err(Reply::bad_request("One of roomId, toPersonId and toPersonEmail is wanted."));
    }
    let text = field("text").or_else(|| field("markdown")).unwrap_or_default();
    let room = field("roomId").map(local_id);
    let message = Message::new(room, (&user.id, &user.email), text);
    Ok(Reply::json(call.world.messages.lock().insert(message).json()))
}

/// `GET /v1/organizations`: the user's own.
pub(crate) async fn organizations(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    Ok(Reply::json(json!({"items": [{
        "id": global_id("ORGANIZATION", &user.org_id),
        "displayName": "Sandbox",
        "created": "2025-01-01T00:00:00.000Z",
    }]})))
}

/// The `data` of a message's event. The text is left out; the real service sends it encrypted.
pub(crate) fn event(message: &Message, base: &Base) -> Value {
    let (id, room) = (&message.id, &message.room_id);
    json!({
        "eventType": "conversation.activity",
        "activity": {
            "id": id,
            "objectType": "activity",
            "verb": "post",
            "url": base.named("conversation", &format!("/activities/{id}")),
            "published": message.created.to_string(),
            "actor": {
                "id": message.person_email,
                "objectType": "person",
                "displayName": message.person_email,
                "emailAddress": message.person_email,
                "entryUUID": message.person_id,
                "type": "PERSON",
            },
            "object": {"objectType": "comment"},
            "target": {
                "id": room,
                "objectType": "conversation",
                "url": base.named("conversation", &format!("/conversations/{room}")),
                "globalId": global_id("ROOM", room),
                "tags": ["ONE_ON_ONE"],
            },
        },
    })
}
