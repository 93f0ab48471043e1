//! The link against model servers, on virtual time, under thousands of seeded schedules of faults.
//!
//! [`client`] drives the link machine as its driver does, and checks every action; [`servers`]
//! answers as WDM and Mercury do, or as badly as the seed says; [`faults`] disturbs both from
//! outside. Each schedule has three parts: faults; then none, and the link must be up within
//! [`RECOVERY`] and stay up; then it is given up, and nothing may be left.
//!
//! A schedule that fails prints one line that repeats it, with every step.

mod checks;
mod client;
mod faults;
mod model;
mod servers;
mod world;

use std::{
    env, panic,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use self::world::{REQUEST_LIMIT, Simulation};
use super::machine::Phase;
use crate::{
    device::timings::REPLACE_PAUSE,
    mercury::timings::{
        AUTHORIZATION_TIMEOUT, BACKOFF_CAP, OPEN_TIMEOUT, PING_INTERVAL, PONG_TIMEOUT,
        RATE_LIMITED_WAIT,
    },
};

/// Schedules of one run. The seed of each is its number.
const SCHEDULES: u64 = 10_000;

/// Time from the last fault until the link is up: a dead connection has to be noticed, requests in
/// flight have to run out, and every wait has to end, one after the other.
const RECOVERY: Duration = Duration::from_secs(
    PING_INTERVAL.as_secs()
        + PONG_TIMEOUT.as_secs()
        + REQUEST_LIMIT.as_secs()
        + RATE_LIMITED_WAIT.as_secs()
        + OPEN_TIMEOUT.as_secs()
        + AUTHORIZATION_TIMEOUT.as_secs()
        + 2 * BACKOFF_CAP.as_secs()
        + REPLACE_PAUSE.as_secs(),
);

/// How long it must stay up afterwards: several pings.
const STEADY: Duration = Duration::from_secs(50);

/// How long giving up may take without faults, including a request in flight.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(70);

impl Simulation {
    /// Runs the whole schedule; panics with what is wrong.
    fn run(&mut self) {
        let faults = Duration::from_secs(self.random.u64(30..600));
        self.up();
        while self.world < faults {
            let pause = Duration::from_millis(self.random.u64(50..20_000));
            self.pass(pause);
            self.disturb();
        }

        self.note("no more faults");
        self.faulty = false;
        self.cut_until = self.world;
        self.outage = None;
        let healed = self.world;
        if !self.wanted {
            self.up();
        }
        self.resume();
        // An earlier ping may still go unanswered: the link counts as up once it has outlived that.
        let mut since = self.world;
        while self.world.saturating_sub(since) < PING_INTERVAL + PONG_TIMEOUT {
            self.pass(Duration::from_secs(1));
            if self.machine.phase() == Phase::Failed && !self.machine.wants_token() {
                self.up(); // as an application does on this event
            }
            if !self.is_recovered() {
                since = self.world;
                let late = self.world.saturating_sub(healed) > RECOVERY;
                assert!(!late, "not up after {RECOVERY:?}: {:?}", self.state());
            }
        }
        let offline = self.checks.offline;
        self.pass(STEADY);
        assert_eq!(self.checks.offline, offline, "it does not stay up");
        assert_eq!(self.machine.phase(), Phase::Up, "it does not stay up");

        self.down();
        let leaving = self.world;
        while self.machine.phase() != Phase::Down {
            assert!(
                self.world.saturating_sub(leaving) <= SHUTDOWN_LIMIT,
                "not down: {:?}",
                self.state()
            );
            self.pass(Duration::from_secs(1));
            if self.machine.phase() == Phase::Left {
                self.down(); // a failed release may be repeated
            }
        }
        self.check_released();
        self.pass(Duration::from_secs(300));
        self.check_released();
    }

    /// Whether the link is up on a connection that works and will stay.
    fn is_recovered(&self) -> bool {
        self.machine.phase() == Phase::Up && self.mercury.serves()
    }

    fn state(&self) -> (Phase, impl std::fmt::Debug) {
        (self.machine.phase(), self.machine.socket())
    }

    // --- the user ------------------------------------------------------------------------------

    pub(super) fn up(&mut self) {
        self.note("the user wants the link");
        self.wanted = true;
        self.checks.wanted(self.world);
        self.machine.up(self.now());
        self.act();
    }

    pub(super) fn suspend(&mut self) {
        self.note("the application goes to the background");
        self.suspended = true;
        self.machine.suspend(self.now());
        self.act();
    }

    pub(super) fn resume(&mut self) {
        if std::mem::take(&mut self.suspended) {
            self.note("the application is back");
            self.checks.wanted(self.world);
            self.machine.resume(self.now());
            self.act();
        }
    }

    pub(super) fn down(&mut self) {
        self.note("the user gives it up");
        self.wanted = false;
        self.machine.down(self.now(), "bye");
        self.act();
    }
}

/// The outcome of a schedule; the error is the panic's message.
fn outcome(seed: u64, verbose: bool) -> Result<(), String> {
    let run = panic::AssertUnwindSafe(|| Simulation::new(seed, verbose).run());
    panic::catch_unwind(run).map_err(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
    })
}

#[test]
fn every_schedule_recovers_and_leaves_nothing() {
    let chosen = env::var("WEBEX_SIM_SEED").ok().map(|seed| seed.parse().expect("a number"));
    if let Some(seed) = chosen {
        return outcome(seed, true).unwrap();
    }
    // A failure is reported once, below.
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = Arc::new(AtomicU64::new(0));
    let workers = (0..threads).map(|_| {
        let next = Arc::clone(&next);
        thread::spawn(move || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= SCHEDULES {
                    return None;
                }
                if let Err(why) = outcome(seed, false) {
                    next.store(SCHEDULES, Ordering::Relaxed);
                    return Some((seed, why));
                }
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    let failures = workers.into_iter().filter_map(|worker| worker.join().unwrap());
    if let Some((seed, why)) = failures.min() {
        panic!(
            "{why}; repeat with: WEBEX_SIM_SEED={seed} cargo test -p webex-core --lib simulation -- --nocapture"
        );
    }
}

#[test]
fn a_schedule_repeats_itself() {
    let steps = |seed| {
        let mut simulation = Simulation::new(seed, false);
        simulation.run();
        (simulation.world, simulation.last_event, simulation.checks.delivered())
    };
    for seed in 0..20 {
        assert_eq!(steps(seed), steps(seed));
    }
}
