//! Giving up: in every state, completely, in bounded time.
//!
//! What exists is deleted. A registration that is being asked for may still be granted: it is
//! waited for, and deleted. When [`DEREGISTER_LIMIT`] has passed, the application is told that the
//! server could not be reached; a registration that is granted even later is still deleted.

use std::time::Instant;

use url::Url;
use webex_core::HttpError;

use super::{
    failback::is_gone,
    machine::{Action, Machine, Refusal},
    state::{Leaving, Round, Search, Stage, State, Stray, Timer, Trying},
    timings::DEREGISTER_LIMIT,
};
use crate::{
    line::{Connecting, LineError, LineEvent, Unregistered},
    mobius::Registration,
};

impl Machine {
    /// Wants the line registered no longer: cancels what is under way and gives up what exists.
    /// Always ends in `unregistered`.
    pub fn deregister(&mut self, now: Instant) {
        self.wanted = false;
        self.forget();
        let mut server = None;
        match std::mem::take(&mut self.state) {
            State::Idle | State::Waiting(_) | State::Failed => {}
            State::Discovering { op, .. } | State::Freeing { op, .. } => {
                self.act(Action::Cancel(op));
            }
            State::Trying(trying) => {
                let Trying { op, server: asked, .. } = *trying;
                server = Some(asked.clone());
                self.strays.push(Stray { op, server: asked, stage: Stage::Asked });
            }
            State::Registered(active) => {
                server = Some(active.server.clone());
                if let Some((op, _)) = active.asking {
                    self.act(Action::Cancel(op));
                }
                self.abandon(active.failback);
                self.delete(active.server, active.device);
            }
            State::Moving(moving) => {
                let (op, backup) = (moving.op, moving.backup);
                let stage = Stage::Deleting { device: backup.device, retried: false };
                let stray = if moving.left {
                    Stray { op, server: moving.primary, stage: Stage::Asked }
                } else {
                    Stray { op, server: backup.server, stage }
                };
                server = Some(stray.server.clone());
                self.strays.push(stray);
            }
            State::Leaving(mut leaving) => {
                leaving.tell = true;
                self.state = State::Leaving(leaving);
                return;
            }
        }
        self.inactive();
        self.searching = Search::default();
        self.until_left(now, Leaving { outcome: Unregistered::AlreadyGone, server, tell: true });
    }

    /// Registers again while something of an earlier registration is left: a registration that is
    /// still being asked for is what is wanted; a deletion ends first, lest it hit the new one.
    pub(super) fn take_up(&mut self, now: Instant) {
        let Some(index) = self.strays.iter().position(Self::is_asked) else {
            let outcome = Unregistered::AlreadyGone;
            return self.until_left(now, Leaving { outcome, server: None, tell: false });
        };
        let Stray { op, server, .. } = self.strays.swap_remove(index);
        self.emit(LineEvent::Connecting { reason: Connecting::Requested });
        self.searching = Search { since: Some(now), ..Search::default() };
        let (round, index) = (Round::Previous, 0);
        self.timers.clear();
        self.state = State::Trying(Box::new(Trying { op, server, round, index, freed: false }));
    }

    fn until_left(&mut self, now: Instant, leaving: Leaving) {
        self.timers.clear();
        self.timers.set(Timer::Leave, now + DEREGISTER_LIMIT);
        self.state = State::Leaving(Box::new(leaving));
        self.see_what_is_left(now);
    }

    /// Ends the giving up when nothing is left.
    fn see_what_is_left(&mut self, now: Instant) {
        if self.strays.is_empty() && matches!(self.state, State::Leaving(_)) {
            self.left(now);
        }
    }

    fn left(&mut self, now: Instant) {
        let State::Leaving(leaving) = std::mem::take(&mut self.state) else { return };
        self.timers.clear();
        if leaving.tell {
            self.unregistered(leaving.outcome, leaving.server);
        }
        if self.wanted {
            self.register(now);
        }
    }

    /// The time for giving up has passed.
    pub(super) fn leave_now(&mut self, now: Instant) {
        let host = self.strays.first().and_then(|stray| stray.server.host_str());
        let host = host.unwrap_or_default().to_owned();
        self.turned_out(Err(HttpError::Timeout { host, after: DEREGISTER_LIMIT }));
        let (asked, deleting) =
            std::mem::take(&mut self.strays).into_iter().partition(Self::is_asked);
        self.strays = asked;
        self.drop_all(deleting);
        self.left(now);
    }

    fn drop_all(&mut self, strays: Vec<Stray>) {
        for Stray { op, server, .. } in strays {
            self.act(Action::Cancel(op));
            self.act(Action::Disconnect(server));
        }
    }

    /// Drops a deletion that might hit what this server is about to be asked for.
    pub(super) fn drop_deletions(&mut self, server: &Url) {
        let old = |stray: &Stray| !Self::is_asked(stray) && stray.server == *server;
        if self.strays.iter().any(old) {
            let (dropped, kept) = std::mem::take(&mut self.strays).into_iter().partition(old);
            self.strays = kept;
            self.drop_all(dropped);
        }
    }

    /// The late answer to a registration that nobody wants any more.
    pub(super) fn stray_registered(
        &mut self,
        now: Instant,
        stray: Stray,
        answer: Result<Registration, Refusal>,
    ) {
        match answer {
            Ok(granted) => self.delete(stray.server, granted.device.into()),
            Err(refusal) => {
                self.note_busy(now, &stray.server, &refusal.error);
                self.act(Action::Disconnect(stray.server));
                // Without an answer nobody knows whether the server has granted it.
                if let (None, Some(error)) = (refusal.error.http_status, refusal.error.source) {
                    self.turned_out(Err(error));
                }
            }
        }
        self.see_what_is_left(now);
    }

    /// The answer to a deletion.
    pub(super) fn stray_deleted(
        &mut self,
        now: Instant,
        stray: Stray,
        answer: Result<(), HttpError>,
    ) {
        if let Err(error) = &answer {
            self.note_busy(now, &stray.server, &LineError::from(error.clone()));
        }
        if let (Stage::Deleting { device, retried: false }, Err(error)) = (&stray.stage, &answer)
            && is_worth_a_retry(error)
        {
            let op = self.op();
            let (server, device) = (stray.server, device.clone());
            self.act(Action::Deregister(op, server.clone(), device.clone()));
            let stage = Stage::Deleting { device, retried: true };
            self.strays.push(Stray { op, server, stage });
            return;
        }
        self.act(Action::Disconnect(stray.server));
        self.turned_out(answer);
        self.see_what_is_left(now);
    }

    /// Notes what became of one of the things to be given up. The worst is told.
    fn turned_out(&mut self, answer: Result<(), HttpError>) {
        let State::Leaving(leaving) = &mut self.state else { return };
        match (answer, &leaving.outcome) {
            (_, Unregistered::NotReachable(_)) => {}
            (Ok(()), _) => leaving.outcome = Unregistered::Deleted,
            (Err(error), _) if is_gone(&error) => {}
            (Err(error), _) => leaving.outcome = Unregistered::NotReachable(error),
        }
    }
}

/// Whether a deletion may succeed if it is repeated at once.
fn is_worth_a_retry(error: &HttpError) -> bool {
    match error {
        HttpError::Status(answer) => {
            answer.retry_after.is_none()
                && (answer.status.is_server_error() || answer.status == 408)
        }
        HttpError::Network { .. } | HttpError::Timeout { .. } => true,
        _ => false,
    }
}
