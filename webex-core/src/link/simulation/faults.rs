//! Disturbances of client and servers from outside.

use std::{sync::Arc, time::Duration};

use super::{
    model::Event,
    world::{Outage, Simulation},
};
use crate::{
    link::{machine::Phase, timings::SLEEP_CHECK_INTERVAL},
    mercury::{frame::FrameBody, machine::action::ConnId},
};

impl Simulation {
    /// One disturbance.
    pub(super) fn disturb(&mut self) {
        match self.random.u8(..30) {
            0 | 1 => {
                self.note("the network goes");
                self.no_route = self.random.bool();
                self.cut_until = self.world + Duration::from_millis(self.random.u64(100..90_000));
                if self.random.bool() {
                    let after = self.cut_until.saturating_sub(self.world);
                    self.later(after, Event::Hint);
                }
            }
            2 | 3 => self.sleep(),
            4 => self.hint(),
            5 => {
                for _ in 0..self.random.u8(2..6) {
                    self.hint();
                    self.act();
                }
            }
            6 => {
                self.note("the token expires");
                self.mercury.accepted_token = self.mercury.token + 1;
            }
            7 => {
                self.note("the device expires");
                self.wdm.device = None;
            }
            8 | 9 if self.wanted => self.down(),
            8..=11 => self.up(),
            12..=14 => self.on_a_socket(Self::server_closes_somehow),
            15 => self.on_a_socket(|it, conn| {
                it.note(format!("{conn:?} is reset without a sign"));
                it.mercury.sockets.get_mut(&conn).unwrap().dead = true;
            }),
            16..=18 => self.on_a_socket(Self::announce),
            19 | 20 => self.outage(),
            21 if self.suspended => self.resume(),
            21 => self.suspend(),
            22 => self.resume(),
            23 => {
                self.note("the socket address of the device is refused for good");
                self.wdm.refused = self.wdm.device.as_ref().map(|held| Arc::clone(&held.record));
                self.on_a_socket(|it, conn| it.server_closes(conn, 1001, ""));
            }
            _ => self.events(),
        }
        // A failure for lack of a token ends by itself.
        let failed = self.machine.phase() == Phase::Failed && !self.machine.wants_token();
        if self.wanted && failed && self.random.bool() {
            self.up();
        }
        self.act();
    }

    /// Makes a service unusable for some minutes.
    fn outage(&mut self) {
        let outage = match self.random.u8(..9) {
            0 => Outage::Upgrade(503),
            1 => Outage::Upgrade(404),
            2 => Outage::Upgrade(401),
            3 => Outage::Reset,
            4 => Outage::Refusal,
            5 => Outage::Loss,
            6 => Outage::Announcement,
            7 => Outage::Token,
            _ => Outage::Device,
        };
        self.note(format!("an outage: {outage:?}"));
        self.outage = Some((self.world + Duration::from_secs(self.random.u64(10..180)), outage));
        self.on_a_socket(|it, conn| it.server_closes(conn, 1001, ""));
    }

    /// Lets the client sleep: its clock stands still, the world's does not.
    fn sleep(&mut self) {
        let time = Duration::from_secs(self.random.u64(1..600));
        self.note(format!("the client sleeps for {time:?}"));
        self.world += time;
        self.slept += time;
        // The client detects it by itself; sometimes the host reports it sooner.
        if self.random.bool() {
            self.later(Duration::ZERO, Event::Hint);
        }
        let after = SLEEP_CHECK_INTERVAL.mul_f64(self.random.f64());
        self.later(after, Event::Slept(time));
    }

    fn on_a_socket(&mut self, what: impl FnOnce(&mut Self, ConnId)) {
        let accepted = self.mercury.sockets.iter().filter(|(_, socket)| socket.accepted);
        let accepted: Vec<_> = accepted.map(|(conn, _)| *conn).collect();
        if !accepted.is_empty() {
            let conn = accepted[self.random.usize(..accepted.len())];
            what(self, conn);
        }
    }

    /// Makes a server announce its end, once or several times.
    pub(super) fn announce(&mut self, conn: ConnId) {
        self.note(format!("{conn:?} is announced to end"));
        for _ in 0..self.random.u8(1..4) {
            let id = self.random.bool().then(|| self.frame_id());
            self.send(conn, id, FrameBody::Shutdown);
        }
        if let Some(socket) = self.mercury.sockets.get_mut(&conn) {
            socket.announced = true;
        }
        // It ends at some point, whether or not there is a successor.
        let after = Duration::from_millis(self.random.u64(100..40_000));
        self.later(after, Event::Retire(conn));
    }

    /// Sends events on every socket; some are duplicates.
    fn events(&mut self) {
        for _ in 0..self.random.u8(1..5) {
            self.mercury.last_event += 1;
            let mut number = self.mercury.last_event;
            let again = number > 5 && self.random.u8(..4) == 0;
            if again {
                number -= self.random.u64(1..5);
            }
            let accepted = self.mercury.sockets.iter().filter(|(_, socket)| socket.accepted);
            let accepted: Vec<_> = accepted.map(|(conn, _)| *conn).collect();
            for conn in accepted {
                self.send_event(conn, "sim.event", number);
            }
        }
    }
}
