//! The task of one link: performs the machine's actions and reports their results to it.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};
use webex_auth::{
    AccessToken, TokenState,
    timer::{now, sleep_until},
};

use super::{
    command::{Command, Hint, Released},
    error::LinkError,
    event::LinkEvent,
    machine::{Action, Change, Machine, Phase},
    sleep::SleepWatch,
    socket::{self, SocketEvent},
    state::LinkState,
    timings::SHUTDOWN_LIMIT,
    work::{Completion, Work},
};
use crate::{
    core::Core,
    device::{
        machine::{self as device, Failure},
        record::Device,
        requests::is_excessive,
        room::{Room, make_room},
    },
    error::{ErrorKind, HttpError, token_kind},
    events::Hub,
    mercury::{
        close,
        frame::ServerFrame,
        machine::action::{self as mercury, OpenFailure},
    },
};

/// Runs the link until all handles are dropped and nothing is left in the cloud.
pub(super) async fn run(
    core: Arc<Core>,
    inbox: mpsc::UnboundedReceiver<Box<Command>>,
    publish: watch::Sender<LinkState>,
    events: Arc<Hub<LinkEvent>>,
) {
    let seed = fastrand::u64(..);
    let device = if core.saved.is_kept() {
        device::Machine::durable(seed)
    } else {
        device::Machine::new(core.device.ttl, seed)
    };
    let machine = Machine::new(device, seed);
    let driver = Driver {
        core,
        machine,
        publish,
        events,
        work: Work::default(),
        holders: 0,
        releases: Vec::new(),
        suspending: Vec::new(),
        token: None,
        failure: None,
        trouble: None,
        room: None,
        sleep: None,
    };
    driver.run(inbox).await;
}

