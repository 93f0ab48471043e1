//! The client's side: passes events to the link machine, performs its actions, and checks each of
//! them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    checks::{MINUTE, MOST_ATTEMPTS, MOST_REQUESTS, in_last_minute},
    model::Event,
    world::{Outage, Simulation},
};
use crate::{
    device::machine::{Action as DeviceAction, Failure},
    link::machine::{Action, Change, Phase},
    mercury::{
        close::Close,
        frame::{ClientFrame, FrameBody, ServerFrame},
        machine::action::{self as socket, ConnId, OpenFailure},
        timings::{RATE_LIMITED_WAIT, RETRY_AFTER_CAP},
    },
};

impl Simulation {
    // --- what happens --------------------------------------------------------------------------

    pub(super) fn happen(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Restored(found) => {
                self.checks.requesting = false;
                self.machine.handle_restored(now, found);
            }
            Event::Record(answer) => {
                self.checks.requesting = false;
                if let Ok(device) = &answer {
                    self.wdm.kept = Some(Arc::clone(device));
                }
                self.note(format!("the device's answer: {answer:?}"));
                self.machine.handle_record(now, answer);
            }
            Event::Room(answer) => {
                self.checks.requesting = false;
                self.machine.handle_room(now, answer);
            }
            Event::Deleted(answer) => {
                self.checks.requesting = false;
                if matches!(answer, Ok(()) | Err(Failure::NotFound)) {
                    self.wdm.kept = None;
                }
                self.machine.handle_deleted(now, answer);
            }
            Event::Token(renewed) => {
                if renewed {
                    self.mercury.token = self.mercury.accepted_token.max(self.mercury.token) + 1;
                }
                self.machine.handle_token(now, renewed);
            }
            Event::TokenAvailable => {
                if self.is_out(Outage::Token) {
                    return self.later(MINUTE, Event::TokenAvailable);
                }
                self.note("there is another token");
                self.checks.reasons.push_back(self.world);
                self.mercury.token = self.mercury.accepted_token.max(self.mercury.token) + 1;
                self.machine.handle_token_available(now);
                assert!(!self.machine.wants_token(), "a token does not bring it back");
            }
            Event::Opened(conn, outcome) => self.opened(conn, outcome),
            Event::Authorize(conn) => self.authorize(conn),
            Event::Frame(conn, frame) => self.frame(conn, frame),
            Event::Closed(conn, close) => {
                // The client gets no news of sockets that it has left.
                if self.mercury.sockets.remove(&conn).is_some() {
                    self.note(format!("{conn:?} is closed: {close:?}"));
                    self.machine.handle_closed(now, conn, &close);
                }
            }
            Event::Retire(conn) => self.server_closes(conn, 4001, "shutdown"),
            Event::Hint => self.hint(),
            Event::Slept(time) => {
                self.machine.handle_slept(now, time);
                if let Some(held) = &mut self.wdm.device {
                    held.told = held.told.checked_sub(time).unwrap_or(held.told);
                }
                self.hint();
            }
        }
    }

    pub(super) fn hint(&mut self) {
        self.note("a hint");
        self.checks.reasons.push_back(self.world);
        self.machine.handle_hint(self.now());
    }

    fn opened(&mut self, conn: ConnId, outcome: Result<(), OpenFailure>) {
        if !self.mercury.sockets.contains_key(&conn) {
            return;
        }
        let now = self.now();
        match outcome {
            Ok(()) => {
                if self.machine.handle_opened(now, conn) {
                    self.mercury.sockets.get_mut(&conn).unwrap().opened = true;
                    let after = self.latency() * 2;
                    self.later(after, Event::Authorize(conn));
                } else {
                    self.mercury.sockets.remove(&conn);
                }
            }
            Err(failure) => {
                self.note(format!("{conn:?} is not opened: {failure:?}"));
                self.mercury.sockets.remove(&conn);
                if let OpenFailure::Status { status, retry_after } = failure {
                    let least = if status == 429 { Some(RATE_LIMITED_WAIT) } else { None };
                    let asked = retry_after.or(least).map(|wait| wait.min(RETRY_AFTER_CAP));
                    self.mercury.not_before = asked.map(|wait| now + wait);
                }
                self.machine.handle_open_failed(now, conn, &failure);
            }
        }
    }

    fn frame(&mut self, conn: ConnId, frame: ServerFrame) {
        let Some(socket) = self.mercury.sockets.get_mut(&conn) else { return };
        let heard = !socket.closing;
        if heard {
            if let Some(id) = &frame.id {
                socket.unacknowledged.insert(id.clone());
            }
            let expected = socket.last_sequence.map(|last| last + 1);
            self.checks.gap_due = expected.is_some() && expected != frame.sequence;
            socket.last_sequence = frame.sequence;
            socket.authorized |= frame.authorizes();
            if let (FrameBody::Event(_), Some(id)) = (&frame.body, &frame.id) {
                let fresh = !self.checks.delivered.contains(id);
                self.checks.due = fresh.then(|| (conn, id.clone(), frame.sequence));
            }
        }
        let pong_or_shutdown = matches!(frame.body, FrameBody::Pong | FrameBody::Shutdown);
        self.machine.handle_frame(self.now(), conn, frame);
        self.act();
        assert_eq!(self.checks.due, None, "an event is not delivered");
        assert!(!self.checks.gap_due, "a gap is not told");
        if let Some(socket) = self.mercury.sockets.get(&conn).filter(|_| heard) {
            let open = socket.unacknowledged.len();
            assert!(open == 0 || pong_or_shutdown, "{open} frames are not acknowledged");
        }
    }

    // --- actions ---------------------------------------------------------------------

    /// Performs the machine's actions.
    pub(super) fn act(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            if self.verbose && !matches!(action, Action::Socket(socket::Action::Deliver(_))) {
                self.note(format!("  {action:?}"));
            }
            match action {
                Action::Device(action) => self.request(action),
                Action::Change(change) => self.changed(change),
                Action::Socket(action) => self.socket_action(action),
            }
        }
        if let Some(device) = self.machine.device() {
            let named = self.checks.named.get_or_insert_with(|| device.url.clone());
            assert_eq!(*named, device.url, "a new device is not told");
        }
        self.check_sockets();
    }

    fn request(&mut self, action: DeviceAction) {
        assert!(!self.checks.requesting, "two device requests at once");
        assert_ne!(self.machine.phase(), Phase::Down, "a request after the end");
        self.checks.requesting = true;
        self.checks.requests.push_back(self.world);
        let (requests, reasons) = self.rates();
        assert!(requests <= MOST_REQUESTS + reasons, "{requests} device requests in a minute");
        self.device_request(action);
    }

    fn rates(&mut self) -> (usize, usize) {
        let requests = in_last_minute(&mut self.checks.requests, self.world);
        (requests, in_last_minute(&mut self.checks.reasons, self.world))
    }

    fn changed(&mut self, change: Change) {
        match change {
            Change::Online => assert!(!std::mem::replace(&mut self.checks.online, true)),
            Change::Offline => {
                assert!(std::mem::replace(&mut self.checks.online, false));
                self.checks.offline += 1;
            }
            Change::Failed => {
                assert!(self.wanted, "a failure of what nobody wants");
                if self.machine.wants_token() {
                    let after = Duration::from_secs(self.random.u64(1..60));
                    self.later(after, Event::TokenAvailable);
                }
            }
            Change::Trouble(_) => {
                assert!(self.wanted, "trouble with what nobody wants");
                assert!(!self.checks.online, "trouble with what is up");
            }
            Change::DeviceReplaced => {
                let device = self.machine.device().expect("a device").url.clone();
                let before = self.checks.named.replace(device.clone());
                assert!(before.is_some_and(|before| before != device), "a device that is no news");
            }
        }
    }

    fn socket_action(&mut self, action: socket::Action) {
        match action {
            socket::Action::Open(conn) => self.open(conn),
            socket::Action::Send(conn, frame) => self.sent(conn, frame),
            socket::Action::Close(conn, close) => self.closes(conn, close),
            socket::Action::Drop(conn) => {
                let known = self.mercury.sockets.remove(&conn);
                assert!(known.is_some(), "{conn:?} is dropped and was not there");
            }
            socket::Action::ReplaceToken => {
                let renewed = !self.is_out(Outage::Token) && !self.fault(3);
                let after = self.latency() * 2;
                self.later(after, Event::Token(renewed));
            }
            socket::Action::Deliver(event) => {
                let id = event.id.clone().unwrap();
                assert!(self.checks.delivered.insert(id.clone()), "{id} is delivered twice");
                let due = self.checks.due.take();
                let Some((conn, due, number)) = due else {
                    panic!("{id} is delivered and did not come")
                };
                assert_eq!(due, id, "another event is delivered than came");
                let socket = self.mercury.sockets.get_mut(&conn).unwrap();
                assert!(number > socket.last_event, "{id} is delivered out of order");
                socket.last_event = number;
            }
            socket::Action::SequenceGap { .. } => {
                assert!(std::mem::take(&mut self.checks.gap_due), "a gap that is not there");
            }
            socket::Action::Switchover(_) => assert!(self.wanted),
            socket::Action::RefreshDevice | socket::Action::Trouble(_) => {
                panic!("the link answers this itself")
            }
        }
    }

    fn open(&mut self, conn: ConnId) {
        let now: Instant = self.now();
        assert!(self.wanted, "a socket that nobody wants");
        assert!(!self.suspended, "a socket in the background");
        let early = self.mercury.not_before.is_some_and(|at| now < at);
        assert!(!early, "the server has asked to wait longer");
        self.checks.attempts.push_back(self.world.saturating_sub(self.slept));
        let clock = self.world.saturating_sub(self.slept);
        let attempts = in_last_minute(&mut self.checks.attempts, clock);
        let (_, reasons) = self.rates();
        assert!(attempts <= MOST_ATTEMPTS + reasons, "{attempts} attempts in a minute");
        let device = self.machine.device_to_dial().cloned().expect("a device to dial for");
        self.dial(conn, device);
    }

    fn sent(&mut self, conn: ConnId, frame: ClientFrame) {
        let newest = self.mercury.sockets.iter().rfind(|(_, socket)| socket.authorized);
        let newest = newest.map(|(conn, _)| *conn);
        let socket = self.mercury.sockets.get_mut(&conn);
        let socket = socket.unwrap_or_else(|| panic!("{conn:?} is written to and not there"));
        assert!(socket.opened && !socket.closing, "{conn:?} is written to and not open");
        match frame {
            ClientFrame::Ack { message_id } => {
                assert!(
                    socket.unacknowledged.remove(&message_id),
                    "{message_id} acknowledged twice"
                );
            }
            ClientFrame::Ping { id } => {
                assert_eq!(newest, Some(conn), "the newest socket is the one that counts");
                self.pinged(conn, id);
            }
        }
    }

    fn closes(&mut self, conn: ConnId, close: Close) {
        let after = self.latency() * 2;
        let socket = self.mercury.sockets.get_mut(&conn);
        let socket = socket.unwrap_or_else(|| panic!("{conn:?} is closed and not there"));
        assert!(!std::mem::replace(&mut socket.closing, true), "{conn:?} is closed twice");
        if !socket.dead {
            self.later(after, Event::Closed(conn, close));
        }
    }

    // --- what must hold ------------------------------------------------------------------------

    fn check_sockets(&self) {
        let open = || self.mercury.sockets.values().filter(|socket| !socket.closing);
        let authorized = open().filter(|socket| socket.authorized).count();
        let others = open().filter(|socket| !socket.authorized).count();
        assert!(authorized <= 2, "{authorized} authorized sockets");
        assert!(others <= 1, "{others} attempts at once");
        // The current socket, and one that is ending.
        let staying =
            open().filter(|socket| socket.authorized && !socket.announced && !socket.dead);
        let devices: Vec<_> = staying.map(|socket| socket.device.url.as_str()).collect();
        let same = devices.windows(2).any(|pair| pair[0] == pair[1]);
        assert!(!same, "two sockets of one device that both stay");
        assert!(
            !self.wanted
                || self.machine.poll_timeout().is_some()
                || self.checks.requesting
                || self.suspended
                || self.machine.phase() == Phase::Failed,
            "it waits for nothing"
        );
    }

    /// Asserts that nothing is left, here and in the cloud.
    pub(super) fn check_released(&mut self) {
        self.act();
        assert_eq!(self.machine.phase(), Phase::Down);
        assert_eq!(self.machine.poll_timeout(), None, "a timer is left");
        assert!(self.mercury.sockets.is_empty(), "a socket is left");
        assert!(self.wdm.device.is_none(), "a device is left");
        assert!(!self.checks.requesting, "a request is left");
        assert!(!self.checks.online, "no event says that it is offline");
    }
}
