//! A registration in force: its keepalives, and what ends it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;

use super::{
    machine::{Action, Machine},
    state::{Active, Failback, Next, Round, Search, Stage, State, Stray, Timer, Trying},
    timings::{
        CALLS_POLL, KEEPALIVE_INTERVAL, KEEPALIVE_MAX, KEEPALIVE_MIN, KEEPALIVE_SPREAD,
        REHOMING_BOUNDS, REHOMING_MAX, REHOMING_MIN, RETRY_AFTER_DEFAULT, retry_after, spread,
    },
};
use crate::{
    line::{LineError, LineErrorType, LineEvent, Unregistered},
    mobius::Registration,
};

/// What the answer to a keepalive means.
enum Verdict {
    /// The server has forgotten the line.
    Forgotten,
    /// The user registered elsewhere.
    Superseded,
    /// No other keepalive would be answered otherwise.
    Final,
    /// The server is there, and wants to be left alone.
    Busy,
    /// No use of it: try again.
    Missed,
}

impl Machine {
    pub(super) fn registered(&mut self, now: Instant, server: Url, granted: Registration) {
        let asked = granted.keepalive_interval.filter(|interval| !interval.is_zero());
        let interval = asked.unwrap_or(KEEPALIVE_INTERVAL).clamp(KEEPALIVE_MIN, KEEPALIVE_MAX);
        let bound = |asked: Option<Duration>, default| {
            let asked = asked.filter(|asked| !asked.is_zero()).unwrap_or(default);
            asked.clamp(*REHOMING_BOUNDS.start(), *REHOMING_BOUNDS.end())
        };
        let rehoming = (
            bound(granted.rehoming_interval_min, REHOMING_MIN),
            bound(granted.rehoming_interval_max, REHOMING_MAX),
        );
        self.info = Arc::new(self.info.registered(&server, &granted));
        self.searching = Search::default();
        self.forget();
        self.timers.clear();
        let first = spread(interval, &mut self.random);
        self.timers.set(Timer::Keepalive, now + first);
        self.state = State::Registered(Box::new(Active {
            server,
            device: Arc::new(granted.device),
            interval,
            rehoming,
            missed: 0,
            troubled: false,
            asking: None,
            beat: None,
            failback: None,
        }));
        self.emit(LineEvent::Registered(Arc::clone(&self.info)));
        self.arm_failback(now);
    }

    /// Sends the keepalive that was due at `due`, in place of one that is not answered yet.
    pub(super) fn keepalive(&mut self, now: Instant, due: Instant) {
        let op = self.op();
        let State::Registered(active) = &mut self.state else { return };
        let (server, device) = (active.server.clone(), Arc::clone(&active.device));
        // One that is sent early, or again, does not shift the rhythm: lines that heard the same
        // of the network would be in step from then on.
        let beat = active.beat.take().and_then(|beat| beat.checked_sub(active.interval));
        // After a sleep the rhythm begins anew: another one soon after would be one too many, and
        // lines that woke up together should not stay in step.
        let interval = active.interval;
        let due = if now.saturating_duration_since(due) > interval / KEEPALIVE_SPREAD {
            let next = now + spread(interval, &mut self.random);
            next.checked_sub(interval).unwrap_or(now)
        } else {
            due
        };
        let due = active.asking.map(|(_, due)| due).or(beat).unwrap_or(due);
        let replaced = active.asking.replace((op, due));
        self.sent = Some(now);
        self.timers.stop(Timer::Keepalive);
        if let Some((replaced, _)) = replaced {
            self.act(Action::Cancel(replaced));
        }
        self.act(Action::Keepalive(op, server, device));
    }

    /// The answer to the keepalive that `active` was asking for.
    pub(super) fn kept_alive(
        &mut self,
        now: Instant,
        mut active: Box<Active>,
        answer: Result<(), LineError>,
    ) {
        let due = active.asking.take().map_or(now, |(_, due)| due);
        let next = self.next_keepalive(due, now, active.interval);
        let error = match answer {
            Ok(()) => {
                active.missed = 0;
                let server = active.server.clone();
                let troubled = std::mem::take(&mut active.troubled);
                self.timers.set(Timer::Keepalive, next);
                self.state = State::Registered(active);
                if troubled {
                    self.emit(LineEvent::Reconnected { server });
                }
                return;
            }
            Err(error) => error.at(&active.server),
        };
        match verdict(&error) {
            Verdict::Forgotten => {
                self.emit(LineEvent::Error(error.clone()));
                self.lost(now, *active, error, false);
            }
            Verdict::Superseded => {
                let superseded = Unregistered::Superseded(error.superseded());
                self.hard_stop(*active, superseded, None);
            }
            Verdict::Final => {
                let reason = Unregistered::Lost(error.clone());
                self.hard_stop(*active, reason, Some(error));
            }
            verdict => self.missed(now, active, error, next, matches!(verdict, Verdict::Busy)),
        }
    }

