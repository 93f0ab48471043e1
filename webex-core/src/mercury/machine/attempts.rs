//! How a connection is opened, and when an attempt is repeated.

use std::time::{Duration, Instant};

use super::{
    Machine,
    action::{Action, ConnId, OpenFailure},
    connection::{Attempt, Failed, Live, Timer, Trouble, Wait},
};
use crate::mercury::{
    close::{self, Reaction, Stop},
    failure::SocketFailure,
    switchover::Switchover,
    timings::{
        BACKOFF_BASE, BACKOFF_CAP, CHECK_TIMEOUT, HINT_SPACING, OPEN_TIMEOUT, RATE_LIMITED_WAIT,
        RETIRE_TIMEOUT, RETRY_AFTER_CAP, TELL_AFTER, TELL_AFTER_FAILURES, UNREACHABLE_CAP,
    },
};

impl Machine {
    // --- attempts --------------------------------------------------------------------------------

    /// Resets the count of failures.
    pub(super) fn start_over(&mut self) {
        self.attempts = 0;
        self.failures = 0;
        self.refusals = 0;
        self.last_status = None;
    }

    /// Opens a connection as soon as the server allows it: its `Retry-After` also applies when the
    /// connection is wanted again.
    pub(super) fn begin(&mut self, now: Instant) {
        match self.not_before {
            Some(at) if at > now => {
                self.timers.set(Timer::Backoff, at);
                self.attempt = Some(Attempt::Waiting);
            }
            _ => self.open(now),
        }
    }

    pub(super) fn open(&mut self, now: Instant) {
        self.last_conn += 1;
        self.attempts = self.attempts.saturating_add(1);
        let conn = ConnId(self.last_conn);
        self.not_before = None;
        self.hinted = false;
        self.last_open = Some(now);
        if self.live.is_none() {
            self.trouble.since.get_or_insert(now);
        }
        self.timers.set(Timer::Open, now + OPEN_TIMEOUT);
        self.actions.push_back(Action::Open(conn));
        self.attempt = Some(Attempt::Opening(conn));
    }

    pub(super) fn authorized(&mut self, now: Instant, conn: ConnId) {
        let attempt = self
            .attempt
            .take_if(|attempt| matches!(attempt, Attempt::Authorizing(live) if live.id == conn));
        let Some(Attempt::Authorizing(mut live)) = attempt else { return };
        self.timers.stop(Timer::Authorization);
        self.refusals = 0;
        self.last_status = None;
        self.trouble = Trouble::default();
        live.since = Some(now);
        if let Some(old) = self.live.replace(live) {
            self.timers.stop(Timer::Pong);
            self.timers.set(Timer::Retire, now + RETIRE_TIMEOUT);
            if let Some(older) = self.retiring.replace(old) {
                self.leave(older.id, "done");
            }
            self.actions.push_back(Action::Switchover(Switchover::Complete));
        }
        self.ping(now);
    }

    /// Handles the announced end of the live connection: opens its successor, unless one is already
    /// being opened. At once, unless connection after connection announces its end.
    pub(super) fn change_over(&mut self, now: Instant, conn: ConnId) {
        let Some(live) = self.live.as_ref().filter(|live| live.id == conn) else { return };
        if self.attempt.is_some() {
            return;
        }
        let stable = live.is_stable(now);
        self.actions.push_back(Action::Switchover(Switchover::Announced));
        if stable {
            self.start_over();
            self.begin(now);
        } else {
            self.attempt_failed(now, Failed::silent());
        }
    }

    /// Handles a changed address: moves to the new one at once, make before break.
    ///
    /// A wait after several failures is not shortened: a new address must not cause a fast loop.
    pub(crate) fn move_over(&mut self, now: Instant) {
        match self.attempt.take() {
            None => {
                if self.live.is_some() {
                    self.actions.push_back(Action::Switchover(Switchover::Announced));
                    self.begin(now);
                }
                return;
            }
            Some(Attempt::Waiting) if self.attempts > 1 => {
                self.attempt = Some(Attempt::Waiting);
                return;
            }
            Some(Attempt::Waiting) => self.timers.stop(Timer::Backoff),
            Some(Attempt::Opening(id)) => {
                self.timers.stop(Timer::Open);
                self.actions.push_back(Action::Drop(id));
            }
            Some(Attempt::Authorizing(live)) => {
                self.timers.stop(Timer::Authorization);
                self.leave(live.id, "done");
            }
        }
        self.begin(now);
    }

    // --- failures -------------------------------------------------------------------------------

    /// Returns the reaction to a failure to open a socket.
    pub(super) fn judge(&mut self, now: Instant, failure: &OpenFailure) -> Failed {
        let last = self.last_status.take();
        match *failure {
            OpenFailure::Unreachable => Failed::unanswered(),
            OpenFailure::Network => Failed::answered(Reaction::Reconnect),
            OpenFailure::Token => Failed::answered(Reaction::Stop(Stop::Unauthorized)),
            OpenFailure::Untrusted => Failed::answered(Reaction::Stop(Stop::Untrusted)),
            OpenFailure::Status { status, retry_after } => {
                self.last_status = Some(status);
                // Zero means the same as no value.
                if let Some(wait) = retry_after.filter(|wait| !wait.is_zero()) {
                    self.not_before = Some(now + wait.min(RETRY_AFTER_CAP));
                }
                Failed::answered(close::upgrade_reaction(status, last == Some(status)))
            }
        }
    }

