//! How a connection is kept: pings, and the reaction to hints.

use std::time::Instant;

use uuid::Builder as UuidBuilder;

use super::{
    Machine,
    action::{Action, ConnId},
    connection::{Failed, Timer},
};
use crate::mercury::{
    frame::ClientFrame,
    timings::{CHECK_TIMEOUT, PING_INTERVAL, PONG_TIMEOUT},
};

impl Machine {
    pub(super) fn ping(&mut self, now: Instant) {
        let id = self.uuid();
        let Some(live) = &mut self.live else { return };
        live.ping = Some(id.clone());
        self.actions.push_back(Action::Send(live.id, ClientFrame::Ping { id }));
        self.timers.stop(Timer::Ping);
        self.timers.set(Timer::Pong, now + PONG_TIMEOUT);
    }

    pub(super) fn pong(&mut self, now: Instant, conn: ConnId, id: Option<&str>) {
        let Some(live) = self.live.as_mut().filter(|live| live.id == conn) else { return };
        match live.ping.take() {
            Some(expected) if Some(expected.as_str()) == id => {
                live.doubtful = false;
                self.timers.stop(Timer::Pong);
                self.timers.set(Timer::Ping, now + PING_INTERVAL);
            }
            Some(_) => self.abandon(now, "pong mismatch"),
            // An unexpected pong is harmless.
            None => {}
        }
    }

    /// Handles a hint: the live connection has to answer soon. A ping in flight is enough, because
    /// another one would queue behind it.
    pub(super) fn check_live(&mut self, now: Instant) {
        let Some(live) = &mut self.live else { return };
        live.doubtful = true;
        if live.ping.is_none() {
            self.ping(now);
        }
        let soon = now + CHECK_TIMEOUT;
        if self.timers.deadline(Timer::Pong).is_none_or(|due| soon < due) {
            self.timers.set(Timer::Pong, soon);
        }
    }

    /// Gives up the live connection, which is dead, and connects again.
    pub(super) fn abandon(&mut self, now: Instant, reason: &str) {
        if let Some(live) = self.live.take() {
            self.leave(live.id, reason);
            let failed = if live.doubtful { Failed::doubted() } else { Failed::silent() };
            self.lost(now, &live, failed);
        }
    }

    fn uuid(&mut self) -> String {
        let bytes = self.random.u128(..).to_be_bytes();
        UuidBuilder::from_random_bytes(bytes).into_uuid().to_string()
    }
}
