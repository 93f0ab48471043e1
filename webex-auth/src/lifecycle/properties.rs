//! Properties of the token machine that hold for any schedule of expiry, failures, refusals, sleep
//! and changed clocks.
//!
//! A schedule is a list of steps. [`World`] runs it, drives the machine as documented, and keeps
//! its own, simpler record of time and of the token, against which every answer is checked.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use crate::{
    http::TokenTransportError,
    lifecycle::{
        clock::Moment,
        machine::{Action, Answer, Life, Lifecycle, Outcome},
        state::{ReauthReason, RenewError, TokenState},
    },
    oauth::error::OAuthError,
    timings,
    token::AccessToken,
};

#[derive(Debug, Clone)]
enum Step {
    /// Time passes; timers fire when they are due.
    Pass(u64),
    /// The machine sleeps: only the wall clock goes on.
    Sleep(u64),
    /// The wall clock is set.
    SetClock(i64),
    Demand,
    Refused,
    NetworkHint,
    /// The renewal in progress, if any, ends.
    End(Ending),
    /// The user signs in again.
    SignIn(Option<u64>),
}

#[derive(Debug, Clone)]
enum Ending {
    /// With a token of this lifetime, which took this long to arrive.
    Renewed {
        life: Option<u64>,
        late: u64,
    },
    Unchanged,
    NoAnswer,
    InvalidGrant,
}

/// Lifetimes in milliseconds, from absurdly short to a day.
fn life() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        1 => Just(None),
        1 => (1..2_000_u64).prop_map(Some),
        4 => (2_000..86_400_000_u64).prop_map(Some),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => (life(), 0..3_000_u64).prop_map(|(life, late)| Ending::Renewed { life, late }),
        1 => Just(Ending::Unchanged),
        4 => Just(Ending::NoAnswer),
        1 => Just(Ending::InvalidGrant),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..20_000_u64).prop_map(Step::Pass),
        2 => (0..30_000_000_u64).prop_map(Step::Pass),
        1 => (0..100_000_000_u64).prop_map(Step::Sleep),
        1 => (-100_000_000..100_000_000_i64).prop_map(Step::SetClock),
        3 => Just(Step::Demand),
        1 => Just(Step::Refused),
        1 => Just(Step::NetworkHint),
        6 => ending().prop_map(Step::End),
        1 => life().prop_map(Step::SignIn),
    ]
}

struct World {
    machine: Lifecycle,
    wall_ms: i64,
    monotonic_ms: u64,
    /// Both clocks when the machine last read them, and the time that it knows to have passed.
    seen: (i64, u64),
    known_ms: u64,
    in_flight: bool,
    token: Option<Token>,
    over: bool,
}

/// What the test knows of the current token; times are in `known_ms`.
struct Token {
    issued: i128,
    life: Option<u64>,
    refused: bool,
}

impl Token {
    fn is_expired(&self, known_ms: u64) -> bool {
        self.life.is_some_and(|life| i128::from(known_ms) >= self.issued + i128::from(life))
    }
}

impl World {
    fn new(life: Option<u64>, seed: u64) -> Self {
        let mut world = Self {
            machine: Lifecycle::new(true, seed),
            wall_ms: 1_700_000_000_000,
            monotonic_ms: 0,
            seen: (1_700_000_000_000, 0),
            known_ms: 0,
            in_flight: false,
            token: None,
            over: false,
        };
        world.sign_in(life);
        world
    }

    /// Reads the clocks for the machine.
    fn now(&mut self) -> Moment {
        let wall = u64::try_from(self.wall_ms - self.seen.0).unwrap_or(0);
        self.known_ms += wall.max(self.monotonic_ms - self.seen.1);
        self.seen = (self.wall_ms, self.monotonic_ms);
        Moment { wall: self.wall(), monotonic: Duration::from_millis(self.monotonic_ms) }
    }

