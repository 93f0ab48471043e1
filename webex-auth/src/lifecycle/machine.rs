//! The machine itself. See the [module](super) for how to drive it, and for its policy.

use std::time::{Duration, SystemTime};

use crate::{
    lifecycle::{
        clock::{Moment, SteadyClock},
        state::{ReauthReason, RenewError, TokenState},
    },
    timer::TimerTable,
    timings,
};

/// What is known about the lifetime of a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    /// When it was issued, by this machine's wall clock.
    pub(crate) issued: SystemTime,
    /// When it expires, if it does.
    pub(crate) expires: Option<SystemTime>,
    /// Whether it can be renewed.
    pub(crate) renewable: bool,
}

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Renew the tokens, once; report with [`Lifecycle::handle_outcome`].
    Renew,
}

/// The result of a renewal.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// There is a new token.
    Renewed(Life),
    /// The server returned the old access token again.
    Unchanged,
    /// It may work later.
    Failed(RenewError),
    /// It will never work.
    Ended(ReauthReason),
}

/// The answer to a request for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Answer {
    /// The token held can be used.
    Use,
    /// Ask again when the renewal in progress has ended.
    Wait,
    /// The renewal failed, and the next one is not due yet.
    Later {
        /// Time until the next renewal.
        retry_in: Duration,
    },
    /// The refusal is final for this request, but the token stays, because refusals have already
    /// caused many renewals.
    Final,
    /// There is no token, and no way to get one; the state has the reason.
    Ended,
}

/// The lifecycle of one user's tokens.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    clock: SteadyClock,
    held: Option<Held>,
    renewable: bool,
    in_flight: bool,
    action: Option<Action>,
    failure: Option<Failure>,
    ended: Option<ReauthReason>,
    timers: TimerTable<Timer, Duration>,
    refusals: Refusals,
    random: fastrand::Rng,
}

/// The current token. Times are on the steady clock.
#[derive(Debug)]
struct Held {
    expires: Option<Duration>,
    until: Option<SystemTime>,
    refused: bool,
}

/// Renewals are failing.
#[derive(Debug)]
struct Failure {
    since: Duration,
    since_wall: SystemTime,
    attempts: u32,
    error: RenewError,
    /// No renewal before this.
    next: Duration,
    /// Whether the server asked for `next`.
    asked: bool,
}

