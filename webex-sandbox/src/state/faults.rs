//! The faults in effect.
//!
//! Faults are tried in the order they were added, and the first that applies is used. Several
//! faults with a count therefore make a sequence: first 503 twice, then 429 once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use serde_json::Value;

use crate::{operation::Operation, state::fault::Fault};

/// All faults, in the order they were added. Used-up faults stay until they are cleared, so that their count can be read.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    active: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    last_id: u64,
    entries: Vec<FaultEntry>,
}

#[derive(Debug)]
struct FaultEntry {
    id: u64,
    fault: Fault,
    fired: Arc<AtomicU64>,
}

impl FaultEntry {
    fn is_active(&self) -> bool {
        self.fault.times != Some(0)
    }

    fn applies(&self, operation: Operation, instance: Option<&str>, user: Option<&str>) -> bool {
        let fault = &self.fault;
        self.is_active()
            && fault.target.covers(operation)
            && (fault.instance.is_none() || fault.instance.as_deref() == instance)
            && (fault.user.is_none() || fault.user.as_deref() == user)
    }
}

impl Faults {
    /// Number of used-up faults kept; older ones are dropped.
    const USED_UP_KEPT: usize = 1_000;

    /// Adds a fault; returns its number.
    pub(crate) fn add(&self, fault: Fault) -> u64 {
        let mut list = self.list.lock();
        list.last_id += 1;
        let id = list.last_id;
        if list.entries.len() >= Self::USED_UP_KEPT
            && let Some(at) = list.entries.iter().position(|entry| !entry.is_active())
        {
            list.entries.remove(at);
        }
        list.entries.push(FaultEntry { id, fault, fired: Arc::default() });
        self.recount(&list);
        id
    }

    /// The live counter of how often a fault fired.
    pub(crate) fn counter(&self, id: u64) -> Option<Arc<AtomicU64>> {
        let list = self.list.lock();
        list.entries.iter().find(|entry| entry.id == id).map(|entry| Arc::clone(&entry.fired))
    }

    /// Returns the fault for a request, if any, and counts it.
    pub(crate) fn take(
        &self,
        operation: Operation,
        instance: Option<&str>,
        user: Option<&str>,
    ) -> Option<(u64, Fault)> {
        // Without faults, the common case, this costs one load.
        if self.active.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut list = self.list.lock();
        for entry in &mut list.entries {
            if !entry.applies(operation, instance, user) {
                continue;
            }
            if entry.fault.skip > 0 {
                entry.fault.skip -= 1;
                continue;
            }
            if let Some(left) = &mut entry.fault.times {
                *left -= 1;
            }
            entry.fired.fetch_add(1, Ordering::AcqRel);
            let taken = (entry.id, entry.fault.clone());
            self.recount(&list);
            return Some(taken);
        }
        None
    }

    pub(crate) fn clear(&self, id: u64) -> bool {
        let mut list = self.list.lock();
        let before = list.entries.len();
        list.entries.retain(|entry| entry.id != id);
        self.recount(&list);
        list.entries.len() < before
    }

    pub(crate) fn clear_all(&self) {
        let mut list = self.list.lock();
        list.entries.clear();
        self.recount(&list);
    }

    /// Every fault with its id and count, as JSON.
    pub(crate) fn describe(&self) -> Vec<Value> {
        let list = self.list.lock();
        list.entries
            .iter()
            .map(|entry| {
                let mut value = serde_json::to_value(&entry.fault).unwrap_or_default();
                value["id"] = entry.id.into();
                value["fired"] = entry.fired.load(Ordering::Acquire).into();
                value
            })
            .collect()
    }

    fn recount(&self, list: &List) {
        let active = list.entries.iter().filter(|entry| entry.is_active()).count();
        self.active.store(active, Ordering::Release);
    }
}