struct Driver {
    core: Arc<Core>,
    machine: Machine,
    publish: watch::Sender<LinkState>,
    events: Arc<Hub<LinkEvent>>,
    work: Work,
    holders: usize,
    releases: Vec<Released>,
    /// Callers that wait for the socket to be closed.
    suspending: Vec<oneshot::Sender<()>>,
    /// The token last sent on a socket, which a refusal refers to.
    token: Option<AccessToken>,
    failure: Option<LinkError>,
    /// The error of the last [`LinkEvent::Retrying`], until the link is up or is not retried any more.
    trouble: Option<LinkError>,
    /// The latest result of making room.
    room: Option<Room>,
    /// Set while the link is kept up.
    sleep: Option<SleepWatch>,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Box<Command>>) {
        let mut shutdown_deadline: Option<Instant> = None;
        let mut embargoes = self.core.http.embargoes();
        let mut tokens = self.core.http.tokens().subscribe();
        loop {
            self.watch_sleep();
            self.carry_out();
            self.report();
            let tick = self.sleep.as_ref().map(SleepWatch::due);
            let timers = [self.machine.poll_timeout(), shutdown_deadline, tick];
            let deadline = timers.into_iter().flatten().min();
            if let Some(shutdown_deadline) = shutdown_deadline {
                let gone = matches!(self.machine.phase(), Phase::Down | Phase::Left);
                if (gone && self.work.saving == 0) || now() >= shutdown_deadline {
                    break;
                }
            }
            tokio::select! {
                biased;
                command = inbox.recv(), if shutdown_deadline.is_none() => {
                    if let Some(command) = command {
                        self.handle_command(*command);
                    } else {
                        shutdown_deadline = Some(now() + SHUTDOWN_LIMIT);
                        self.machine.leave(now(), "client closed");
                    }
                }
                // Never an error: this task holds the client.
                Ok(()) = embargoes.changed() => self.embargoed(),
                Some(state) = tokens.next() => {
                    if let TokenState::Valid { .. } = state {
                        self.token_available();
                    }
                }
                news = self.work.next() => self.handle(news),
                () = sleep_until(deadline) => self.machine.handle_timeout(now()),
            }
        }
        if self.machine.phase() != Phase::Down {
            warn!("the client ended before the service confirmed that its device is gone");
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Acquire(done) => {
                self.holders += 1;
                // What is being tried again fails for the reason that was told.
                self.failure = self.trouble.clone();
                self.core.http.begin();
                self.core.services.expect("wdm");
                self.core.services.expect_socket();
                self.machine.up(now());
                // Reported before the acquirer reads the state, which must not show an earlier failure.
                self.report();
                let _ = done.send(());
            }
            Command::Release { held, reason, done } => {
                self.holders -= usize::from(held);
                if self.holders == 0 {
                    match done {
                        Some(_) => self.machine.down(now(), reason),
                        None => self.machine.leave(now(), reason),
                    }
                }
                self.releases.extend(done);
            }
            Command::Settle(done) => self.releases.push(done),
            Command::Suspend(done) => {
                debug!("the application goes to the background");
                self.suspending.push(done);
                self.machine.suspend(now());
            }
            Command::Hint(hint) => {
                if hint == Hint::Resumed {
                    self.machine.resume(now());
                }
                self.hint(hint);
            }
        }
    }

    /// Handles an embargo: gives everything up without requests, because the service may no longer serve this user.
    fn embargoed(&mut self) {
        self.failure = Some(LinkError::Embargoed);
        // Requests in flight are dropped, so that no answer can bring a device back.
        self.work.requests = FuturesUnordered::new();
        let core = Arc::clone(&self.core);
        self.work.saving = 1;
        self.work.requests.push(Box::pin(async move {
            Device::forget(&core.saved).await;
            Completion::Saved
        }));
        self.machine.abandon(now(), "embargo");
    }

    /// Checks whether the machine has slept since the last turn.
    fn watch_sleep(&mut self) {
        if matches!(self.machine.phase(), Phase::Down | Phase::Left | Phase::Failed) {
            self.sleep = None;
            return;
        }
        let (now, wall) = (now(), SystemTime::now());
        let watch = self.sleep.get_or_insert_with(|| SleepWatch::new(now, wall));
        if let Some(slept) = watch.observe(now, wall) {
            info!(seconds = slept.time.as_secs(), "the machine has slept");
            self.machine.handle_slept(now, slept.unseen);
            self.core.http.tokens().network_changed();
            self.core.http.hosts().forget_failures();
            self.hint(Hint::Resumed);
        }
    }

    /// Handles a new token, which brings back what failed for lack of one.
    fn token_available(&mut self) {
        if self.machine.wants_token() {
            info!("there is a token again, and the link comes back");
            self.failure = None;
        }
        self.events.emit(&LinkEvent::TokenAvailable);
        self.machine.handle_token_available(now());
    }

    fn hint(&mut self, hint: Hint) {
        debug!(?hint, "checking the connection");
        self.events.emit(&match hint {
            Hint::NetworkChanged => LinkEvent::NetworkChanged,
            Hint::Resumed => LinkEvent::Resumed,
        });
        self.machine.handle_hint(now());
    }

    fn handle(&mut self, news: Completion) {
        match news {
            Completion::Restored(found) => {
                if let Some(device) = &found {
                    self.core.http.set_device_url(Some(&device.url));
                    debug!("a device of an earlier run");
                }
                self.machine.handle_restored(now(), found);
            }
            Completion::Record { action, outcome } => self.handle_record(action, outcome),
            Completion::Room(Ok(room)) => {
                self.room = Some(room);
                if room.deleted == 0 {
                    self.failure = self.failure.take().map(|failure| too_many(failure, room));
                }
                self.machine.handle_room(now(), Ok(room.deleted));
            }
            Completion::Room(Err(error)) => {
                debug!(%error, "no room can be made for the device");
                let failure = failure_of(&error);
                self.failure = Some(error);
                self.machine.handle_room(now(), Err(failure));
            }
            Completion::Saved => self.work.saving -= 1,
            Completion::Deleted(outcome) => {
                let outcome = outcome.map_err(|source| {
                    let error = LinkError::Device { action: "deleted", source };
                    let failure = failure_of(&error);
                    self.failure = Some(error);
                    failure
                });
                if outcome.is_ok() {
                    self.core.http.set_device_url(None);
                    debug!("device deleted");
                }
                self.machine.handle_deleted(now(), outcome);
            }
            Completion::Token(renewed) => self.machine.handle_token(now(), renewed),
            Completion::Opened(conn, Ok((socket, token))) => {
                self.token = Some(token);
                if self.machine.handle_opened(now(), conn) {
                    self.work.sockets.push((conn, socket));
                }
            }
            Completion::Opened(conn, Err(failure)) => {
                self.machine.handle_open_failed(now(), conn, &failure);
            }
            Completion::Socket(conn, SocketEvent::Text(text)) => match ServerFrame::parse(text) {
                Ok(frame) => {
                    if let Some(written) = frame.written_ms {
                        self.core.clock.observe(SystemTime::now(), written);
                    }
                    self.machine.handle_frame(now(), conn, frame);
                }
                Err(error) => debug!(%error, "a frame that is not taken"),
            },
            Completion::Socket(conn, SocketEvent::Closed(close)) => {
                debug!(
                    code = close.code,
                    reason = %close.shown(self.token.as_ref()),
                    why = close::why(&close),
                    "socket closed"
                );
                self.work.drop_conn(conn);
                self.machine.handle_closed(now(), conn, &close);
            }
        }
    }

    fn handle_record(&mut self, action: &'static str, outcome: Result<Arc<Device>, LinkError>) {
        let outcome = outcome.map_err(|error| {
            let failure = failure_of(&error);
            debug!(%error, action, "device request failed");
            self.failure = Some(match self.room {
                Some(room) if failure == Failure::Excessive => too_many(error, room),
                _ => error,
            });
            failure
        });
        if let Ok(device) = &outcome {
            (self.failure, self.room) = (None, None);
            self.core.http.set_device_url(Some(&device.url));
            debug!(action, "device");
            if self.core.saved.is_kept() {
                let (core, device) = (Arc::clone(&self.core), Arc::clone(device));
                self.work.saving += 1;
                self.work.requests.push(Box::pin(async move {
                    device.save(&core.saved, &core.endpoints.u2c).await;
                    Completion::Saved
                }));
            }
        }
        self.machine.handle_record(now(), outcome);
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Device(action) => self.device_request(action),
                Action::Socket(action) => self.socket_action(action),
                Action::Change(change) => {
                    if change == Change::Online {
                        (self.failure, self.trouble) = (None, None);
                    }
                    // The state comes first, so that it matches when a subscriber gets the event.
                    self.publish();
                    self.events.emit(&match change {
                        Change::Online => LinkEvent::Online,
                        Change::Offline => LinkEvent::Offline,
                        Change::Failed => LinkEvent::Failed(self.failed()),
                        Change::Trouble(socket) => {
                            if let Some(failure) = socket {
                                self.failure = Some(LinkError::Socket(failure));
                            }
                            let Some(error) = self.failure.clone() else { continue };
                            info!(%error, "the link is not up, and is tried again");
                            self.trouble = Some(error.clone());
                            self.publish();
                            LinkEvent::Retrying(error)
                        }
                        Change::DeviceReplaced => match self.machine.device() {
                            Some(device) => LinkEvent::DeviceReplaced(Arc::clone(device)),
                            None => continue, // it is already gone
                        },
                    });
                }
            }
        }
    }

    fn device_request(&mut self, action: device::Action) {
        use device::Action;
        let core = Arc::clone(&self.core);
        self.work.requests.push(match action {
            Action::Restore => Box::pin(async move { Completion::Restored(restore(&core).await) }),
            Action::Register => Box::pin(async move {
                Completion::Record { action: "registered", outcome: register(&core).await }
            }),
            Action::Refresh(device) => Box::pin(async move {
                let outcome = device
                    .refresh(&core.http, &core.device, core.saved.is_kept())
                    .await
                    .map_err(|source| LinkError::Device { action: "refreshed", source });
                Completion::Record { action: "refreshed", outcome }
            }),
            Action::MakeRoom => Box::pin(async move { Completion::Room(room(&core).await) }),
            Action::Delete(device) => Box::pin(async move {
                let outcome = device.delete(&core.http).await;
                if outcome.is_ok() {
                    Device::forget(&core.saved).await;
                }
                Completion::Deleted(outcome)
            }),
        });
    }

    fn socket_action(&mut self, action: mercury::Action) {
        match action {
            mercury::Action::Open(conn) => {
                // The machine requests this only while there is a device.
                let Some(device) = self.machine.device_to_dial().cloned() else {
                    return self.machine.handle_open_failed(now(), conn, &OpenFailure::Unreachable);
                };
                let http = self.core.http.clone();
                let dial = Box::pin(async move {
                    let hosts = http.hosts();
                    let address = hosts.place(&device.web_socket_url);
                    let outcome = socket::open(&http, &address).await;
                    if let Err(
                        OpenFailure::Network | OpenFailure::Status { status: 500 | 502..=504, .. },
                    ) = outcome
                    {
                        hosts.mark_failed(&address);
                    }
                    outcome
                });
                self.work.dialing.push((conn, dial));
            }
            mercury::Action::Send(conn, frame) => {
                if let Some(socket) = self.work.socket(conn) {
                    socket.send(frame.to_json());
                }
            }
            mercury::Action::Close(conn, close) => {
                if let Some(socket) = self.work.socket(conn) {
                    socket.close(&close);
                }
            }
            mercury::Action::Drop(conn) => self.work.drop_conn(conn),
            mercury::Action::ReplaceToken => {
                let (http, token) = (self.core.http.clone(), self.token.clone());
                self.work.requests.push(Box::pin(async move {
                    let Some(token) = token else { return Completion::Token(false) };
                    let outcome = http.tokens().replace(&token).await;
                    // If a token may come later, the machine tries again.
                    let may_recover = |error| token_kind(&error) != ErrorKind::Unauthorized;
                    Completion::Token(outcome.map_or_else(may_recover, |_| true))
                }));
            }
            mercury::Action::Deliver(event) => {
                self.core.services.handle_event(&event);
                self.events.emit(&LinkEvent::Event(event));
            }
            mercury::Action::SequenceGap { expected, actual } => {
                info!(expected, actual, "events were lost between the service and this client");
                self.events.emit(&LinkEvent::SequenceGap { expected, actual });
            }
            mercury::Action::Switchover(switchover) => {
                info!(?switchover, "the server of the socket goes away");
                self.events.emit(&LinkEvent::Switchover(switchover));
            }
            // Handled by the link's machine; never passed to the driver.
            mercury::Action::RefreshDevice | mercury::Action::Trouble(_) => {}
        }
    }

    /// Why the link is not up.
    fn failed(&self) -> LinkError {
        let refused = self.machine.stopped().map(LinkError::Refused);
        refused.or_else(|| self.failure.clone()).unwrap_or(LinkError::Closed)
    }

    fn publish(&self) {
        let phase = self.machine.phase();
        let trouble = self.trouble.as_ref().filter(|_| phase == Phase::Starting);
        let online = self.machine.socket() == mercury::Status::Online;
        let failure = match self.machine.stopped() {
            Some(stop) => Some(LinkError::Refused(stop)),
            None => self.failure.clone(),
        };
        self.publish.send_if_modified(|state| {
            let same = state.phase == phase
                && state.online == online
                && state.device.as_ref() == self.machine.device()
                && state.trouble.is_some() == trouble.is_some()
                && state.failure.as_ref().map(LinkError::kind)
                    == failure.as_ref().map(LinkError::kind);
            if !same {
                let device = self.machine.device().cloned();
                let trouble = trouble.cloned();
                *state = LinkState { phase, device, online, failure, trouble };
            }
            !same
        });
    }

    /// Publishes the state, and answers callers that wait for a release.
    fn report(&mut self) {
        self.publish();
        if self.machine.phase() != Phase::Starting {
            self.trouble = None;
        }
        if self.machine.is_quiet() {
            for done in self.suspending.drain(..) {
                let _ = done.send(());
            }
        }
        let phase = self.machine.phase();
        let outcome = match phase {
            Phase::Left => Err(self.failed()),
            // Another lease is held, but this one is released all the same.
            _ if self.holders > 0 => Ok(()),
            Phase::Down => Ok(()),
            _ => return,
        };
        for done in self.releases.drain(..) {
            let _ = done.send(outcome.clone());
        }
    }
}

