//! Reads JSON that may be odd in parts: unreadable parts are skipped, the rest is used.
//!
//! Nothing is stored except by the reader, so that neither a wide nor a deep value costs memory.
//! Readers count, and stop with [`TooMany`].

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// There are more entries than the reader accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// Start of the error for a value with [`TooMany`] entries.
const TOO_MANY: &str = "too many entries";

/// Whether a value was rejected because of [`TooMany`] entries.
pub(crate) fn is_too_many(error: &serde_json::Error) -> bool {
    error.is_data() && error.to_string().starts_with(TOO_MANY)
}

/// The error for a value with too many entries.
pub(crate) fn too_many(_: TooMany) -> serde_json::Error {
    serde_json::Error::custom(TOO_MANY)
}

/// Passes the members of an object to the reader, in order.
///
/// # Errors
/// When the text is not a JSON object, or the reader stops ([`is_too_many`]).
pub(crate) fn members<'a>(
    json: &'a str,
    each: impl FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), TooMany>,
) -> Result<(), serde_json::Error> {
    let mut from = serde_json::Deserializer::from_str(json);
    Members(each).deserialize(&mut from)?;
    from.end()
}

/// Passes the members of an object to the reader; ignores any other value.
pub(crate) fn members_of<'a>(
    json: &'a RawValue,
    each: impl FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    only_too_many(members(json.get(), each))
}

/// Passes the items of an array to the reader; ignores any other value.
pub(crate) fn items_of<'a>(
    json: &'a RawValue,
    each: impl FnMut(&'a RawValue) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    let mut from = serde_json::Deserializer::from_str(json.get());
    only_too_many(Items(each).deserialize(&mut from))
}

/// Reads a text; `None` for anything else.
pub(crate) fn text(json: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(json.get()).ok().map(|Text(text)| text)
}

/// Reads a whole number, possibly written as text; `None` for anything else.
pub(crate) fn integer(json: &RawValue) -> Option<i64> {
    let text = text(json);
    text.as_deref().unwrap_or(json.get()).trim().parse().ok()
}

fn only_too_many(outcome: Result<(), serde_json::Error>) -> Result<(), TooMany> {
    match outcome {
        Err(error) if is_too_many(&error) => Err(TooMany),
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<F>(F);

impl<'de, F> DeserializeSeed<'de> for Members<F>
where
    F: FnMut(Cow<'de, str>, &'de RawValue) -> Result<(), TooMany>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, F> Visitor<'de> for Members<F>
where
    F: FnMut(Cow<'de, str>, &'de RawValue) -> Result<(), TooMany>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Text(key), value)) = map.next_entry()? {
            (self.0)(key, value).map_err(|TooMany| A::Error::custom(TOO_MANY))?;
        }
        Ok(())
    }
}

struct Items<F>(F);

impl<'de, F> DeserializeSeed<'de> for Items<F>
where
    F: FnMut(&'de RawValue) -> Result<(), TooMany>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, F> Visitor<'de> for Items<F>
where
    F: FnMut(&'de RawValue) -> Result<(), TooMany>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element()? {
            (self.0)(item).map_err(|TooMany| A::Error::custom(TOO_MANY))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_values_are_neither_text_nor_number() {
        let raw = |json: &str| serde_json::from_str::<Box<RawValue>>(json).unwrap();
        for (json, as_text, as_integer) in [
            (r#""a\u0062""#, Some("ab"), None),
            (r#"" 7 ""#, Some(" 7 "), Some(7)),
            ("-7", None, Some(-7)),
            ("7.5", None, None),
            ("99999999999999999999", None, None),
            ("null", None, None),
            ("[]", None, None),
        ] {
            let raw = raw(json);
            assert_eq!((text(&raw).as_deref(), integer(&raw)), (as_text, as_integer), "{json}");
        }
    }

    #[test]
    fn a_reader_that_stops_ends_the_parsing() {
        let json = r#"{"a": [1, 2, 3], "a": {}, "b\n": null}"#;
        let mut seen = Vec::new();
        members(json, |key, value| {
            seen.push(key.into_owned());
            let mut count = 0;
            let items = items_of(value, |_| {
                count += 1;
                if count > 2 { Err(TooMany) } else { Ok(()) }
            });
            assert_eq!(items.is_err(), seen.len() == 1);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, ["a", "a", "b\n"]);
        let error = members(json, |_, _| Err(TooMany)).unwrap_err();
        assert!(is_too_many(&error));
        for wrong in ["[]", "{", "{} {}", "", "7"] {
            assert!(!is_too_many(&members(wrong, |_, _| Ok(())).unwrap_err()), "{wrong}");
        }
    }
}
