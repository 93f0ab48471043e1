//! Signs of a change of the network.
//!
//! The event socket and the host notice sooner than the next keepalive that the network went away
//! or came back. A registered line then checks its registration at once; a waiting line stops
//! waiting. No third party is asked whether there is a network.
//!
//! The reference client deletes the registration when the network is back, and registers again. One
//! keepalive shows whether that is needed; mostly it is not.

use std::time::Instant;

use super::{
    machine::Machine,
    state::{Next, Round, State, Timer},
};
use crate::mobius::{timings::HINT_GAP, transport::NetworkHint};

impl Machine {
    pub(super) fn on_network(&mut self, now: Instant, hint: NetworkHint) {
        // The event socket has the token's approval: a line that waits for a token tries it.
        if matches!(self.state, State::Failed { awaits_token: true }) && hint == NetworkHint::Online
        {
            self.handle_token(now);
        }
        match hint {
            NetworkHint::Offline => {
                self.offline = true;
                return;
            }
            // Open for the first time, not again.
            NetworkHint::Online if !self.offline => return,
            _ => self.offline = false,
        }
        let soonest = self.sent.map_or(now, |sent| now.max(sent + HINT_GAP));
        match &mut self.state {
            State::Registered(active) => {
                let pending = active.keepalive.is_some();
                let server = active.server.clone();
                let at = soonest.max(now + self.busy_for(now, &server));
                match self.timers.deadline(Timer::Keepalive) {
                    // The pending one may be lost with its connection.
                    None if pending && at <= now => self.on_keepalive_timer(now, now),
                    // Unless the next one is due soon anyway.
                    Some(due) if due > at + HINT_GAP => {
                        self.timers.set(Timer::Keepalive, at);
                        if let State::Registered(active) = &mut self.state {
                            active.regular_keepalive = Some(due);
                        }
                    }
                    _ => {}
                }
            }
            State::Waiting(next) => {
                let busy = match next {
                    Next::Round(Round::Backup(_)) => self.all_busy_for(now, &self.servers.backup),
                    Next::Round(_) => self.all_busy_for(now, &self.servers.primary),
                    Next::Slow => self.all_busy_for(now, self.servers.all()),
                    // The wait is for something else.
                    Next::Restart | Next::Calls | Next::Token => return,
                };
                let at = soonest.max(now + busy);
                if self.timers.deadline(Timer::Retry).is_none_or(|due| at < due) {
                    self.timers.set(Timer::Retry, at);
                }
            }
            _ => {}
        }
    }
}
