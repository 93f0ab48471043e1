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
        Action, Active, Attempt, Beside, Loss, Next, Orphan, OrphanStage, Round, Search, State,
        Timer,
    },
};
use crate::{
    mobius::{
        timings::{
            CALLS_POLL, KEEPALIVE_INTERVAL, KEEPALIVE_MAX, KEEPALIVE_MIN, KEEPALIVE_SPREAD,
            LOSS_REPORT_DELAY, REHOMING_BOUNDS, REHOMING_MAX, REHOMING_MIN, RETRY_AFTER_DEFAULT,
            retry_after, spread,
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
        if let Some(user) = &self.user {
            self.info = self.info.with_user(user);
        }
        self.searching = Search::default();
        self.token_search = None;
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
            stale: self.client_device.is_some() && self.client_device != granted.requested_for,
            client_device: granted.requested_for,
            renewals_failed: 0,
            beside: None,
        }));
        self.emit(LineEvent::Registered(Arc::clone(&self.info)));
        self.arm_failback(now);
        self.renew(now);
    }

    /// Sends the keepalive that was due at `due`, in place of one without an answer yet.
    pub(super) fn on_keepalive_timer(&mut self, now: Instant, due: Instant) {
        let State::Registered(active) = &self.state else { return };
        // Another request to this server may have been answered with a pause.
        let busy = self.busy_for(now, &active.server);
        if !busy.is_zero() {
            self.timers.set(Timer::Keepalive, now + busy);
            return;
        }
        let op = self.op();
        let State::Registered(active) = &mut self.state else { return };
        let (server, device) = (active.server.clone(), Arc::clone(&active.device));
        // A keepalive that is sent early, or again, does not shift the schedule. Otherwise all lines
        // that saw the same change of the network would be in step from then on.
        let regular = active.regular_keepalive.take();
        let regular = regular.and_then(|regular| regular.checked_sub(active.interval));
        // After a sleep the schedule starts again: another keepalive soon after would be one too many,
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
            Verdict::Unknown => self.on_lost(now, *active, error, false),
            Verdict::Superseded => {
                self.hard_stop(*active, error.superseded(), Unregistered::Superseded);
            }
            Verdict::Final => {
                self.hard_stop(*active, error, Unregistered::Lost);
                self.check_token(now);
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
        let is_lost = missed >= of;
        let pause = error.retry_after.or(busy.then_some(RETRY_AFTER_DEFAULT)).map(retry_after);
        let next = pause.map_or(next, |pause| next.max(now + pause));
        let retry_in = if is_lost { Duration::ZERO } else { next.duration_since(now) };
        let error = error.retried(Some(retry_in));
        self.emit(LineEvent::KeepaliveMissed {
            missed,
            of,
            server: server.clone(),
            error: error.clone(),
        });
        if is_lost {
            return self.on_lost(now, *active, error, true);
        }
        if busy {
            // The server is up: earlier misses no longer count.
            active.missed = 0;
        }
        self.note_busy(now, &server, &error);
        self.timers.set(Timer::Keepalive, next);
        self.state = State::Registered(active);
        self.emit(LineEvent::Reconnecting { missed, of, server, error });
    }

    /// The registration is lost. The line registers again at once, or when the calls have ended; with
    /// the same server first if `same`. Otherwise the server no longer knows the line.
    fn on_lost(&mut self, now: Instant, active: Active, error: LineError, same: bool) {
        self.timers.clear();
        let server = active.server;
        self.note_busy(now, &server, &error);
        if !matches!(active.beside, Some(Beside::Renewal { .. })) {
            self.act(Action::Disconnect(server.clone()));
        }
        let waits = same && self.calls_are_active();
        let error = error.retried((!waits).then_some(Duration::ZERO));
        if same {
            self.unregistered(Unregistered::Lost(error), Some(server.clone()), true);
        } else {
            // Another device may have taken its place. The answer to the next request tells, and the
            // application hears one cause.
            self.inactive();
            let report_at = now + LOSS_REPORT_DELAY;
            self.loss = Some(Loss { error, server: server.clone(), report_at });
        }
        // A registration request under way becomes the search.
        let attempt = match active.beside {
            Some(Beside::Failback { op, server, index }) => {
                Some((op, server, Round::Primary { attempt: 1 }, index))
            }
            Some(Beside::Renewal { op }) => {
                self.searching.previous = Some(server.clone());
                Some((op, server.clone(), Round::Previous, 0))
            }
            Some(Beside::Ping { op, .. }) => {
                self.act(Action::Cancel(op));
                None
            }
            None => None,
        };
        if let Some((op, server, round, index)) = attempt {
            self.searching.since = Some(now);
            self.searching.primaries_due = false;
            let attempt = Attempt { op, server, round, index, room_made: false };
            self.state = State::Registering(Box::new(attempt));
            return;
        }
        if waits {
            self.searching.previous = Some(server);
            self.wait(now, CALLS_POLL, Next::Calls);
        } else {
            self.search_again(now, same.then_some(server));
        }
    }

    /// The server dropped the registration: there is nothing to delete, and only the application
    /// registers again.
    pub(super) fn on_down(&mut self, active: Active) {
        let error = LineError::down(&active.server);
        self.hard_stop(active, error, Unregistered::Down);
    }

    /// The registration is lost, and the line does not register again by itself.
    fn hard_stop(
        &mut self,
        active: Active,
        error: LineError,
        reason: fn(LineError) -> Unregistered,
    ) {
        let Active { server, keepalive, beside, .. } = active;
        self.stop(&error);
        if let Some((op, _)) = keepalive {
            self.act(Action::Cancel(op));
        }
        self.abandon(beside, &server);
        self.act(Action::Disconnect(server.clone()));
        let reason = reason(error);
        if let Unregistered::Lost(error) = &reason {
            self.emit(LineEvent::Error(error.clone()));
        }
        self.unregistered(reason, Some(server), false);
    }

    /// Ends a request beside the registration with `server`. A registration that it still brings gets
    /// deleted.
    pub(super) fn abandon(&mut self, beside: Option<Beside>, server: &Url) {
        let (op, server) = match beside {
            Some(Beside::Ping { op, .. }) => return self.act(Action::Cancel(op)),
            Some(Beside::Failback { op, server, .. }) => (op, server),
            Some(Beside::Renewal { op }) => (op, server.clone()),
            None => return,
        };
        self.orphans.push(Orphan { op, server, stage: OrphanStage::Registering });
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
