//! The link as a state machine: the WDM device and the Mercury socket of one user, together.
//!
//! Going up: device, then socket. Going down: socket, then device, so that the service never sends
//! events for a device that is gone. Both halves have machines of their own; this one orders them
//! and is driven the same way.
//!
//! The socket is opened at the address of the device record of that moment. While there is none, or
//! the one there is has just turned out to be stale, the opening waits for the answer about the
//! device.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;

use crate::{
    device::{machine as device, record::Device, timings::REPLACE_PAUSE},
    mercury::{
        close::{Close, Stop},
        failure::SocketFailure,
        frame::ServerFrame,
        machine::{
            self,
            action::{self as socket, ConnId, OpenFailure},
        },
        timings::TELL_AFTER_FAILURES,
    },
};

/// What the driver has to do.
#[derive(Debug)]
pub(super) enum Action {
    /// A request about the device.
    Device(device::Action),
    /// Something with the socket.
    Socket(socket::Action),
    /// Tell what has changed.
    Change(Change),
}

/// What those who follow the link are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The socket is online (again).
    Online,
    /// The socket is gone.
    Offline,
    /// The link is wanted, but was refused.
    Failed,
    /// The link is wanted and not up: several attempts have failed, the latest for this reason, or
    /// those of the device when there is none.
    Trouble(Option<SocketFailure>),
    /// The device was made anew: it has another address.
    DeviceReplaced,
}

/// Where the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Phase {
    /// Nobody holds it, and nothing is left of it in the cloud.
    #[default]
    Down,
    /// Device or socket are being made, or made anew.
    Starting,
    /// The device is registered and the socket is online.
    Up,
    /// The device is registered, and the socket is closed until the application comes back from the
    /// background.
    Suspended,
    /// Socket and device are being given up.
    Stopping,
    /// It is wanted, but was refused; holding it anew tries again. What failed for want of a token
    /// comes back by itself when there is another one.
    Failed,
    /// It is not wanted, but the service did not confirm that the device is gone.
    Left,
}

/// The machine. See the [module documentation](self).
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // each is a fact of its own
pub(super) struct Machine {
    wanted: bool,
    /// Whether an unwanted device stays for the next start, where it can.
    keep: bool,
    reason: String,
    device: device::Machine,
    socket: machine::Machine,
    /// The device whose socket address was dialled last.
    dialled: Option<Arc<Device>>,
    /// The connection to open once the device's record is there.
    held: Option<ConnId>,
    /// The socket was told that the record is stale; the answer of its refresh is awaited.
    stale: bool,
    /// The application is in the background: no socket is opened.
    suspended: bool,
    /// A socket address that was refused and that a refresh has confirmed.
    confirmed: Option<Url>,
    /// The one whose refresh is under way.
    suspect: Option<Url>,
    /// When a device was last made anew because of its address.
    replaced: Option<Instant>,
    /// The time of the latest input.
    now: Option<Instant>,
    /// What was told last: whether the socket is online, and whether the link has failed.
    told: (bool, bool),
    /// The device that was told of last, by its address.
    named: Option<Url>,
    changes: VecDeque<Change>,
}

impl Machine {
    /// A link at rest, over this machine of its device.
    pub(super) fn new(device: device::Machine, seed: u64) -> Self {
        Self {
            wanted: false,
            keep: false,
            reason: String::new(),
            device,
            socket: machine::Machine::new(seed.wrapping_add(1)),
            dialled: None,
            held: None,
            stale: false,
            suspended: false,
            confirmed: None,
            suspect: None,
            replaced: None,
            now: None,
            told: (false, false),
            named: None,
            changes: VecDeque::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        use device::Status as D;
        use socket::Status as S;
        match (self.wanted, self.device.status(), self.socket.status()) {
            (true, D::Failed, _) | (true, _, S::Stopped(_)) => Phase::Failed,
            (true, D::Registered, S::Online) => Phase::Up,
            (true, D::Registered, S::Offline) if self.suspended => Phase::Suspended,
            (true, ..) => Phase::Starting,
            (false, D::Absent, S::Offline) => Phase::Down,
            (false, D::Left, S::Offline) => Phase::Left,
            (false, ..) => Phase::Stopping,
        }
    }

    /// The device, once it is known to work: the one to name to other services.
    pub(super) fn device(&self) -> Option<&Arc<Device>> {
        self.device.device().filter(|_| self.device.is_proven())
    }

    /// The device whose socket to dial: also one of an earlier run, while it is being proven.
    pub(super) fn device_to_dial(&mut self) -> Option<&Arc<Device>> {
        self.dialled = self.device.device().cloned();
        self.dialled.as_ref()
    }

    pub(super) fn socket(&self) -> socket::Status {
        self.socket.status()
    }

    /// Why the socket was given up, when it was.
    pub(super) fn stopped(&self) -> Option<Stop> {
        match self.socket.status() {
            socket::Status::Stopped(stop) => Some(stop),
            _ => None,
        }
    }

    /// Whether the link failed for want of a token, and comes back with another one.
    pub(super) fn wants_token(&self) -> bool {
        self.phase() == Phase::Failed
            && match self.stopped() {
                Some(stop) => stop == Stop::Unauthorized,
                None => self.device.wants_token(),
            }
    }

    pub(super) fn up(&mut self, now: Instant) {
        self.wanted = true;
        self.device.want();
        if self.stopped().is_some() && !self.suspended {
            self.socket.connect(now);
        }
        self.settle(now);
    }

    /// The application goes to the background: the socket closes, and stays closed until
    /// [`resume`](Self::resume). The device stays.
    pub(super) fn suspend(&mut self, now: Instant) {
        self.suspended = true;
        if !matches!(
            self.socket.status(),
            socket::Status::Offline | socket::Status::Closing | socket::Status::Stopped(_)
        ) {
            self.socket.disconnect(now, "suspended");
        }
        self.settle(now);
    }

    /// The application is back: the socket is opened at once.
    pub(super) fn resume(&mut self, now: Instant) {
        self.suspended = false;
        self.settle(now);
    }

    /// Whether the socket is closed for the background, or has ended otherwise.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self.socket.status(), socket::Status::Offline | socket::Status::Stopped(_))
    }

