//! Answers that have already been parsed, found by their bytes.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Arc, Weak},
};

use once_cell::sync::Lazy;
use parking_lot::Mutex;

use super::{model::Catalog, wire};

/// Two hashes with random keys, and the length: 128 bits that no attacker can predict.
type Key = (u64, u64, usize);

/// A catalog and its timestamp.
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

/// The allow list that catalogs are read with.
pub(super) struct Reader<'a> {
    /// Identifies the list.
    pub(super) cloud: &'a str,
    /// Removes what the list does not allow from a catalog.
    pub(super) restrict: &'a dyn Fn(Arc<Catalog>) -> Arc<Catalog>,
}

impl Reader<'_> {
    /// Reads an answer. Also returns when the service made it, if the format says so. An answer
    /// that another client has already parsed is not parsed again: a fleet of thousands of clients
    /// that starts at once would otherwise build and drop as many catalogs and fragment the memory.
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

/// The catalog and timestamp of an answer, if a client still uses it.
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
        // Others that come and go leave this one where it is, and nothing of themselves.
        let passing = br#"{"serviceLinks": {"wdm": "https://passing.example/wdm"}}"#;
        drop(one.read(passing).unwrap());
        let (last, _) =
            one.read(br#"{"serviceLinks": {"wdm": "https://last.example/wdm"}}"#).unwrap();
        assert!(is_known(&one));
        assert!(!ANSWERS.known.lock().contains_key(&ANSWERS.key(one.cloud, passing)));
        drop((catalog, less, last));
        assert!(!is_known(&one) && !is_known(&other));
        assert!(one.read(b"[]").is_err());
    }
}
