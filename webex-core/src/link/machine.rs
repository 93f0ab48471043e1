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
mod tests {
    use super::*;

    fn device() -> Arc<Device> {
        let json = r#"{"url":"https://w/1","webSocketUrl":"wss://m/1","userId":"u"}"#;
        Arc::new(serde_json::from_str(json).unwrap())
    }

    fn up(now: Instant) -> (Machine, ConnId) {
        let mut machine = Machine::new(device::Machine::new(None, 1), 1);
        machine.up(now);
        assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Register))));
        machine.handle_record(now, Ok(device()));
        let Some(Action::Socket(socket::Action::Open(conn))) = machine.poll_action() else {
            panic!("no socket")
        };
        assert!(machine.handle_opened(now, conn));
        let frame = r#"{"data":{"eventType":"mercury.buffer_state"}}"#;
        machine.handle_frame(now, conn, ServerFrame::parse(frame).unwrap());
        assert_eq!(machine.phase(), Phase::Up);
        while machine.poll_action().is_some() {}
        (machine, conn)
    }

    #[test]
    fn goes_down_socket_first_then_device() {
        let now = Instant::now();
        let (mut machine, conn) = up(now);
        machine.down(now, "bye");
        let Some(Action::Socket(socket::Action::Close(_, close))) = machine.poll_action() else {
            panic!("no close")
        };
        assert_eq!((close.code, close.reason.as_str()), (3050, "bye"));
        assert!(matches!(machine.poll_action(), Some(Action::Change(Change::Offline))));
        assert!(machine.poll_action().is_none(), "the device waits for the socket");
        machine.handle_closed(now, conn, &close);
        assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Delete(_)))));
        assert_eq!(machine.phase(), Phase::Stopping);
        machine.handle_deleted(now, Ok(()));
        assert_eq!((machine.phase(), machine.poll_timeout()), (Phase::Down, None));
    }

    #[test]
    fn a_lost_socket_registration_refreshes_the_device_and_reconnects() {
        let now = Instant::now();
        let (mut machine, conn) = up(now);
        let close = Close { code: 4404, reason: String::new() };
        machine.handle_closed(now, conn, &close);
        assert_eq!(machine.phase(), Phase::Starting);
        assert!(matches!(machine.poll_action(), Some(Action::Change(Change::Offline))));
        assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Refresh(_)))));
        machine.handle_timeout(machine.poll_timeout().unwrap());
        assert!(machine.poll_action().is_none(), "the stale address is not tried");
        machine.handle_record(now, Ok(device()));
        assert!(matches!(machine.poll_action(), Some(Action::Socket(socket::Action::Open(_)))));
    }

    #[test]
    fn what_is_abandoned_is_closed_and_not_deleted() {
        let now = Instant::now();
        let (mut machine, conn) = up(now);
        machine.abandon(now, "embargo");
        assert_eq!(machine.phase(), Phase::Failed);
        let Some(Action::Socket(socket::Action::Close(_, close))) = machine.poll_action() else {
            panic!("no close")
        };
        machine.handle_closed(now, conn, &close);
        for change in [Change::Offline, Change::Failed] {
            assert!(matches!(machine.poll_action(), Some(Action::Change(told)) if told == change));
        }
        assert!(machine.poll_action().is_none(), "neither a request nor another socket");
        assert_eq!((machine.phase(), machine.poll_timeout()), (Phase::Failed, None));
        machine.down(now, "bye");
        assert_eq!(machine.phase(), Phase::Down);
        assert!(machine.poll_action().is_none());
        // Whoever signs in anew begins anew.
        machine.up(now);
        assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Register))));
    }

    #[test]
    fn down_while_registering_leaves_nothing() {
        let now = Instant::now();
        let mut machine = Machine::new(device::Machine::new(None, 1), 1);
        machine.up(now);
        assert!(machine.poll_action().is_some());
        machine.down(now, "bye");
        assert!(machine.poll_action().is_none());
        machine.handle_record(now, Ok(device()));
        assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Delete(_)))));
        machine.handle_deleted(now, Ok(()));
        assert_eq!(machine.phase(), Phase::Down);
    }

    fn device_at(url: &str, socket: &str) -> Arc<Device> {
        let json = format!(r#"{{"url":"{url}","webSocketUrl":"{socket}","userId":"u"}}"#);
        Arc::new(serde_json::from_str(&json).unwrap())
    }

    fn opens(machine: &mut Machine) -> usize {
        let actions = std::iter::from_fn(|| machine.poll_action());
        actions.filter(|it| matches!(it, Action::Socket(socket::Action::Open(_)))).count()
    }

    #[test]
    fn an_open_socket_follows_a_new_device_and_stays_with_the_same_one() {
        let now = Instant::now();
        for (url, expected) in [("https://w/1", 0), ("https://w/2", 1)] {
            let (mut machine, _) = up(now);
            assert!(machine.device_to_dial().is_some());
            machine.device.refresh();
            machine.handle_record(now, Ok(device_at(url, "wss://m/2")));
            assert_eq!(opens(&mut machine), expected, "{url}");
            assert_eq!(machine.phase(), Phase::Up, "make before break");
        }
    }

    #[test]
    fn a_remembered_device_is_dialled_while_it_is_proven_and_its_new_address_at_once() {
        let now = Instant::now();
        let mut machine = Machine::new(device::Machine::kept(1), 1);
        machine.up(now);
        assert!(machine.poll_action().is_some());
        machine.handle_restored(now, Some(device()));
        let Some(Action::Socket(socket::Action::Open(conn))) = machine.poll_action() else {
            panic!("no socket")
        };
        assert!(machine.device_to_dial().is_some());
        assert!(machine.device().is_none(), "not to be named before it is proven");
        assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Refresh(_)))));
        machine.handle_open_failed(now, conn, &OpenFailure::Network);
        assert_eq!(opens(&mut machine), 0, "it waits");
        machine.handle_record(now, Ok(device_at("https://w/1", "wss://m/2")));
        assert_eq!(opens(&mut machine), 1);
        assert_eq!(machine.device_to_dial().unwrap().web_socket_url.as_str(), "wss://m/2");
        // The same answer again is no news.
        machine.device.refresh();
        machine.handle_record(now, Ok(device_at("https://w/1", "wss://m/2")));
        assert_eq!(opens(&mut machine), 0);
    }

    #[test]
    fn the_socket_of_a_remembered_device_ends_with_it() {
        let now = Instant::now();
        let mut machine = Machine::new(device::Machine::kept(1), 1);
        machine.up(now);
        assert!(machine.poll_action().is_some());
        machine.handle_restored(now, Some(device()));
        assert_eq!(opens(&mut machine), 1);
        assert!(machine.device_to_dial().is_some());
        machine.handle_record(now, Err(device::Failure::NotFound));
        let _ = opens(&mut machine);
        machine.handle_record(now, Err(device::Failure::Refused));
        assert_eq!(machine.phase(), Phase::Failed);
        let _ = opens(&mut machine);
        assert_eq!(machine.poll_timeout(), None, "nothing goes on by itself");
    }

    #[test]
    fn a_new_address_does_not_shorten_the_wait_after_several_failures() {
        let now = Instant::now();
        let (mut machine, conn) = up(now);
        machine.handle_closed(now, conn, &Close { code: 4404, reason: String::new() });
        for number in 2..6 {
            let _ = opens(&mut machine);
            machine.handle_record(now, Err(device::Failure::NotFound));
            let _ = opens(&mut machine);
            let url = format!("https://w/{number}");
            machine.handle_record(now, Ok(device_at(&url, "wss://m/1")));
            let at_once = opens(&mut machine);
            assert!(at_once == 0 || number == 2, "attempt {number}");
            let Some(due) = machine.poll_timeout() else { panic!("no deadline") };
            machine.handle_timeout(due);
            while let Some(action) = machine.poll_action() {
                if let Action::Socket(socket::Action::Open(conn)) = action {
                    assert!(machine.device_to_dial().is_some());
                    let gone = OpenFailure::Status { status: 404, retry_after: None };
                    machine.handle_open_failed(now, conn, &gone);
                }
            }
        }
    }

    /// The socket of the present device is refused until the device is refreshed or replaced; what
    /// is asked for then.
    fn refused_until_mended(machine: &mut Machine, now: &mut Instant) -> device::Action {
        loop {
            while let Some(action) = machine.poll_action() {
                match action {
                    Action::Device(action) => return action,
                    Action::Socket(socket::Action::Open(conn)) => {
                        assert!(machine.device_to_dial().is_some());
                        let gone = OpenFailure::Status { status: 404, retry_after: None };
                        machine.handle_open_failed(*now, conn, &gone);
                    }
                    _ => {}
                }
            }
            *now = machine.poll_timeout().expect("a deadline");
            machine.handle_timeout(*now);
        }
    }

    #[test]
    fn an_address_that_is_refused_for_good_is_replaced_at_a_bounded_rate() {
        let mut now = Instant::now();
        let (mut machine, conn) = up(now);
        assert!(machine.device_to_dial().is_some());
        machine.handle_closed(now, conn, &Close { code: 1001, reason: String::new() });
        let mut replaced = Vec::new();
        for number in 2..6 {
            // The service stands by the address once more, which the socket does not.
            let mut refreshes = 0;
            loop {
                match refused_until_mended(&mut machine, &mut now) {
                    device::Action::Refresh(same) => {
                        refreshes += 1;
                        machine.handle_record(now, Ok(same));
                    }
                    device::Action::Delete(_) => break,
                    other => panic!("{other:?}"),
                }
            }
            replaced.push(now);
            assert!(refreshes > 0, "it is asked before it is replaced");
            machine.handle_deleted(now, Ok(()));
            let asked = refused_until_mended(&mut machine, &mut now);
            assert!(matches!(asked, device::Action::Register), "{asked:?}");
            let url = format!("https://w/{number}");
            machine.handle_record(now, Ok(device_at(&url, &format!("wss://m/{number}"))));
        }
        assert!(replaced.windows(2).all(|pair| pair[1] - pair[0] >= REPLACE_PAUSE));
    }

    #[test]
    fn in_the_background_the_socket_is_closed_and_afterwards_opened_at_once() {
        let now = Instant::now();
        let (mut machine, conn) = up(now);
        machine.suspend(now);
        let Some(Action::Socket(socket::Action::Close(_, close))) = machine.poll_action() else {
            panic!("no close")
        };
        assert!(!machine.is_quiet());
        machine.handle_closed(now, conn, &close);
        assert!(matches!(machine.poll_action(), Some(Action::Change(Change::Offline))));
        assert!(machine.poll_action().is_none());
        assert_eq!((machine.phase(), machine.is_quiet()), (Phase::Suspended, true));
        // Neither a hint, nor a token, nor somebody who wants it opens it.
        machine.handle_hint(now);
        machine.handle_token_available(now);
        machine.up(now);
        assert!(machine.poll_action().is_none());
        machine.resume(now);
        assert_eq!(opens(&mut machine), 1, "without asking for the device");
        // Back before the close was confirmed: opened as soon as it is.
        let (mut machine, conn) = up(now);
        machine.suspend(now);
        machine.resume(now);
        assert_eq!(opens(&mut machine), 0);
        machine.handle_closed(now, conn, &close);
        assert_eq!(opens(&mut machine), 1);
    }

    #[test]
    fn a_device_left_for_the_next_start_can_still_be_given_up() {
        let now = Instant::now();
        let mut machine = Machine::new(device::Machine::kept(1), 1);
        machine.up(now);
        assert!(machine.poll_action().is_some());
        machine.leave(now, "dropped");
        machine.handle_restored(now, Some(device()));
        assert_eq!(machine.phase(), Phase::Down, "it stays for the next start");
        machine.leave(now, "again");
        assert!(machine.poll_action().is_none());
        machine.down(now, "unregistered");
        assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Restore))));
        machine.handle_restored(now, Some(device()));
        assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Delete(_)))));
        machine.handle_deleted(now, Ok(()));
        assert_eq!(machine.phase(), Phase::Down);
        machine.down(now, "again");
        assert!(machine.poll_action().is_none(), "nothing is left");
    }
}
