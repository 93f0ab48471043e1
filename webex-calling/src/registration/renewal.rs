//! Renewal: the WDM device was registered again, and the registration in force names the old one.
//!
//! Events of the line's calls would go to a device that is gone. So the line registers with the same
//! server again, for the new device, while the old registration is in force, and then deletes the old
//! one. When the server accepts no second registration of the user (403 with code 101), the line
//! deletes the old one first, as in a failback.

use std::time::Instant;

use super::{
    machine::Machine,
    state::{Action, Active, Beside, Refusal, State, Timer},
};
use crate::mobius::{
    timings::{CALLS_POLL, RENEWAL_RETRY, RENEWAL_RETRY_MAX},
    wire::Registration,
};

impl Machine {
    /// Begins a renewal if the registration in force names a device that was replaced.
    pub(super) fn renew(&mut self, now: Instant) {
        let State::Registered(active) = &self.state else { return };
        // After another registration request it is checked again.
        let waits = matches!(active.beside, Some(Beside::Failback { .. } | Beside::Renewal { .. }));
        if !active.stale || waits {
            return;
        }
        let server = active.server.clone();
        let busy = self.busy_for(now, &server);
        let wait = if self.calls_are_active() { busy.max(CALLS_POLL) } else { busy };
        if !wait.is_zero() {
            self.timers.set(Timer::Renewal, now + wait);
            return;
        }
        self.timers.stop(Timer::Renewal);
        let op = self.op();
        let State::Registered(active) = &mut self.state else { return };
        let beside = active.beside.replace(Beside::Renewal { op });
        if let Some(Beside::Ping { op, .. }) = beside {
            self.act(Action::Cancel(op));
        }
        self.sent = Some(now);
        self.request_registration(op, server);
    }

    /// The answer to the registration request of a renewal.
    pub(super) fn on_renewal(
        &mut self,
        now: Instant,
        mut active: Box<Active>,
        answer: Result<Registration, Refusal>,
    ) {
        active.beside = None;
        let server = active.server.clone();
        let refusal = match answer {
            // A call has begun in the meantime, and would not survive.
            Ok(granted) if self.calls_are_active() => {
                if granted.device.device_id != active.device.device_id {
                    self.delete(server, granted.device.into());
                }
                return self.renew_later(now, active);
            }
            Ok(granted) => {
                let Active { device, keepalive, .. } = *active;
                if let Some((op, _)) = keepalive {
                    self.act(Action::Cancel(op));
                }
                let is_new = granted.device.device_id != device.device_id;
                self.enter_registered(now, server.clone(), granted);
                if is_new {
                    self.delete(server, device);
                }
                return;
            }
            Err(refusal) => refusal,
        };
        self.note_busy(now, &server, &refusal.error);
        if let Some(device) = refusal.unusable.clone() {
            self.delete(server.clone(), device.into());
        }
        let may_ask = self.busy_for(now, &server).is_zero() && !self.calls_are_active();
        if refusal.is_device_limit() && may_ask {
            return self.leave_backup(active, server);
        }
        self.renew_later(now, active);
    }

    /// The registration in force stays for now.
    fn renew_later(&mut self, now: Instant, mut active: Box<Active>) {
        let doubled = RENEWAL_RETRY * 2_u32.pow(active.renewals_failed.min(5));
        active.renewals_failed += 1;
        let wait = doubled.min(RENEWAL_RETRY_MAX).max(self.busy_for(now, &active.server));
        self.state = State::Registered(active);
        self.timers.set(Timer::Renewal, now + wait);
        if self.timers.deadline(Timer::Failback).is_none() {
            self.arm_failback(now);
        }
    }
}
