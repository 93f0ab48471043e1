//! Faults: scripted misbehaviour.
//!
//! A [`Fault`] says what it applies to, how often, and what happens. Faults are asked in the order they
//! were added and the first that applies is used, so several with a count make a sequence: first 503
//! twice, then 429 once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Change, World};
use crate::builder::seconds;
use crate::operation::{Operation, Target};

/// A fault being described; made by [`Sandbox::fail`](crate::Sandbox::fail).
///
/// First narrow it down ([`on`](Self::on), [`for_user`](Self::for_user), [`after`](Self::after)), then
/// say what happens ([`with`](Self::with), [`refuse`](Self::refuse), …), then how often: it takes
/// effect with [`once`](Self::once), [`times`](Self::times) or [`always`](Self::always).
#[derive(Debug)]
#[must_use = "a fault takes effect with once(), times() or always()"]
pub struct FaultBuilder<'a> {
    world: &'a Arc<World>,
    fault: Fault,
}

impl<'a> FaultBuilder<'a> {
    pub(crate) fn new(world: &'a Arc<World>, target: Target) -> Self {
        Self { world, fault: Fault::new(target) }
    }

    /// Only at this Mobius instance.
    pub fn on(mut self, instance: impl Into<String>) -> Self {
        self.fault.instance = Some(instance.into());
        self
    }

    /// Only for requests that carry a live token of this user.
    pub fn for_user(mut self, user: impl AsRef<str>) -> Self {
        self.fault.user = Some(user.as_ref().to_owned());
        self
    }

    /// Lets the next `requests` that match pass first.
    pub fn after(mut self, requests: u64) -> Self {
        self.fault.skip = requests;
        self
    }

    /// Answers with this HTTP status. On a Mercury frame: closes with the close code that stands for
    /// the status (401 → 4401).
    pub fn with(mut self, status: u16) -> Self {
        self.fault.status = Some(status);
        self
    }

    /// Adds a header to the answer, for example `Retry-After`.
    pub fn header(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.fault.headers.insert(name.into(), value.to_string());
        self
    }

    /// Sets the body of the answer; a JSON string is sent as plain text.
    pub fn body(mut self, body: Value) -> Self {
        self.fault.body = Some(body);
        self
    }

    /// Answers normally, but with this merge patch (RFC 7386) applied to the JSON of the answer:
    /// fields are replaced, fields that are `null` in the patch are removed.
    pub fn merge(mut self, patch: Value) -> Self {
        self.fault.merge = Some(patch);
        self
    }

    /// Waits before anything else happens. Alone: answers normally, only later.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.fault.delay = delay;
        self
    }

    /// Closes without an answer: HTTP/1 closes the connection, HTTP/2 only the stream, Mercury drops
    /// the socket without a close frame.
    pub fn refuse(mut self) -> Self {
        self.fault.breakage = Some(Breakage::Refuse);
        self
    }

    /// Resets the whole TCP connection (RST).
    pub fn reset(mut self) -> Self {
        self.fault.breakage = Some(Breakage::Reset);
        self
    }

    /// Never answers. On a Mercury frame: ignores this frame.
    pub fn hang(mut self) -> Self {
        self.fault.breakage = Some(Breakage::Hang);
        self
    }

    /// Closes the Mercury socket with this code and reason. At [`connect`](crate::Mercury::connect)
    /// the upgrade succeeds first.
    pub fn close(mut self, code: u16, reason: impl Into<String>) -> Self {
        self.fault.close = Some(CloseFrame { code, reason: reason.into() });
        self
    }

    /// Takes effect for the next request that matches.
    pub fn once(self) -> FaultHandle {
        self.times(1)
    }

    /// Takes effect for the next `n` requests that match.
    pub fn times(mut self, n: u64) -> FaultHandle {
        self.fault.times = Some(n);
        self.always()
    }

    /// Takes effect until cleared.
    pub fn always(self) -> FaultHandle {
        FaultHandle::add(self.world, self.fault)
    }
}