    /// Gives everything up; `reason` goes into the close frame. Tries again what was not confirmed.
    pub(super) fn down(&mut self, now: Instant, reason: &str) {
        self.keep = false;
        self.give_up(now, reason);
    }

    /// Ends everything here. A device that outlives the process stays registered.
    pub(super) fn leave(&mut self, now: Instant, reason: &str) {
        self.keep = true;
        self.give_up(now, reason);
    }

    fn give_up(&mut self, now: Instant, reason: &str) {
        self.wanted = false;
        reason.clone_into(&mut self.reason);
        if self.phase() == Phase::Left || (!self.keep && self.device.is_left_behind()) {
            self.end_device();
        }
        self.settle(now);
    }

    pub(super) fn handle_restored(&mut self, now: Instant, found: Option<Arc<Device>>) {
        self.device.handle_restored(found);
        self.settle(now);
    }

    pub(super) fn handle_room(&mut self, now: Instant, answer: Result<usize, device::Failure>) {
        self.device.handle_room(now, answer);
        self.settle(now);
    }

    /// Gives everything up without a request to the service, and fails if it is wanted.
    pub(super) fn abandon(&mut self, now: Instant, reason: &str) {
        self.device.forget();
        if !matches!(self.socket.status(), socket::Status::Offline | socket::Status::Closing) {
            self.socket.disconnect(now, reason);
        }
        self.settle(now);
    }

    pub(super) fn handle_record(
        &mut self,
        now: Instant,
        answer: Result<Arc<Device>, device::Failure>,
    ) {
        self.stale = false;
        if let (Ok(device), Some(suspect)) = (&answer, self.suspect.take()) {
            self.confirmed = Some(suspect).filter(|address| *address == device.web_socket_url);
        }
        self.device.handle_record(now, answer);
        let failures = self.device.failures();
        if self.wanted && failures == TELL_AFTER_FAILURES && !self.is_online() {
            self.changes.push_back(Change::Trouble(None));
        }
        if self.held.is_none() {
            self.follow_address(now);
        }
        self.settle(now);
    }

    pub(super) fn handle_deleted(&mut self, now: Instant, answer: Result<(), device::Failure>) {
        self.device.handle_deleted(answer);
        self.settle(now);
    }

    pub(super) fn handle_token(&mut self, now: Instant, renewed: bool) {
        self.socket.handle_token(renewed);
        self.settle(now);
    }

    /// There is another token: what failed for want of one comes back by itself.
    pub(super) fn handle_token_available(&mut self, now: Instant) {
        if !self.wanted {
            return;
        }
        self.device.handle_token(now);
        if !self.suspended {
            self.socket.handle_token_available(now);
        } else if self.stopped() == Some(Stop::Unauthorized) {
            // Not final any more: it is opened when the application is back.
            self.socket.disconnect(now, "suspended");
        }
        self.settle(now);
    }

    /// The clock stood still so long.
    pub(super) fn handle_slept(&mut self, now: Instant, unseen: Duration) {
        self.device.handle_slept(now, unseen);
        self.settle(now);
    }

    /// The network may have changed, or the machine has slept.
    pub(super) fn handle_hint(&mut self, now: Instant) {
        self.device.handle_hint(now);
        self.socket.handle_hint(now);
        self.settle(now);
    }

    #[must_use]
    pub(super) fn handle_opened(&mut self, now: Instant, conn: ConnId) -> bool {
        self.socket.handle_opened(now, conn)
    }

    pub(super) fn handle_open_failed(&mut self, now: Instant, conn: ConnId, why: &OpenFailure) {
        self.socket.handle_open_failed(now, conn, why);
        self.settle(now);
    }