/// Loads the device of an earlier run, if its addresses may get the token.
async fn restore(core: &Arc<Core>) -> Option<Arc<Device>> {
    let token = core.http.tokens().token().await.ok()?;
    let org_id = token.org_id().ok();
    let device = Device::restore(&core.saved, &core.endpoints.u2c, org_id.as_deref()).await?;
    let known = || [&device.url, &device.web_socket_url].iter().all(|url| core.http.allows(url));
    if !known() {
        // The hosts of some clouds are known only from their catalog.
        core.catalog().await.ok()?;
    }
    known().then_some(device)
}

async fn register(core: &Arc<Core>) -> Result<Arc<Device>, LinkError> {
    let wdm = core.services.service_url("wdm").await?;
    Device::register(&core.http, &wdm, &core.device, core.saved.is_kept())
        .await
        .map_err(|source| LinkError::Device { action: "registered", source })
}

async fn room(core: &Arc<Core>) -> Result<Room, LinkError> {
    let wdm = core.services.service_url("wdm").await?;
    make_room(&core.http, &wdm, &core.device)
        .await
        .map_err(|source| LinkError::Device { action: "listed", source })
}

fn failure_of(error: &LinkError) -> Failure {
    let Some(source) = error.request() else { return Failure::Other };
    if is_excessive(source) {
        return Failure::Excessive;
    }
    if source.kind() == ErrorKind::Unauthorized {
        return Failure::Unauthorized;
    }
    if let Some(wait) = source.service().and_then(|error| error.retry_after) {
        return Failure::Wait(wait);
    }
    match source.kind() {
        // Repeating the request would return the same address.
        _ if matches!(source, HttpError::NotAllowed { .. }) => Failure::Refused,
        ErrorKind::NotFound => Failure::NotFound,
        ErrorKind::Forbidden | ErrorKind::Rejected => Failure::Refused,
        _ => Failure::Other,
    }
}

