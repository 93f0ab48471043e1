//! The task of one line: carries out what the machine asks for, and tells it what came of it.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};
use webex_core::{
    Lease, REQUEST_TIMEOUT,
    timer::{now, sleep_until},
};

use super::{Command, Kept, LineError, LineEvent, Snapshot, Voice, requests::Requests};
use crate::{
    config::ServiceIndicator,
    discovery::Discovery,
    mobius::{MobiusEvent, MobiusEvents, MobiusTransport},
    registration::{
        Failover, RegistrationPolicy,
        machine::{Action, LineState, Machine},
        timings::DEREGISTER_LIMIT,
    },
};

/// How long an ended line may take to give everything up: until a registration that is being asked
/// for is answered, and then deleted.
const FAREWELL: Duration = REQUEST_TIMEOUT.saturating_add(DEREGISTER_LIMIT);

/// What a line is made with.
pub(crate) struct Setup {
    pub(crate) transport: Arc<dyn MobiusTransport>,
    pub(crate) discovery: Arc<Discovery>,
    pub(crate) service: ServiceIndicator,
    pub(crate) policy: RegistrationPolicy,
    pub(crate) kept: Kept,
    /// Where events go.
    pub(crate) voice: Arc<Voice>,
    /// Keeps the device up as long as the line may need it.
    pub(crate) lease: Arc<Lease>,
}

/// Starts the task; it ends when all handles of the line are gone.
pub(super) fn start(
    setup: Setup,
    inbox: mpsc::UnboundedReceiver<Command>,
) -> watch::Receiver<Snapshot> {
    let machine =
        Machine::new(setup.discovery.servers(), setup.service, setup.policy, fastrand::u64(..));
    let snapshot = Snapshot {
        state: machine.state(),
        info: Arc::clone(machine.info()),
        next: machine.upcoming(),
    };
    let (publish, receiver) = watch::channel(snapshot);
    let driver = Driver {
        machine,
        heard: Some(setup.transport.events()),
        requests: Requests::new(setup.transport, setup.discovery),
        kept: setup.kept,
        begin: false,
        publish,
        voice: setup.voice,
        lease: setup.lease,
    };
    tokio::spawn(driver.run(inbox));
    receiver
}

struct Driver {
    machine: Machine,
    requests: Requests,
    /// What the transport hears; `None` once it hears nothing more.
    heard: Option<MobiusEvents>,
    kept: Kept,
    /// Whether registration begins as soon as the kept state has been read.
    begin: bool,
    publish: watch::Sender<Snapshot>,
    voice: Arc<Voice>,
    lease: Arc<Lease>,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut farewell: Option<Instant> = None;
        loop {
            self.carry_out();
            if farewell.is_some_and(|farewell| self.is_done() || now() >= farewell) {
                break;
            }
            let deadline = self.machine.poll_timeout().into_iter().chain(farewell).min();
            tokio::select! {
                biased;
                command = inbox.recv(), if farewell.is_none() => match command {
                    Some(Command::Register) => self.register(),
                    Some(Command::Deregister) => self.deregister(),
                    Some(Command::Calls(calls)) => self.machine.set_calls(calls),
                    None => {
                        farewell = Some(now() + FAREWELL);
                        if !matches!(self.machine.state(), LineState::Idle | LineState::Failed) {
                            self.deregister();
                        }
                    }
                },
                news = self.requests.next() => self.requests.deliver(&mut self.machine, now(), news),
                heard = next(&mut self.heard) => self.hear(heard),
                kept = self.kept.next() => self.loaded(kept),
                () = sleep_until(deadline) => self.machine.handle_timeout(now()),
            }
        }
        if !self.is_done() {
            warn!("the line ended before the server confirmed that it is deregistered");
        }
    }

    /// Whether nothing is registered and nothing under way.
    fn is_done(&self) -> bool {
        matches!(self.machine.state(), LineState::Idle | LineState::Failed)
            && self.requests.is_empty()
            && !self.kept.is_busy()
    }

    fn register(&mut self) {
        if !self.lease.is_held() {
            // The client has been deregistered, and its device with it.
            self.voice.emit(&LineEvent::Error(LineError::closed()));
        } else if self.begin || self.kept.load() {
            self.begin = true;
        } else {
            self.machine.register(now());
        }
    }

    fn deregister(&mut self) {
        self.begin = false;
        self.machine.deregister(now());
    }

    /// What was kept has been read.
    fn loaded(&mut self, kept: Option<(Failover, Duration)>) {
        match (std::mem::take(&mut self.begin), kept) {
            (true, Some((failover, age))) => self.machine.resume(now(), failover, age),
            (true, None) => self.machine.register(now()),
            (false, Some(_)) => self.kept.write(None),
            (false, None) => {}
        }
    }

    fn hear(&mut self, heard: Option<MobiusEvent>) {
        debug!(?heard, "heard");
        match heard {
            Some(MobiusEvent::RegistrationDown { device_id }) => {
                self.machine.handle_down(now(), device_id.as_deref());
            }
            Some(MobiusEvent::Network(hint)) => self.machine.handle_network(now(), hint),
            None => self.heard = None,
        }
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match self.requests.begin(action) {
                Some(Action::Emit(event)) => {
                    // The state first: whoever hears of an event finds the state to match.
                    self.report();
                    self.voice.emit(&event);
                }
                Some(Action::Save(failover)) => self.kept.write(Some(failover)),
                Some(Action::Forget) => self.kept.write(None),
                _ => {}
            }
        }
        self.report();
    }

    fn report(&self) {
        let (state, info) = (self.machine.state(), self.machine.info());
        let next = self.machine.upcoming();
        self.publish.send_if_modified(|snapshot| {
            let same = (snapshot.state, snapshot.next) == (state, next)
                && (Arc::ptr_eq(&snapshot.info, info) || snapshot.info == *info);
            if !same {
                *snapshot = Snapshot { state, info: Arc::clone(info), next };
            }
            !same
        });
    }
}

/// The next thing heard; `None` at the end, and then never anything.
async fn next(heard: &mut Option<MobiusEvents>) -> Option<MobiusEvent> {
    match heard {
        Some(heard) => heard.next().await,
        None => pending().await,
    }
}
