//! The search for a server: which one next, and when.
//!
//! The primaries are asked in order, and again after growing waits, until [`FAILOVER_AFTER`] has
//! passed; then the backups, twice. After that come the long wait, discovery, and each server once,
//! for as long as the line is wanted. A server that sent `Retry-After` is skipped until that time
//! has passed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;

use super::{
    failover::Failover,
    machine::Machine,
    state::{Action, Attempt, Next, Pass, Refusal, Round, State, Timer},
};
use crate::{
    mobius::{
        timings::{
            CALLS_POLL, FAILOVER_AFTER, FAILOVER_MIN_WAIT, REDISCOVERY_LIMIT, RETRY_AFTER_MAX,
            SLOW_RETRY_MIN, SLOW_RETRY_SPREAD, between, retry_interval,
        },
        wire::Registration,
    },
    model::{
        config::ServiceIndicator,
        error::{LineError, LineErrorType},
        event::{Connecting, LineEvent, Unregistered},
        servers::Servers,
    },
};

impl Machine {
    /// Begins from the first primary.
    pub(super) fn begin(&mut self, now: Instant, reason: Connecting) {
        self.emit(LineEvent::Connecting { reason });
        let again = reason == Connecting::Retry;
        let then =
            if again { Round::Slow { backup: false } } else { Round::Primary { attempt: 1 } };
        if again || self.servers.is_empty() {
            self.rediscover(now, then);
        } else {
            self.search(now, then);
        }
    }

    pub(super) fn search(&mut self, now: Instant, round: Round) {
        self.searching.since = Some(now);
        self.searching.last_error = None;
        self.searching.primaries_due = matches!(round, Round::Backup(_));
        self.ask(now, round, 0);
    }

    /// Begins after a registration was lost, with the server `previous` if there is one.
    pub(super) fn search_again(&mut self, now: Instant, previous: Option<Url>) {
        self.searching.previous = previous;
        let backups = !self.servers.backup.is_empty();
        match self.settings.service {
            // The contact center does not wait for the primaries.
            ServiceIndicator::ContactCenter if backups => {
                self.search(now, Round::Backup(Pass::First));
            }
            // Without a previous server, the primaries follow at once.
            _ => self.search(now, Round::Previous),
        }
    }

    /// Continues the search of an earlier run of the program. The primaries are asked once, whatever
    /// was next: they may be up again.
    pub(super) fn resume_search(&mut self, now: Instant, failover: Failover, age: Duration) {
        self.search_began(now, failover.elapsed + age);
        if failover.backup {
            self.search_began(now, FAILOVER_AFTER.max(failover.elapsed + age));
        }
        self.ask(now, Round::Primary { attempt: failover.attempt.max(1) }, 0);
    }

    /// A wait is over.
    pub(super) fn on_retry_timer(&mut self, now: Instant, next: Next) {
        match next {
            Next::Round(round) => self.ask(now, round, 0),
            Next::Restart => self.search(now, Round::Primary { attempt: 1 }),
            Next::Slow => self.begin(now, Connecting::Retry),
            Next::Token => self.search_with_token(now),
            Next::Calls if self.calls_are_active() => self.wait(now, CALLS_POLL, Next::Calls),
            Next::Calls => {
                let previous = self.searching.previous.take();
                self.search_again(now, previous);
            }
        }
    }

    /// The answer to a registration request.
    pub(super) fn on_registration(
        &mut self,
        now: Instant,
        attempt: Attempt,
        answer: Result<Registration, Refusal>,
    ) {
        match answer {
            Ok(granted) => self.enter_registered(now, attempt.server, granted),
            Err(refusal) => self.on_refused(now, attempt, refusal),
        }
    }

    fn on_refused(&mut self, now: Instant, attempt: Attempt, mut refusal: Refusal) {
        refusal.error = refusal.error.at(&attempt.server);
        self.note_busy(now, &attempt.server, &refusal.error);
        self.act(Action::Disconnect(attempt.server.clone()));
        if refusal.is_device_limit() {
            return self.on_device_limit(now, attempt, refusal);
        }
        let error = refusal.error;
        if let Some(device) = refusal.unusable {
            self.delete(attempt.server.clone(), device.into());
        }
        if error.ends_search() {
            return self.fail(now, error);
        }
        self.failed_at(&attempt.server, &error);
        let single = attempt.round == Round::Previous || attempt.room_made;
        match error.http_status {
            Some(429) if single => self.single_is_busy(now, &attempt.server),
            _ => self.ask(now, attempt.round, attempt.index + 1),
        }
    }

    /// Reports that a server refused the line.
    pub(super) fn failed_at(&mut self, server: &Url, error: &LineError) {
        self.searching.last_error = Some(Box::new(error.clone()));
        let error = error.clone().retried(None);
        self.emit(LineEvent::ServerFailed { server: server.clone(), error: error.clone() });
        // The reference client reports nothing about a server that only asks for a pause.
        let reports = error.kind != LineErrorType::TooManyRequests;
        if self.settings.unregistered_per_server && reports {
            self.unregistered(Unregistered::Refused(error), Some(server.clone()), true);
        }
    }

    /// The one server to ask first sent `Retry-After`. A short pause is waited for; otherwise other
    /// servers follow.
    fn single_is_busy(&mut self, now: Instant, server: &Url) {
        let wait = self.busy_for(now, server);
        if wait < RETRY_AFTER_MAX {
            self.wait(now, wait, Next::Restart);
        } else if self.servers.primary.contains(server) && !self.servers.backup.is_empty() {
            self.ask(now, Round::Backup(Pass::Only), 0);
        } else {
            self.search(now, Round::Primary { attempt: 1 });
        }
    }

