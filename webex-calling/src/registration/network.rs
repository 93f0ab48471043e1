//! What is heard of the network, and what a line makes of it.
//!
//! The event socket and the host know sooner than the next keepalive that the network went or came
//! back. A registered line sees at once whether its registration has survived; a line that waits
//! need not wait any longer. No third party is asked whether there is a network.
//!
//! The reference client deletes the registration when the network is back, and makes a new one. One
//! keepalive tells whether that is needed, and mostly it is not.

use std::time::Instant;

use super::{
    machine::{Machine, NetworkHint},
    state::{Next, Round, State, Timer},
    timings::HINT_GAP,
};

impl Machine {
    pub(super) fn hint(&mut self, now: Instant, hint: NetworkHint) {
        match hint {
            NetworkHint::Offline => {
                self.offline = true;
                return;
            }
            // The first time, not back.
            NetworkHint::Online if !self.offline => return,
            _ => self.offline = false,
        }
        let soonest = self.sent.map_or(now, |sent| now.max(sent + HINT_GAP));
        match &mut self.state {
            State::Registered(active) => {
                let asking = active.asking.is_some();
                let server = active.server.clone();
                let at = soonest.max(now + self.busy_for(now, &server));
                match self.timers.deadline(Timer::Keepalive) {
                    // The one under way may be lost with the connection that it went out on.
                    None if asking && at <= now => self.keepalive(now, now),
                    // Soon enough anyway.
                    Some(due) if due > at + HINT_GAP => {
                        self.timers.set(Timer::Keepalive, at);
                        if let State::Registered(active) = &mut self.state {
                            active.beat = Some(due);
                        }
                    }
                    _ => {}
                }
            }
            State::Waiting(next) => {
                let (primary, backup) = (&self.servers.primary, &self.servers.backup);
                let busy = match next {
                    Next::Round(Round::Backup(_)) => self.all_busy_for(now, backup),
                    Next::Round(_) => self.all_busy_for(now, primary),
                    Next::Slow => self.all_busy_for(now, primary.iter().chain(backup)),
                    // Something else is waited for.
                    Next::Restart | Next::Calls => return,
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
