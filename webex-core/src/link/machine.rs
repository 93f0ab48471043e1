//! The link as a state machine: the WDM device and the Mercury socket of one user, together.
//!
//! Going up: device, then socket. Going down: socket, then device, so that the service never sends
//! events for a deleted device. Each half has its own machine; this one orders them and is driven
//! the same way.
//!
//! The socket is opened at the address in the current device record. While there is no record, or
//! it has just turned out to be stale, opening the socket waits for the answer about the device.

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
    /// An action of the socket.
    Socket(socket::Action),
    /// Report a change.
    Change(Change),
}

/// A change that is reported to subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The socket is online, for the first time or again.
    Online,
    /// The socket is gone.
    Offline,
    /// The link is wanted, but was refused.
    Failed,
    /// The link is wanted and not up: several attempts have failed, the latest for this reason, or
    /// attempts of the device when there is none.
    Trouble(Option<SocketFailure>),
    /// A new device was registered, with another address.
    DeviceReplaced,
}

/// The phase of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Phase {
    /// No lease is held, and nothing is left in the cloud.
    #[default]
    Down,
    /// Device or socket are being set up, for the first time or again.
    Starting,
    /// The device is registered and the socket is online.
    Up,
    /// The device is registered, and the socket is closed while the application is in the
    /// background.
    Suspended,
    /// Socket and device are being shut down.
    Stopping,
    /// It is wanted, but was refused; acquiring it again tries again. A failure for lack of a token
    /// ends by itself when there is a new one.
    Failed,
    /// It is not wanted, but the service did not confirm that the device is gone.
    Left,
}

/// The machine. See the [module documentation](self).
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // each is a fact of its own
pub(super) struct Machine {
    wanted: bool,
    /// Whether an unwanted device stays for the next start, if it can.
    keep: bool,
    reason: String,
    device: device::Machine,
    socket: machine::Machine,
    /// The device whose socket address was dialled last.
    dialled: Option<Arc<Device>>,
    /// The connection to open once there is a device record.
    held: Option<ConnId>,
    /// The device record is stale; its refresh is awaited.
    stale: bool,
    /// The application is in the background: no socket is opened.
    suspended: bool,
    /// A socket address that was refused and then confirmed by a refresh.
    confirmed: Option<Url>,
    /// A refused socket address whose refresh is in flight.
    suspect: Option<Url>,
    /// When the device was last replaced because of its address.
    replaced: Option<Instant>,
    /// The time of the latest input.
    now: Option<Instant>,
    /// The last reported state: whether the socket is online, and whether the link has failed.
    reported: (bool, bool),
    /// The address of the device that was reported last.
    named: Option<Url>,
    changes: VecDeque<Change>,
}

impl Machine {
    /// A link at rest, with this device machine.
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
            reported: (false, false),
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

    /// The device, once it is known to work. Other services are given this one.
    pub(super) fn device(&self) -> Option<&Arc<Device>> {
        self.device.device().filter(|_| self.device.is_proven())
    }

    /// The device whose socket to dial; may be of an earlier run, while it is being verified.
    pub(super) fn device_to_dial(&mut self) -> Option<&Arc<Device>> {
        self.dialled = self.device.device().cloned();
        self.dialled.as_ref()
    }

    pub(super) fn socket(&self) -> socket::Status {
        self.socket.status()
    }

    /// Why the socket was given up, if it was.
    pub(super) fn stopped(&self) -> Option<Stop> {
        match self.socket.status() {
            socket::Status::Stopped(stop) => Some(stop),
            _ => None,
        }
    }

    /// Whether the link failed for lack of a token, and comes back with a new one.
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

    /// Handles the application going to the background: closes the socket until
    /// [`resume`](Self::resume). The device stays registered.
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

    /// Handles the application's return: opens the socket at once.
    pub(super) fn resume(&mut self, now: Instant) {
        self.suspended = false;
        self.settle(now);
    }

    /// Whether the socket is closed for the background, or has ended otherwise.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self.socket.status(), socket::Status::Offline | socket::Status::Stopped(_))
    }

    /// Gives everything up; `reason` goes into the close frame. Repeats what was not confirmed.
    pub(super) fn down(&mut self, now: Instant, reason: &str) {
        self.keep = false;
        self.give_up(now, reason);
    }

    /// Closes everything. A device that outlives the process stays registered.
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

    /// Handles a new token, which brings back what failed for lack of one.
    pub(super) fn handle_token_available(&mut self, now: Instant) {
        if !self.wanted {
            return;
        }
        self.device.handle_token(now);
        if !self.suspended {
            self.socket.handle_token_available(now);
        } else if self.stopped() == Some(Stop::Unauthorized) {
            // No longer final: the socket is opened when the application is back.
            self.socket.disconnect(now, "suspended");
        }
        self.settle(now);
    }

    /// Handles a sleep during which the clock stood still for this long.
    pub(super) fn handle_slept(&mut self, now: Instant, unseen: Duration) {
        self.device.handle_slept(now, unseen);
        self.settle(now);
    }

    /// Handles a hint that the network may have changed or the machine has slept.
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
        // Socket first: on the way down its close frame goes out before the device is deleted.
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

    /// Handles a refused socket address: refreshes the device, and replaces it when a refresh has
    /// already confirmed the refused address.
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

    /// Dials again when the socket is open, or being opened, at an address that is no longer the
    /// device's. An open socket of the same device stays, because it works.
    fn follow_address(&mut self, now: Instant) {
        let (Some(device), Some(dialled)) = (self.device.device(), &self.dialled) else { return };
        let online = self.socket.status() == socket::Status::Online;
        let other = device.web_socket_url != dialled.web_socket_url;
        if device.url != dialled.url || (other && !online) {
            self.socket.move_over(now);
        }
    }

    /// Moves both halves towards what is wanted, one step after another.
    fn settle(&mut self, now: Instant) {
        self.now = Some(now);
        self.follow(now);
        let (was_online, had_failed) = self.reported;
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
        self.reported = (online, failed);
        if let Some(device) = self.device()
            && self.named.as_ref() != Some(&device.url)
        {
            let url = device.url.clone();
            if self.named.replace(url).is_some() {
                self.changes.push_back(Change::DeviceReplaced);
            }
        }
    }

    /// Moves both halves towards what is wanted, one step after another.
    fn follow(&mut self, now: Instant) {
        let offline = matches!(self.socket.status(), socket::Status::Offline);
        if self.wanted {
            let registered = self.device.status() == device::Status::Registered;
            let failed = self.device.status() == device::Status::Failed;
            if self.suspended {
                // Nothing is opened until the application is back.
            } else if registered && (offline || self.socket.status() == socket::Status::Closing) {
                self.socket.connect(now);
            } else if failed && matches!(self.socket.status(), socket::Status::Connecting { .. }) {
                // The device of an earlier run did not work: there is nothing to dial.
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