    fn missed(
        &mut self,
        now: Instant,
        mut active: Box<Active>,
        error: LineError,
        next: Instant,
        busy: bool,
    ) {
        active.missed += 1;
        active.troubled = true;
        let (missed, of) = (active.missed, self.threshold());
        let server = active.server.clone();
        let told = (server.clone(), error.clone());
        self.emit(LineEvent::KeepaliveMissed { missed, of, server: told.0, error: told.1 });
        if missed >= of {
            return self.lost(now, *active, error, true);
        }
        if busy {
            // The server has spoken: what it missed before says nothing any more.
            active.missed = 0;
        }
        self.note_busy(now, &server, &error);
        let pause = error.retry_after.or(busy.then_some(RETRY_AFTER_DEFAULT)).map(retry_after);
        let next = pause.map_or(next, |pause| next.max(now + pause));
        self.timers.set(Timer::Keepalive, next);
        self.state = State::Registered(active);
        self.emit(LineEvent::Reconnecting { missed, of, server, error });
    }

    /// The registration is lost, and wanted again: at once, or when the calls have ended; from the
    /// same server first where that is worth asking.
    fn lost(&mut self, now: Instant, active: Active, error: LineError, same: bool) {
        self.timers.clear();
        let server = active.server;
        self.note_busy(now, &server, &error);
        self.act(Action::Disconnect(server.clone()));
        self.unregistered(Unregistered::Lost(error), Some(server.clone()));
        match active.failback {
            // A primary is being asked already.
            Some(Failback::Asking { op, server, index }) => {
                let round = Round::Primary { attempt: 1 };
                self.searching.since = Some(now);
                self.searching.primaries_due = false;
                self.state =
                    State::Trying(Box::new(Trying { op, server, round, index, freed: false }));
                return;
            }
            Some(Failback::Pinging { op, .. }) => self.act(Action::Cancel(op)),
            None => {}
        }
        if same && self.calls_are_active() {
            self.searching.previous = Some(server);
            self.wait(now, CALLS_POLL, Next::Calls);
        } else {
            self.search_again(now, same.then_some(server));
        }
    }

    /// The server says that it has dropped the registration: nothing to delete, and no way back
    /// but the application's.
    pub(super) fn down(&mut self, active: Active) {
        self.hard_stop(active, Unregistered::Down, None);
    }

    /// The registration is lost, and the line does not come back by itself.
    fn hard_stop(&mut self, active: Active, reason: Unregistered, error: Option<LineError>) {
        let Active { server, asking, failback, .. } = active;
        self.rest();
        if let Some((op, _)) = asking {
            self.act(Action::Cancel(op));
        }
        self.abandon(failback);
        self.act(Action::Disconnect(server.clone()));
        if let Some(error) = error {
            self.emit(LineEvent::Error(error));
        }
        self.unregistered(reason, Some(server));
    }

    /// Ends a failback under way; what it may still bring is given up when it comes.
    pub(super) fn abandon(&mut self, failback: Option<Failback>) {
        match failback {
            Some(Failback::Pinging { op, .. }) => self.act(Action::Cancel(op)),
            Some(Failback::Asking { op, server, .. }) => {
                self.strays.push(Stray { op, server, stage: Stage::Asked });
            }
            None => {}
        }
    }

    /// When the keepalive after the one that was due at `due` is due: an interval later, so that
    /// slow answers do not shift the rhythm. When that has passed, because the machine slept, none
    /// is made up for; lines that woke up together do not stay in step.
    fn next_keepalive(&mut self, due: Instant, now: Instant, interval: Duration) -> Instant {
        let next = due + interval;
        if next > now {
            return next;
        }
        now + spread(interval, &mut self.random)
    }
}

fn verdict(error: &LineError) -> Verdict {
    match error.http_status {
        Some(404) => Verdict::Forgotten,
        Some(409) => Verdict::Superseded,
        Some(400 | 401) => Verdict::Final,
        Some(429) => Verdict::Busy,
        // No token is to be had.
        None if error.kind == LineErrorType::TokenError => Verdict::Final,
        // 403 included: without its code nobody knows what it means.
        _ => Verdict::Missed,
    }
}
