//! The machine's rules, one by one, on virtual time. Expectations are computed from the constants.

// A subtraction below zero is a test that fails, which is what tests are for.
#![allow(clippy::unchecked_time_subtraction)]

use std::time::{Duration, SystemTime};

use url::Url;

use crate::{
    http::{TokenReply, TokenRequest, TokenTransportError},
    lifecycle::{
        clock::Moment,
        machine::{Action, Answer, Life, Lifecycle, Outcome},
        state::{ReauthReason, RenewError, TokenState},
    },
    oauth::error::OAuthError,
    timings::{
        BACKOFF_MAX, BACKOFF_MIN, DEMAND_PAUSE, PERSISTENCE, RATE_LIMITED, REFRESH_AT,
        REFUSAL_REFILL, REFUSALS_AT_ONCE, SLEEP_CHECK,
    },
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A machine, and clocks that go on together.
struct Bench {
    machine: Lifecycle,
    at: Duration,
    sleeps: u32,
}

impl Bench {
    fn new(renewable: bool, life: Option<Duration>, seed: u64) -> Self {
        let mut bench =
            Self { machine: Lifecycle::new(renewable, seed), at: Duration::ZERO, sleeps: 0 };
        let life = bench.life(life, Duration::ZERO, renewable);
        bench.machine.handle_tokens(bench.now(), life);
        bench
    }

    /// With a token that lives for an hour.
    fn with_token() -> Self {
        Self::new(true, Some(HOUR), 1)
    }

    /// With a token that has no known end.
    fn without_expiry() -> Self {
        Self::new(true, None, 1)
    }

    fn now(&self) -> Moment {
        let epoch = SystemTime::UNIX_EPOCH + secs(1_700_000_000);
        Moment { wall: epoch + self.at, monotonic: self.at }
    }

    /// A token's life of that length, begun so long ago.
    fn life(&self, length: Option<Duration>, age: Duration, renewable: bool) -> Life {
        let issued = self.now().wall - age;
        Life { issued, expires: length.map(|length| issued + length), renewable }
    }

    fn pass(&mut self, time: Duration) {
        self.at += time;
        self.machine.handle_timeout(self.now());
    }

    /// Sleeps to the next deadline, as the driver does; says how long that took.
    fn sleep(&mut self) -> Duration {
        self.sleeps += 1;
        assert!(self.sleeps < 100_000, "it never rests");
        let wait = self.machine.poll_timeout(self.now()).expect("a deadline");
        self.pass(wait);
        wait
    }

    /// Sleeps until a renewal begins; says how long that took.
    fn sleep_until_renewal(&mut self) -> Duration {
        let from = self.at;
        while !self.renews() {
            self.sleep();
        }
        self.at - from
    }

    /// Whether a renewal has just begun.
    fn renews(&mut self) -> bool {
        self.machine.poll_action() == Some(Action::Renew)
    }

    fn demand(&mut self) -> Answer {
        self.machine.handle_demand(self.now())
    }

    fn refuse(&mut self) -> Answer {
        self.machine.handle_refused(self.now())
    }

    fn is_usable(&mut self) -> bool {
        self.machine.is_usable(self.now())
    }

    fn renewed(&mut self, length: Duration) {
        let life = self.life(Some(length), Duration::ZERO, true);
        self.machine.handle_outcome(self.now(), Outcome::Renewed(life));
    }

    fn fail(&mut self, error: RenewError) {
        self.machine.handle_outcome(self.now(), Outcome::Failed(error));
    }

    fn ended(&self) -> Option<ReauthReason> {
        match self.machine.state() {
            TokenState::ReauthRequired { reason } => Some(reason),
            _ => None,
        }
    }
}

fn no_answer() -> RenewError {
    OAuthError::Transport(TokenTransportError::Timeout).into()
}

/// A server's answer, with the pause in seconds that it asks for.
fn answered(status: u16, pause: Option<u64>) -> RenewError {
    let request = TokenRequest::new(Url::parse("https://idbroker.example/").unwrap());
    let mut reply = TokenReply::new(status, "");
    if let Some(pause) = pause {
        reply = reply.with_retry_after(&pause.to_string(), None);
    }
    OAuthError::from_reply(&request, &reply).into()
}

// --- the time of a renewal ---------------------------------------------------------------------

#[test]
fn a_token_is_renewed_at_any_time_of_the_range_and_at_no_other() {
    let dues = (0..200).map(|seed| Bench::new(true, Some(HOUR), seed).sleep_until_renewal());
    let parts: Vec<_> = dues.map(|due| due.div_duration_f64(HOUR)).collect();
    let (first, last) = parts
        .iter()
        .fold((1.0, 0.0), |(low, high): (f64, f64), part| (low.min(*part), high.max(*part)));
    assert!(first >= REFRESH_AT.start && last <= REFRESH_AT.end, "{first} to {last}");
    assert!(first < REFRESH_AT.start + 0.02 && last > REFRESH_AT.end - 0.02, "{first} to {last}");
}

#[test]
fn the_age_of_a_token_counts() {
    let young = Bench::new(true, Some(HOUR), 7).sleep_until_renewal();
    let mut bench = Bench { machine: Lifecycle::new(true, 7), at: Duration::ZERO, sleeps: 0 };
    let life = bench.life(Some(HOUR), secs(600), true);
    bench.machine.handle_tokens(bench.now(), life);
    assert_eq!(bench.sleep_until_renewal(), young - secs(600));
}

#[test]
fn the_clocks_are_looked_at_once_a_minute() {
    let mut bench = Bench::with_token();
    assert_eq!(bench.machine.poll_timeout(bench.now()), Some(SLEEP_CHECK));
    assert_eq!(Bench::without_expiry().machine.poll_timeout(bench.now()), None);
}

// --- a token that cannot be renewed ------------------------------------------------------------

#[test]
fn a_token_that_cannot_be_renewed_ends_when_it_expires() {
    let mut bench = Bench::new(false, Some(secs(30)), 1);
    assert_eq!((bench.demand(), bench.ended().is_none()), (Answer::Use, true));
    assert_eq!(bench.sleep(), secs(30));
    assert!(matches!(bench.ended(), Some(ReauthReason::NotRenewable)));
    assert_eq!(bench.demand(), Answer::Ended);
    assert!(!bench.renews() && !bench.is_usable());
    // Also when it is asked for before its timer was looked at.
    let mut bench = Bench::new(false, Some(secs(30)), 1);
    bench.at = secs(30);
    assert!(!bench.is_usable());
    assert_eq!(bench.demand(), Answer::Ended);
    assert!(matches!(bench.ended(), Some(ReauthReason::NotRenewable)));
    assert!(!bench.renews());
}

#[test]
fn a_token_that_cannot_be_renewed_and_is_refused_stays_for_what_accepts_it() {
    let mut bench = Bench::new(false, Some(secs(30)), 1);
    assert_eq!(bench.refuse(), Answer::Final);
    assert!(matches!(bench.ended(), Some(ReauthReason::NotRenewable)));
    assert!(bench.is_usable() && !bench.renews());
    bench.pass(secs(30));
    assert_eq!(bench.refuse(), Answer::Ended);
}

// --- refusals ----------------------------------------------------------------------------------

/// Refuses the token; whether a new one was obtained for it.
fn another(bench: &mut Bench) -> bool {
    match bench.refuse() {
        Answer::Wait => {
            assert!(bench.renews());
            bench.renewed(HOUR);
            true
        }
        Answer::Final => {
            assert!(!bench.renews() && bench.is_usable());
            false
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn refusals_cause_so_many_renewals_at_once_and_then_one_a_minute() {
    let mut bench = Bench::without_expiry();
    // The minute is counted from the first of them, not from the last time that it was full.
    bench.pass(REFUSAL_REFILL / 2);
    for _ in 0..REFUSALS_AT_ONCE {
        assert!(another(&mut bench));
    }
    for _ in 0..3 {
        assert!(!another(&mut bench));
        bench.pass(REFUSAL_REFILL - SECOND);
        assert!(!another(&mut bench));
        bench.pass(SECOND);
        assert!(another(&mut bench));
    }
    // After a long time there are as many as at first, and no more.
    bench.at += REFUSAL_REFILL * 100;
    for _ in 0..REFUSALS_AT_ONCE {
        assert!(another(&mut bench));
    }
    assert!(!another(&mut bench));
}

#[test]
fn refusals_during_a_renewal_cost_nothing() {
    let mut bench = Bench::without_expiry();
    for _ in 0..REFUSALS_AT_ONCE {
        assert_eq!(bench.refuse(), Answer::Wait);
        assert!(bench.renews());
        for _ in 0..20 {
            assert_eq!(bench.refuse(), Answer::Wait);
            assert!(!bench.renews());
        }
        bench.renewed(HOUR);
    }
    assert_eq!(bench.refuse(), Answer::Final);
}

#[test]
fn a_refusal_ends_a_pause_unless_the_server_asked_for_it() {
    let mut bench = Bench::with_token();
    bench.sleep_until_renewal();
    bench.fail(no_answer());
    assert_eq!(bench.refuse(), Answer::Wait);
    assert!(bench.renews());

    let mut bench = Bench::with_token();
    bench.sleep_until_renewal();
    bench.fail(answered(503, Some(90)));
    bench.pass(secs(10));
    assert_eq!(bench.refuse(), Answer::Later { retry_in: secs(80) });
    assert!(!bench.renews() && !bench.is_usable());
    // There is nothing left to use, and what failed for a minute is given up.
    bench.pass(PERSISTENCE - secs(11));
    assert!(bench.ended().is_none());
    bench.pass(SECOND);
    assert!(matches!(bench.ended(), Some(ReauthReason::Unreachable(_))));
}

// --- failures ----------------------------------------------------------------------------------

#[test]
fn pauses_after_failures_double_up_to_a_limit_and_are_half_random() {
    let mut waits: Vec<(Duration, Duration)> = vec![(Duration::MAX, Duration::ZERO); 12];
    for seed in 0..200 {
        let mut bench = Bench::new(true, Some(HOUR * 24), seed);
        bench.sleep_until_renewal();
        for (low, high) in &mut waits {
            bench.fail(no_answer());
            let waited = bench.sleep_until_renewal();
            (*low, *high) = ((*low).min(waited), (*high).max(waited));
        }
    }
    for (failures, (low, high)) in waits.into_iter().enumerate() {
        let whole = (BACKOFF_MIN * 2_u32.pow(u32::try_from(failures).unwrap())).min(BACKOFF_MAX);
        assert!(low >= whole / 2 && high <= whole, "{failures}: {low:?} to {high:?}");
        assert!(low < whole.mul_f64(0.52) && high > whole.mul_f64(0.98), "{failures}");
    }
}

#[test]
fn a_pause_that_the_server_asks_for_is_kept() {
    for (error, pause) in [
        (answered(503, Some(90)), secs(90)),
        (answered(429, Some(7)), secs(7)),
        (answered(429, None), RATE_LIMITED),
        (answered(429, Some(0)), RATE_LIMITED),
    ] {
        let mut bench = Bench::with_token();
        bench.sleep_until_renewal();
        let shown = error.to_string();
        bench.fail(error);
        bench.machine.handle_network_hint(bench.now());
        assert_eq!(bench.sleep_until_renewal(), pause, "{shown}");
    }
    assert_eq!(answered(503, Some(90)).retry_after(), Some(secs(90)));
    assert_eq!(answered(503, None).retry_after(), None);
    assert_eq!(RenewError::Unchanged.retry_after(), None);
    // Zero is no time: the usual pause follows.
    let mut bench = Bench::with_token();
    bench.sleep_until_renewal();
    bench.fail(answered(503, Some(0)));
    assert!((BACKOFF_MIN / 2..=BACKOFF_MIN).contains(&bench.sleep_until_renewal()));
}

#[test]
fn the_network_may_be_back_and_a_long_pause_is_cut_short() {
    let mut bench = Bench::new(true, Some(HOUR * 24), 1);
    bench.sleep_until_renewal();
    for _ in 0..10 {
        bench.fail(no_answer());
        bench.sleep_until_renewal();
    }
    bench.fail(no_answer());
    bench.machine.handle_network_hint(bench.now());
    assert_eq!(bench.sleep_until_renewal(), BACKOFF_MIN);
    // One that comes while the renewal is under way changes nothing.
    bench.machine.handle_network_hint(bench.now());
    assert!(!bench.renews());
    // Nor does one that comes when all is well, or make a short pause longer.
    bench.renewed(HOUR);
    let due = bench.machine.poll_timeout(bench.now());
    bench.machine.handle_network_hint(bench.now());
    assert_eq!(bench.machine.poll_timeout(bench.now()), due);
    bench.sleep_until_renewal();
    bench.fail(no_answer());
    let short = bench.machine.poll_timeout(bench.now());
    bench.machine.handle_network_hint(bench.now());
    assert_eq!(bench.machine.poll_timeout(bench.now()), short);
}

#[test]
fn failing_ends_when_the_token_expires() {
    let mut bench = Bench::with_token();
    bench.sleep_until_renewal();
    // The pauses reach beyond the end of the token, and what uses it has to hear of that in time.
    while bench.is_usable() {
        bench.fail(no_answer());
        assert!(bench.ended().is_none(), "at {:?}", bench.at);
        while bench.is_usable() && !bench.renews() {
            bench.sleep();
        }
    }
    assert_eq!(bench.at, HOUR);
    assert!(matches!(bench.ended(), Some(ReauthReason::Unreachable(_))));
}

#[test]
fn the_end_of_a_token_is_noticed_during_a_pause() {
    let mut bench = Bench::new(true, Some(secs(100)), 1);
    bench.sleep_until_renewal();
    bench.pass(secs(95) - bench.at);
    bench.fail(answered(503, Some(90)));
    assert_eq!(bench.machine.poll_timeout(bench.now()), Some(secs(5)));
    bench.sleep();
    // It is no reason to stop: there was less than a minute for trying.
    assert!(!bench.is_usable() && bench.ended().is_none());
    assert!(matches!(bench.machine.state(), TokenState::Degraded { .. }));
    bench.pass(PERSISTENCE - secs(6));
    assert!(bench.ended().is_none());
    bench.pass(SECOND);
    assert!(matches!(bench.ended(), Some(ReauthReason::Unreachable(_))));
}

#[test]
fn after_giving_up_a_demand_tries_again_but_not_every_demand() {
    let mut bench = Bench::new(true, Some(secs(10)), 1);
    bench.pass(secs(10));
    assert!(bench.renews());
    while bench.ended().is_none() {
        bench.fail(no_answer());
        while bench.ended().is_none() && !bench.renews() {
            bench.sleep();
        }
    }
    assert_eq!(bench.machine.poll_timeout(bench.now()), None, "nothing by itself");
    let Answer::Later { retry_in } = bench.demand() else { panic!() };
    assert!(retry_in <= DEMAND_PAUSE && retry_in > DEMAND_PAUSE - SECOND * 5, "{retry_in:?}");
    bench.pass(retry_in);
    assert_eq!(bench.demand(), Answer::Wait);
    assert!(bench.renews());
    bench.fail(no_answer());
    assert_eq!(bench.demand(), Answer::Later { retry_in: DEMAND_PAUSE });
    // A pause that the server asks for holds, then as well.
    bench.pass(DEMAND_PAUSE);
    assert_eq!(bench.demand(), Answer::Wait);
    assert!(bench.renews());
    bench.fail(answered(503, Some(90)));
    assert_eq!(bench.demand(), Answer::Later { retry_in: secs(90) });
}

// --- the same token again, signing out ---------------------------------------------------------

#[test]
fn the_same_token_again_is_used_to_its_end() {
    let mut bench = Bench::new(true, Some(secs(100)), 1);
    bench.sleep_until_renewal();
    bench.machine.handle_outcome(bench.now(), Outcome::Unchanged);
    let TokenState::Degraded { error: RenewError::Unchanged, .. } = bench.machine.state() else {
        panic!("{:?}", bench.machine.state())
    };
    assert_eq!(bench.demand(), Answer::Use);
    bench.machine.handle_network_hint(bench.now());
    while bench.is_usable() {
        bench.sleep();
        assert!(!bench.renews(), "another renewal would bring it once more");
    }
    assert_eq!(bench.at, secs(100));
    assert!(matches!(bench.ended(), Some(ReauthReason::Unchanged)));
    // One that is refused meanwhile is at its end.
    let mut bench = Bench::new(true, Some(secs(100)), 1);
    bench.sleep_until_renewal();
    bench.machine.handle_outcome(bench.now(), Outcome::Unchanged);
    assert_eq!(bench.refuse(), Answer::Ended);
    assert!(matches!(bench.ended(), Some(ReauthReason::Unchanged)));
    // So is one that nobody can use any more.
    let mut bench = Bench::without_expiry();
    assert_eq!(bench.refuse(), Answer::Wait);
    bench.machine.handle_outcome(bench.now(), Outcome::Unchanged);
    assert!(matches!(bench.ended(), Some(ReauthReason::Unchanged)));
}

#[test]
fn signing_out_takes_the_token_away() {
    let mut bench = Bench::with_token();
    bench.sleep_until_renewal();
    bench.machine.handle_sign_out(bench.now());
    assert!(matches!(bench.ended(), Some(ReauthReason::SignedOut)));
    assert!(!bench.is_usable() && !bench.machine.is_renewing());
    assert_eq!(bench.demand(), Answer::Ended);
    assert_eq!(bench.machine.poll_timeout(bench.now()), None);
}

#[test]
fn only_what_could_not_be_reached_may_be_tried_again() {
    assert!(!ReauthReason::Unreachable(no_answer()).is_final());
    for reason in [ReauthReason::Unchanged, ReauthReason::NotRenewable, ReauthReason::SignedOut] {
        assert!(reason.is_final(), "{reason}");
    }
}
