//! Answers that have been read already, by their bytes.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Arc, Weak},
};

use once_cell::sync::Lazy;
use parking_lot::Mutex;

use super::{model::Catalog, wire};

/// Two hashes with random keys, and the length: 128 bits that nobody can aim at.
type Key = (u64, u64, usize);

/// A catalog, and when the service made it.
type Read = (Weak<Catalog>, Option<u64>);

static ANSWERS: Lazy<Answers> = Lazy::new(Answers::default);

#[derive(Default)]
struct Answers {
    hashers: [RandomState; 2],
    known: Mutex<HashMap<Key, Read>>,
}

impl Answers {
    fn key(&self, cloud: &str, body: &[u8]) -> Key {
        let [one, other] = &self.hashers;
        (one.hash_one((cloud, body)), other.hash_one((cloud, body)), body.len())
    }
}

/// A list by which catalogs are read.
pub(super) struct Reader<'a> {
    /// Tells one list from another.
    pub(super) cloud: &'a str,
    /// Takes out of a catalog what the list does not allow.
    pub(super) restrict: &'a dyn Fn(Arc<Catalog>) -> Arc<Catalog>,
}

impl Reader<'_> {
    /// Reads an answer, and says when the service made it, where its form does. An answer that
    /// somebody else has had is not even parsed: a fleet of thousands that starts would make and drop
    /// as many catalogs, which leaves memory in pieces.
    pub(super) fn read(
        &self,
        body: &[u8],
    ) -> Result<(Arc<Catalog>, Option<u64>), serde_json::Error> {
        let key = ANSWERS.key(self.cloud, body);
        if let Some(known) = known(&key) {
            return Ok(known);
        }
        let (catalog, timestamp) = wire::read(body)?;
        let catalog = (self.restrict)(catalog.shared());
        let mut known = ANSWERS.known.lock();
        known.retain(|_, (catalog, _)| catalog.strong_count() > 0);
        known.insert(key, (Arc::downgrade(&catalog), timestamp));
        Ok((catalog, timestamp))
    }
}

/// The catalog of an answer, if it is in use, and when the service made it.
fn known(key: &Key) -> Option<(Arc<Catalog>, Option<u64>)> {
    let known = ANSWERS.known.lock();
    let (catalog, timestamp) = known.get(key)?;
    Some((catalog.upgrade()?, *timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_once_for_a_list_while_it_is_in_use() {
        let body = br#"{"serviceLinks": {"wdm": "https://read-once.example/wdm"}}"#;
        let whole = |catalog| catalog;
        let nothing = |catalog: Arc<Catalog>| catalog.restricted("https", |_| false);
        let [one, other] = [
            Reader { cloud: "one", restrict: &whole },
            Reader { cloud: "other", restrict: &nothing },
        ];
        let is_known = |reader: &Reader<'_>| known(&ANSWERS.key(reader.cloud, body)).is_some();
        assert!(!is_known(&one));
        let (catalog, _) = one.read(body).unwrap();
        assert!(is_known(&one) && !is_known(&other));
        assert!(Arc::ptr_eq(&catalog, &one.read(body).unwrap().0));
        let (less, _) = other.read(body).unwrap();
        assert!(catalog.service_url("wdm").is_ok() && less.service_url("wdm").is_err());
        drop((catalog, less));
        assert!(!is_known(&one) && !is_known(&other));
        assert!(one.read(b"[]").is_err());
    }
}
