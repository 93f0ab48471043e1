//! Reading JSON of which a part may be odd: what cannot be read is passed over, the rest counts.
//!
//! Nothing is kept on the way but what the reader keeps, so that neither a wide nor a deep value costs
//! memory; readers count, and end with [`TooMany`].

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// There are more entries than are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// How the error of a value with [`TooMany`] entries begins.
const TOO_MANY: &str = "too many entries";

/// Whether a value was not read because of [`TooMany`] entries.
pub(crate) fn is_too_many(error: &serde_json::Error) -> bool {
    error.is_data() && error.to_string().starts_with(TOO_MANY)
}

/// The error of a value with too many entries.
pub(crate) fn too_many(_: TooMany) -> serde_json::Error {
    serde_json::Error::custom(TOO_MANY)
}

/// Hands out the members of an object, in their order.
///
/// # Errors
/// When the text is no JSON object, or the reader has had enough ([`is_too_many`]).
pub(crate) fn members<'a>(
    json: &'a str,
    each: impl FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), TooMany>,
) -> Result<(), serde_json::Error> {
    let mut from = serde_json::Deserializer::from_str(json);
    Members(each).deserialize(&mut from)?;
    from.end()
}

/// Hands out the members of an object; of anything else, none.
pub(crate) fn members_of<'a>(
    json: &'a RawValue,
    each: impl FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    only_too_many(members(json.get(), each))
}

/// Hands out the items of an array; of anything else, none.
pub(crate) fn items_of<'a>(
    json: &'a RawValue,
    each: impl FnMut(&'a RawValue) -> Result<(), TooMany>,
) -> Result<(), TooMany> {
    let mut from = serde_json::Deserializer::from_str(json.get());
    only_too_many(Items(each).deserialize(&mut from))
}

/// A text; `None` for anything else.
pub(crate) fn text(json: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(json.get()).ok().map(|Text(text)| text)
}

/// A whole number, also one that is written as a text; `None` for anything else.
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
    fn what_is_no_text_and_no_number_is_neither() {
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
    fn a_reader_that_has_had_enough_ends_it() {
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
