//! The part of the user's record that belongs to a line: phone number and extension.
//!
//! Mobius does not send them. `people/me` does: the number of type `work` and, for users of Webex
//! Calling, the extension.

use serde::Deserialize;

/// The type of phone number that belongs to the line. Others are the user's mobile and fax.
const WORK: &str = "work";

/// The user's record, as far as a line needs it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_number_belongs_to_the_line() {
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
