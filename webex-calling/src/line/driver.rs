//! The task of one line: carries out the machine's actions, and feeds the results back.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};
use webex_core::{
    Lease, REQUEST_TIMEOUT, User,
    events::Hub,
    timer::{now, sleep_until},
};

use super::{failover_store::FailoverStore, requests::Requests};
use crate::{
    discovery::Discovery,
    mobius::{
        timings::DEREGISTER_LIMIT,
        transport::{MobiusEvent, MobiusEvents, MobiusTransport},
    },
    model::{
        error::LineError,
        event::LineEvent,
        info::LineInfo,
        policy::CallActivity,
        state::{LineState, Upcoming},
    },
    registration::{
        failover::Failover,
        machine::{Machine, Settings},
        state::Action,
    },
};

/// Time allowed for deregistering a line whose handles are gone: until the answer to a pending
/// registration request, and then its deletion.
const SHUTDOWN_LIMIT: Duration = REQUEST_TIMEOUT.saturating_add(DEREGISTER_LIMIT);

/// A call of the application.
#[derive(Debug)]
pub(super) enum Command {
    Register,
    Deregister,
    SetCallActivity(Arc<dyn CallActivity>),
}

/// The present state of a line.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) state: LineState,
    pub(super) info: Arc<LineInfo>,
    pub(super) next: Option<(Upcoming, Instant)>,
}

/// What a line is made of.
pub(crate) struct Setup {
    pub(crate) transport: Arc<dyn MobiusTransport>,
    pub(crate) discovery: Arc<Discovery>,
    pub(crate) settings: Settings,
    /// The user's record, once it is known.
    pub(crate) user: watch::Receiver<Option<Arc<User>>>,
    pub(crate) failover: FailoverStore,
    pub(crate) events: Arc<Hub<LineEvent>>,
    /// Keeps the device registered as long as the line may need it.
    pub(crate) lease: Arc<Lease>,
}

/// Starts the task. It ends when all handles of the line are gone.
pub(super) fn start(
    setup: Setup,
    inbox: mpsc::UnboundedReceiver<Command>,
) -> watch::Receiver<Snapshot> {
    let machine = Machine::new(setup.discovery.servers(), setup.settings, fastrand::u64(..));
    let (publish, snapshot) = watch::channel(snapshot_of(&machine));
    let driver = Driver {
        machine,
        mobius: Some(setup.transport.events()),
        requests: Requests::new(setup.transport, setup.discovery),
        user: Some(setup.user),
        failover: setup.failover,
        registers_when_loaded: false,
        publish,
        events: setup.events,
        lease: setup.lease,
    };
    tokio::spawn(driver.run(inbox));
    snapshot
}

struct Driver {
    machine: Machine,
    requests: Requests,
    /// Events of the transport; `None` after the last.
    mobius: Option<MobiusEvents>,
    /// `None` when the record is known, or is not going to be.
    user: Option<watch::Receiver<Option<Arc<User>>>>,
    failover: FailoverStore,
    /// Whether registration begins as soon as the saved state has been read.
    registers_when_loaded: bool,
    publish: watch::Sender<Snapshot>,
    events: Arc<Hub<LineEvent>>,
    lease: Arc<Lease>,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut shutdown: Option<Instant> = None;
        loop {
            self.carry_out();
            if shutdown.is_some_and(|limit| self.is_done() || now() >= limit) {
                break;
            }
            let deadline = self.machine.poll_timeout().into_iter().chain(shutdown).min();
            tokio::select! {
                biased;
                command = inbox.recv(), if shutdown.is_none() => match command {
                    Some(Command::Register) => self.register(),
                    Some(Command::Deregister) => self.deregister(),
                    Some(Command::SetCallActivity(calls)) => self.machine.set_call_activity(calls),
                    None => {
                        shutdown = Some(now() + SHUTDOWN_LIMIT);
                        if !self.machine.state().is_at_rest() {
                            self.deregister();
                        }
                    }
                },
                user = next_user(&mut self.user) => self.machine.handle_user(user),
                answer = self.requests.next() => {
                    self.requests.deliver(&mut self.machine, now(), answer);
                }
                event = next_event(&mut self.mobius) => self.on_mobius(event),
                saved = self.failover.next() => self.on_loaded(saved),
                () = sleep_until(deadline) => self.machine.handle_timeout(now()),
            }
        }
        if !self.is_done() {
            warn!("the line ended before the server confirmed that it is deregistered");
        }
    }

    /// Whether nothing is registered and nothing under way.
    fn is_done(&self) -> bool {
        self.machine.state().is_at_rest() && self.requests.is_empty() && !self.failover.is_busy()
    }

    fn register(&mut self) {
        if !self.lease.is_held() {
            // The client was deregistered, and its device deleted.
            self.events.emit(&LineEvent::Error(LineError::closed()));
        } else if self.registers_when_loaded || self.failover.load() {
            self.registers_when_loaded = true;
        } else {
            self.machine.handle_register(now());
        }
    }

    fn deregister(&mut self) {
        self.registers_when_loaded = false;
        self.machine.handle_deregister(now());
    }

    /// The saved state has been read.
    fn on_loaded(&mut self, saved: Option<(Failover, Duration)>) {
        match (std::mem::take(&mut self.registers_when_loaded), saved) {
            (true, Some((failover, age))) => self.machine.handle_resume(now(), failover, age),
            (true, None) => self.machine.handle_register(now()),
            (false, Some(_)) => self.failover.write(None),
            (false, None) => {}
        }
    }

    fn on_mobius(&mut self, event: Option<MobiusEvent>) {
        debug!(?event, "event for the line");
        match event {
            Some(MobiusEvent::RegistrationDown { device_id }) => {
                self.machine.handle_down(now(), device_id.as_deref());
            }
            Some(MobiusEvent::Network(hint)) => self.machine.handle_network(now(), hint),
            Some(MobiusEvent::TokenAvailable) => self.machine.handle_token(now()),
            Some(MobiusEvent::DeviceReplaced(address)) => {
                self.machine.handle_client_device(now(), address);
            }
            None => self.mobius = None,
        }
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match self.requests.begin(action) {
                Some(Action::Emit(event)) => {
                    // The state first, so that whoever gets the event sees the matching state.
                    self.publish();
                    self.events.emit(&event);
                }
                Some(Action::Save(failover)) => self.failover.write(Some(failover)),
                Some(Action::Forget) => self.failover.write(None),
                _ => {}
            }
        }
        self.publish();
    }

    fn publish(&self) {
        let new = snapshot_of(&self.machine);
        self.publish.send_if_modified(|old| {
            let same = (old.state, old.next) == (new.state, new.next)
                && (Arc::ptr_eq(&old.info, &new.info) || old.info == new.info);
            if !same {
                *old = new;
            }
            !same
        });
    }
}

fn snapshot_of(machine: &Machine) -> Snapshot {
    let (state, next) = (machine.state(), machine.upcoming());
    Snapshot { state, info: Arc::clone(machine.info()), next }
}

/// Waits for the next event; `None` at the end, and then never again.
async fn next_event(events: &mut Option<MobiusEvents>) -> Option<MobiusEvent> {
    match events {
        Some(events) => events.next().await,
        None => pending().await,
    }
}

/// Waits for the user's record, once.
async fn next_user(source: &mut Option<watch::Receiver<Option<Arc<User>>>>) -> Arc<User> {
    if let Some(receiver) = source {
        let user = receiver.wait_for(Option::is_some).await.ok().and_then(|user| user.clone());
        *source = None;
        if let Some(user) = user {
            return user;
        }
    }
    pending().await
}
