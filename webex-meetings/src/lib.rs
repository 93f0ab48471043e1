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
//! `register` and `unregister` may be called at any time and from any task. Concurrent callers of
//! one of them share its outcome; callers of the other wait for it to end first. A call for the
//! current state succeeds at once. Dropping the future of a `register` in progress (all of them)
//! cancels it; what it had created is given up in the background.
//!
//! ```text
//!   Meetings ── Operations ── register ──┬─► Lease (device, then socket) ─► registered
//!                  (one at a time)       └─► task: side steps, then the network's coming and going
//!                                                    └─► Status: state, steps, findings, events
//! ```

mod error;
mod events;
mod listeners;
mod operation;
mod progress;
mod status;
mod steps;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::runtime;
use webex_core::{ErrorKind, Lease, LinkEvent, Subscription, TokenState, Webex};

pub use self::{
    error::MeetingsError,
    events::MeetingsEvent,
    progress::{MeetingsInfo, RegistrationStatus, Step, StepState},
    status::MeetingsState,
    steps::SIDE_STEP_TIMEOUT,
};
use self::{
    listeners::Listener,
    operation::{Operation, Operations, Outcome},
    status::{Status, Transition},
};

/// How long [`Meetings::register`] may take before it gives up and cleans up. The reference client
/// waits for ever when the event socket cannot be opened; this is enough for three back-off rounds
/// of the socket.
pub const REGISTER_TIMEOUT: Duration = Duration::from_secs(60);

/// Reason in the close frame of the event socket, the reference client's.
const CLOSE_REASON: &str = "meetings unregister";

/// How long a failed registration waits for its clean-up.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The first and the longest pause before the service catalog is requested again, for
/// [`MeetingsEvent::Ready`]; it doubles in between.
const READY_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// How many requests for the catalog may fail before that is reported.
const READY_FAILURES: u32 = 3;

/// The Meetings device of one user. Clones are the same object, and all objects of one [`Webex`]
/// are the same device.
#[derive(Debug, Clone)]
pub struct Meetings(Arc<Object>);

#[derive(Debug)]
struct Object {
    shared: Arc<Inner>,
    listener: Arc<Listener>,
    /// Waits for the catalog, once there is a subscriber.
    ready: OnceLock<TaskGuard>,
}

/// State that all objects of one user share.
#[derive(Debug)]
struct Inner {
    webex: Webex,
    status: Arc<Status>,
    operations: Operations,
    registration: Mutex<Option<Registration>>,
    /// A registration was started and did not complete, so that what it left has to be given up.
    unfinished: AtomicBool,
}

/// The parts of a registration.
#[derive(Debug)]
struct Registration {
    lease: Arc<Lease>,
    _attendant: TaskGuard,
}

