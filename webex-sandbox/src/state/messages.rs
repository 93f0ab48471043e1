//! Messages between users, as bots get them: an event for each, and the text on request.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// A message in a direct (one-to-one) space.
#[derive(Debug)]
pub(crate) struct Message {
    /// A uuid: the id of the activity in its event.
    pub(crate) id: String,
    pub(crate) room_id: String,
    pub(crate) person_id: String,
    pub(crate) person_email: String,
    pub(crate) text: String,
    pub(crate) created: Timestamp,
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

    /// Finds a message by uuid or global id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Message>> {
        self.0.get(&local_id(id)).cloned()
    }
}

/// Returns the uuid of a global id, and any other text unchanged.
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
