//! The link: one user's WDM device and Mercury socket, kept up while somebody needs them.
//!
//! Products do not own the device; they hold a [`Lease`]. The first lease brings the link up, the
//! last one released takes it down, so that Meetings and Calling can share a device without
//! knowing each other. One task per user (the driver) owns both; it is started by the first
//! lease and ends when all handles are gone, after giving up what is left in the cloud.
//!
//! ```text
//!   Meetings ── Lease ─┐                          ┌─ device::machine   (policy, no I/O)
//!   Calling ─── Lease ─┴─► commands ► driver task ┤
//!                   ▲                    │        └─ mercury::machine
//!                   └── state, events ◄──┘
//! ```

#[cfg(test)]
mod close_tests;
mod driver;
mod machine;
#[cfg(test)]
mod simulation;
mod sleep;
mod socket;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::{machine::Phase, sleep::SLEEP_CHECK_INTERVAL};
use crate::{
    catalog::CatalogError,
    device::Device,
    error::{ErrorKind, HttpError},
    events::{Hub, Lossy, Subscription},
    mercury::{MercuryEvent, Topic, close::Stop, machine::Switchover},
    webex::Core,
};

/// What the link is at.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LinkState {
    /// Where it is.
    pub phase: Phase,
    /// The device, while one is registered.
    pub device: Option<Arc<Device>>,
    /// Whether the socket is online.
    pub online: bool,
    /// The latest failure of the present attempt.
    pub failure: Option<LinkError>,
}

/// What happens on the link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The socket is online (again).
    Online,
    /// The socket is gone; it is being opened anew unless nobody wants it.
    Offline,
    /// The link is wanted, but was refused for good: the device by its service, or the socket with
    /// a close code that forbids to come back, such as 4000 `Replaced`. Nothing is tried any more
    /// until the link is acquired anew.
    Failed(LinkError),
    /// The server of the socket announced its end; tells how the change to another one goes. Events
    /// keep arriving meanwhile, each once.
    Switchover(Switchover),
    /// An event of a Webex service.
    Event(Arc<MercuryEvent>),
    /// Events were lost on the way here: whoever follows a state has to fetch it anew.
    SequenceGap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        actual: u64,
    },
    /// The network may have changed: [`Webex::network_changed`](crate::Webex::network_changed) was
    /// called. Whoever waits to try something again may try now, and whoever holds something that
    /// depends on a path may check it.
    NetworkChanged,
    /// The machine has slept, or may have: found by itself, or told by
    /// [`Webex::resumed`](crate::Webex::resumed). Timers that should have fired meanwhile have not.
    Resumed,
    /// This reader was too slow; so many events were dropped.
    Lost(u64),
}

impl Lossy for LinkEvent {
    fn lost(count: u64) -> Self {
        Self::Lost(count)
    }
}

/// Why the link is not up, or not down.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The service catalog is missing.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The device could not be registered, refreshed or deleted.
    #[error("the device could not be {action}: {source}")]
    Device {
        /// `registered`, `refreshed`, `listed` or `deleted`.
        action: &'static str,
        /// What the service answered.
        source: HttpError,
    },
    /// The user has as many devices as are allowed, and none of this program's could make room.
    #[error("the user has {registered} devices, {own} of them this program's and in use: {source}")]
    TooManyDevices {
        /// Devices of the user.
        registered: usize,
        /// How many of them are this program's, by name and type.
        own: usize,
        /// What the service answered.
        source: HttpError,
    },
    /// The socket was refused for good.
    #[error("the event socket was refused: {}", reason(*.0))]
    Refused(Stop),
    /// A service has answered 451 to some request of the user: the user has been signed out, and
    /// the device was given up.
    #[error("Webex is not available to this user here, for legal reasons")]
    Embargoed,
    /// The link's task has ended: the client was dropped.
    #[error("the client has been closed")]
    Closed,
}

impl LinkError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Catalog(error) => error.kind(),
            Self::Device { source, .. } | Self::TooManyDevices { source, .. } => source.kind(),
            Self::Refused(Stop::Unauthorized) => ErrorKind::Unauthorized,
            Self::Refused(Stop::NotEntitled | Stop::BadRequest) => ErrorKind::Forbidden,
            Self::Refused(Stop::Replaced) => ErrorKind::Cancelled,
            Self::Refused(Stop::Untrusted) => ErrorKind::Protocol,
            Self::Embargoed => ErrorKind::Embargoed,
            Self::Closed => ErrorKind::InvalidState,
        }
    }

    /// The tracking id to quote to Webex support.
    pub fn tracking_id(&self) -> Option<&str> {
        self.request()?.tracking_id()
    }

    /// The request that went wrong, when it was one.
    pub(crate) fn request(&self) -> Option<&HttpError> {
        match self {
            Self::Catalog(CatalogError::Fetch(error))
            | Self::Device { source: error, .. }
            | Self::TooManyDevices { source: error, .. } => Some(error),
            _ => None,
        }
    }
}