/// The task of a registration, which ends with it.
#[derive(Debug)]
struct TaskGuard(tokio::task::JoinHandle<()>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Meetings {
    /// The Meetings device of this user. Does no I/O.
    pub fn new(webex: &Webex) -> Self {
        let shared = webex.shared(|| Inner {
            webex: webex.clone(),
            status: Arc::default(),
            operations: Operations::default(),
            registration: Mutex::default(),
            unfinished: AtomicBool::new(false),
        });
        let listener = shared.status.events.add();
        Self(Arc::new(Object { shared, listener, ready: OnceLock::new() }))
    }

    /// Subscribes to events from now on. Subscribe before [`register`](Self::register) to miss none.
    ///
    /// The first call starts to fetch the service catalog, if it is made in a tokio runtime.
    /// [`MeetingsEvent::Ready`] reports when the catalog is there and the device can be registered.
    pub fn subscribe(&self) -> Subscription<MeetingsEvent> {
        let events = self.0.listener.subscribe();
        if let Ok(runtime) = runtime::Handle::try_current() {
            self.0.ready.get_or_init(|| {
                let (shared, listener) = (&self.0.shared, Arc::clone(&self.0.listener));
                let (webex, status) = (shared.webex.clone(), Arc::clone(&shared.status));
                TaskGuard(runtime.spawn(become_ready(webex, status, listener)))
            });
        }
        events
    }

    /// The state of the device.
    pub fn state(&self) -> MeetingsState {
        self.0.shared.status.state()
    }

    /// The progress of each step of the registration.
    pub fn registration_status(&self) -> RegistrationStatus {
        self.0.shared.status.steps()
    }

    /// The results of the optional steps so far: preferred site, geo hint, join cookie.
    pub fn info(&self) -> MeetingsInfo {
        self.0.shared.status.info()
    }

    /// Why the state is [`MeetingsState::Failed`], while it is.
    pub fn failure(&self) -> Option<Arc<MeetingsError>> {
        self.0.shared.status.failure()
    }

    /// Waits until the device can be registered, with the service catalog at hand. Subscribers get
    /// [`MeetingsEvent::Ready`] in any case.
    ///
    /// # Errors
    /// [`MeetingsError::Catalog`] with the cause.
    pub async fn ready(&self) -> Result<(), MeetingsError> {
        self.0.shared.webex.ready().await?;
        self.0.listener.ready();
        Ok(())
    }

    /// Registers the device: service catalog, WDM device, event socket. Emits
    /// [`MeetingsEvent::Registered`] after [`state`](Self::state) has changed.
    ///
    /// Succeeds at once, without an event, when it is already registered. Waits for an
    /// [`unregister`](Self::unregister) in progress first.
    ///
    /// # Errors
    /// [`MeetingsError`] with the cause, after the clean-up: nothing is left registered. If it is
    /// [`MeetingsError::will_retry`], the registration is still wanted, and completes by itself as
    /// soon as there is a new token, unless [`unregister`](Self::unregister) is called.
    pub async fn register(&self) -> Result<(), MeetingsError> {
        let is_so = || self.state() == MeetingsState::Registered;
        let start = || Arc::clone(&self.0.shared).register();
        self.0.shared.operations.run(Operation::Register, is_so, start).await
    }

    /// Unregisters the device: closes the event socket and deletes the WDM device, unless a line of
    /// the same user still needs them. Emits [`MeetingsEvent::Unregistered`].
    ///
    /// Succeeds without an event when it is not registered, after the clean-up of a registration
    /// that was dropped. Waits for a [`register`](Self::register) in progress first.
    ///
    /// # Errors
    /// [`MeetingsError::Link`] when the service did not confirm. The state is then
    /// [`MeetingsState::Unconfirmed`], and the call can be repeated.
    pub async fn unregister(&self) -> Result<(), MeetingsError> {
        let shared = &self.0.shared;
        let is_so =
            || shared.registration.lock().is_none() && !shared.unfinished.load(Ordering::Acquire);
        let start = || Arc::clone(&self.0.shared).unregister();
        self.0.shared.operations.run(Operation::Unregister, is_so, start).await
    }
}

impl Inner {
    async fn register(self: Arc<Self>) -> Outcome {
        // What a failed registration leaves depends on the state before it.
        let present = self.registration.lock().is_some();
        let before = if present { MeetingsState::Unconfirmed } else { MeetingsState::Unregistered };
        let change = Transition::begin(&self.status, MeetingsState::Registering, before);
        self.unfinished.store(true, Ordering::Release);
        let attendant = self.attend();
        let lease = Arc::new(self.webex.link().acquire().await?);
        let online = async {
            let device = lease.device().await;
            self.status.step(Step::DeviceRegister, device.is_ok(), |_| {});
            device?;
            let online = lease.online().await;
            self.status.step(Step::MercuryConnect, online.is_ok(), |_| {});
            online?;
            Ok::<_, MeetingsError>(())
        };
        let outcome = tokio::time::timeout(REGISTER_TIMEOUT, online).await;
        let outcome = outcome.unwrap_or_else(|_| {
            let last = self.webex.link().state().failure.map(Box::new);
            Err(MeetingsError::Timeout { after: REGISTER_TIMEOUT, last })
        });
        let registration = Registration { lease: Arc::clone(&lease), _attendant: attendant };
        match outcome {
            Ok(()) => {
                // An old lease is dropped only now, so that its device is used again.
                *self.registration.lock() = Some(registration);
                self.unfinished.store(false, Ordering::Release);
                change.end(MeetingsState::Registered, &MeetingsEvent::Registered);
                Ok(())
            }
            Err(error) if error.will_retry() => {
                // Kept, because the link comes back with a new token.
                *self.registration.lock() = Some(registration);
                self.unfinished.store(false, Ordering::Release);
                change.fail(error.clone());
                Err(error)
            }
            Err(error) => {
                let released = lease.release(CLOSE_REASON);
                let released = tokio::time::timeout(CLEANUP_TIMEOUT, released).await;
                if !matches!(released, Ok(Ok(()))) && !present {
                    // Kept, so that unregistering requests it again.
                    *self.registration.lock() = Some(registration);
                    change.end_quietly(MeetingsState::Unconfirmed);
                }
                self.unfinished.store(false, Ordering::Release);
                Err(error)
            }
        }
    }

    async fn unregister(self: Arc<Self>) -> Outcome {
        let (during, otherwise) = (MeetingsState::Unregistering, MeetingsState::Unconfirmed);
        let change = Transition::begin(&self.status, during, otherwise);
        let lease = self.registration.lock().as_ref().map(|r| Arc::clone(&r.lease));
        let Some(lease) = lease else {
            self.webex.link().give_up(CLOSE_REASON).await?;
            self.unfinished.store(false, Ordering::Release);
            change.end_quietly(MeetingsState::Unregistered);
            return Ok(());
        };
        lease.release(CLOSE_REASON).await?;
        *self.registration.lock() = None;
        self.unfinished.store(false, Ordering::Release);
        change.end(MeetingsState::Unregistered, &MeetingsEvent::Unregistered);
        Ok(())
    }

    /// Starts the task of a registration: its side steps, and the events of the network.
    fn attend(&self) -> TaskGuard {
        let mut link = self.webex.link().subscribe();
        let status = Arc::clone(&self.status);
        // Boxed, so that it can be dropped when done: the task itself lasts as long as the registration.
        let mut steps = Some(steps::run(self.webex.clone(), Arc::clone(&status)).boxed());
        // Reported once, maybe before this registration: another product shares the link.
        if let Some(error) = self.webex.link().state().trouble {
            status.events.emit(&MeetingsEvent::Retrying(Arc::new(error.into())));
        }
        TaskGuard(tokio::spawn(async move {
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
                    Some(LinkEvent::Retrying(error)) => {
                        let error = Arc::new(error.into());
                        status.events.emit(&MeetingsEvent::Retrying(error));
                        continue;
                    }
                    Some(_) => continue,
                };
                if online && status.recover() {
                    told = true;
                    continue;
                }
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

/// Waits for the catalog, as long as it takes, and reports when it is there.
async fn become_ready(webex: Webex, status: Arc<Status>, listener: Arc<Listener>) {
    let [mut pause, longest] = READY_PAUSES;
    let mut failures = 0;
    loop {
        let mut tokens = webex.tokens().subscribe();
        let Err(error) = webex.ready().await else { return listener.ready() };
        failures += 1;
        if failures == READY_FAILURES {
            status.events.emit(&MeetingsEvent::Retrying(Arc::new(error.clone().into())));
        }
        // Without a token there can be no request; a new one is tried at once.
        let token = async {
            while !matches!(tokens.next().await, Some(TokenState::Valid { .. }) | None) {}
        };
        if error.kind() == ErrorKind::Unauthorized {
            token.await;
        } else {
            let _ = tokio::time::timeout(pause, token).await;
            pause = (2 * pause).min(longest);
        }
    }
}
