//! The model servers: how WDM and Mercury answer.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{
    model::{Event, Held, Socket, Wdm},
    world::{Outage, REQUEST_LIMIT, Simulation},
};
use crate::{
    device::{
        machine::{Action as DeviceAction, Failure},
        record::Device,
    },
    mercury::{
        close::Close,
        event::MercuryEvent,
        frame::{FrameBody, ServerFrame},
        machine::action::{ConnId, OpenFailure},
    },
};

/// How long the server keeps a socket without pings.
const IDLE: Duration = Duration::from_secs(60);

impl Simulation {
    // --- WDM -----------------------------------------------------------------------------------

    /// Handles a request about the device and schedules its answer.
    pub(super) fn device_request(&mut self, action: DeviceAction) {
        if let DeviceAction::Restore = action {
            let kept = self.wdm.kept.clone();
            return self.later(Duration::from_millis(1), Event::Restored(kept));
        }
        let cut = self.world < self.cut_until;
        let mut wait = self.latency() + self.latency();
        self.expire();
        // A fault comes before the request takes effect, or after it; then only the answer is lost.
        let failure = match () {
            () if cut => {
                wait = REQUEST_LIMIT / 6;
                Some(Failure::Other)
            }
            () if self.is_out(Outage::Device) => Some(Failure::Other),
            () if self.is_out(Outage::Token) => Some(Failure::Unauthorized),
            () if self.fault(4) => Some(match self.random.u8(..9) {
                0 => Failure::Refused,
                8 => Failure::Unauthorized,
                1 => Failure::Excessive,
                2 => Failure::Wait(Duration::from_secs(self.random.u64(1..20))),
                3 => Failure::NotFound,
                4 => {
                    wait = REQUEST_LIMIT;
                    Failure::Other
                }
                _ => Failure::Other,
            }),
            () => None,
        };
        let carried_out = match failure {
            None => true,
            Some(Failure::Other) => self.random.bool() && !cut,
            Some(_) => false,
        };
        let event = match action {
            DeviceAction::Register => Event::Record(self.registered(failure, carried_out)),
            DeviceAction::Refresh(device) => {
                Event::Record(self.refreshed(&device, failure, carried_out))
            }
            DeviceAction::MakeRoom => Event::Room(match failure {
                Some(failure) => Err(failure),
                None => Ok(std::mem::take(&mut self.wdm.orphans)),
            }),
            DeviceAction::Delete(device) => {
                let had = self.wdm.has(&device);
                if carried_out || failure == Some(Failure::NotFound) {
                    self.wdm.device.take_if(|held| held.record.url == device.url);
                }
                Event::Deleted(match failure {
                    Some(failure) => Err(failure),
                    None if had => Ok(()),
                    None => Err(Failure::NotFound),
                })
            }
            DeviceAction::Restore => return,
        };
        self.later(wait, event);
    }

    /// Drops an expired device.
    fn expire(&mut self) {
        let world = self.world;
        self.wdm.device.take_if(|held| held.ends.is_some_and(|ends| ends <= world));
    }

    fn registered(
        &mut self,
        failure: Option<Failure>,
        carried_out: bool,
    ) -> Result<Arc<Device>, Failure> {
        let now = self.now();
        if let (Some(held), Some(ttl)) = (&self.wdm.device, self.wdm.ttl)
            && held.told + ttl <= now
        {
            // The client had to believe that it has expired: the answer to its refresh was lost.
            self.wdm.device = None;
            self.wdm.orphans += 1;
        }
        if carried_out && failure.is_some() {
            self.wdm.orphans += 1;
        }
        if let Some(failure) = failure {
            return Err(if failure == Failure::NotFound { Failure::Other } else { failure });
        }
        assert!(self.wdm.device.is_none(), "a second device");
        self.wdm.last_id += 1;
        let record = Wdm::record(self.wdm.last_id, 0);
        self.wdm.device = Some(self.held(Arc::clone(&record)));
        Ok(record)
    }

