//! The link as a state machine: the WDM device and the Mercury socket of one user, together.
//!
//! Going up: device, then socket. Going down: socket, then device, so that the service never sends
//! events for a device that is gone. Both halves have machines of their own; this one orders them
//! and is driven the same way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    device::{self, Device},
    mercury::{
        close::{Close, Stop},
        frame::ServerFrame,
        machine::{self as socket, ConnId, OpenFailure},
    },
};

/// What the driver has to do.
#[derive(Debug)]
pub(super) enum Action {
    /// A request about the device.
    Device(device::machine::Action),
    /// Something with the socket.
    Socket(socket::Action),
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
    /// Socket and device are being given up.
    Stopping,
    /// It is wanted, but was refused; holding it anew tries again.
    Failed,
    /// It is not wanted, but the service did not confirm that the device is gone.
    Left,
}

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Machine {
    wanted: bool,
    reason: String,
    device: device::machine::Machine,
    socket: socket::Machine,
}

impl Machine {
    pub(super) fn new(ttl: Option<Duration>, seed: u64) -> Self {
        Self {
            wanted: false,
            reason: String::new(),
            device: device::machine::Machine::new(ttl, seed),
            socket: socket::Machine::new(seed.wrapping_add(1)),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        use device::machine::Status as D;
        use socket::Status as S;
        match (self.wanted, self.device.status(), self.socket.status()) {
            (true, D::Failed, _) | (true, _, S::Stopped(_)) => Phase::Failed,
            (true, D::Registered, S::Online) => Phase::Up,
            (true, ..) => Phase::Starting,
            (false, D::Absent, S::Offline) => Phase::Down,
            (false, D::Left, S::Offline) => Phase::Left,
            (false, ..) => Phase::Stopping,
        }
    }

    pub(super) fn device(&self) -> Option<&Arc<Device>> {
        self.device.device()
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

    pub(super) fn up(&mut self, now: Instant) {
        self.wanted = true;
        self.device.want();
        if self.stopped().is_some() {
            self.socket.connect(now);
        }
        self.settle(now);
    }

    /// Gives everything up; `reason` goes into the close frame. Tries again what was not confirmed.
    pub(super) fn down(&mut self, now: Instant, reason: &str) {
        self.wanted = false;
        reason.clone_into(&mut self.reason);
        if self.phase() == Phase::Left {
            self.device.unwant();
        }
        self.settle(now);
    }

    pub(super) fn handle_record(
        &mut self,
        now: Instant,
        answer: Result<Arc<Device>, device::machine::Failure>,
    ) {
        self.device.handle_record(now, answer);
        self.settle(now);
    }

    pub(super) fn handle_deleted(
        &mut self,
        now: Instant,
        answer: Result<(), device::machine::Failure>,
    ) {
        self.device.handle_deleted(answer);
        self.settle(now);
    }

    pub(super) fn handle_token(&mut self, now: Instant, renewed: bool) {
        self.socket.handle_token(renewed);
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
                socket::Action::RefreshDevice => self.device.refresh(),
                action => return Some(Action::Socket(action)),
            }
        }
        self.device.poll_action().map(Action::Device)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match (self.device.poll_timeout(), self.socket.poll_timeout()) {
            (Some(device), Some(socket)) => Some(device.min(socket)),
            (one, other) => one.or(other),
        }
    }

    /// Makes both halves follow what is wanted, each step once the one before has been reached.
    fn settle(&mut self, now: Instant) {
        let offline = matches!(self.socket.status(), socket::Status::Offline);
        if self.wanted {
            let registered = self.device.status() == device::machine::Status::Registered;
            if registered && (offline || self.socket.status() == socket::Status::Closing) {
                self.socket.connect(now);
            }
        } else if offline {
            if !matches!(
                self.device.status(),
                device::machine::Status::Absent | device::machine::Status::Left
            ) {
                self.device.unwant();
            }
        } else if self.socket.status() != socket::Status::Closing {
            self.socket.disconnect(now, &self.reason);
            self.settle(now);
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
        let mut machine = Machine::new(None, 1);
        machine.up(now);
        assert!(matches!(
            machine.poll_action(),
            Some(Action::Device(device::machine::Action::Register))
        ));
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
        assert!(machine.poll_action().is_none(), "the device waits for the socket");
        machine.handle_closed(now, conn, &close);
        assert!(matches!(
            machine.poll_action(),
            Some(Action::Device(device::machine::Action::Delete(_)))
        ));
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
        assert!(matches!(
            machine.poll_action(),
            Some(Action::Device(device::machine::Action::Refresh(_)))
        ));
        machine.handle_record(now, Ok(device()));
        machine.handle_timeout(machine.poll_timeout().unwrap());
        assert!(matches!(machine.poll_action(), Some(Action::Socket(socket::Action::Open(_)))));
    }

    #[test]
    fn down_while_registering_leaves_nothing() {
        let now = Instant::now();
        let mut machine = Machine::new(None, 1);
        machine.up(now);
        assert!(machine.poll_action().is_some());
        machine.down(now, "bye");
        assert!(machine.poll_action().is_none());
        machine.handle_record(now, Ok(device()));
        assert!(matches!(
            machine.poll_action(),
            Some(Action::Device(device::machine::Action::Delete(_)))
        ));
        machine.handle_deleted(now, Ok(()));
        assert_eq!(machine.phase(), Phase::Down);
    }
}
