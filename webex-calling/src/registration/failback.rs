//! The return from a backup to a primary.
//!
//! A line on a backup pings the primaries at random times within the rehoming interval of its
//! registration. It registers with a primary that answers while the backup still has it, and then
//! leaves the backup. When the primary accepts no second registration of the user (403 with code
//! 101), the line leaves the backup first, and goes back to it at once if the primary then refuses.
//! In all other cases the backup keeps the line.

use std::{sync::Arc, time::Instant};

use url::Url;
use webex_core::HttpError;

use super::{
    machine::Machine,
    state::{
        Action, Active, Beside, Moving, Op, Orphan, OrphanStage, Refusal, Round, State, Timer,
    },
};
use crate::{
    mobius::{
        timings::{FAILBACK_429_RETRIES, between, retry_interval},
        wire::{MobiusDevice, Registration},
    },
    model::{error::LineError, event::Unregistered},
};

impl Machine {
    /// Starts the failback timer of a line that is registered with a backup.
    pub(super) fn arm_failback(&mut self, now: Instant) {
        let State::Registered(active) = &self.state else { return };
        let primaries = &self.servers.primary;
        if primaries.is_empty() || primaries.contains(&active.server) {
            self.failbacks_refused = 0;
            return;
        }
        let (soonest, latest) = active.rehoming;
        let refused = self.failbacks_refused;
        let wait = if (1..=FAILBACK_429_RETRIES).contains(&refused) {
            let busy = self.all_busy_for(now, primaries);
            retry_interval(refused, &mut self.random).max(busy)
        } else {
            self.failbacks_refused = 0;
            between(soonest, latest, &mut self.random)
        };
        self.timers.set(Timer::Failback, now + wait);
    }

    pub(super) fn on_failback_timer(&mut self, now: Instant) {
        let State::Registered(active) = &self.state else { return };
        if active.beside.is_some() {
            self.arm_failback(now);
        } else if self.calls_are_active() {
            self.failback_later(now);
        } else {
            self.ping(now, 0);
        }
    }

    fn ping(&mut self, now: Instant, from: usize) {
        let mut rest = self.servers.primary.iter().enumerate().skip(from);
        let next = rest.find(|(_, server)| self.busy_for(now, server).is_zero());
        let Some((index, server)) = next.map(|(index, server)| (index, server.clone())) else {
            return self.failback_later(now);
        };
        let op = self.op();
        if let State::Registered(active) = &mut self.state {
            active.beside = Some(Beside::Ping { op, index });
            self.act(Action::Ping(op, server));
        }
    }

    /// The backup keeps the line for another rehoming interval.
    fn failback_later(&mut self, now: Instant) {
        self.failbacks_refused = 0;
        if let State::Registered(active) = &mut self.state {
            active.beside = None;
        }
        self.arm_failback(now);
        self.renew(now);
    }

    pub(super) fn on_ping_answer(&mut self, now: Instant, op: Op, answer: Result<(), LineError>) {
        let State::Registered(active) = &mut self.state else { return };
        let index = match &active.beside {
            Some(Beside::Ping { op: asked, index }) if *asked == op => *index,
            _ => return,
        };
        let Some(server) = self.servers.primary.get(index).cloned() else { return };
        match answer {
            // A call has begun in the meantime.
            Ok(()) if self.calls_are_active() => self.failback_later(now),
            Ok(()) => {
                let op = self.op();
                self.request_registration(op, server.clone());
                if let State::Registered(active) = &mut self.state {
                    active.beside = Some(Beside::Failback { op, server, index });
                }
            }
            Err(error) => {
                self.note_busy(now, &server, &error);
                self.ping(now, index + 1);
            }
        }
    }

