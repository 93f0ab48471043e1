//! Holds equal values once per process.
//!
//! The users of an organisation have the same catalog and mostly the same features; a process with
//! thousands of them holds one of each. Values are immutable and found by their content, so no user
//! gets anything here that the service did not send to that user as well.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

/// The values of one type that are in use.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    known: Mutex<HashMap<u64, Vec<Weak<T>>>>,
    hasher: RandomState,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { known: Mutex::default(), hasher: RandomState::new() }
    }
}

impl<T: Eq + Hash> Interner<T> {
    /// Returns the equal value that is already in use, or this one.
    pub(crate) fn intern(&self, value: T) -> Arc<T> {
        let hash = self.hasher.hash_one(&value);
        let mut known = self.known.lock();
        let equal = |weak: &Weak<T>| weak.upgrade().filter(|known| **known == value);
        if let Some(known) = known.get(&hash).and_then(|list| list.iter().find_map(equal)) {
            return known;
        }
        // New values are rare, so this is a good time to drop unused ones.
        known.retain(|_, list| {
            list.retain(|weak| weak.strong_count() > 0);
            !list.is_empty()
        });
        let value = Arc::new(value);
        known.entry(hash).or_default().push(Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_unused_ones_are_forgotten() {
        let interner = Interner::<String>::default();
        let first = interner.intern("a".to_owned());
        assert!(Arc::ptr_eq(&first, &interner.intern("a".to_owned())));
        assert!(!Arc::ptr_eq(&first, &interner.intern("b".to_owned())));
        drop(first);
        let _other = interner.intern("c".to_owned());
        assert_eq!(interner.known.lock().len(), 1);
    }
}
