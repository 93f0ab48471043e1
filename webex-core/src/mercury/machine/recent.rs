//! The events that have been delivered lately.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Events remembered: more than a server sends in the time it takes to change over.
const RECENT: usize = 256;

/// The ids of the latest events, so that none is given out twice: while two connections deliver,
/// and when a service sends again what it believes lost.
///
/// Hashes, not texts: eight bytes an event, and none as long as nothing comes.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<u64>);

impl Recent {
    /// Whether an event with this id was here before; remembers it otherwise. One without an id is
    /// always new.
    pub(super) fn repeats(&mut self, id: Option<&str>) -> bool {
        let Some(id) = id else { return false };
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let hash = hasher.finish();
        if self.0.contains(&hash) {
            return true;
        }
        if self.0.len() == RECENT {
            self.0.pop_front();
        }
        self.0.push_back(hash);
        false
    }
}
