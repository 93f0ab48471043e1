//! What bots ask for: messages, and the organizations they may see.

use serde_json::{Value, json};

use crate::conduct::Call;
use crate::reply::Reply;
use crate::state::messages::{Message, global_id, local_id};

/// `GET /v1/messages/{id}`, and the conversation service's own way to the same message.
pub(crate) async fn show(call: Call) -> Result<Reply, Reply> {
    call.user()?;
    let message = call.world.messages.lock().get(call.param("message"));
    message.map(|message| Reply::json(message.json())).ok_or_else(|| Reply::not_found("Message"))
}

/// `POST /v1/messages`: taken, and told to nobody.
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
