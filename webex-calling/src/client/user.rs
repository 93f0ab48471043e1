//! What the user's record tells of the user's lines: phone number and extension.
//!
//! Mobius does not tell them. `people/me` does: the number of type `work` and, for users of Webex
//! Calling, the extension. It is asked for once a client, beside the registration, and nothing
//! waits for it: who may not read the record, or has none, has a line without number.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use tokio::task::AbortHandle;
use tracing::debug;
use webex_core::{HttpError, Request, Webex, join};

/// The kind of phone number that is the line's; others are the user's mobile and fax.
const WORK: &str = "work";

/// What is known of a client's user; filled in once.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserRecord(Arc<OnceLock<Person>>);

/// The part of the record that is of use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Person {
    #[serde(default)]
    phone_numbers: Vec<PhoneNumber>,
    #[serde(default)]
    pub(crate) extension: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct PhoneNumber {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    value: String,
}

impl Person {
    /// The number of the user's line.
    pub(crate) fn phone_number(&self) -> Option<&str> {
        let work = self.phone_numbers.iter().find(|number| number.kind == WORK);
        work.map(|number| number.value.as_str()).filter(|value| !value.is_empty())
    }
}

impl UserRecord {
    /// The record, once it is known.
    pub(crate) fn person(&self) -> Option<&Person> {
        self.0.get()
    }

    /// Asks for the record, in the background, until the answer to this is dropped.
    pub(crate) fn fetch(&self, webex: &Webex) -> Asking {
        let (record, webex) = (self.clone(), webex.clone());
        let task = tokio::spawn(async move {
            // What the record does not tell is none of the line's business: it works without.
            match ask(&webex).await {
                Ok(person) => drop(record.0.set(person)),
                Err(error) => debug!(%error, "the user's record is not known"),
            }
        });
        Asking(task.abort_handle())
    }
}

/// The question for the record; dropping it withdraws the question.
#[derive(Debug)]
pub(crate) struct Asking(AbortHandle);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn ask(webex: &Webex) -> Result<Person, HttpError> {
    let mut url = join(&webex.endpoints().webexapis, "people/me");
    // Without it the answer leaves out what belongs to Webex Calling.
    url.query_pairs_mut().append_pair("callingData", "true");
    webex.http().send(Request::get(url)).await?.json()
}

#[cfg(test)]
impl From<Person> for UserRecord {
    fn from(person: Person) -> Self {
        Self(Arc::new(OnceLock::from(person)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_number_is_the_lines() {
        let person = |json| serde_json::from_str::<Person>(json).unwrap();
        let full = person(
            r#"{"id":"x","extension":"5001","phoneNumbers":[{"type":"mobile","value":"+1"},
                {"type":"work","value":"+15550100"}]}"#,
        );
        assert_eq!(full.phone_number(), Some("+15550100"));
        assert_eq!(full.extension.as_deref(), Some("5001"));
        for none in ["{}", r#"{"phoneNumbers":[{"type":"mobile","value":"+1"},{"type":"work"}]}"#] {
            assert_eq!(person(none).phone_number(), None);
        }
    }
}
