//! Deregistering: in every state, completely, in bounded time.
//!
//! A registration in force is deleted. A registration request under way may still succeed: its
//! answer is awaited, and the registration deleted. After [`DEREGISTER_LIMIT`] the outcome is that
//! the server could not be reached; a registration that comes even later is still deleted.

use std::time::{Duration, Instant};

use url::Url;
use webex_core::HttpError;

use super::{
    failback::is_gone,
    machine::Machine,
    state::{
        Action, Attempt, Deregistering, Orphan, OrphanStage, Refusal, Round, Search, State, Timer,
    },
};
use crate::{
    mobius::{timings::DEREGISTER_LIMIT, wire::Registration},
    model::{
        error::LineError,
        event::{Connecting, LineEvent, Unregistered},
    },
};

impl Machine {
    /// The application no longer wants the line registered: cancels what is under way and deletes
    /// the registration. Always ends in `unregistered`.
    pub(crate) fn handle_deregister(&mut self, now: Instant) {
        self.wanted = false;
        self.forget();
        let mut server = None;
        match std::mem::take(&mut self.state) {
            State::Idle | State::Waiting(_) | State::Failed { .. } => {}
            State::Discovering { op, .. } | State::MakingRoom { op, .. } => {
                self.act(Action::Cancel(op));
            }
            State::Registering(attempt) => {
                let Attempt { op, server: asked, .. } = *attempt;
                server = Some(asked.clone());
                self.orphans.push(Orphan { op, server: asked, stage: OrphanStage::Registering });
            }
            State::Registered(active) => {
                server = Some(active.server.clone());
                if let Some((op, _)) = active.keepalive {
                    self.act(Action::Cancel(op));
                }
                self.abandon(active.beside, &active.server);
                self.delete(active.server, active.device);
            }
            State::Moving(moving) => {
                let (op, backup) = (moving.op, moving.backup);
                let stage = OrphanStage::Deleting { device: backup.device, retried: false };
                let orphan = if moving.backup_deleted {
                    Orphan { op, server: moving.primary, stage: OrphanStage::Registering }
                } else {
                    Orphan { op, server: backup.server, stage }
                };
                server = Some(orphan.server.clone());
                self.orphans.push(orphan);
            }
            State::Deregistering(mut ending) => {
                ending.report = true;
                self.state = State::Deregistering(ending);
                return;
            }
        }
        self.inactive();
        self.searching = Search::default();
        self.end_orphans(
            now,
            Deregistering { outcome: Unregistered::AlreadyGone, server, report: true },
        );
    }

    /// Registers while requests of an earlier registration are under way. A registration request
    /// becomes the new one. A deletion has to end first, or it could delete the new registration.
    pub(super) fn adopt_orphan(&mut self, now: Instant, reason: Connecting) {
        let Some(index) = self.orphans.iter().position(Orphan::is_registering) else {
            let outcome = Unregistered::AlreadyGone;
            return self.end_orphans(now, Deregistering { outcome, server: None, report: false });
        };
        let Orphan { op, server, .. } = self.orphans.swap_remove(index);
        self.emit(LineEvent::Connecting { reason });
        self.searching = Search::default();
        let (round, index) = (Round::Previous, 0);
        self.timers.clear();
        self.state =
            State::Registering(Box::new(Attempt { op, server, round, index, room_made: false }));
    }

    fn end_orphans(&mut self, now: Instant, ending: Deregistering) {
        self.timers.clear();
        self.timers.set(Timer::Deregister, now + DEREGISTER_LIMIT);
        self.state = State::Deregistering(Box::new(ending));
        self.finish_if_done(now);
    }

    /// Ends the deregistration when nothing is left to delete.
    fn finish_if_done(&mut self, now: Instant) {
        if self.orphans.is_empty() && matches!(self.state, State::Deregistering(_)) {
            self.finish(now);
        }
    }

    fn finish(&mut self, now: Instant) {
        let State::Deregistering(mut ending) = std::mem::take(&mut self.state) else { return };
        self.timers.clear();
        if ending.report {
            let will_retry = self.wanted;
            if let Unregistered::NotReachable(error) = &mut ending.outcome
                && will_retry
            {
                *error = error.clone().retried(Some(Duration::ZERO));
            }
            self.unregistered(ending.outcome, ending.server, will_retry);
        }
        if self.wanted {
            self.handle_register(now);
        }
    }

