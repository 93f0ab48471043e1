//! The handle of the link, and its leases.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    command::{Command, Hint},
    driver,
    error::LinkError,
    event::LinkEvent,
    machine::Phase,
    state::LinkState,
};
use crate::{
    core::Core,
    device::record::Device,
    events::{Hub, Subscription},
    mercury::topic::Topic,
};

/// The handle of one user's link. Clones are the same link.
#[derive(Debug, Clone)]
pub struct Link {
    /// Boxed, because the channel of an idle client reserves space for many commands.
    commands: mpsc::UnboundedSender<Box<Command>>,
    state: watch::Receiver<LinkState>,
    events: Arc<Hub<LinkEvent>>,
}

impl Link {
    /// Starts the link's task on the current tokio runtime.
    pub(crate) fn start(core: Arc<Core>) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (publish, state) = watch::channel(LinkState::default());
        let events = Arc::new(Hub::default());
        tokio::spawn(driver::run(core, inbox, publish, Arc::clone(&events)));
        Self { commands, state, events }
    }

    /// Keeps the link up until the lease is released or dropped.
    ///
    /// # Errors
    /// [`LinkError::Closed`] when the link's task is gone.
    pub async fn acquire(&self) -> Result<Lease, LinkError> {
        let (done, acquired) = oneshot::channel();
        self.commands.send(Box::new(Command::Acquire(done))).map_err(|_| LinkError::Closed)?;
        // From here on, dropping this future must release the lease that the task grants.
        let lease = Lease { link: self.clone(), released: AtomicBool::new(false) };
        acquired.await.map_err(|_| LinkError::Closed)?;
        Ok(lease)
    }

    /// Waits until everything that is no longer held has been given up: dropped leases, and dropped
    /// starts. Returns at once while a lease is held.
    ///
    /// # Errors
    /// When the service did not confirm that the device is gone.
    pub async fn settled(&self) -> Result<(), LinkError> {
        let (done, settled) = oneshot::channel();
        self.commands.send(Box::new(Command::Settle(done))).map_err(|_| LinkError::Closed)?;
        settled.await.unwrap_or(Err(LinkError::Closed))
    }

    /// As [`settled`](Self::settled), and also deletes a device that was left for the next start,
    /// as [`Lease::release`] would have done. For callers that have no lease any more.
    ///
    /// # Errors
    /// As [`settled`](Self::settled).
    pub async fn give_up(&self, reason: &'static str) -> Result<(), LinkError> {
        let (done, released) = oneshot::channel();
        let command = Command::Release { held: false, reason, done: Some(done) };
        self.commands.send(Box::new(command)).map_err(|_| LinkError::Closed)?;
        released.await.unwrap_or(Err(LinkError::Closed))
    }

    /// Closes the socket until a hint reports that the application is back.
    pub(crate) async fn suspend(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Box::new(Command::Suspend(done))).is_ok() {
            let _ = closed.await; // an ended task has already closed everything
        }
    }

    /// Passes on a hint of the host application.
    pub(crate) fn hint(&self, hint: Hint) {
        // An ended task has nothing to check.
        let _ = self.commands.send(Box::new(Command::Hint(hint)));
    }

    /// Subscribes to the events of the link from now on.
    pub fn subscribe(&self) -> Subscription<LinkEvent> {
        self.events.subscribe()
    }

    /// Subscribes to events of Webex services from now on, by name or namespace: see [`Topic`] for the names.
    ///
    /// Besides [`LinkEvent::Event`] the subscription gets [`LinkEvent::SequenceGap`], after which
    /// state derived from events has to be fetched again, and [`LinkEvent::Lost`].
    pub fn subscribe_to(&self, name: &str) -> Subscription<LinkEvent> {
        let topic = Topic::new(name);
        self.events.subscribe_if(move |event| match event {
            LinkEvent::Event(event) => topic.includes(&event.event_type),
            LinkEvent::SequenceGap { .. } => true,
            _ => false,
        })
    }

    /// The current state of the link.
    pub fn state(&self) -> LinkState {
        self.state.borrow().clone()
    }
}

/// A lease on the link. While any lease is held, device and socket are kept up.
///
/// Dropping it releases it in the background; a device that is saved across restarts then stays
/// registered for the next start. [`release`](Self::release) deletes it, waits, and returns the
/// outcome.
#[derive(Debug)]
pub struct Lease {
    link: Link,
    released: AtomicBool,
}

impl Lease {
    /// Waits for the device.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn device(&self) -> Result<Arc<Device>, LinkError> {
        self.wait(|state| state.device.clone()).await
    }

    /// Waits until the socket is online, as long as it takes: the SDK keeps trying while the
    /// service is unavailable. For a deadline use `tokio::time::timeout`; dropping the future
    /// changes nothing.
    ///
    /// # Errors
    /// Why it cannot be online.
    pub async fn online(&self) -> Result<(), LinkError> {
        self.wait(|state| state.online.then_some(())).await
    }

    /// Gives the lease back. The last one closes the socket, with `reason` in its close frame, and
    /// deletes the device, also one that is saved across restarts; this waits for it. May be called
    /// again after a failure.
    ///
    /// # Errors
    /// When the service did not confirm that the device is gone.
    pub async fn release(&self, reason: &'static str) -> Result<(), LinkError> {
        let held = !self.released.swap(true, Ordering::AcqRel);
        let (done, released) = oneshot::channel();
        let command = Command::Release { held, reason, done: Some(done) };
        self.link.commands.send(Box::new(command)).map_err(|_| LinkError::Closed)?;
        released.await.unwrap_or(Err(LinkError::Closed))
    }

    /// Whether the lease is still held.
    pub fn is_held(&self) -> bool {
        !self.released.load(Ordering::Acquire)
    }

    async fn wait<T>(&self, ready: impl Fn(&LinkState) -> Option<T>) -> Result<T, LinkError> {
        let mut state = self.link.state.clone();
        loop {
            {
                let state = state.borrow_and_update();
                if let Some(value) = ready(&state) {
                    return Ok(value);
                }
                if let (Phase::Failed, Some(failure)) = (state.phase, &state.failure) {
                    return Err(failure.clone());
                }
            }
            state.changed().await.map_err(|_| LinkError::Closed)?;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_held() {
            let command = Command::Release { held: true, reason: "done", done: None };
            // An ended task has already released everything.
            let _ = self.link.commands.send(Box::new(command));
        }
    }
}
