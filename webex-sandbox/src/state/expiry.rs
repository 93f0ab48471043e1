//! Deadlines of devices and lines.
//!
//! A heap holds one deadline per record, which is never later than the record's own. A refresh or
//! keepalive only moves the record's deadline; the heap is updated only when it moves forward. When
//! the heap's deadline comes up and the record is still alive, it is armed again. A keepalive
//! therefore costs no search, however many lines there are.

use std::{cmp::Reverse, collections::BinaryHeap};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// What may expire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Expiring {
    Device(String),
    Line(String),
}

#[derive(Debug, Default)]
pub(crate) struct Expiry {
    heap: Mutex<BinaryHeap<Reverse<(Instant, Expiring)>>>,
    pub(crate) wake: Notify,
}

impl Expiry {
    /// Checks `record` again at `at`.
    pub(crate) fn arm(&self, at: Instant, record: Expiring) {
        let mut heap = self.heap.lock();
        let is_first = heap.peek().is_none_or(|Reverse((first, _))| at < *first);
        heap.push(Reverse((at, record)));
        if is_first {
            self.wake.notify_one();
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.lock().peek().map(|Reverse((at, _))| *at)
    }

    pub(crate) fn pop_due(&self, now: Instant) -> Option<Expiring> {
        let mut heap = self.heap.lock();
        if heap.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            heap.pop().map(|Reverse((_, record))| record)
        } else {
            None
        }
    }
}