    fn refreshed(
        &mut self,
        device: &Device,
        failure: Option<Failure>,
        carried_out: bool,
    ) -> Result<Arc<Device>, Failure> {
        if !self.wdm.has(device) {
            return Err(failure.unwrap_or(Failure::NotFound));
        }
        match failure {
            // It is gone, or belongs to another user.
            Some(failure @ (Failure::NotFound | Failure::Refused)) => {
                self.wdm.device = None;
                return Err(failure);
            }
            Some(failure) => {
                if carried_out && let (Some(held), Some(ttl)) = (&mut self.wdm.device, self.wdm.ttl)
                {
                    held.ends = Some(self.world + ttl);
                }
                return Err(failure);
            }
            None => {}
        }
        let mut record = device.clone();
        if self.fault(6) {
            // Its socket has moved.
            self.wdm.last_id += 1;
            let address = format!("{}{}", device.url, self.wdm.last_id);
            record.web_socket_url = address.replace("https://w", "wss://m").parse().unwrap();
        }
        let record = Arc::new(record);
        self.wdm.device = Some(self.held(Arc::clone(&record)));
        Ok(record)
    }

    fn held(&self, record: Arc<Device>) -> Held {
        let ends = self.wdm.ttl.map(|ttl| self.world + ttl);
        Held { record, ends, told: self.now() }
    }

    // --- Mercury -------------------------------------------------------------------------------

    /// A socket is dialled.
    pub(super) fn dial(&mut self, conn: ConnId, device: Arc<Device>) {
        self.expire();
        let known = self.wdm.device.as_ref().is_some_and(|held| held.record == device);
        let address = device.web_socket_url.clone();
        let socket = Socket {
            device,
            token: self.mercury.token,
            opened: false,
            authorized: false,
            accepted: false,
            announced: false,
            dead: false,
            closing: false,
            sequence: 0,
            last_sequence: None,
            arrival: self.world,
            last_ping: self.world,
            unacknowledged: HashSet::new(),
            last_event: None,
        };
        self.mercury.sockets.insert(conn, socket);
        let mut wait = self.latency() * 3;
        if self.world < self.cut_until {
            if self.no_route {
                return self.later(wait / 10, Event::Opened(conn, Err(OpenFailure::Unreachable)));
            }
            // It hangs until the network is back.
            wait += self.cut_until.saturating_sub(self.world);
        }
        let refused = match self.outage {
            Some((until, Outage::Upgrade(status))) if self.world < until => Some(status),
            _ => None,
        };
        let outcome = if let Some(status) = refused {
            Err(OpenFailure::Status { status, retry_after: None })
        } else if self.wdm.refused.as_ref().is_some_and(|it| it.web_socket_url == address) {
            Err(OpenFailure::Status { status: 404, retry_after: None })
        } else if self.is_out(Outage::Token) {
            Err(OpenFailure::Token)
        } else if self.is_out(Outage::Reset) {
            Err(OpenFailure::Network)
        } else if self.fault(4) {
            let wait = Duration::from_secs(self.random.u64(1..20));
            let status = |status, retry_after| Err(OpenFailure::Status { status, retry_after });
            match self.random.u8(..12) {
                0 => Err(OpenFailure::Unreachable),
                1 | 2 => Err(OpenFailure::Network),
                3 => status(401, None),
                4 => status(403, None),
                5 => status(404, None),
                6 => status(429, Some(wait)),
                7 => status(429, None),
                8 => status(500, None),
                9 => status(503, Some(wait)),
                10 => Err(OpenFailure::Token),
                _ => return, // no answer ever comes
            }
        } else if known || self.random.bool() {
            Ok(())
        } else {
            Err(OpenFailure::Status { status: 404, retry_after: None })
        };
        self.later(wait, Event::Opened(conn, outcome));
    }

    /// The server decides about an open socket.
    pub(super) fn authorize(&mut self, conn: ConnId) {
        let Some(socket) = self.mercury.sockets.get(&conn) else { return };
        let (device, token) = (Arc::clone(&socket.device), socket.token);
        self.expire();
        let known = self.wdm.device.as_ref().is_some_and(|held| held.record == device);
        if token < self.mercury.accepted_token {
            return self.server_closes(conn, 4401, "not authorized");
        }
        if !known {
            return self.server_closes(conn, 4404, "registration not found");
        }
        if self.is_out(Outage::Refusal) {
            return self.server_closes_somehow(conn);
        }
        if self.fault(5) {
            return match self.random.u8(..3) {
                0 => {} // no answer
                1 => self.server_closes_somehow(conn),
                _ => {
                    // Another event comes first.
                    self.push_to(conn, "sim.early");
                    self.push_to(conn, "mercury.buffer_state");
                    self.accepted(conn);
                }
            };
        }
        self.push_to(conn, "mercury.buffer_state");
        self.accepted(conn);
    }

