//! Removes from a report, of `webex live` or `webex doctor`, whatever could identify a person or grant
//! access.
//!
//! It works in two ways: values that the run has [learned](Redactor::learn) are replaced wherever
//! they occur, and anything that looks like an e-mail or SIP address, a phone number, an id or a
//! token is replaced as well. The replacement is a hash with a new salt for each report, so that a
//! value can be recognised within one report, and nowhere else.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::Value;
use sha2::{Digest, Sha256};
use webex_sdk::core::User;

/// Fields that are shown unchanged: support asks for tracking ids, and hosts belong to Webex.
/// Learned values are replaced there too.
const SHOWN: [&str; 3] = ["tracking_id", "host", "hosts"];

/// A value of one letter means nothing, and would be found everywhere.
const SHORTEST: usize = 2;

/// A part of a word with letters and digits and this length is an id or a token.
const OPAQUE: usize = 16;

/// This many digits in a row are a phone number.
const PHONE: usize = 7;

/// Replaces private values. See the [module documentation](self).
pub(crate) struct Redactor {
    salt: [u8; 16],
    learned: BTreeSet<String>,
}

impl Redactor {
    /// A redactor with a new salt. `None` when the system has no randomness.
    pub(crate) fn new() -> Option<Self> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).ok()?;
        Some(Self { salt, learned: BTreeSet::new() })
    }

    /// Remembers a private value.
    pub(crate) fn learn(&mut self, value: &str) {
        if value.len() >= SHORTEST {
            self.learned.insert(value.to_owned());
        }
    }

    /// Remembers what the user's record says of a person, and each word of the names.
    pub(crate) fn learn_user(&mut self, user: &User) {
        let names = [&user.display_name, &user.first_name, &user.last_name, &user.nick_name];
        let names = names.into_iter().flatten().map(String::as_str);
        let numbers = user.phone_numbers.iter().filter_map(|number| number.value.as_deref());
        let others = [&user.id, &user.org_id, &user.extension].into_iter().flatten();
        let others = others.chain(&user.emails).map(String::as_str);
        let words = names.clone().flat_map(str::split_whitespace);
        for private in names.chain(words).chain(numbers).chain(others) {
            self.learn(private);
        }
    }

    /// Redacts every string of a report, except the names of fields.
    pub(crate) fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    if SHOWN.contains(&name.as_str()) {
                        self.learned_in(field);
                    } else {
                        self.value(field);
                    }
                }
            }
            _ => {}
        }
    }

    /// Redacts a text.
    pub(crate) fn text(&self, text: &str) -> String {
        let text = self.without_learned(text);
        let mut clean = String::with_capacity(text.len());
        for part in text.split_inclusive(is_delimiter) {
            let word = part.trim_end_matches(|c| is_delimiter(c) || matches!(c, '.' | ':'));
            if is_private(word) {
                clean.push_str(&self.hash(word));
            } else {
                clean.push_str(word);
            }
            clean.push_str(&part[word.len()..]);
        }
        clean
    }

    fn learned_in(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.without_learned(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.learned_in(item)),
            _ => {}
        }
    }

    /// Redacts the learned values only: for a text that has to stay as it is, such as a tracking id.
    pub(crate) fn without_learned(&self, text: &str) -> String {
        // Longest first: one value may be part of another.
        let mut learned: Vec<_> = self.learned.iter().filter(|v| text.contains(*v)).collect();
        learned.sort_by_key(|value| std::cmp::Reverse(value.len()));
        learned
            .into_iter()
            .fold(text.to_owned(), |text, value| replace_word(&text, value, &self.hash(value)))
    }

    /// `#` and eight hexadecimal digits.
    fn hash(&self, value: &str) -> String {
        let digest = Sha256::new().chain_update(self.salt).chain_update(value).finalize();
        digest.iter().take(4).fold("#".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Replaces `value` where it is not part of a longer word, because names are short.
fn replace_word(text: &str, value: &str, by: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        // The text before it ended with this value or its replacement.
        let joined_before = before.is_empty() && clean.ends_with(char::is_alphanumeric)
            || before.ends_with(char::is_alphanumeric);
        clean.push_str(before);
        if joined_before || after.starts_with(char::is_alphanumeric) {
            clean.push_str(value);
        } else {
            clean.push_str(by);
        }
        rest = after;
    }
    clean.push_str(rest);
    clean
}

fn is_delimiter(c: char) -> bool {
    c.is_whitespace() || "/?&,;()<>[]{}|\"'`=".contains(c)
}

fn is_private(word: &str) -> bool {
    let is_address = word.contains('@') || word.contains("%40");
    let has_scheme = ["sip:", "sips:", "tel:"].iter().any(|scheme| word.starts_with(scheme));
    is_address
        || has_scheme
        || is_phone(word)
        || word.split(['-', '_', '.', ':']).any(is_opaque)
        || is_uuid(word)
}

/// A number with `+`, or any long number without it.
fn is_phone(word: &str) -> bool {
    let digits = word.strip_prefix('+').unwrap_or(word);
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    plain && count >= PHONE && (word.starts_with('+') || !digits.contains('-'))
}

fn is_opaque(part: &str) -> bool {
    part.len() >= OPAQUE
        && part.bytes().any(|b| b.is_ascii_digit())
        && part.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Five groups of hexadecimal digits, anywhere in the word.
fn is_uuid(word: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let bytes = word.as_bytes();
    bytes.windows(36).any(|window| {
        let mut groups = window.split(|b| *b == b'-');
        GROUPS.iter().all(|length| {
            groups.next().is_some_and(|group| {
                group.len() == *length && group.iter().all(u8::is_ascii_hexdigit)
            })
        }) && groups.next().is_none()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "027c6b4c-a92e-4669-a1f4-992afe8b3c11";

    #[test]
    fn values_that_look_private_are_replaced() {
        let redactor = Redactor::new().unwrap();
        for private in [
            ID,
            "ann@example.com",
            "sip:ann@x.example",
            "sip:5000",
            "tel:+15550000000",
            "+15550000000",
            "+1-555-000-0000",
            "5550000000",
            "Y2lzY29zcGFyazovL3VzL1BFT1BMRS8x",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln",
            "ann%40example.com",
        ] {
            for text in [
                private.to_owned(),
                format!("no {private}: gone."),
                format!("/a/{private}/b?c={private}&d"),
                format!("{{\"x\":\"{private}\"}}"),
            ] {
                let clean = redactor.text(&text);
                assert!(!clean.contains(private), "{clean}");
                assert!(clean.contains('#'), "{clean}");
            }
        }
    }

    #[test]
    fn texts_that_explain_a_failure_stay() {
        let redactor = Redactor::new().unwrap();
        for text in [
            "mobius-us-east-1.prod.infra.webex.com answered 503 Service Unavailable",
            "/wdm/wdm/api/v1/devices",
            "mercury-connection-partition0-a.wbx2.com did not answer within 30 s",
            "EOF error at line 1 column 12",
            "keepalive every 30 s, rehoming 60-120 min, at 2026-11-22T12:00:00Z",
            "https://127.0.0.1:43210/api/v1/calling/web/",
        ] {
            assert_eq!(redactor.text(text), text);
        }
    }

    #[test]
    fn the_same_value_has_the_same_hash_in_one_report_only() {
        let (one, other) = (Redactor::new().unwrap(), Redactor::new().unwrap());
        assert_eq!(one.text(ID), one.text(&format!("/{ID}"))[1..]);
        assert_ne!(one.text(ID), other.text(ID));
    }

    #[test]
    fn learned_values_are_replaced_everywhere() {
        let mut redactor = Redactor::new().unwrap();
        redactor.learn("Ann Example");
        redactor.learn("Ann Example Junior");
        redactor.learn("5000");
        redactor.learn("Al");
        redactor.learn("x");
        let tracking = format!("webex-native_{ID}_1");
        let mut report = json!({
            "tracking_id": tracking,
            "hosts": ["5000.example", "x.example"],
            "detail": ["to Ann Example Junior, ext 5000", 5000, "Al: Also 15000 ms, not AlAl or Al"],
        });
        redactor.value(&mut report);
        assert_eq!(report["tracking_id"], tracking);
        assert_eq!(report["hosts"][1], "x.example");
        let text = report.to_string();
        assert!(!text.contains("Ann") && !text.contains("Junior"), "{text}");
        assert!(!text.contains("5000.") && !text.contains("ext 5000"), "{text}");
        assert_eq!(report["detail"][1], 5000, "numbers are times and counts");
        let words = report["detail"][2].as_str().unwrap();
        assert!(
            words.starts_with('#') && words.contains(": Also 15000 ms, not AlAl or #"),
            "{words}"
        );
    }
}
