//! Registers a Webex Meetings device: what the documentation calls `meetings:ready`,
//! `meetings.register()` and `meetings.unregister()`.
//!
//! ```no_run
//! use webex_core::{Credentials, Webex};
//! use webex_meetings::Meetings;
//!
//! # async fn example(token: String) -> Result<(), Box<dyn std::error::Error>> {
//! let webex = Webex::builder().credentials(Credentials::access_token(token)).build()?;
//! let meetings = Meetings::new(&webex);
//! let mut events = meetings.subscribe();
//! meetings.register().await?;
//! while let Some(event) = events.next().await {
//!     println!("{}", event.name());
//!     # break;
//! }
//! meetings.unregister().await?;
//! # Ok(()) }
//! ```
//!
//! `register` and `unregister` may be called at any time and from any task: they are carried out
//! one after the other, and asking for what is already so succeeds at once. Dropping the future of
//! a `register` under way withdraws it; whatever it had created is given up in the background.

mod events;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex as StateLock;
use thiserror::Error;
use tokio::sync::Mutex;
use tracing::debug;
use webex_core::{
    CatalogError, ErrorKind, Lease, LinkError, LinkEvent, Subscription, Webex, events::Hub,
};

pub use self::events::MeetingsEvent;

/// How long [`Meetings::register`] may take before it gives up and cleans up. The reference client
/// waits for ever when the event socket cannot be had; three back-off rounds of the socket fit in
/// here.
pub const REGISTER_TIMEOUT: Duration = Duration::from_secs(60);

/// Reason in the close frame of the event socket, the reference client's.
const CLOSE_REASON: &str = "meetings unregister";

/// What the Meetings device is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MeetingsState {
    /// Not registered.
    #[default]
    Unregistered,
    /// [`Meetings::register`] is under way.
    Registering,
    /// Registered: events arrive.
    Registered,
    /// [`Meetings::unregister`] is under way.
    Unregistering,
}

/// Why the Meetings device could not be registered or unregistered.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum MeetingsError {
    /// The service catalog is missing.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The device or its event socket could not be had, or not be given up.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Registration was not complete in time; what it had created is given up.
    #[error("the meetings device was not registered within {} s", .0.as_secs())]
    Timeout(Duration),
}

impl MeetingsError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Catalog(error) => error.kind(),
            Self::Link(error) => error.kind(),
            Self::Timeout(_) => ErrorKind::Timeout,
        }
    }
}

/// The Meetings device of one user. Clones are the same device.
#[derive(Debug, Clone)]
pub struct Meetings(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    webex: Webex,
    state: StateLock<MeetingsState>,
    events: Arc<Hub<MeetingsEvent>>,
    /// Held while an operation is under way, so that they follow one another.
    registration: Mutex<Option<Registration>>,
}

/// What being registered consists of.
#[derive(Debug)]
struct Registration {
    lease: Lease,
    /// Tells of the socket's coming and going; ends with the registration.
    watch: tokio::task::JoinHandle<()>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Meetings {
    /// The Meetings device of this user. Does no I/O.
    pub fn new(webex: &Webex) -> Self {
        Self(Arc::new(Inner {
            webex: webex.clone(),
            state: StateLock::default(),
            events: Arc::new(Hub::default()),
            registration: Mutex::default(),
        }))
    }

    /// Events from now on. Subscribe before [`register`](Self::register) to miss none.
    pub fn subscribe(&self) -> Subscription<MeetingsEvent> {
        self.0.events.subscribe()
    }

    /// What the device is at.
    pub fn state(&self) -> MeetingsState {
        *self.0.state.lock()
    }

    /// Waits until the device can be registered: the service catalog is at hand. Emits
    /// [`MeetingsEvent::Ready`].
    ///
    /// # Errors
    /// [`MeetingsError::Catalog`] with the cause.
    pub async fn ready(&self) -> Result<(), MeetingsError> {
        self.0.webex.ready().await?;
        self.0.events.emit(&MeetingsEvent::Ready);
        Ok(())
    }

    /// Registers the device: service catalog, WDM device, event socket. Emits
    /// [`MeetingsEvent::Registered`] once [`state`](Self::state) says so.
    ///
    /// Succeeds at once, without an event, when it is registered already.
    ///
    /// # Errors
    /// [`MeetingsError`] with the cause; then nothing is left registered.
    pub async fn register(&self) -> Result<(), MeetingsError> {
        let mut registration = self.0.registration.lock().await;
        // A share that an interrupted `unregister` gave back is no registration.
        if registration.as_ref().is_some_and(|present| present.lease.is_held()) {
            return Ok(());
        }
        let state = Transition::begin(&self.0.state, MeetingsState::Registering);
        let online = async {
            let lease = self.0.webex.link().acquire().await?;
            lease.online().await.map(|()| lease)
        };
        // Dropping the lease on the way out gives the device up again.
        let lease = tokio::time::timeout(REGISTER_TIMEOUT, online)
            .await
            .map_err(|_| MeetingsError::Timeout(REGISTER_TIMEOUT))??;
        *registration = Some(Registration { lease, watch: self.watch_network() });
        state.end(MeetingsState::Registered);
        self.0.events.emit(&MeetingsEvent::Registered);
        Ok(())
    }

    /// Unregisters the device: closes the event socket and deletes the WDM device, unless a line of
    /// the same user still needs them. Emits [`MeetingsEvent::Unregistered`].
    ///
    /// Succeeds at once, without an event, when it is not registered.
    ///
    /// # Errors
    /// [`MeetingsError::Link`] when the service did not confirm; the device still counts as
    /// registered then, and the call can be repeated.
    pub async fn unregister(&self) -> Result<(), MeetingsError> {
        let mut registration = self.0.registration.lock().await;
        let Some(present) = registration.as_ref() else { return Ok(()) };
        let state = Transition::begin(&self.0.state, MeetingsState::Unregistering);
        present.watch.abort();
        present.lease.release(CLOSE_REASON).await?;
        *registration = None;
        state.end(MeetingsState::Unregistered);
        self.0.events.emit(&MeetingsEvent::Unregistered);
        Ok(())
    }

    /// Tells the subscribers when the event socket goes and comes back.
    fn watch_network(&self) -> tokio::task::JoinHandle<()> {
        let mut link = self.0.webex.link().subscribe();
        let events = Arc::clone(&self.0.events);
        tokio::spawn(async move {
            while let Some(event) = link.next().await {
                match event {
                    LinkEvent::Offline => events.emit(&MeetingsEvent::NetworkDisconnected),
                    LinkEvent::Online => events.emit(&MeetingsEvent::NetworkConnected),
                    other => debug!(?other, "event"),
                }
            }
        })
    }
}

/// A state that is left again unless the operation completes: also when its future is dropped.
struct Transition<'a> {
    state: &'a StateLock<MeetingsState>,
    before: MeetingsState,
}

impl<'a> Transition<'a> {
    fn begin(state: &'a StateLock<MeetingsState>, during: MeetingsState) -> Self {
        let before = std::mem::replace(&mut *state.lock(), during);
        Self { state, before }
    }

    fn end(mut self, after: MeetingsState) {
        self.before = after;
    }
}

impl Drop for Transition<'_> {
    fn drop(&mut self) {
        *self.state.lock() = self.before;
    }
}