    fn wall(&self) -> SystemTime {
        let ms = u64::try_from(self.wall_ms).expect("steps do not go back before 1970");
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Pass(ms) => self.pass(*ms),
            Step::Sleep(ms) => self.wall_ms += i64::try_from(*ms).unwrap(),
            Step::SetClock(by) => self.wall_ms += by,
            Step::Demand => {
                let now = self.now();
                let answer = self.machine.handle_demand(now);
                self.check_answer(answer);
            }
            Step::Refused => {
                let now = self.now();
                let answer = self.machine.handle_refused(now);
                if answer != Answer::Final
                    && let Some(token) = &mut self.token
                {
                    token.refused = true;
                }
                if answer != Answer::Final {
                    self.check_answer(answer);
                }
            }
            Step::NetworkHint => {
                let now = self.now();
                self.machine.handle_network_hint(now);
            }
            Step::End(ending) if self.in_flight => self.end(ending),
            Step::End(_) => {}
            Step::SignIn(life) => self.sign_in(*life),
        }
        self.take_actions();
    }

    /// Lets time pass as a driver does, never beyond a deadline.
    fn pass(&mut self, mut ms: u64) {
        loop {
            let now = self.now();
            let timeout = self.machine.poll_timeout(now);
            // Rounded up: a timer never fires early.
            let due = timeout.map(|timeout| timeout.as_nanos().div_ceil(1_000_000) as u64);
            let step = due.map_or(ms, |due| due.min(ms));
            self.wall_ms += i64::try_from(step).unwrap();
            self.monotonic_ms += step;
            ms -= step;
            if due != Some(step) {
                return;
            }
            let now = self.now();
            self.machine.handle_timeout(now);
            self.take_actions();
            if ms == 0 {
                return;
            }
        }
    }

    fn end(&mut self, ending: &Ending) {
        let now = self.now();
        self.in_flight = false;
        let outcome = match ending {
            Ending::Renewed { life, late } => {
                let issued = now.wall - Duration::from_millis(*late);
                self.hold(*life, *late);
                self.over = false;
                Outcome::Renewed(Self::life(issued, *life))
            }
            Ending::Unchanged => Outcome::Unchanged,
            Ending::NoAnswer => Outcome::Failed(no_answer()),
            Ending::InvalidGrant => {
                self.over = true; // the current token stays
                Outcome::Ended(ReauthReason::NotRenewable)
            }
        };
        self.machine.handle_outcome(now, outcome);
    }

    fn sign_in(&mut self, life: Option<u64>) {
        let now = self.now();
        self.in_flight = false;
        self.over = false;
        self.hold(life, 0);
        let life = Self::life(now.wall, life);
        self.machine.handle_tokens(now, life);
        self.take_actions();
    }

    fn hold(&mut self, life: Option<u64>, late: u64) {
        let issued = i128::from(self.known_ms) - i128::from(late);
        self.token = Some(Token { issued, life, refused: false });
    }

    fn life(issued: SystemTime, life: Option<u64>) -> Life {
        let expires = life.map(|life| issued + Duration::from_millis(life));
        Life { issued, expires, renewable: true }
    }

    fn take_actions(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            assert_eq!(action, Action::Renew);
            assert!(!self.in_flight, "two renewals at once");
            assert!(!self.over, "a renewal after invalid_grant");
            self.in_flight = true;
            let token = self.token.as_ref().expect("there is always one");
            let Some(life) = token.life else {
                assert!(token.refused, "a token without expiry was renewed for no reason");
                continue;
            };
            let age = i128::from(self.known_ms) - token.issued;
            assert!(token.refused || age * 2 >= i128::from(life), "renewed at {age} of {life}");
        }
        assert_eq!(self.in_flight, self.machine.is_renewing());
    }

    fn check_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Use => {
                let token = self.token.as_ref().expect("nothing there to use");
                assert!(!token.refused, "a refused token was given");
                assert!(!token.is_expired(self.known_ms), "an expired token was given");
            }
            Answer::Wait => {
                self.take_actions();
                assert!(self.in_flight, "nobody will wake who waits");
            }
            Answer::Later { retry_in } => assert!(retry_in > Duration::ZERO),
            Answer::Ended | Answer::Final => {}
        }
    }

    /// Runs on, with every renewal ending the same way, until the machine is idle.
    fn settle(&mut self, ending: &Ending) {
        for _ in 0..2_000 {
            if self.in_flight {
                self.end(ending);
                self.take_actions();
            }
            if let TokenState::Valid { .. } | TokenState::ReauthRequired { .. } =
                self.machine.state()
            {
                return;
            }
            self.pass(timings::SLEEP_CHECK.as_millis() as u64);
        }
        panic!("never rests: {:?}", self.machine.state());
    }
}

fn no_answer() -> RenewError {
    OAuthError::Transport(TokenTransportError::Timeout).into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_holds_its_invariants(
        first in life(),
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 0..60),
        last in prop_oneof![
            Just(Ending::Renewed { life: Some(3_600_000), late: 0 }),
            Just(Ending::NoAnswer),
            Just(Ending::Unchanged),
            Just(Ending::InvalidGrant),
        ],
    ) {
        let mut world = World::new(first, seed);
        for step in &steps {
            world.play(step);
        }
        world.settle(&last);
    }

    #[test]
    fn without_trouble_there_is_always_a_token(
        life in 10_000..86_400_000_u64,
        seed in any::<u64>(),
        pauses in prop::collection::vec(0..10_000_000_u64, 1..40),
    ) {
        let mut world = World::new(Some(life), seed);
        for pause in pauses {
            // Renewals end within a second, while time passes in small steps.
            let mut left = pause;
            while left > 0 {
                let now = world.now();
                let due = world.machine.poll_timeout(now).map_or(left, |due| due.as_millis() as u64 + 1);
                let piece = left.min(due).max(1);
                world.pass(piece.min(left));
                left -= piece.min(left);
                if world.in_flight {
                    world.end(&Ending::Renewed { life: Some(life), late: 0 });
                    world.take_actions();
                }
                let now = world.now();
                prop_assert!(world.machine.is_usable(now), "there was a moment without a token");
            }
        }
    }

    #[test]
    fn tokens_are_parsed_or_refused_but_never_panic(text in any::<String>()) {
        if let Ok(token) = AccessToken::parse(&text) {
            prop_assert!(token.authorization().is_ascii());
            prop_assert_eq!(AccessToken::parse(token.authorization()).unwrap(), token.clone());
            let _ = token.org_id();
        }
    }
}
