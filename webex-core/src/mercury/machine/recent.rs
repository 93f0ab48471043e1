//! The recently delivered events.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Number of events remembered: more than a server sends during a switchover.
const RECENT: usize = 256;

/// The ids of the latest events, so that none is delivered twice: while two connections deliver,
/// and when a service repeats an event that it believes lost.
///
/// Stores hashes, not texts: eight bytes per event, and none while there are no events.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<u64>);

impl Recent {
    /// Returns whether an event with this id was seen before; otherwise remembers it. An event
    /// without an id is always new.
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