    /// Records that the current attempt has failed and will be repeated. Reports it when that goes
    /// on for long, unless a live connection still delivers events.
    pub(super) fn note_failure(&mut self, now: Instant, failed: Failed, why: SocketFailure) {
        if self.live.is_some() || matches!(failed.reaction, Reaction::Stop(_)) {
            return;
        }
        let trouble = &mut self.trouble;
        trouble.failures += 1;
        let since = *trouble.since.get_or_insert(now);
        let long = now.duration_since(since) >= TELL_AFTER;
        if !trouble.reported && (long || trouble.failures >= TELL_AFTER_FAILURES) {
            trouble.reported = true;
            self.actions.push_back(Action::Trouble(why));
        }
    }

    /// Handles a failed attempt, or the need for a first one.
    pub(super) fn attempt_failed(&mut self, now: Instant, failed: Failed) {
        self.timers.stop(Timer::Open);
        self.timers.stop(Timer::Authorization);
        self.attempt = None;
        match failed.reaction {
            Reaction::Stop(stop) => return self.give_up(stop),
            Reaction::RefreshToken => self.actions.push_back(Action::ReplaceToken),
            Reaction::RefreshDevice => self.actions.push_back(Action::RefreshDevice),
            Reaction::SlowDown => {
                self.not_before.get_or_insert(now + RATE_LIMITED_WAIT);
            }
            Reaction::Reconnect => {}
        }
        let at = match failed.wait {
            // Added to what the server asked for, because it asked every client for the same.
            Wait::Backoff => self.not_before.unwrap_or(now).max(now) + self.backoff(),
            Wait::Unanswered => self.unanswered_until(now),
            Wait::None => self.earliest(now),
        };
        self.timers.set(Timer::Backoff, at);
        self.attempt = Some(Attempt::Waiting);
    }

    /// Handles the loss of the live connection.
    pub(super) fn lost(&mut self, now: Instant, live: &Live, failed: Failed) {
        self.timers.stop(Timer::Ping);
        self.timers.stop(Timer::Pong);
        match (failed.reaction, &self.attempt) {
            // This client has taken over itself: its successor is being opened.
            (
                Reaction::Stop(Stop::Replaced),
                Some(Attempt::Opening(_) | Attempt::Authorizing(_)),
            ) => {}
            (Reaction::Stop(stop), _) => self.stop(stop),
            // Its successor is being opened.
            (_, Some(_)) => {}
            (reaction, None) if live.is_stable(now) => {
                self.start_over();
                let at_once = reaction != Reaction::SlowDown;
                let wait = if at_once { Wait::None } else { Wait::Backoff };
                self.attempt_failed(now, Failed { reaction, wait });
            }
            (_, None) => self.attempt_failed(now, failed),
        }
    }

    /// Gives up: there will be no connection, or no successor. A live connection stays as long as
    /// the server keeps it.
    pub(super) fn give_up(&mut self, stop: Stop) {
        self.attempt = None;
        if self.live.is_none() {
            self.stop(stop);
        } else {
            self.actions.push_back(Action::Switchover(Switchover::Failed(stop)));
        }
    }

    // --- waits -------------------------------------------------------------------------------

    /// The wait after an answered failure: full jitter up to 1, 2, 4 … 32 s.
    fn backoff(&mut self) -> Duration {
        let cap = BACKOFF_BASE.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_CAP);
        self.failures = self.failures.saturating_add(1);
        cap.mul_f64(self.random.f64())
    }

    /// When to repeat an unanswered attempt: half to all of 1, 2, 3 s after it began. An attempt
    /// that hung for longer is repeated at once.
    fn unanswered_until(&mut self, now: Instant) -> Instant {
        let doublings = self.attempts.saturating_sub(1).min(10);
        let cap = BACKOFF_BASE.saturating_mul(1 << doublings).min(UNREACHABLE_CAP);
        let spacing = cap.mul_f64(0.5 + self.random.f64() / 2.0);
        self.last_open.map_or(now, |start| start + spacing).max(now)
    }

    /// The earliest time of an attempt after a hint.
    fn earliest(&self, now: Instant) -> Instant {
        let spaced = self.last_open.map(|start| start + HINT_SPACING);
        [spaced, self.not_before].into_iter().flatten().fold(now, Instant::max)
    }

    /// Handles a hint: shortens the wait to the minimum, and the time limit of the current attempt.
    pub(super) fn hurry_attempt(&mut self, now: Instant) {
        let (timer, at) = match &self.attempt {
            Some(Attempt::Waiting) => (Timer::Backoff, self.earliest(now)),
            Some(Attempt::Opening(_)) => (Timer::Open, now + CHECK_TIMEOUT),
            Some(Attempt::Authorizing(_)) => (Timer::Authorization, now + CHECK_TIMEOUT),
            None => return,
        };
        self.hinted = true;
        if self.timers.deadline(timer).is_none_or(|due| at < due) {
            self.timers.set(timer, at);
        }
    }
}
