//! Faults in Rust: [`FaultBuilder`] and [`FaultHandle`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::Value;

use crate::control::apply::apply;
use crate::control::{Control, Outcome};
use crate::operation::Target;
use crate::state::faults::{Breakage, CloseFrame, Fault};
use crate::world::World;

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

/// A fault in effect. Dropping the handle leaves the fault in place.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    world: Weak<World>,
    id: u64,
    fired: Arc<AtomicU64>,
}

impl FaultHandle {
    fn add(world: &Arc<World>, fault: Fault) -> Self {
        let Ok(Outcome::Fault { id }) = apply(world, Control::AddFault(fault)) else {
            unreachable!("a fault can always be added")
        };
        let fired = world.faults.counter(id).unwrap_or_default();
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
            // It may have been cleared by others.
            let _ = apply(&world, Control::ClearFault { fault: self.id });
        }
    }
}