    pub(super) fn handle_frame(&mut self, now: Instant, conn: ConnId, frame: ServerFrame) {
        self.socket.handle_frame(now, conn, frame);
        if self.socket.status() == socket::Status::Online {
            self.device.prove();
        }
        self.settle(now);
    }

    pub(super) fn handle_closed(&mut self, now: Instant, conn: ConnId, close: &Close) {
        self.socket.handle_closed(now, conn, close);
        self.settle(now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.device.handle_timeout(now);
        self.socket.handle_timeout(now);
        self.settle(now);
    }

    #[must_use]
    pub(super) fn poll_action(&mut self) -> Option<Action> {
        // Socket first: on the way down its close frame precedes the device's deletion.
        while let Some(action) = self.socket.poll_action() {
            match action {
                socket::Action::Trouble(why) => {
                    self.changes.push_back(Change::Trouble(Some(why)));
                }
                socket::Action::RefreshDevice => {
                    self.mend_address();
                    self.stale = self.device.status() == device::Status::Registered;
                }
                socket::Action::Open(conn) => self.held = Some(conn),
                socket::Action::Drop(conn) if self.held == Some(conn) => self.held = None,
                action => return Some(Action::Socket(action)),
            }
        }
        if let Some(change) = self.changes.pop_front() {
            return Some(Action::Change(change));
        }
        if self.device.device().is_some()
            && !self.stale
            && let Some(conn) = self.held.take()
        {
            return Some(Action::Socket(socket::Action::Open(conn)));
        }
        self.device.poll_action().map(Action::Device)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match (self.device.poll_timeout(), self.socket.poll_timeout()) {
            (Some(device), Some(socket)) => Some(device.min(socket)),
            (one, other) => one.or(other),
        }
    }

    fn is_online(&self) -> bool {
        self.socket.status() == socket::Status::Online
    }

    /// The address that was dialled is refused: asks the service for the present one, and for
    /// another device when it has said once that the refused one is right.
    fn mend_address(&mut self) {
        let address = self.dialled.as_ref().map(|device| device.web_socket_url.clone());
        let due = match (self.replaced, self.now) {
            (Some(last), Some(now)) => now.duration_since(last) >= REPLACE_PAUSE,
            _ => true,
        };
        let refused_for_good = address.is_some() && address == self.confirmed;
        if refused_for_good && due && self.device.replace() {
            (self.replaced, self.confirmed) = (self.now, None);
        } else {
            self.suspect = address;
            self.device.refresh();
        }
    }

    fn end_device(&mut self) {
        if self.keep {
            self.device.leave();
        } else {
            self.device.unwant();
        }
    }

    /// Dials anew when the socket is, or is being made, at an address that is no longer the
    /// device's. An open socket of the same device stays where it is: it works.
    fn follow_address(&mut self, now: Instant) {
        let (Some(device), Some(dialled)) = (self.device.device(), &self.dialled) else { return };
        let online = self.socket.status() == socket::Status::Online;
        let other = device.web_socket_url != dialled.web_socket_url;
        if device.url != dialled.url || (other && !online) {
            self.socket.move_over(now);
        }
    }

    /// Makes both halves follow what is wanted, each step once the one before has been reached.
    fn settle(&mut self, now: Instant) {
        self.now = Some(now);
        self.follow(now);
        let (was_online, had_failed) = self.told;
        let online = self.is_online();
        if online {
            self.confirmed = None;
        }
        let failed = self.phase() == Phase::Failed;
        if online != was_online {
            self.changes.push_back(if online { Change::Online } else { Change::Offline });
        }
        if failed && !had_failed {
            self.changes.push_back(Change::Failed);
        }
        self.told = (online, failed);
        if let Some(device) = self.device()
            && self.named.as_ref() != Some(&device.url)
        {
            let url = device.url.clone();
            if self.named.replace(url).is_some() {
                self.changes.push_back(Change::DeviceReplaced);
            }
        }
    }

    /// Makes both halves follow what is wanted, each step once the one before has been reached.
    fn follow(&mut self, now: Instant) {
        let offline = matches!(self.socket.status(), socket::Status::Offline);
        if self.wanted {
            let registered = self.device.status() == device::Status::Registered;
            let failed = self.device.status() == device::Status::Failed;
            if self.suspended {
                // Nothing to open until the application is back.
            } else if registered && (offline || self.socket.status() == socket::Status::Closing) {
                self.socket.connect(now);
            } else if failed && matches!(self.socket.status(), socket::Status::Connecting { .. }) {
                // A device of an earlier run that did not prove itself: there is nothing to dial.
                self.socket.disconnect(now, "no device");
            }
        } else if offline {
            if !matches!(self.device.status(), device::Status::Absent | device::Status::Left) {
                self.end_device();
            }
        } else if self.socket.status() != socket::Status::Closing {
            self.socket.disconnect(now, &self.reason);
            self.follow(now);
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
