//! A registration in force: keepalives, and what ends it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;

use super::{
    info,
    machine::Machine,
    state::{
        Action, Active, Attempt, Failback, Next, Orphan, OrphanStage, Round, Search, State, Timer,
    },
};
use crate::{
    mobius::{
        timings::{
            CALLS_POLL, KEEPALIVE_INTERVAL, KEEPALIVE_MAX, KEEPALIVE_MIN, KEEPALIVE_SPREAD,
            REHOMING_BOUNDS, REHOMING_MAX, REHOMING_MIN, RETRY_AFTER_DEFAULT, retry_after, spread,
        },
        wire::Registration,
    },
    model::{
        error::{LineError, LineErrorType},
        event::{LineEvent, Unregistered},
    },
};

/// The meaning of a failed keepalive.
enum Verdict {
    /// The server does not know the line.
    Unknown,
    /// The user registered elsewhere.
    Superseded,
    /// No other keepalive would be answered differently.
    Final,
    /// The server is up, and asks for a pause.
    Busy,
    /// It counts as missed; the next one may succeed.
    Missed,
}

impl Machine {
    /// A server has accepted the line.
    pub(super) fn enter_registered(&mut self, now: Instant, server: Url, granted: Registration) {
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
        self.info = Arc::new(info::registered(&self.info, &server, &granted));
        if let Some(person) = &self.person {
            self.info = self.info.with_person(person);
        }
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
            reconnecting: false,
            keepalive: None,
            regular_keepalive: None,
            failback: None,
        }));
        self.emit(LineEvent::Registered(Arc::clone(&self.info)));
        self.arm_failback(now);
    }

    /// Sends the keepalive that was due at `due`, in place of one without an answer yet.
    pub(super) fn on_keepalive_timer(&mut self, now: Instant, due: Instant) {
        let op = self.op();
        let State::Registered(active) = &mut self.state else { return };
        let (server, device) = (active.server.clone(), Arc::clone(&active.device));
        // A keepalive that is sent early, or again, does not shift the schedule. Otherwise all lines
        // that saw the same change of the network would be in step from then on.
        let regular = active.regular_keepalive.take();
        let regular = regular.and_then(|regular| regular.checked_sub(active.interval));
        // After a sleep the schedule begins anew: another keepalive soon after would be one too many,
        // and lines that woke up together should not stay in step.
        let interval = active.interval;
        let due = if now.saturating_duration_since(due) > interval / KEEPALIVE_SPREAD {
            let next = now + spread(interval, &mut self.random);
            next.checked_sub(interval).unwrap_or(now)
        } else {
            due
        };
        let due = active.keepalive.map(|(_, due)| due).or(regular).unwrap_or(due);
        let replaced = active.keepalive.replace((op, due));
        self.sent = Some(now);
        self.timers.stop(Timer::Keepalive);
        if let Some((replaced, _)) = replaced {
            self.act(Action::Cancel(replaced));
        }
        self.act(Action::Keepalive(op, server, device));
    }

    /// The answer to the pending keepalive of `active`.
    pub(super) fn on_keepalive_answer(
        &mut self,
        now: Instant,
        mut active: Box<Active>,
        answer: Result<(), LineError>,
    ) {
        let due = active.keepalive.take().map_or(now, |(_, due)| due);
        let next = self.next_keepalive(due, now, active.interval);
        let error = match answer {
            Ok(()) => {
                active.missed = 0;
                let server = active.server.clone();
                let reconnected = std::mem::take(&mut active.reconnecting);
                self.timers.set(Timer::Keepalive, next);
                self.state = State::Registered(active);
                if reconnected {
                    self.emit(LineEvent::Reconnected { server });
                }
                return;
            }
            Err(error) => error.at(&active.server),
        };
        match verdict(&error) {
            Verdict::Unknown => {
                self.emit(LineEvent::Error(error.clone()));
                self.on_lost(now, *active, error, false);
            }
            Verdict::Superseded => {
                let superseded = Unregistered::Superseded(error.superseded());
                self.hard_stop(*active, superseded, None);
            }
            Verdict::Final => {
                let reason = Unregistered::Lost(error.clone());
                self.hard_stop(*active, reason, Some(error));
            }
            verdict => self.on_missed(now, active, error, next, matches!(verdict, Verdict::Busy)),
        }
    }

    fn on_missed(
        &mut self,
        now: Instant,
        mut active: Box<Active>,
        error: LineError,
        next: Instant,
        busy: bool,
    ) {
        active.missed += 1;
        active.reconnecting = true;
        let (missed, of) = (active.missed, self.threshold());
        let server = active.server.clone();
        self.emit(LineEvent::KeepaliveMissed {
            missed,
            of,
            server: server.clone(),
            error: error.clone(),
        });
        if missed >= of {
            return self.on_lost(now, *active, error, true);
        }
        if busy {
            // The server is up: earlier misses no longer count.
            active.missed = 0;
        }
        self.note_busy(now, &server, &error);
        let pause = error.retry_after.or(busy.then_some(RETRY_AFTER_DEFAULT)).map(retry_after);
        let next = pause.map_or(next, |pause| next.max(now + pause));
        self.timers.set(Timer::Keepalive, next);
        self.state = State::Registered(active);
        self.emit(LineEvent::Reconnecting { missed, of, server, error });
    }

    /// The registration is lost. The line registers again at once, or when the calls have ended; with
    /// the same server first if `same`.
    fn on_lost(&mut self, now: Instant, active: Active, error: LineError, same: bool) {
        self.timers.clear();
        let server = active.server;
        self.note_busy(now, &server, &error);
        self.act(Action::Disconnect(server.clone()));
        self.unregistered(Unregistered::Lost(error), Some(server.clone()));
        match active.failback {
            // A request to a primary is under way: it becomes the search.
            Some(Failback::Registering { op, server, index }) => {
                let round = Round::Primary { attempt: 1 };
                self.searching.since = Some(now);
                self.searching.primaries_due = false;
                self.state = State::Registering(Box::new(Attempt {
                    op,
                    server,
                    round,
                    index,
                    room_made: false,
                }));
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

    /// The server dropped the registration: there is nothing to delete, and only the application
    /// registers again.
    pub(super) fn on_down(&mut self, active: Active) {
        self.hard_stop(active, Unregistered::Down, None);
    }

    /// The registration is lost, and the line does not register again by itself.
    fn hard_stop(&mut self, active: Active, reason: Unregistered, error: Option<LineError>) {
        let Active { server, keepalive, failback, .. } = active;
        self.stop();
        if let Some((op, _)) = keepalive {
            self.act(Action::Cancel(op));
        }
        self.abandon_failback(failback);
        self.act(Action::Disconnect(server.clone()));
        if let Some(error) = error {
            self.emit(LineEvent::Error(error));
        }
        self.unregistered(reason, Some(server));
    }

    /// Ends a failback. A registration that its request still brings gets deleted.
    pub(super) fn abandon_failback(&mut self, failback: Option<Failback>) {
        match failback {
            Some(Failback::Pinging { op, .. }) => self.act(Action::Cancel(op)),
            Some(Failback::Registering { op, server, .. }) => {
                self.orphans.push(Orphan { op, server, stage: OrphanStage::Registering });
            }
            None => {}
        }
    }

    /// Returns when the keepalive after the one of `due` is due: an interval later, so that slow
    /// answers do not shift the schedule. When that has passed because the machine slept, missed
    /// ones are not made up for, and lines that woke up together do not stay in step.
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
        Some(404) => Verdict::Unknown,
        Some(409) => Verdict::Superseded,
        Some(400 | 401) => Verdict::Final,
        Some(429) => Verdict::Busy,
        // No token is available.
        None if error.kind == LineErrorType::TokenError => Verdict::Final,
        // Including 403, whose meaning depends on a code that keepalives do not carry.
        _ => Verdict::Missed,
    }
}
