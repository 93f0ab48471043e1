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
//! `register` and `unregister` may be called at any time and from any task. Callers of the same one
//! share its outcome; callers of the other wait for it to end and then have their turn; asking for
//! what is already so succeeds at once. Dropping the future of a `register` under way (all of them)
//! withdraws it; whatever it had created is given up in the background.
//!
//! ```text
//!   Meetings ── Operations ── register ──┬─► Lease (device, then socket) ─► registered
//!                  (one at a time)       └─► task: side steps, then the network's coming and going
//!                                                    └─► Status: state, steps, findings, events
//! ```

mod error;
mod events;
mod operation;
mod progress;
mod status;
mod steps;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use parking_lot::Mutex;
use webex_core::{Lease, LinkEvent, Subscription, Webex};

pub use self::{
    error::MeetingsError,
    events::MeetingsEvent,
    progress::{GeoHint, MeetingsInfo, RegistrationStatus, Step, StepState},
    status::MeetingsState,
    steps::SIDE_STEP_TIMEOUT,
};
use self::{
    operation::{Operation, Operations, Outcome},
    status::{Status, Transition},
};

/// How long [`Meetings::register`] may take before it gives up and cleans up. The reference client
/// waits for ever when the event socket cannot be had; three back-off rounds of the socket fit in
/// here.
pub const REGISTER_TIMEOUT: Duration = Duration::from_secs(60);

/// Reason in the close frame of the event socket, the reference client's.
const CLOSE_REASON: &str = "meetings unregister";

/// The Meetings device of one user. Clones are the same device.
#[derive(Debug, Clone)]
pub struct Meetings(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    webex: Webex,
    status: Arc<Status>,
    operations: Operations,
    registration: Mutex<Option<Registration>>,
}

/// What being registered consists of.
#[derive(Debug)]
struct Registration {
    lease: Arc<Lease>,
    _attendant: Attendant,
}

/// The task that goes with a registration, and ends with it.
#[derive(Debug)]
struct Attendant(tokio::task::JoinHandle<()>);

impl Drop for Attendant {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Meetings {
    /// The Meetings device of this user. Does no I/O.
    pub fn new(webex: &Webex) -> Self {
        Self(Arc::new(Inner {
            webex: webex.clone(),
            status: Arc::default(),
            operations: Operations::default(),
            registration: Mutex::default(),
        }))
    }

    /// Events from now on. Subscribe before [`register`](Self::register) to miss none.
    pub fn subscribe(&self) -> Subscription<MeetingsEvent> {
        self.0.status.events.subscribe()
    }

    /// What the device is at.
    pub fn state(&self) -> MeetingsState {
        self.0.status.state()
    }

    /// How far each step of the registration is.
    pub fn registration_status(&self) -> RegistrationStatus {
        self.0.status.steps()
    }

    /// What the tolerated steps have found so far: preferred site, geo hint, join cookie.
    pub fn info(&self) -> MeetingsInfo {
        self.0.status.info()
    }

    /// Why the state is [`MeetingsState::Failed`], while it is.
    pub fn failure(&self) -> Option<Arc<MeetingsError>> {
        self.0.status.failure()
    }

    /// Waits until the device can be registered: the service catalog is at hand. Emits
    /// [`MeetingsEvent::Ready`].
    ///
    /// # Errors
    /// [`MeetingsError::Catalog`] with the cause.
    pub async fn ready(&self) -> Result<(), MeetingsError> {
        self.0.webex.ready().await?;
        self.0.status.events.emit(&MeetingsEvent::Ready);
        Ok(())
    }

    /// Registers the device: service catalog, WDM device, event socket. Emits
    /// [`MeetingsEvent::Registered`] once [`state`](Self::state) says so.
    ///
    /// Succeeds at once, without an event, when it is registered already. While an
    /// [`unregister`](Self::unregister) is under way, waits for its end first.
    ///
    /// # Errors
    /// [`MeetingsError`] with the cause; then nothing is left registered.
    pub async fn register(&self) -> Result<(), MeetingsError> {
        let is_so = || self.state() == MeetingsState::Registered;
        let start = || Arc::clone(&self.0).register();
        self.0.operations.run(Operation::Register, is_so, start).await
    }