/// The same failure, with the number of devices.
fn too_many(failure: LinkError, room: Room) -> LinkError {
    match failure {
        LinkError::Device { source, .. } | LinkError::TooManyDevices { source, .. } => {
            LinkError::TooManyDevices {
                registered: room.registered - room.deleted,
                own: room.own - room.deleted,
                source,
            }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::error::ServiceError;

    #[test]
    fn what_a_device_request_failed_for_is_told_apart() {
        let failure = |source| failure_of(&LinkError::Device { action: "registered", source });
        let answer = |status: u16, wait: Option<u64>| {
            HttpError::Status(Arc::new(ServiceError {
                host: "w".to_owned(),
                status: status.try_into().unwrap(),
                message: None,
                error_code: None,
                tracking_id: None,
                retry_after: wait.map(Duration::from_secs),
                body: Bytes::new(),
            }))
        };
        for (status, expected) in [
            (401, Failure::Unauthorized),
            (403, Failure::Refused),
            (404, Failure::NotFound),
            (500, Failure::Other),
        ] {
            assert_eq!(failure(answer(status, None)), expected, "{status}");
        }
        let wait = Failure::Wait(Duration::from_secs(7));
        assert_eq!(failure(answer(503, Some(7))), wait);
        let not_allowed = HttpError::NotAllowed { address: "https://w".to_owned() };
        assert_eq!(failure(not_allowed), Failure::Refused);
        assert_eq!(failure_of(&LinkError::Closed), Failure::Other);
    }
}
