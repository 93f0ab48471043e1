//! The user's own record: whom the token belongs to.

use std::fmt;

use serde::Deserialize;

use crate::{
    endpoints::{Endpoints, join},
    error::HttpError,
    http::{Http, Request},
    lenient,
};

/// The user, from `people/me`. A field that the service leaves out, or that the token may not see,
/// is `None` or empty.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct User {
    /// Id of the user, as public APIs name it.
    #[serde(deserialize_with = "lenient::field")]
    pub id: Option<String>,
    /// The name that others see.
    #[serde(deserialize_with = "lenient::field")]
    pub display_name: Option<String>,
    /// The first name.
    #[serde(deserialize_with = "lenient::field")]
    pub first_name: Option<String>,
    /// The last name.
    #[serde(deserialize_with = "lenient::field")]
    pub last_name: Option<String>,
    /// What the user is called.
    #[serde(deserialize_with = "lenient::field")]
    pub nick_name: Option<String>,
    /// E-mail addresses, the main one first.
    #[serde(deserialize_with = "lenient::list")]
    pub emails: Vec<String>,
    /// Id of the user's organisation, as public APIs name it.
    #[serde(deserialize_with = "lenient::field")]
    pub org_id: Option<String>,
    /// `person`, `bot` or `appuser` (a guest).
    #[serde(rename = "type", deserialize_with = "lenient::field")]
    pub kind: Option<String>,
    /// Phone numbers.
    #[serde(deserialize_with = "lenient::list")]
    pub phone_numbers: Vec<PhoneNumber>,
    /// The extension of the user's Webex Calling line.
    #[serde(deserialize_with = "lenient::field")]
    pub extension: Option<String>,
}

/// A phone number of the user.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PhoneNumber {
    /// `work`, `mobile` or `fax`.
    #[serde(rename = "type", deserialize_with = "lenient::field")]
    pub kind: Option<String>,
    /// The number, as the service writes it.
    #[serde(deserialize_with = "lenient::field")]
    pub value: Option<String>,
}

/// The largest record that is read, in bytes; a few thousand are usual.
const RECORD_LIMIT: usize = 256 * 1024;

impl User {
    /// The number of the user's line: the one of type `work`. Others are mobile and fax.
    pub fn work_number(&self) -> Option<&str> {
        let work = |number: &&PhoneNumber| number.kind.as_deref() == Some("work");
        let value = self.phone_numbers.iter().find(work)?.value.as_deref();
        value.filter(|value| !value.is_empty())
    }

    /// Whether the user is a guest.
    pub fn is_guest(&self) -> bool {
        self.kind.as_deref() == Some("appuser")
    }

    /// Requests the record.
    pub(crate) async fn fetch(http: &Http, endpoints: &Endpoints) -> Result<Self, HttpError> {
        let mut url = join(&endpoints.webexapis, "people/me");
        // Without it the answer leaves out the fields of Webex Calling.
        url.query_pairs_mut().append_pair("callingData", "true");
        http.send(Request::get(url).answer_limit(RECORD_LIMIT)).await?.json()
    }
}

/// Shows no name, address or number, because logs are passed on.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhoneNumber").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use webex_tests::mutate::mutations;

    use super::*;

    fn user(json: &str) -> User {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_work_number_is_the_lines() {
        let full = user(
            r#"{"id":"x","type":"person","extension":"5001","emails":["a@b"],
                "phoneNumbers":[{"type":"mobile","value":"+1"},{"type":"work","value":"+15550100"}]}"#,
        );
        assert_eq!(full.work_number(), Some("+15550100"));
        assert_eq!(full.extension.as_deref(), Some("5001"));
        assert!(!full.is_guest() && user(r#"{"type":"appuser"}"#).is_guest());
        assert_eq!(format!("{full:?}"), r#"User { kind: Some("person"), .. }"#);
    }

    #[test]
    fn no_field_is_needed() {
        for none in [
            "{}",
            r#"{"phoneNumbers":[{"type":"mobile","value":"+1"},{"type":"work"},7,null]}"#,
            r#"{"phoneNumbers":[{"type":"work","value":""}],"extension":5001,"emails":"a@b"}"#,
            r#"{"phoneNumbers":null,"id":{},"displayName":null,"orgId":[],"type":1}"#,
        ] {
            let user = user(none);
            assert_eq!(
                (user.work_number(), &user.extension, &user.id),
                (None, &None, &None),
                "{none}"
            );
        }
    }

    #[test]
    fn one_field_never_destroys_the_record() {
        let full = json!({
            "id": "x", "type": "person", "extension": "5001", "emails": ["a@b"], "orgId": "o",
            "displayName": "n", "phoneNumbers": [{"type": "work", "value": "+15550100"}],
        });
        for (path, mutated) in mutations(&full) {
            let user = user(&mutated.to_string());
            assert!(path == "/extension" || user.extension.as_deref() == Some("5001"), "{mutated}");
            let number = user.work_number() == Some("+15550100");
            assert!(path.starts_with("/phoneNumbers") || number, "{mutated}");
        }
    }
}
