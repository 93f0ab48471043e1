//! The task of one line: carries out what the machine asks for, and tells it what came of it.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};
use webex_core::{
    HttpError, Lease,
    timer::{now, sleep_until},
};

use super::{Command, LineError, LineEvent, Snapshot, Voice};
use crate::{
    discovery::Discovery,
    mobius::{MobiusTransport, Registration},
    registration::machine::{Action, LineState, Machine, Op},
};

/// How long an ended line may take to give its registration up: time for one slow answer.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a line is made with.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) transport: Arc<dyn MobiusTransport>,
    pub(crate) discovery: Arc<Discovery>,
    pub(crate) threshold: u32,
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
    let machine = Machine::new(setup.discovery.servers(), setup.threshold, fastrand::u64(..));
    let snapshot = Snapshot {
        state: machine.state(),
        info: Arc::clone(machine.info()),
        next: machine.upcoming(),
    };
    let (publish, receiver) = watch::channel(snapshot);
    let driver = Driver {
        machine,
        transport: setup.transport,
        publish,
        voice: setup.voice,
        request: None,
        lease: setup.lease,
    };
    tokio::spawn(driver.run(inbox));
    receiver
}

struct Driver {
    machine: Machine,
    transport: Arc<dyn MobiusTransport>,
    publish: watch::Sender<Snapshot>,
    voice: Arc<Voice>,
    /// The request under way. The machine never asks for a second one but to replace a keepalive.
    request: Option<Pin<Box<dyn Future<Output = News> + Send>>>,
    lease: Arc<Lease>,
}

/// What came of a request.
enum News {
    Registration(Op, Result<Box<Registration>, HttpError>),
    Keepalive(Op, Result<(), HttpError>),
    Deregistered(Op, Result<(), HttpError>),
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut farewell: Option<Instant> = None;
        loop {
            self.carry_out();
            let idle = matches!(self.machine.state(), LineState::Idle | LineState::Failed);
            if farewell.is_some_and(|farewell| idle || now() >= farewell) {
                break;
            }
            let deadline = self.machine.poll_timeout().into_iter().chain(farewell).min();
            tokio::select! {
                biased;
                command = inbox.recv(), if farewell.is_none() => match command {
                    Some(Command::Register) => self.register(),
                    Some(Command::Deregister) => self.machine.deregister(now()),
                    None => {
                        farewell = Some(now() + FAREWELL);
                        if !idle {
                            self.machine.deregister(now());
                        }
                    }
                },
                news = answer(&mut self.request) => self.handle(news),
                () = sleep_until(deadline) => self.machine.handle_timeout(now()),
            }
        }
        if self.machine.state() == LineState::Deregistering {
            warn!("the line ended before the server confirmed that it is deregistered");
        }
    }

    fn register(&mut self) {
        if self.lease.is_held() {
            self.machine.register(now());
        } else {
            // The client has been deregistered, and its device with it.
            self.voice.emit(&LineEvent::Error(LineError::closed()));
        }
    }

    fn handle(&mut self, news: News) {
        self.request = None;
        match news {
            News::Registration(op, answer) => {
                let answer = answer.map(|granted| *granted).map_err(LineError::from);
                self.machine.handle_registration(now(), op, answer);
            }
            News::Keepalive(op, answer) => {
                let answer = answer.map_err(LineError::from);
                self.machine.handle_keepalive(now(), op, answer);
            }
            News::Deregistered(op, answer) => self.machine.handle_deregistered(now(), op, answer),
        }
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Register(op, server) => {
                    debug!(server = server.host_str(), "registering the line");
                    let answer = self.transport.register(&server);
                    self.request = Some(Box::pin(async move {
                        News::Registration(op, answer.await.map(Box::new))
                    }));
                }
                Action::Keepalive(op, device) => {
                    let answer = self.transport.keepalive(&device);
                    self.request = Some(Box::pin(async move { News::Keepalive(op, answer.await) }));
                }
                Action::Deregister(op, server, device) => {
                    let answer = self.transport.unregister(&server, &device);
                    self.request =
                        Some(Box::pin(async move { News::Deregistered(op, answer.await) }));
                }
                Action::Emit(event) => {
                    // The state first: whoever hears of an event finds the state to match.
                    self.report();
                    self.voice.emit(&event);
                }
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

async fn answer(request: &mut Option<Pin<Box<dyn Future<Output = News> + Send>>>) -> News {
    match request {
        Some(request) => request.await,
        None => pending().await,
    }
}