    /// The answer of the primary, while the backup still has the line.
    pub(super) fn on_primary_registration(
        &mut self,
        now: Instant,
        mut active: Box<Active>,
        answer: Result<Registration, Refusal>,
    ) {
        let Some(Beside::Failback { server: primary, index, .. }) = active.beside.take() else {
            self.state = State::Registered(active);
            return;
        };
        let refusal = match answer {
            // A call has begun in the meantime, and would not survive the move.
            Ok(granted) if self.calls_are_active() => {
                self.delete(primary, granted.device.into());
                self.state = State::Registered(active);
                return self.failback_later(now);
            }
            Ok(granted) => {
                let Active { server, device, keepalive, .. } = *active;
                if let Some((op, _)) = keepalive {
                    self.act(Action::Cancel(op));
                }
                self.unregistered(Unregistered::Moved, Some(server.clone()), true);
                self.enter_registered(now, primary, granted);
                self.delete(server, device);
                return;
            }
            Err(refusal) => refusal,
        };
        self.note_busy(now, &primary, &refusal.error);
        self.act(Action::Disconnect(primary.clone()));
        let may_be_asked = self.busy_for(now, &primary).is_zero() && !self.calls_are_active();
        if refusal.is_device_limit() && may_be_asked {
            return self.leave_backup(active, primary);
        }
        self.state = State::Registered(active);
        if refusal.error.http_status == Some(429) {
            self.failbacks_refused += 1;
            self.arm_failback(now);
            self.renew(now);
        } else if refusal.error.ends_search() && !refusal.is_device_limit() {
            // No primary will accept the line: it stays with the backup.
            self.failbacks_refused = 0;
            self.renew(now);
        } else {
            self.ping(now, index + 1);
        }
    }

    /// Leaves the backup before the next request to the primary.
    pub(super) fn leave_backup(&mut self, mut backup: Box<Active>, primary: Url) {
        if let Some((op, _)) = backup.keepalive.take() {
            self.act(Action::Cancel(op));
        }
        self.timers.clear();
        let op = self.op();
        self.act(Action::Deregister(op, backup.server.clone(), Arc::clone(&backup.device)));
        self.state = State::Moving(Box::new(Moving { op, primary, backup_deleted: false, backup }));
    }

    /// The answer to the deletion of the backup's registration.
    pub(super) fn on_backup_deleted(
        &mut self,
        now: Instant,
        mut moving: Box<Moving>,
        answer: Result<(), HttpError>,
    ) {
        match answer {
            Err(error) if !is_gone(&error) => {
                // It may still have the line: a keepalive finds out.
                let server = moving.backup.server.clone();
                self.note_busy(now, &server, &LineError::from(error));
                self.timers.set(Timer::Keepalive, now + self.busy_for(now, &server));
                self.state = State::Registered(moving.backup);
                self.failback_later(now);
            }
            _ => {
                let backup = moving.backup.server.clone();
                self.act(Action::Disconnect(backup.clone()));
                self.unregistered(Unregistered::Moved, Some(backup), true);
                moving.op = self.op();
                moving.backup_deleted = true;
                self.sent = Some(now);
                self.request_registration(moving.op, moving.primary.clone());
                self.state = State::Moving(moving);
            }
        }
    }

    /// The answer of the primary, after the line left the backup.
    pub(super) fn on_move_registration(
        &mut self,
        now: Instant,
        moving: Moving,
        answer: Result<Registration, Refusal>,
    ) {
        let Moving { primary, backup, .. } = moving;
        let error = match answer {
            Ok(granted) => return self.enter_registered(now, primary, granted),
            Err(refusal) => refusal.error.at(&primary),
        };
        self.note_busy(now, &primary, &error);
        self.act(Action::Disconnect(primary.clone()));
        self.failed_at(&primary, &error);
        let limited = error.http_status == Some(429);
        self.failbacks_refused = if limited { self.failbacks_refused + 1 } else { 0 };
        // Whatever the reason: the backup had the line a moment ago.
        self.searching.previous = Some(backup.server);
        self.search(now, Round::Previous);
    }

    /// Deletes a registration while the line goes on elsewhere.
    pub(super) fn delete(&mut self, server: Url, device: Arc<MobiusDevice>) {
        let op = self.op();
        self.act(Action::Deregister(op, server.clone(), Arc::clone(&device)));
        let stage = OrphanStage::Deleting { device, retried: false };
        self.orphans.push(Orphan { op, server, stage });
    }
}

/// Whether a deletion failed because there was nothing to delete, which is as good as success.
pub(super) fn is_gone(error: &HttpError) -> bool {
    matches!(error.status(), Some(404 | 410))
}
