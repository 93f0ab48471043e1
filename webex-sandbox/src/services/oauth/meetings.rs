//! The token answer to Meetings (XML API) integrations.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::state::{policy::MeetingsQuirk, users::User};

/// Completes `body` to the documented answer, with the configured quirks.
pub(super) fn complete(
    body: &mut Value,
    site: &str,
    user: &User,
    quirks: &BTreeSet<MeetingsQuirk>,
) {
    let Some(fields) = body.as_object_mut() else { return };
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("token_type", "bearer".into());
    put("user_name", user.display_name.clone().into());
    put("iss", format!("https://{site}.webex.com").into());
    put("siteid", 1_000_001.into());
    put("userid", 2_000_001.into());
    put("authentication_id", user.email.clone().into());
    put("email", user.email.clone().into());
    if !quirks.contains(&MeetingsQuirk::RefreshTokenExpiresIn) {
        fields.remove("refresh_token_expires_in");
    }
    for quirk in quirks {
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        match quirk {
            MeetingsQuirk::RefreshTokenExpiresIn => {}
            MeetingsQuirk::UnknownFields => {
                put("session_ticket", Value::Null);
                put("attributes", json!({"role": ["host"], "level": 3}));
            }
            MeetingsQuirk::NoExpiresIn => {
                fields.remove("expires_in");
            }
            MeetingsQuirk::ScopeList => {
                let text = fields.get("scope").and_then(Value::as_str).unwrap_or_default();
                let list: Vec<_> = text.split_whitespace().map(Value::from).collect();
                fields.insert("scope".to_owned(), list.into());
            }
            MeetingsQuirk::NumericAuthenticationId => {
                put("authentication_id", 3_000_001.into());
            }
            MeetingsQuirk::TextNumbers => {
                for name in ["expires_in", "siteid", "userid"] {
                    if let Some(number) = fields.get(name).and_then(Value::as_u64) {
                        fields.insert(name.to_owned(), number.to_string().into());
                    }
                }
            }
            MeetingsQuirk::OddIgnoredFields => {
                put("iss", json!({"host": site}));
                put("siteid", json!([1_000_001]));
                put("userid", true.into());
                put("authentication_id", json!({"id": null}));
            }
        }
    }
}
