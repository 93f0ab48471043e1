//! Lenient deserialization: a field of a wrong kind only affects itself.
//!
//! A service adds, leaves out and mistypes fields; an answer fails only without what is
//! indispensable. With `#[serde(default, deserialize_with = "…")]` a field that is null or of a
//! wrong kind counts as absent, and an unreadable entry of a list is left out.

pub(crate) mod stream;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;
use tracing::debug;

use self::stream::{items_of, members_of};

/// Reads a field; `T::default()` when it is null or not a `T`.
///
/// # Errors
/// When the text is not JSON.
pub fn field<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let text = Box::<RawValue>::deserialize(deserializer)?;
    Ok(read(&text).unwrap_or_default())
}

/// Reads the entries of a list that are a `T`; none when the field is not a list.
///
/// # Errors
/// When the text is not JSON.
pub fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let text = Box::<RawValue>::deserialize(deserializer)?;
    let (mut entries, mut skipped) = (Vec::new(), 0);
    // The answer was limited in size; its entries are not counted.
    let _ = items_of(&text, |entry| {
        match read(entry) {
            Some(entry) => entries.push(entry),
            None => skipped += 1,
        }
        Ok(())
    });
    report(skipped, entries.len());
    Ok(entries)
}

/// Reads the entries of an object whose values are a `T`; none when the field is not an object.
pub(crate) fn map<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let text = Box::<RawValue>::deserialize(deserializer)?;
    let (mut entries, mut skipped) = (BTreeMap::new(), 0);
    let _ = members_of(&text, |name, value| {
        match read(value) {
            Some(value) => drop(entries.insert(name.into_owned(), value)),
            None => skipped += 1,
        }
        Ok(())
    });
    report(skipped, entries.len());
    Ok(entries)
}

fn report(skipped: usize, read: usize) {
    if skipped > 0 {
        debug!(skipped, read, "entries that are not understood");
    }
}

fn read<T: DeserializeOwned>(text: &RawValue) -> Option<T> {
    serde_json::from_str(text.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Answer {
        #[serde(default, deserialize_with = "field")]
        name: Option<String>,
        #[serde(default, deserialize_with = "list")]
        numbers: Vec<u8>,
        #[serde(default, deserialize_with = "map")]
        by_name: BTreeMap<String, u8>,
    }

    #[test]
    fn malformed_fields_count_as_absent() {
        let answer = |json: &str| serde_json::from_str::<Answer>(json).unwrap();
        let by_name = BTreeMap::default();
        let full = Answer { name: Some("n".to_owned()), numbers: vec![1, 2], by_name };
        assert_eq!(answer(r#"{"name":"n","numbers":[1,2]}"#), full);
        assert_eq!(answer(r#"{"name":"n","numbers":[1,"x",null,{},300,2]}"#), full);
        let named = answer(r#"{"by_name":{"a":1,"b":null,"c":"x"}}"#).by_name;
        assert_eq!(named, BTreeMap::from([("a".to_owned(), 1)]));
        let none = Answer { name: None, numbers: vec![], by_name: BTreeMap::default() };
        for json in [
            "{}",
            r#"{"name":null,"numbers":null}"#,
            r#"{"name":7,"numbers":{}}"#,
            r#"{"name":[],"numbers":"1,2","by_name":[1]}"#,
        ] {
            assert_eq!(answer(json), none, "{json}");
        }
        // An already parsed value reads the same.
        let value = serde_json::json!({"name": "n", "numbers": [1, 2]});
        assert_eq!(serde_json::from_value::<Answer>(value).unwrap(), full);
    }
}