fn reason(stop: Stop) -> &'static str {
    match stop {
        Stop::BadRequest => "these credentials cannot be used for events",
        Stop::NotEntitled => "the user is not entitled to events",
        Stop::Replaced => "another connection of the same device took over",
        Stop::Unauthorized => "the access token was refused; sign in again",
        Stop::Untrusted => "its host may not receive the access token",
    }
}

/// The way to the link of one user. Clones are the same link.
#[derive(Clone, Debug)]
pub struct Link {
    /// Boxed, because the channel of an idle client has room for many of them.
    commands: mpsc::UnboundedSender<Box<Command>>,
    state: watch::Receiver<LinkState>,
    events: Arc<Hub<LinkEvent>>,
}

#[derive(Debug)]
enum Command {
    Acquire(oneshot::Sender<()>),
    Release { held: bool, reason: &'static str, done: Option<Released> },
    Hint(Hint),
}

/// What the host tells about the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    NetworkChanged,
    Resumed,
}

/// Where the outcome of a release is told.
type Released = oneshot::Sender<Result<(), LinkError>>;

impl Link {
    /// Starts the link's task on the present tokio runtime.
    pub(crate) fn start(core: Arc<Core>) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (publish, state) = watch::channel(LinkState::default());
        let events = Arc::new(Hub::default());
        tokio::spawn(driver::run(core, inbox, publish, Arc::clone(&events)));
        Self { commands, state, events }
    }

    /// Wants the link from now on, until the lease is released or dropped.
    ///
    /// # Errors
    /// [`LinkError::Closed`] when the link's task is gone.
    pub async fn acquire(&self) -> Result<Lease, LinkError> {
        let (done, acquired) = oneshot::channel();
        self.commands.send(Box::new(Command::Acquire(done))).map_err(|_| LinkError::Closed)?;
        // From here on dropping this future must release what the task will have granted.
        let lease = Lease { link: self.clone(), released: AtomicBool::new(false) };
        acquired.await.map_err(|_| LinkError::Closed)?;
        Ok(lease)
    }

    /// Passes on what the host knows of the network.
    pub(crate) fn hint(&self, hint: Hint) {
        // An ended task has nothing to check.
        let _ = self.commands.send(Box::new(Command::Hint(hint)));
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> Subscription<LinkEvent> {
        self.events.subscribe()
    }

    /// Events of Webex services from now on, by name or namespace: see [`Topic`] for the names.
    ///
    /// Besides [`LinkEvent::Event`] it brings [`LinkEvent::SequenceGap`], after which what follows
    /// from the events has to be fetched anew, and [`LinkEvent::Lost`].
    pub fn subscribe_to(&self, name: &str) -> Subscription<LinkEvent> {
        let topic = Topic::new(name);
        self.events.subscribe_if(move |event| match event {
            LinkEvent::Event(event) => topic.includes(&event.event_type),
            LinkEvent::SequenceGap { .. } => true,
            _ => false,
        })
    }

    /// What the link is at.
    pub fn state(&self) -> LinkState {
        self.state.borrow().clone()
    }
}

/// A share in the link. While any lease is held, device and socket are kept up.
///
/// Dropping it releases it in the background: a device that is kept across restarts then stays
/// registered for the next start. [`release`](Self::release) deletes it, waits and tells.
#[derive(Debug)]
pub struct Lease {
    link: Link,
    released: AtomicBool,
}

impl Lease {
    /// Waits for the device.
    ///
    /// # Errors
    /// Why there will be none.
    pub async fn device(&self) -> Result<Arc<Device>, LinkError> {
        self.wait(|state| state.device.clone()).await
    }

    /// Waits for the socket to be online, as long as it takes: a service that cannot be had is tried
    /// again and again. Whoever has a deadline wraps this in `tokio::time::timeout`; dropping the
    /// future changes nothing.
    ///
    /// # Errors
    /// Why it will not be.
    pub async fn online(&self) -> Result<(), LinkError> {
        self.wait(|state| state.online.then_some(())).await
    }

    /// Gives the share back. The last one closes the socket, with `reason` in its close frame, and
    /// deletes the device, also one that is kept across restarts; this waits for it. May be called
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

    /// Whether the share has not been given back.
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
            // An ended task has released everything already.
            let _ = self.link.commands.send(Box::new(command));
        }
    }
}