    /// The time allowed for deregistering has passed.
    pub(super) fn on_deregister_timer(&mut self, now: Instant) {
        let host = self.orphans.first().and_then(|orphan| orphan.server.host_str());
        let host = host.unwrap_or_default().to_owned();
        self.note_outcome(Err(HttpError::Timeout { host, after: DEREGISTER_LIMIT }));
        let (asked, deleting) =
            std::mem::take(&mut self.orphans).into_iter().partition(Orphan::is_registering);
        self.orphans = asked;
        self.drop_all(deleting);
        self.finish(now);
    }

    fn drop_all(&mut self, orphans: Vec<Orphan>) {
        for Orphan { op, server, .. } in orphans {
            self.act(Action::Cancel(op));
            self.act(Action::Disconnect(server));
        }
    }

    /// Drops deletions at a server that is about to get a registration request: they could delete the
    /// new registration.
    pub(super) fn drop_deletions(&mut self, server: &Url) {
        let old = |orphan: &Orphan| !Orphan::is_registering(orphan) && orphan.server == *server;
        if self.orphans.iter().any(old) {
            let (dropped, kept) = std::mem::take(&mut self.orphans).into_iter().partition(old);
            self.orphans = kept;
            self.drop_all(dropped);
        }
    }

    /// The late answer to a registration request that is no longer wanted.
    pub(super) fn on_orphan_registered(
        &mut self,
        now: Instant,
        orphan: Orphan,
        answer: Result<Registration, Refusal>,
    ) {
        match answer {
            Ok(granted) => self.delete(orphan.server, granted.device.into()),
            Err(refusal) => {
                self.note_busy(now, &orphan.server, &refusal.error);
                self.disconnect_orphan(orphan.server);
                // Without an answer, the server may have registered the line.
                if let (None, Some(error)) = (refusal.error.http_status, refusal.error.source) {
                    self.note_outcome(Err(error));
                }
            }
        }
        self.finish_if_done(now);
    }

    /// The answer to a deletion.
    pub(super) fn on_orphan_deleted(
        &mut self,
        now: Instant,
        orphan: Orphan,
        answer: Result<(), HttpError>,
    ) {
        if let Err(error) = &answer {
            self.note_busy(now, &orphan.server, &LineError::from(error.clone()));
        }
        if let (OrphanStage::Deleting { device, retried: false }, Err(error)) =
            (&orphan.stage, &answer)
            && is_worth_a_retry(error)
        {
            let op = self.op();
            let (server, device) = (orphan.server, device.clone());
            self.act(Action::Deregister(op, server.clone(), device.clone()));
            let stage = OrphanStage::Deleting { device, retried: true };
            self.orphans.push(Orphan { op, server, stage });
            return;
        }
        self.disconnect_orphan(orphan.server);
        self.note_outcome(answer);
        self.finish_if_done(now);
    }

    /// Closes the connection of an orphan, unless the line is registered with the same server.
    fn disconnect_orphan(&mut self, server: Url) {
        let is_used = matches!(&self.state, State::Registered(active) if active.server == server);
        if !is_used {
            self.act(Action::Disconnect(server));
        }
    }

    /// Notes the outcome of one deletion. The worst one is reported.
    fn note_outcome(&mut self, answer: Result<(), HttpError>) {
        let State::Deregistering(ending) = &mut self.state else { return };
        match (answer, &ending.outcome) {
            (_, Unregistered::NotReachable(_)) => {}
            (Ok(()), _) => ending.outcome = Unregistered::Deleted,
            (Err(error), _) if is_gone(&error) => {}
            (Err(error), _) => {
                ending.outcome = Unregistered::NotReachable(error.into());
            }
        }
    }
}

/// Whether a deletion may succeed when repeated at once.
fn is_worth_a_retry(error: &HttpError) -> bool {
    match error {
        HttpError::Status(answer) => {
            answer.retry_after.is_none()
                && (answer.status.is_server_error() || answer.status == 408)
        }
        HttpError::Network { .. } | HttpError::NoNetwork { .. } | HttpError::Timeout { .. } => true,
        _ => false,
    }
}
