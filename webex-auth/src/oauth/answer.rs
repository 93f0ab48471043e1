//! A JSON answer, parsed so that no field can affect another.
//!
//! Services send numbers as text, lists for single values and null for unknown values, and add
//! fields as they like. [`Fields`] parses a field only on demand: one that is null, of another type
//! or malformed counts as absent, and the rest is still read. Values stay in the body until then,
//! so that no secret is copied into memory that is not erased.

use std::{collections::HashMap, fmt};

use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::scope::{Scope, Scopes};

/// The fields of a JSON object.
pub(crate) struct Fields<'a>(HashMap<String, &'a RawValue>);

/// More fields than any answer has; further ones are ignored.
const MOST_FIELDS: usize = 64;

/// More entries than any list of an answer has; further ones are ignored.
const MOST_ENTRIES: usize = 256;

impl<'a> Fields<'a> {
    /// Reads a body; `None` when it is not a JSON object.
    pub(crate) fn parse(body: &'a str) -> Option<Self> {
        serde_json::from_str(body.trim_start_matches('\u{feff}')).ok()
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get())
    }

    /// Reads a secret text; an empty one counts as absent.
    pub(crate) fn secret(&self, name: &str) -> Option<SecretString> {
        let text: SecretString = serde_json::from_str(self.raw(name)?).ok()?;
        (!text.expose_secret().is_empty()).then_some(text)
    }

    /// Reads a text; a number is read as its digits.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        text(self.raw(name)?)
    }

    /// Reads a whole number, possibly written as text. A fraction is cut off, a negative number becomes zero.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let text = text(self.raw(name)?)?;
        let number: f64 = text.trim().parse().ok()?;
        #[allow(clippy::cast_sign_loss)] // `as` makes a negative number zero
        (!number.is_nan()).then_some(number as u64)
    }

    /// Reads scopes from one text or a list, separated by white space, `+` or commas. Invalid ones
    /// are left out; `None` when nothing is left.
    pub(crate) fn scopes(&self, name: &str) -> Option<Scopes> {
        let raw = self.raw(name)?;
        let texts = text(raw).map_or_else(|| list(raw).filter_map(text).collect(), |one| vec![one]);
        let words = texts.iter().flat_map(|text| text.split([' ', '\t', '\n', '\r', '+', ',']));
        let scopes: Scopes = words.filter_map(|word| Scope::new(word).ok()).collect();
        (!scopes.is_empty()).then_some(scopes)
    }

    /// Reads the objects in a list.
    pub(crate) fn objects(&self, name: &str) -> impl Iterator<Item = Self> {
        self.raw(name).into_iter().flat_map(list).filter_map(Self::parse)
    }
}

fn text(raw: &str) -> Option<String> {
    if raw.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return Some(raw.to_owned());
    }
    serde_json::from_str(raw).ok()
}

fn list(raw: &str) -> impl Iterator<Item = &str> {
    let entries: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
    entries.into_iter().take(MOST_ENTRIES).map(RawValue::get)
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = HashMap<String, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut input: A) -> Result<Self::Value, A::Error> {
                let mut fields = HashMap::new();
                while let Some((name, value)) = input.next_entry::<String, &'de RawValue>()? {
                    if fields.len() < MOST_FIELDS || fields.contains_key(&name) {
                        fields.insert(name, value);
                    }
                }
                Ok(fields)
            }
        }

        input.deserialize_map(Object).map(Self)
    }
}

/// Whether a body is a web page: authorization servers never send one, but gateways, proxies and
/// captive portals do.
///
/// ```
/// assert!(webex_auth::is_page("\u{feff}\r\n <!DOCTYPE html><title>Welcome to our hotel</title>"));
/// assert!(!webex_auth::is_page(r#"{"message":"<html>"}"#));
/// ```
pub fn is_page(body: &str) -> bool {
    body.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace()).starts_with('<')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_in_any_reasonable_form() {
        let body =
            r#"{"a":"7200","b":7200.9,"c":-5,"d":1e999,"e":" 17 ","f":null,"g":"soon","h":[]}"#;
        let fields = Fields::parse(body).unwrap();
        let numbers =
            ["a", "b", "c", "d", "e", "f", "g", "h", "none"].map(|name| fields.number(name));
        let some = [Some(7_200), Some(7_200), Some(0), Some(u64::MAX), Some(17)];
        assert_eq!(numbers, [&some[..], &[None; 4]].concat()[..]);
        assert_eq!(fields.text("b").as_deref(), Some("7200.9"));
        assert_eq!(fields.text("h"), None);
        assert!(fields.secret("a").is_some() && fields.secret("b").is_none());
    }

    #[test]
    fn scopes_are_a_text_or_a_list() {
        let scopes = |json: &str| {
            let body = format!(r#"{{"scope":{json}}}"#);
            Fields::parse(&body).unwrap().scopes("scope").map(|scopes| scopes.to_string())
        };
        for same in [r#""b a""#, r#""a+b""#, r#""a, b""#, r#"["b","a"]"#, r#"["a b",null,7,{}]"#] {
            let expected = if same.contains('7') { "7 a b" } else { "a b" };
            assert_eq!(scopes(same).as_deref(), Some(expected), "{same}");
        }
        for nothing in ["null", "{}", r#""""#, "true", r#""\"""#] {
            assert_eq!(scopes(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn the_last_duplicate_counts_and_the_number_of_fields_is_limited() {
        let fields = Fields::parse("\u{feff}{\"a\":1,\"a\":2,\"b\":\"\\ud800\"}").unwrap();
        assert_eq!((fields.number("a"), fields.text("b")), (Some(2), None));
        let flood: Vec<_> = (0..10_000).map(|n| format!("\"{n}\":0")).collect();
        let flood = format!("{{{}}}", flood.join(","));
        assert_eq!(Fields::parse(&flood).unwrap().0.len(), MOST_FIELDS);
        for other in ["", "[]", "7", "<html>", "{\"a\":1"] {
            assert!(Fields::parse(other).is_none(), "{other}");
        }
    }
}