/// A fault in JSON form, as the control API takes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fault {
    #[serde(deserialize_with = "target_from_text")]
    pub(crate) target: Target,
    pub(crate) instance: Option<String>,
    /// User id.
    pub(crate) user: Option<String>,
    pub(crate) skip: u64,
    /// How often it still fires; `None` for ever.
    pub(crate) times: Option<u64>,
    #[serde(rename = "delay_s", with = "seconds")]
    pub(crate) delay: Duration,
    pub(crate) status: Option<u16>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<Value>,
    pub(crate) merge: Option<Value>,
    #[serde(rename = "break")]
    pub(crate) breakage: Option<Breakage>,
    pub(crate) close: Option<CloseFrame>,
}

impl Fault {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            instance: None,
            user: None,
            skip: 0,
            times: None,
            delay: Duration::ZERO,
            status: None,
            headers: BTreeMap::new(),
            body: None,
            merge: None,
            breakage: None,
            close: None,
        }
    }
}

impl Default for Fault {
    fn default() -> Self {
        Self::new(Target::Everything)
    }
}

/// Ways not to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Breakage {
    Refuse,
    Reset,
    Hang,
}

/// Code and reason of a websocket close frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseFrame {
    /// Close code.
    pub code: u16,
    /// Reason, at most 123 bytes.
    #[serde(default)]
    pub reason: String,
}

/// A fault in effect. Dropping the handle leaves the fault in place.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    world: Weak<World>,
    id: u64,
    fired: Arc<AtomicU64>,
}

impl FaultHandle {
    pub(crate) fn add(world: &Arc<World>, fault: Fault) -> Self {
        let (id, fired) = world.faults.add(fault);
        world.changed(|| Change::FaultsChanged);
        Self { world: Arc::downgrade(world), id, fired }
    }

    /// Number by which the control API knows it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How often it was used.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::Acquire)
    }

    /// Ends it. Harmless when it has ended already.
    pub fn clear(&self) {
        if let Some(world) = self.world.upgrade() {
            world.clear_fault(self.id);
        }
    }
}

/// All faults, in the order they were added. Those used up stay, for the count, until cleared.
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
    /// Used-up faults remembered; older ones are forgotten.
    const USED_UP_KEPT: usize = 1_000;

    fn add(&self, fault: Fault) -> (u64, Arc<AtomicU64>) {
        let mut list = self.list.lock();
        list.last_id += 1;
        let id = list.last_id;
        let fired = Arc::new(AtomicU64::new(0));
        if list.entries.len() >= Self::USED_UP_KEPT
            && let Some(at) = list.entries.iter().position(|entry| !entry.is_active())
        {
            list.entries.remove(at);
        }
        list.entries.push(FaultEntry { id, fault, fired: Arc::clone(&fired) });
        self.recount(&list);
        (id, fired)
    }

    /// The fault for a request, if any; counts it.
    pub(crate) fn take(
        &self,
        operation: Operation,
        instance: Option<&str>,
        user: Option<&str>,
    ) -> Option<(u64, Fault)> {
        // The common case costs one load.
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

    fn clear(&self, id: u64) -> bool {
        let mut list = self.list.lock();
        let before = list.entries.len();
        list.entries.retain(|entry| entry.id != id);
        self.recount(&list);
        list.entries.len() < before
    }

    fn clear_all(&self) {
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

impl World {
    /// The fault for a request or frame, if any.
    pub(crate) fn fault_for(
        &self,
        operation: Operation,
        instance: Option<&str>,
        user: Option<&str>,
    ) -> Option<Fault> {
        let (id, fault) = self.faults.take(operation, instance, user)?;
        self.changed(|| Change::FaultFired { id, operation });
        Some(fault)
    }

    /// Ends a fault. `false` when there is none of this number.
    pub(crate) fn clear_fault(&self, id: u64) -> bool {
        let known = self.faults.clear(id);
        self.changed(|| Change::FaultsChanged);
        known
    }

    /// Ends all faults.
    pub(crate) fn clear_faults(&self) {
        self.faults.clear_all();
        self.changed(|| Change::FaultsChanged);
    }

    /// Forgets the requests received so far.
    pub(crate) fn clear_requests(&self) {
        self.log.clear();
        self.changed(|| Change::RequestsForgotten);
    }
}

fn target_from_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Target, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}
