//! The Rust interface to faults: [`FaultBuilder`] and [`FaultHandle`].

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use crate::{
    control::{Control, Outcome, apply::apply},
    operation::Target,
    state::fault::{Breakage, CloseFrame, Entries, Fault, Fill, Redirect},
    world::World,
};

/// A fault under construction; made by [`Sandbox::fail`](crate::Sandbox::fail).
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

    /// Skips the first `requests` that match.
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

    /// Sets a header of the answer, for example `Retry-After`; also of the normal answer.
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

    /// Sets a value in the answer, by JSON pointer: `set("/device/uri", json!(null))`. `*` stands
    /// for every item or field. A missing last field is added.
    pub fn set(mut self, pointer: impl Into<String>, value: Value) -> Self {
        self.fault.set.insert(pointer.into(), value);
        self
    }

    /// Answers normally, with every authority in the answer replaced by this one (`host:port`, or
    /// with `http://` in front): hosts of a catalog, URIs of a discovery, addresses of a device or
    /// socket.
    pub fn foreign(mut self, authority: impl Into<String>) -> Self {
        self.fault.foreign = Some(authority.into());
        self
    }

    /// Answers normally, with the list or object at this JSON pointer filled up with copies of its
    /// entries: `entries("/primary/uris", 60_000)`.
    pub fn entries(mut self, pointer: impl Into<String>, count: usize) -> Self {
        self.fault.entries = Some(Entries { at: pointer.into(), count });
        self
    }

    /// Makes the body of the answer oversized.
    pub fn fill(mut self, fill: Fill) -> Self {
        self.fault.fill = Some(fill);
        self
    }

    /// Redirects the client.
    pub fn redirect(mut self, redirect: Redirect) -> Self {
        self.fault.redirect = Some(redirect);
        self
    }

    /// Answers with an error (400, unless [`with`](Self::with) says otherwise) that repeats what the
    /// client sent: the `Authorization` header, the body and each value in it, plain, percent-encoded
    /// and in base64. On a Mercury authorization: closes with the token in the reason.
    pub fn quote(mut self) -> Self {
        self.fault.quote = true;
        self
    }

    /// Answers with the HTML page of a captive portal; 200 unless [`with`](Self::with) says
    /// otherwise.
    pub fn portal(mut self) -> Self {
        self.fault.portal = true;
        self
    }

    /// Lets the request take effect before the fault replaces or drops the answer: the answer is
    /// lost, its effect is not.
    pub fn carried_out(mut self) -> Self {
        self.fault.carried_out = true;
        self
    }

    /// Waits before anything else happens. Used alone, it only makes the normal answer late.
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
#[derive(Debug, Clone)]
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

    /// Its number in the control API.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How often it fired.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::Acquire)
    }

    /// Ends it. Does nothing when it has already ended.
    pub fn clear(&self) {
        if let Some(world) = self.world.upgrade() {
            // Another caller may have cleared it.
            let _ = apply(&world, Control::ClearFault { fault: self.id });
        }
    }
}