    /// Asks the next server of the round that may be asked; at the end decides what follows.
    pub(super) fn ask(&mut self, now: Instant, round: Round, from: usize) {
        self.timers.clear();
        let list = match round {
            Round::Previous => self.searching.previous.as_slice(),
            Round::Primary { .. } | Round::Slow { backup: false } => &self.servers.primary,
            Round::Backup(_) | Round::Slow { backup: true } => &self.servers.backup,
        };
        let mut rest = list.iter().enumerate().skip(from);
        let next = rest.find(|(_, server)| self.busy_for(now, server).is_zero());
        match next.map(|(index, server)| (index, server.clone())) {
            Some((index, server)) => self.ask_server(now, server, round, index, false),
            None => self.exhausted(now, round),
        }
    }

    pub(super) fn ask_server(
        &mut self,
        now: Instant,
        server: Url,
        round: Round,
        index: usize,
        room_made: bool,
    ) {
        self.drop_deletions(&server);
        let op = self.op();
        self.sent = Some(now);
        self.request_registration(op, server.clone());
        self.state = State::Registering(Box::new(Attempt { op, server, round, index, room_made }));
    }

    /// The end of a list without success.
    fn exhausted(&mut self, now: Instant, round: Round) {
        match round {
            Round::Previous => self.search(now, Round::Primary { attempt: 1 }),
            Round::Primary { attempt } => self.primaries_exhausted(now, attempt),
            Round::Backup(Pass::First) => {
                let wait = retry_interval(1, &mut self.random);
                let busy = self.all_busy_for(now, &self.servers.backup);
                let wait = if busy < RETRY_AFTER_MAX { wait.max(busy) } else { wait };
                self.save(now, 1, true);
                self.wait(now, wait, Next::Round(Round::Backup(Pass::Second)));
            }
            // It began with the backups: the primaries follow.
            Round::Backup(_) if self.searching.primaries_due => {
                self.search(now, Round::Primary { attempt: 1 });
            }
            Round::Backup(Pass::Only) => self.ask(now, Round::Primary { attempt: 1 }, 0),
            Round::Slow { backup: false } => self.ask(now, Round::Slow { backup: true }, 0),
            Round::Backup(Pass::Second) | Round::Slow { backup: true } => self.give_up(now),
        }
    }

    /// Another round of the primaries while there is time, then the backups.
    fn primaries_exhausted(&mut self, now: Instant, attempt: u32) {
        let left = FAILOVER_AFTER.saturating_sub(self.searching_for(now));
        let wait = retry_interval(attempt, &mut self.random).min(left);
        let busy = self.all_busy_for(now, &self.servers.primary);
        // All asked for a pause that is longer than the time left: do not wait.
        let at_once = self.servers.primary.is_empty() || busy > left;
        if wait > FAILOVER_MIN_WAIT && !at_once {
            self.save(now, attempt + 1, false);
            let next = Next::Round(Round::Primary { attempt: attempt + 1 });
            self.wait(now, wait.max(busy), next);
        } else if self.servers.backup.is_empty() {
            self.give_up(now);
        } else {
            self.ask(now, Round::Backup(Pass::First), 0);
        }
    }

    pub(super) fn wait(&mut self, now: Instant, wait: Duration, then: Next) {
        self.timers.set(Timer::Retry, now + wait);
        self.state = State::Waiting(then);
    }

    /// All servers were tried as often as the protocol says.
    fn give_up(&mut self, now: Instant) {
        let last = self.searching.last_error.take();
        self.no_success(now, LineError::exhausted(last.map(|last| *last)));
    }

    /// Ends without success for now: a long wait, and then another attempt.
    fn no_success(&mut self, now: Instant, error: LineError) {
        let Some(interval) = self.settings.policy.slow_retry else {
            return self.fail(now, error);
        };
        let interval = interval.max(SLOW_RETRY_MIN);
        self.forget();
        let spread = interval / SLOW_RETRY_SPREAD;
        let wait = between(interval.saturating_sub(spread), interval + spread, &mut self.random);
        let busy = self.all_busy_for(now, self.servers.all());
        let wait = wait.max(busy);
        self.emit(LineEvent::Error(error.retried(Some(wait))));
        self.wait(now, wait, Next::Slow);
    }

    // --- discovery -----------------------------------------------------------------------------

    fn rediscover(&mut self, now: Instant, then: Round) {
        let op = self.op();
        self.act(Action::Rediscover(op));
        self.timers.clear();
        self.timers.set(Timer::Retry, now + REDISCOVERY_LIMIT);
        self.state = State::Discovering { op, then };
    }

    /// The answer of discovery. New lists replace the old ones; without an answer the old ones stay.
    pub(super) fn on_servers(
        &mut self,
        now: Instant,
        then: Round,
        answer: Result<Arc<Servers>, LineError>,
    ) {
        self.timers.clear();
        let failure = match answer {
            Ok(servers) if !servers.is_empty() => {
                self.servers = servers;
                return self.search(now, then);
            }
            Ok(_) => LineError::no_servers(),
            Err(error) => error,
        };
        if failure.kind == LineErrorType::TokenError {
            self.fail(now, failure);
        } else if self.servers.is_empty() {
            self.no_success(now, failure);
        } else {
            self.search(now, then);
        }
    }

    // --- saved state ---------------------------------------------------------------------------

    fn save(&mut self, now: Instant, attempt: u32, backup: bool) {
        self.saved = true;
        let elapsed = self.searching_for(now);
        self.act(Action::Save(Failover { attempt, elapsed, backup }));
    }

    fn searching_for(&self, now: Instant) -> Duration {
        now.duration_since(self.searching.since.unwrap_or(now))
    }

    fn search_began(&mut self, now: Instant, ago: Duration) {
        // Some clocks start with the machine and have no earlier times.
        self.searching.since = now.checked_sub(ago);
    }
}
