//! Messages between users, as bots get them: an event that tells of one, and the text on request.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::urls::Base;

use super::World;
use super::sockets::SocketCommand;

/// A message in a space of two.
#[derive(Debug)]
pub(crate) struct Message {
    /// A uuid: the id of the activity that tells of it.
    pub(crate) id: String,
    room_id: String,
    person_id: String,
    person_email: String,
    text: String,
    created: Timestamp,
}

impl Message {
    pub(crate) fn new(room_id: Option<String>, person: (&str, &str), text: &str) -> Self {
        let fresh = || Uuid::new_v4().to_string();
        Self {
            id: fresh(),
            room_id: room_id.unwrap_or_else(fresh),
            person_id: person.0.to_owned(),
            person_email: person.1.to_owned(),
            text: text.to_owned(),
            created: Timestamp::now(),
        }
    }

    /// As the public REST API shows it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": global_id("MESSAGE", &self.id),
            "roomId": global_id("ROOM", &self.room_id),
            "roomType": "direct",
            "text": self.text,
            "personId": global_id("PEOPLE", &self.person_id),
            "personEmail": self.person_email,
            "created": self.created.to_string(),
        })
    }

    /// The `data` of the event that tells of it. The text is not in it: really it is there encrypted.
    pub(crate) fn event(&self, base: &Base) -> Value {
        let (id, room) = (&self.id, &self.room_id);
        json!({
            "eventType": "conversation.activity",
            "activity": {
                "id": id,
                "objectType": "activity",
                "verb": "post",
                "url": base.named("conversation", &format!("/activities/{id}")),
                "published": self.created.to_string(),
                "actor": {
                    "id": self.person_email,
                    "objectType": "person",
                    "displayName": self.person_email,
                    "emailAddress": self.person_email,
                    "entryUUID": self.person_id,
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
}

/// All messages by their uuid.
#[derive(Debug, Default)]
pub(crate) struct Messages(HashMap<String, Arc<Message>>);

impl Messages {
    pub(crate) fn insert(&mut self, message: Message) -> Arc<Message> {
        let message = Arc::new(message);
        self.0.insert(message.id.clone(), Arc::clone(&message));
        message
    }

    /// By uuid or global id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Message>> {
        self.0.get(&local_id(id)).cloned()
    }
}

impl World {
    /// Somebody writes to a user; tells how many sockets hear of it.
    pub(crate) fn write_to(&self, user_id: &str, from: &str, text: &str) -> usize {
        let author = self.users.lock().by_email(from).map(|user| user.id.clone());
        let author = author.unwrap_or_else(|| Uuid::new_v4().to_string());
        let message = self.messages.lock().insert(Message::new(None, (&author, from), text));
        let sockets = self.sockets.lock().of_user(user_id);
        let command = || SocketCommand::Message(Arc::clone(&message));
        sockets.iter().filter(|socket| socket.command(command())).count()
    }
}

/// The uuid of a global id; anything else as it is.
pub(crate) fn local_id(id: &str) -> String {
    let decoded = STANDARD.decode(id).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .and_then(|uri| uri.rsplit('/').next().map(str::to_owned))
        .unwrap_or_else(|| id.to_owned())
}

/// The id that the public REST API uses for a uuid.
pub(crate) fn global_id(kind: &str, id: &str) -> String {
    STANDARD.encode(format!("ciscospark://us/{kind}/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_ids_lead_back() {
        let id = Uuid::new_v4().to_string();
        assert_eq!(local_id(&global_id("MESSAGE", &id)), id);
        assert_eq!(local_id(&id), id);
    }
}
