//! Looking for a server: which one next, and when.
//!
//! The primaries are asked in order, and again after growing waits, until [`FAILOVER_AFTER`] has
//! passed; then the backups, twice. After that comes the long wait, a look at which servers there
//! are, and each of them once; and so on for as long as the line is wanted. A server that asked to
//! be left alone is passed over until its time has come.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;

use super::{
    machine::{Action, Machine, Refusal},
    saved::Failover,
    state::{Next, Pass, Round, State, Timer, Trying},
    timings::{
        CALLS_POLL, FAILOVER_AFTER, FAILOVER_MIN_WAIT, REDISCOVERY_LIMIT, RETRY_AFTER_MAX,
        SLOW_RETRY_MIN, SLOW_RETRY_SPREAD, between, retry_interval,
    },
};
use crate::{
    config::ServiceIndicator,
    discovery::Servers,
    line::{Connecting, LineError, LineErrorType, LineEvent},
    mobius::Registration,
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

    /// After a registration was lost: `previous` is the server to begin with, if any.
    pub(super) fn search_again(&mut self, now: Instant, previous: Option<Url>) {
        self.searching.previous = previous;
        let backups = !self.servers.backup.is_empty();
        match self.service {
            // The contact center does not wait for the primaries.
            ServiceIndicator::ContactCenter if backups => {
                self.search(now, Round::Backup(Pass::First));
            }
            _ if self.searching.previous.is_some() => self.search(now, Round::Previous),
            _ => self.search(now, Round::Primary { attempt: 1 }),
        }
    }

    /// Goes on where another run of the program was. The primaries get their chance once, whatever
    /// was next: they may have come back.
    pub(super) fn go_on(&mut self, now: Instant, failover: Failover, age: Duration) {
        self.search_began(now, failover.elapsed + age);
        if failover.backup {
            self.search_began(now, FAILOVER_AFTER.max(failover.elapsed + age));
        }
        self.ask(now, Round::Primary { attempt: failover.attempt.max(1) }, 0);
    }

    /// What follows a wait.
    pub(super) fn waited(&mut self, now: Instant, next: Next) {
        match next {
            Next::Round(round) => self.ask(now, round, 0),
            Next::Restart => self.search(now, Round::Primary { attempt: 1 }),
            Next::Slow => self.begin(now, Connecting::Retry),
            Next::Calls if self.calls_are_active() => self.wait(now, CALLS_POLL, Next::Calls),
            Next::Calls => {
                let previous = self.searching.previous.take();
                self.search_again(now, previous);
            }
        }
    }

    /// The answer of the server that was asked to take the line.
    pub(super) fn tried(
        &mut self,
        now: Instant,
        trying: Trying,
        answer: Result<Registration, Refusal>,
    ) {
        match answer {
            Ok(granted) => self.registered(now, trying.server, granted),
            Err(refusal) => self.refused(now, trying, refusal),
        }
    }

    fn refused(&mut self, now: Instant, trying: Trying, mut refusal: Refusal) {
        refusal.error = refusal.error.at(&trying.server);
        self.note_busy(now, &trying.server, &refusal.error);
        self.act(Action::Disconnect(trying.server.clone()));
        if refusal.is_device_limit() {
            return self.limited(now, trying, refusal);
        }
        let error = refusal.error;
        if error.is_final() {
            return self.fail(error);
        }
        self.failed_at(&trying.server, &error);
        let single = trying.round == Round::Previous || trying.freed;
        match error.http_status {
            Some(429) if single => self.single_is_busy(now, &trying.server),
            _ => self.ask(now, trying.round, trying.index + 1),
        }
    }

    /// Tells that a server did not take the line.
    pub(super) fn failed_at(&mut self, server: &Url, error: &LineError) {
        self.searching.last_error = Some(Box::new(error.clone()));
        self.emit(LineEvent::ServerFailed { server: server.clone(), error: error.clone() });
    }

    /// The one server that was to be asked first has too much to do: it is waited for when that is
    /// short; otherwise others are asked.
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

    /// Asks the next server of the round that may be asked, or decides what follows its end.
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
        freed: bool,
    ) {
        self.drop_deletions(&server);
        let op = self.op();
        self.sent = Some(now);
        self.act(Action::Register(op, server.clone()));
        self.state = State::Trying(Box::new(Trying { op, server, round, index, freed }));
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
            // It began with the backups: now it is the primaries' turn.
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
        // All want to be left alone for longer than there is time: that is not waited for.
        let at_once = self.servers.primary.is_empty() || (busy > wait && busy > left);
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

    /// All servers have been tried as often as the protocol has it.
    fn give_up(&mut self, now: Instant) {
        let last = self.searching.last_error.take();
        self.no_success(now, LineError::exhausted(last.map(|last| *last)));
    }

    /// The end without success for now: a long wait, and then again.
    fn no_success(&mut self, now: Instant, error: LineError) {
        let Some(interval) = self.policy.slow_retry else { return self.fail(error) };
        let interval = interval.max(SLOW_RETRY_MIN);
        self.forget();
        self.emit(LineEvent::Error(error));
        let spread = interval / SLOW_RETRY_SPREAD;
        let wait = between(interval.saturating_sub(spread), interval + spread, &mut self.random);
        let all = self.servers.primary.iter().chain(&self.servers.backup);
        let busy = self.all_busy_for(now, all);
        self.wait(now, wait.max(busy), Next::Slow);
    }

    // --- which servers there are ---------------------------------------------------------------

    fn rediscover(&mut self, now: Instant, then: Round) {
        let op = self.op();
        self.act(Action::Rediscover(op));
        self.timers.clear();
        self.timers.set(Timer::Retry, now + REDISCOVERY_LIMIT);
        self.state = State::Discovering { op, then };
    }

    /// New lists replace the old ones; without new ones the old ones are as good as it gets.
    pub(super) fn discovered(
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
            self.fail(failure);
        } else if self.servers.is_empty() {
            self.no_success(now, failure);
        } else {
            self.search(now, then);
        }
    }

    // --- what survives a restart ---------------------------------------------------------------

    fn save(&mut self, now: Instant, attempt: u32, backup: bool) {
        self.saved = true;
        let elapsed = self.searching_for(now);
        self.act(Action::Save(Failover { attempt, elapsed, backup }));
    }

    fn searching_for(&self, now: Instant) -> Duration {
        now.duration_since(self.searching.since.unwrap_or(now))
    }

    fn search_began(&mut self, now: Instant, ago: Duration) {
        // Some clocks begin when the machine does: they know no time before.
        self.searching.since = now.checked_sub(ago);
    }
}