    /// Unregisters the device: closes the event socket and deletes the WDM device, unless a line of
    /// the same user still needs them. Emits [`MeetingsEvent::Unregistered`].
    ///
    /// Succeeds at once, without an event, when it is not registered. While a
    /// [`register`](Self::register) is under way, waits for its end first.
    ///
    /// # Errors
    /// [`MeetingsError::Link`] when the service did not confirm. The state is
    /// [`MeetingsState::Unconfirmed`] then, and the call can be repeated.
    pub async fn unregister(&self) -> Result<(), MeetingsError> {
        let is_so = || self.0.registration.lock().is_none();
        let start = || Arc::clone(&self.0).unregister();
        self.0.operations.run(Operation::Unregister, is_so, start).await
    }
}

impl Inner {
    async fn register(self: Arc<Self>) -> Outcome {
        // What a failed registration leaves depends on what there was before.
        let present = self.registration.lock().is_some();
        let before = if present { MeetingsState::Unconfirmed } else { MeetingsState::Unregistered };
        let change = Transition::begin(&self.status, MeetingsState::Registering, before);
        let attendant = self.attend();
        let online = async {
            let lease = self.webex.link().acquire().await?;
            let device = lease.device().await;
            self.status.step(Step::DeviceRegister, device.is_ok(), |_| {});
            device?;
            let online = lease.online().await;
            self.status.step(Step::MercuryConnect, online.is_ok(), |_| {});
            online?;
            Ok::<_, MeetingsError>(lease)
        };
        // Dropping the lease on the way out gives the device up again.
        let lease = tokio::time::timeout(REGISTER_TIMEOUT, online)
            .await
            .map_err(|_| MeetingsError::Timeout(REGISTER_TIMEOUT))??;
        // A share that was left over goes only now, so that the device it holds is used again.
        *self.registration.lock() =
            Some(Registration { lease: Arc::new(lease), _attendant: attendant });
        change.end(MeetingsState::Registered, &MeetingsEvent::Registered);
        Ok(())
    }

    async fn unregister(self: Arc<Self>) -> Outcome {
        let (during, otherwise) = (MeetingsState::Unregistering, MeetingsState::Unconfirmed);
        let change = Transition::begin(&self.status, during, otherwise);
        let Some(lease) = self.registration.lock().as_ref().map(|r| Arc::clone(&r.lease)) else {
            return Ok(());
        };
        lease.release(CLOSE_REASON).await?;
        *self.registration.lock() = None;
        change.end(MeetingsState::Unregistered, &MeetingsEvent::Unregistered);
        Ok(())
    }

    /// Starts what goes beside a registration: its side steps, and telling of the network.
    fn attend(&self) -> Attendant {
        let mut link = self.webex.link().subscribe();
        let status = Arc::clone(&self.status);
        // Boxed, so that it is gone once done: the task itself lasts as long as the registration.
        let mut steps = Some(steps::run(self.webex.clone(), Arc::clone(&status)).boxed());
        Attendant(tokio::spawn(async move {
            let mut told = true;
            loop {
                let event = tokio::select! {
                    biased;
                    event = link.next() => event,
                    () = async { steps.as_mut().expect("guarded").await }, if steps.is_some() => {
                        steps = None;
                        continue;
                    }
                };
                let online = match event {
                    None => return,
                    Some(LinkEvent::Online) => true,
                    Some(LinkEvent::Offline) => false,
                    Some(LinkEvent::Failed(error)) => {
                        status.fail(error.into());
                        continue;
                    }
                    Some(_) => continue,
                };
                if online != told && status.state() == MeetingsState::Registered {
                    status.events.emit(if online {
                        &MeetingsEvent::NetworkConnected
                    } else {
                        &MeetingsEvent::NetworkDisconnected
                    });
                }
                told = online;
            }
        }))
    }
}