impl Lifecycle {
    /// A machine without a token. `renewable` says whether a token can be obtained without an
    /// earlier one; `seed` determines the jitter.
    pub(crate) fn new(renewable: bool, seed: u64) -> Self {
        Self {
            clock: SteadyClock::new(),
            held: None,
            renewable,
            in_flight: false,
            action: None,
            failure: None,
            ended: None,
            timers: TimerTable::default(),
            refusals: Refusals::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    // --- read --------------------------------------------------------------------------------

    /// The current state.
    pub(crate) fn state(&self) -> TokenState {
        if let Some(reason) = &self.ended {
            TokenState::ReauthRequired { reason: reason.clone() }
        } else if let Some(failure) = &self.failure {
            TokenState::Degraded { since: failure.since_wall, error: failure.error.clone() }
        } else if let (Some(held), false) = (&self.held, self.in_flight) {
            TokenState::Valid { until: held.until }
        } else {
            TokenState::Refreshing
        }
    }

    /// Whether the current token can be used.
    pub(crate) fn is_usable(&mut self, now: Moment) -> bool {
        let at = self.clock.advance(now);
        self.usable_at(at)
    }

    /// Whether a renewal is in progress.
    pub(crate) fn is_renewing(&self) -> bool {
        self.in_flight
    }

    // --- what happens ------------------------------------------------------------------------

    /// Handles a token from outside: loaded at start, or from a new sign-in. A renewal in progress
    /// is void; its result must not be reported.
    pub(crate) fn handle_tokens(&mut self, now: Moment, life: Life) {
        let at = self.clock.advance(now);
        self.adopt(at, now, life);
        if !self.usable_at(at) {
            if self.renewable { self.begin() } else { self.end(ReauthReason::NotRenewable) }
        }
    }

    /// Handles a request for a token.
    pub(crate) fn handle_demand(&mut self, now: Moment) -> Answer {
        let at = self.clock.advance(now);
        if self.usable_at(at) { Answer::Use } else { self.renew_for(at) }
    }

    /// Handles a service's refusal of the current token (401).
    pub(crate) fn handle_refused(&mut self, now: Moment) -> Answer {
        let at = self.clock.advance(now);
        if !self.renewable {
            // There is no other token, as the state says. The current one stays, so that what is
            // registered with it can still be given up where it is accepted.
            if self.ended.is_none() {
                self.end(ReauthReason::NotRenewable);
            }
            return if self.usable_at(at) { Answer::Final } else { Answer::Ended };
        }
        if !self.in_flight && self.ended.is_none() {
            if !self.refusals.allow(at) {
                return Answer::Final;
            }
            // A token that was not known to be bad is a reason to try at once, even after failures.
            if let Some(failure) = &mut self.failure
                && !failure.asked
                && !matches!(failure.error, RenewError::Unchanged)
            {
                failure.next = at;
            }
        }
        if let Some(held) = &mut self.held {
            held.refused = true;
        }
        let answer = self.renew_for(at);
        if matches!(answer, Answer::Later { .. }) {
            self.timers.set(Timer::GiveUp, self.giving_up()); // sooner, because no usable token is left
        }
        answer
    }

    /// Handles the end of a renewal.
    pub(crate) fn handle_outcome(&mut self, now: Moment, outcome: Outcome) {
        let at = self.clock.advance(now);
        self.in_flight = false;
        match outcome {
            Outcome::Renewed(life) => {
                let failure = self.failure.take();
                self.adopt(at, now, life);
                if !self.usable_at(at) {
                    self.failure = failure;
                    self.fail(at, now, RenewError::ExpiredOnArrival);
                }
            }
            Outcome::Unchanged if self.usable_at(at) => {
                self.timers.clear();
                self.timers.set(Timer::Expiry, self.held.as_ref().and_then(|held| held.expires));
                self.failure = Some(Failure {
                    since: at,
                    since_wall: now.wall,
                    attempts: 1,
                    error: RenewError::Unchanged,
                    next: Duration::MAX,
                    asked: false,
                });
            }
            Outcome::Unchanged => self.end(ReauthReason::Unchanged),
            Outcome::Failed(error) => self.fail(at, now, error),
            Outcome::Ended(reason) => self.end(reason),
        }
    }

    /// Handles a sign-out that erased the tokens. A renewal in progress is void.
    pub(crate) fn handle_sign_out(&mut self, now: Moment) {
        self.clock.advance(now);
        self.in_flight = false;
        self.end(ReauthReason::SignedOut);
    }

    /// Handles a hint that the network may be back: shortens the pause after a failure, but not one that a server asked for.
    pub(crate) fn handle_network_hint(&mut self, now: Moment) {
        let at = self.clock.advance(now);
        if let Some(failure) = &mut self.failure
            && !self.in_flight
            && !failure.asked
            && failure.next != Duration::MAX
        {
            failure.next = failure.next.min(at + timings::BACKOFF_MIN);
            self.timers.set(Timer::Retry, failure.next);
        }
    }

    /// Handles passed deadlines.
    pub(crate) fn handle_timeout(&mut self, now: Moment) {
        let at = self.clock.advance(now);
        while let Some(timer) = self.timers.expire_in_order(&TIMERS, at) {
            match timer {
                _ if self.in_flight => {} // its outcome decides
                // The token that was kept for clean-up has expired.
                _ if self.ended.as_ref().is_some_and(ReauthReason::is_final) => {}
                Timer::Refresh | Timer::Retry => self.begin(),
                Timer::Expiry if !self.renewable => self.end(ReauthReason::NotRenewable),
                Timer::Expiry => match &self.failure {
                    Some(failure) if matches!(failure.error, RenewError::Unchanged) => {
                        self.end(ReauthReason::Unchanged);
                    }
                    Some(_) => {} // retried until the other timer fires
                    None => self.begin(),
                },
                Timer::GiveUp => self.give_up(at),
            }
        }
    }

    // --- what to do --------------------------------------------------------------------------

    /// Returns what the driver has to do, once.
    #[must_use = "an action that is not carried out stops the machine"]
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// Time until [`handle_timeout`](Self::handle_timeout) has to be called; `None` means never.
    ///
    /// At most [`timings::SLEEP_CHECK`], so that sleep is noticed.
    pub(crate) fn poll_timeout(&mut self, now: Moment) -> Option<Duration> {
        let at = self.clock.advance(now);
        let next = self.timers.next()?;
        Some(next.saturating_sub(at).min(timings::SLEEP_CHECK))
    }

    // --- helpers -----------------------------------------------------------------------------

    fn usable_at(&self, at: Duration) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| !held.refused && held.expires.is_none_or(|expires| at < expires))
    }

    /// Starts a renewal, or says why not, for a request that cannot use the current token.
    fn renew_for(&mut self, at: Duration) -> Answer {
        if self.ended.as_ref().is_some_and(ReauthReason::is_final) {
            return Answer::Ended;
        }
        if self.in_flight {
            return Answer::Wait;
        }
        if !self.renewable {
            self.end(ReauthReason::NotRenewable);
            return Answer::Ended;
        }
        match &self.failure {
            Some(failure) if matches!(failure.error, RenewError::Unchanged) => {
                self.end(ReauthReason::Unchanged);
                Answer::Ended
            }
            Some(failure) if at < failure.next => {
                Answer::Later { retry_in: failure.next.saturating_sub(at) }
            }
            _ => {
                self.begin();
                Answer::Wait
            }
        }
    }

    fn begin(&mut self) {
        debug_assert!(!self.in_flight, "one renewal at a time");
        self.in_flight = true;
        self.ended = None;
        self.action = Some(Action::Renew);
        self.timers.clear();
        // The driver has to stop using the token in time, whether or not it is renewed.
        self.timers.set(Timer::Expiry, self.held.as_ref().and_then(|held| held.expires));
    }

