//! Ends devices and lines whose time is up.
//!
//! A heap holds a deadline per record that is never later than the record's own. A refresh or keepalive
//! only moves the latter (the heap is told when it moves forward); when the heap's comes up and finds the record alive, it is armed again. So a keepalive
//! costs no search, however many lines there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::World;

/// What may expire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mortal {
    Device(String),
    Line(String),
}

#[derive(Debug, Default)]
pub(crate) struct Expiry {
    heap: Mutex<BinaryHeap<Reverse<(Instant, Mortal)>>>,
    wake: Notify,
}

impl Expiry {
    /// Looks at `mortal` again at `at`.
    pub(crate) fn arm(&self, at: Instant, mortal: Mortal) {
        let mut heap = self.heap.lock();
        let is_first = heap.peek().is_none_or(|Reverse((first, _))| at < *first);
        heap.push(Reverse((at, mortal)));
        if is_first {
            self.wake.notify_one();
        }
    }

    fn next(&self) -> Option<Instant> {
        self.heap.lock().peek().map(|Reverse((at, _))| *at)
    }

    fn pop_due(&self, now: Instant) -> Option<Mortal> {
        let mut heap = self.heap.lock();
        if heap.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            heap.pop().map(|Reverse((_, mortal))| mortal)
        } else {
            None
        }
    }
}

/// Runs for the life of the sandbox.
pub(crate) async fn run(world: Arc<World>) {
    loop {
        bury(&world);
        let wake = world.expiry.wake.notified();
        match world.expiry.next() {
            Some(at) => tokio::select! {
                () = sleep_until(at) => {}
                () = wake => {}
            },
            None => wake.await,
        }
    }
}

fn bury(world: &Arc<World>) {
    let now = Instant::now();
    while let Some(mortal) = world.expiry.pop_due(now) {
        let expires = match &mortal {
            Mortal::Device(id) => world.devices.lock().get(id).map(|entry| entry.expires),
            Mortal::Line(id) => world.lines.lock().get(id).map(|entry| entry.expires),
        };
        match (expires, &mortal) {
            (None, _) => {}
            (Some(expires), _) if expires > now => world.expiry.arm(expires, mortal),
            (Some(_), Mortal::Device(id)) => {
                world.remove_device(id, true);
            }
            (Some(_), Mortal::Line(id)) => {
                world.remove_line(id, true);
            }
        }
    }
}