    /// Ends the sockets that the new one replaces.
    fn accepted(&mut self, conn: ConnId) {
        if let Some(socket) = self.mercury.sockets.get_mut(&conn) {
            socket.accepted = true;
        }
        if self.is_out(Outage::Loss) {
            self.server_closes(conn, 1011, "");
        } else if self.is_out(Outage::Announcement) {
            self.announce(conn);
        }
        let older = self.mercury.sockets.iter();
        let older = older.filter(|(id, socket)| **id != conn && socket.announced);
        let older: Vec<_> = older.map(|(id, _)| *id).collect();
        for old in older {
            // Some servers forget to close it.
            if !self.fault(4) {
                let after = Duration::from_millis(self.random.u64(200..5_000));
                self.later(after, Event::Retire(old));
            }
        }
    }

    /// Sends an event of this type on one socket.
    pub(super) fn push_to(&mut self, conn: ConnId, event_type: &str) {
        self.mercury.last_event += 1;
        let number = self.mercury.last_event;
        self.send_event(conn, event_type, number);
    }

    pub(super) fn send_event(&mut self, conn: ConnId, event_type: &str, number: u64) {
        let id = format!("event-{number}");
        let event = MercuryEvent {
            id: Some(id.clone()),
            event_type: event_type.to_owned(),
            timestamp: None,
            tracking_id: None,
            data: "{}".into(),
        };
        self.send(conn, Some(id), FrameBody::Event(Arc::new(event)));
    }

    /// Sends a frame to the client; frames arrive in order.
    pub(super) fn send(&mut self, conn: ConnId, id: Option<String>, body: FrameBody) {
        let latency = self.latency();
        let gap = if self.fault(40) { 3 } else { 1 };
        let from = self.world.max(self.cut_until);
        let Some(socket) = self.mercury.sockets.get_mut(&conn) else { return };
        if socket.dead || socket.closing {
            return;
        }
        socket.sequence += gap;
        socket.arrival = socket.arrival.max(from + latency);
        let frame = ServerFrame { id, sequence: Some(socket.sequence), written_ms: None, body };
        let after = socket.arrival.saturating_sub(self.world);
        self.later(after, Event::Frame(conn, frame));
    }

    /// Answers a ping.
    pub(super) fn pinged(&mut self, conn: ConnId, id: String) {
        let world = self.world;
        let Some(socket) = self.mercury.sockets.get_mut(&conn) else { return };
        // The server has already dropped a socket without pings.
        socket.dead |= world.saturating_sub(socket.last_ping) > IDLE;
        socket.last_ping = world;
        if self.fault(20) {
            return match self.random.u8(..3) {
                0 => {} // no answer
                1 => self.send(conn, Some("another".to_owned()), FrameBody::Pong),
                _ => {
                    // Late, and so is everything after it.
                    let late = Duration::from_secs(self.random.u64(1..20));
                    if let Some(socket) = self.mercury.sockets.get_mut(&conn) {
                        socket.arrival = socket.arrival.max(world + late);
                    }
                    self.send(conn, Some(id), FrameBody::Pong);
                }
            };
        }
        self.send(conn, Some(id), FrameBody::Pong);
    }

    pub(super) fn server_closes_somehow(&mut self, conn: ConnId) {
        const CLOSES: &[(u16, &str)] = &[
            (1000, ""),
            (1001, ""),
            (1003, ""),
            (1005, ""),
            (1005, "authentication failed"),
            (1006, ""),
            (1008, ""),
            (1011, ""),
            (1012, ""),
            (3050, "idle"),
            (4000, "Replaced"),
            (4000, "rebalance"),
            (4001, ""),
            (4400, ""),
            (4401, ""),
            (4403, ""),
            (4404, ""),
            (4429, ""),
        ];
        let (code, reason) = CLOSES[self.random.usize(..CLOSES.len())];
        self.server_closes(conn, code, reason);
    }

    pub(super) fn server_closes(&mut self, conn: ConnId, code: u16, reason: &str) {
        let latency = self.latency();
        let from = self.world.max(self.cut_until);
        let Some(socket) = self.mercury.sockets.get_mut(&conn) else { return };
        if socket.dead {
            return;
        }
        // It arrives after the frames sent before, and nothing comes after it.
        socket.dead = true;
        socket.arrival = socket.arrival.max(from + latency);
        let after = socket.arrival.saturating_sub(self.world);
        let close = Close { code, reason: reason.to_owned() };
        self.later(after, Event::Closed(conn, close));
    }

    /// A new frame id.
    pub(super) fn frame_id(&mut self) -> String {
        self.mercury.last_frame += 1;
        format!("frame-{}", self.mercury.last_frame)
    }
}