    fn adopt(&mut self, at: Duration, now: Moment, life: Life) {
        self.in_flight = false;
        self.action = None;
        self.failure = None;
        self.ended = None;
        self.renewable = life.renewable;
        self.timers.clear();
        let mut held = Held { expires: None, until: life.expires, refused: false };
        if let Some(until) = life.expires {
            let whole = until.duration_since(life.issued).unwrap_or_default();
            let age = now.wall.duration_since(life.issued).unwrap_or_default();
            // A wall clock that was set back must not extend the lifetime.
            let left = until.duration_since(now.wall).unwrap_or_default().min(whole);
            held.expires = Some(at.saturating_add(left));
            self.timers.set(Timer::Expiry, held.expires);
            if life.renewable {
                let span = timings::REFRESH_AT.end - timings::REFRESH_AT.start;
                let part = timings::REFRESH_AT.start + self.random.f64() * span;
                let due = at.saturating_add(whole.mul_f64(part).saturating_sub(age));
                self.timers.set(Timer::Refresh, due);
            }
        }
        self.held = Some(held);
    }

    fn fail(&mut self, at: Duration, now: Moment, error: RenewError) {
        let (since, since_wall, attempts) = match &self.failure {
            Some(failure) => (failure.since, failure.since_wall, failure.attempts + 1),
            None => (at, now.wall, 1),
        };
        let asked = error.pause().map(|delay| delay.max(timings::BACKOFF_MIN));
        let next = at + asked.unwrap_or_else(|| self.backoff(attempts));
        self.failure =
            Some(Failure { since, since_wall, attempts, error, next, asked: asked.is_some() });
        self.timers.clear();
        self.timers.set(Timer::GiveUp, self.giving_up());
        self.timers.set(Timer::Retry, next);
        self.timers.set(
            Timer::Expiry,
            self.held.as_ref().and_then(|held| held.expires).filter(|expires| *expires > at),
        );
        if self.giving_up().is_some_and(|end| at >= end) {
            self.give_up(at);
        }
    }

    /// When to give up: when the token expires, but only after trying for a while. Never for a
    /// token that does not expire.
    fn giving_up(&self) -> Option<Duration> {
        let at_least = self.failure.as_ref()?.since + timings::PERSISTENCE;
        match &self.held {
            Some(held) if !held.refused => held.expires.map(|expires| expires.max(at_least)),
            _ => Some(at_least),
        }
    }

    fn give_up(&mut self, at: Duration) {
        let Some(failure) = &mut self.failure else { return };
        if !failure.asked {
            // From here on only requests cause a renewal, and they should not wait for long.
            failure.next = failure.next.min(at + timings::DEMAND_PAUSE);
        }
        self.ended = Some(ReauthReason::Unreachable(failure.error.clone()));
        self.timers.clear();
    }

    /// Ends renewals for good. The current token stays while it is valid, so that what is
    /// registered with it can be given up, unless a sign-out revoked it.
    fn end(&mut self, reason: ReauthReason) {
        if matches!(reason, ReauthReason::SignedOut) {
            self.held = None;
        }
        self.failure = None;
        self.action = None;
        self.ended = Some(reason);
        self.timers.clear();
        self.timers.set(Timer::Expiry, self.held.as_ref().and_then(|held| held.expires));
    }

    /// Doubles with each attempt; half of it is random, to spread the clients.
    fn backoff(&mut self, attempts: u32) -> Duration {
        let doubled = timings::BACKOFF_MIN.saturating_mul(1 << attempts.min(16).saturating_sub(1));
        doubled.min(timings::BACKOFF_MAX).mul_f64(1.0 - self.random.f64() / 2.0)
    }
}

/// The timers of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The token is due for renewal.
    Refresh,
    /// The pause after a failure is over.
    Retry,
    /// The token expires.
    Expiry,
    /// Renewals have failed for long enough to give up.
    GiveUp,
}

/// The order of handling timers that are due together: first those that may still help.
const TIMERS: [Timer; 4] = [Timer::Refresh, Timer::Retry, Timer::GiveUp, Timer::Expiry];

/// How many renewals refusals may still cause: a token bucket.
#[derive(Debug)]
struct Refusals {
    left: u32,
    filled: Duration,
}

impl Refusals {
    fn new() -> Self {
        Self { left: timings::REFUSALS_AT_ONCE, filled: Duration::ZERO }
    }

    fn allow(&mut self, at: Duration) -> bool {
        while self.left < timings::REFUSALS_AT_ONCE && at >= self.filled + timings::REFUSAL_REFILL {
            self.left += 1;
            self.filled += timings::REFUSAL_REFILL;
        }
        if self.left == timings::REFUSALS_AT_ONCE {
            self.filled = at;
        }
        self.left.checked_sub(1).map(|left| self.left = left).is_some()
    }
}
