//! Feature toggles: what the service has switched on for a user.
//!
//! A device answer lists hundreds of them. Only key and value are kept, and equal lists are held
//! once per process: most users of an organisation have the same.

use std::{collections::BTreeMap, sync::Arc};

use once_cell::sync::Lazy;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};

use crate::{intern::Interner, lenient};

static SETS: Lazy<Interner<Entries>> = Lazy::new(Interner::default);

/// The three lists of toggles in a device record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Features {
    /// Toggles of the developers, such as `web-high-availability`.
    #[serde(default)]
    pub developer: FeatureSet,
    /// What the user has a licence for, such as `bc-sp-standard`.
    #[serde(default)]
    pub entitlement: FeatureSet,
    /// Preferences of the user.
    #[serde(default)]
    pub user: FeatureSet,
}

impl Features {
    /// Takes over the features of a newer record. When the record did not change (same `etag`), the
    /// service may leave out the developers' list, which then stays.
    pub(super) fn updated(&self, newer: Reported, same_version: bool) -> Self {
        let developer = match newer.developer {
            None if same_version => self.developer.clone(),
            developer => developer.unwrap_or_default(),
        };
        Self {
            developer,
            entitlement: newer.entitlement.unwrap_or_default(),
            user: newer.user.unwrap_or_default(),
        }
    }
}

/// The lists of an answer; each may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reported {
    #[serde(deserialize_with = "lenient::field")]
    developer: Option<FeatureSet>,
    #[serde(deserialize_with = "lenient::field")]
    entitlement: Option<FeatureSet>,
    #[serde(deserialize_with = "lenient::field")]
    user: Option<FeatureSet>,
}

/// One list of toggles, by key.
///
/// ```
/// # use webex_core::device::{FeatureSet, FeatureValue};
/// let text = r#"[{"key":"web-shared-mercury","val":"True"},{"key":"limit","val":"25"}]"#;
/// let features: FeatureSet = serde_json::from_str(text)?;
/// assert!(features.is_on("web-shared-mercury"));
/// assert_eq!(features.value("limit"), Some(FeatureValue::Number(25.0)));
/// assert_eq!(features.value("other"), None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeatureSet(Option<Arc<Entries>>);

/// Key and value as text, sorted by key.
type Entries = Vec<(Box<str>, Box<str>)>;

/// The value of a toggle, typed as the reference client types it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FeatureValue<'a> {
    /// `true` or `false`, in upper or lower case.
    Bool(bool),
    /// Text that parses as a number.
    Number(f64),
    /// Any other text.
    Text(&'a str),
}

impl FeatureSet {
    /// The value of a toggle; `None` when it is not in the list.
    pub fn value(&self, key: &str) -> Option<FeatureValue<'_>> {
        self.text(key).map(|text| match text {
            text if text.eq_ignore_ascii_case("true") => FeatureValue::Bool(true),
            text if text.eq_ignore_ascii_case("false") => FeatureValue::Bool(false),
            text => text.trim().parse().map_or(FeatureValue::Text(text), FeatureValue::Number),
        })
    }

    /// Whether a toggle is in the list and `true`.
    pub fn is_on(&self, key: &str) -> bool {
        self.value(key) == Some(FeatureValue::Bool(true))
    }

    /// The value of a toggle as the service wrote it.
    pub fn text(&self, key: &str) -> Option<&str> {
        let entries = self.entries();
        let at = entries.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&*entries[at].1)
    }

    /// Every toggle, by key: its key and its value as text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries().iter().map(|(key, value)| (&**key, &**value))
    }

    fn entries(&self) -> &[(Box<str>, Box<str>)] {
        self.0.as_ref().map_or(&[], |entries| entries.as_slice())
    }
}

impl<'de> Deserialize<'de> for FeatureSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items: Vec<Item> = lenient::list(deserializer)?;
        // The last duplicate wins, as in the reference client.
        let entries: BTreeMap<_, _> = items.into_iter().filter_map(Item::into_entry).collect();
        if entries.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self(Some(SETS.intern(entries.into_iter().collect()))))
    }
}

impl Serialize for FeatureSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            key: &'a str,
            val: &'a str,
        }
        serializer.collect_seq(self.iter().map(|(key, val)| Written { key, val }))
    }
}

/// One toggle on the wire. An item without a key or without a value of a known kind is left out.
#[derive(Deserialize)]
struct Item {
    key: Option<Box<str>>,
    val: Option<Value>,
    value: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(Box<str>),
    Bool(bool),
    Number(serde_json::Number),
    Other(IgnoredAny),
}

impl Item {
    fn into_entry(self) -> Option<(Box<str>, Box<str>)> {
        let value = match self.val.or(self.value)? {
            Value::Text(text) => text,
            Value::Bool(value) => value.to_string().into(),
            Value::Number(number) => number.to_string().into(),
            Value::Other(_) => return None,
        };
        Some((self.key?, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(json: &str) -> FeatureSet {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn values_are_typed_as_the_reference_client_types_them() {
        let features = set(r#"[{"key":"a","val":"TRUE"},{"key":"b","val":"false","value":true},
            {"key":"c","val":"-1.5"},{"key":"d","val":"v2"},{"key":"e","value":true},
            {"key":"f","val":{}},{"val":"x"},{"key":7,"val":"x"},null,"x",{"key":"a2","val":7}]"#);
        assert_eq!(features.value("a"), Some(FeatureValue::Bool(true)));
        assert_eq!(features.value("b"), Some(FeatureValue::Bool(false)));
        assert_eq!(features.value("c"), Some(FeatureValue::Number(-1.5)));
        assert_eq!(features.value("d"), Some(FeatureValue::Text("v2")));
        assert!(features.is_on("e") && !features.is_on("d"));
        assert_eq!((features.value("f"), features.value("")), (None, None));
        assert_eq!(features.value("a2"), Some(FeatureValue::Number(7.0)));
        assert_eq!(set("null"), FeatureSet::default());
    }

    #[test]
    fn equal_lists_are_held_once() {
        let text = r#"[{"key":"only-in-this-test","val":"1"}]"#;
        let (one, other) = (set(text), set(text));
        assert!(Arc::ptr_eq(one.0.as_ref().unwrap(), other.0.as_ref().unwrap()));
        let saved = serde_json::to_string(&one).unwrap();
        assert_eq!((saved.as_str(), set(&saved)), (text, one));
    }

    #[test]
    fn the_developers_list_stays_when_the_same_version_leaves_it_out() {
        let known: Features = serde_json::from_str(
            r#"{"developer":[{"key":"d","val":"1"}],"user":[{"key":"u","val":"1"}]}"#,
        )
        .unwrap();
        let reported = || {
            serde_json::from_str(r#"{"entitlement":[{"key":"e","val":"1"}],"user":[]}"#).unwrap()
        };
        let same = known.updated(reported(), true);
        assert_eq!(same.developer, known.developer);
        assert!(same.entitlement.text("e").is_some() && same.user.text("u").is_none());
        assert_eq!(known.updated(reported(), false).developer, FeatureSet::default());
    }
}
