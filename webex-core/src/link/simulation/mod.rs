//! The link against model servers, on virtual time, under thousands of seeded schedules of faults.
//!
//! [`client`] drives the link machine as its driver does, and checks whatever it asks for;
//! [`servers`] answers, as WDM and Mercury do or as badly as the seed says; [`faults`] disturbs both
//! from outside. Each schedule has three parts: faults; then none, and the link must be up within
//! [`RECOVERY`] and stay up; then it is given up, and nothing may be left.
//!
//! A schedule that fails prints one line that repeats it, with every step.

mod client;
mod faults;
mod servers;

use std::{
    collections::BTreeMap,
    env, panic,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use self::{
    client::Checks,
    servers::{Event, Mercury, Wdm},
};
use super::machine::{Machine, Phase};
use crate::{
    device,
    mercury::timings::{
        AUTHORIZATION_TIMEOUT, BACKOFF_CAP, OPEN_TIMEOUT, PING_INTERVAL, PONG_TIMEOUT,
        RATE_LIMITED_WAIT,
    },
};

/// Schedules of one run. The seed of each is its number.
const SCHEDULES: u64 = 10_000;

/// How long a device request without an answer is waited for (the HTTP client's limit).
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// From the last fault to a link that is up: a dead connection has to be noticed, whatever is under
/// way has to run out, and every wait has to end, one after the other.
const RECOVERY: Duration = Duration::from_secs(
    PING_INTERVAL.as_secs()
        + PONG_TIMEOUT.as_secs()
        + REQUEST_LIMIT.as_secs()
        + RATE_LIMITED_WAIT.as_secs()
        + OPEN_TIMEOUT.as_secs()
        + AUTHORIZATION_TIMEOUT.as_secs()
        + 2 * BACKOFF_CAP.as_secs(),
);

/// How long it must stay up afterwards: several pings.
const STEADY: Duration = Duration::from_secs(50);

/// How long giving up may take without faults, a request under way included.
const FAREWELL: Duration = Duration::from_secs(70);

/// How a service can be useless for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    /// Mercury refuses every upgrade.
    Upgrade(u16),
    /// Mercury resets every connection.
    Reset,
    /// Mercury closes every socket that asks to be authorized.
    Refusal,
    /// Mercury closes every socket that it has authorized.
    Loss,
    /// Mercury announces the end of every socket that it has authorized.
    Announcement,
    /// WDM answers nothing.
    Device,
}

/// One schedule.
#[allow(clippy::struct_excessive_bools)] // independent facts
struct Simulation {
    random: fastrand::Rng,
    verbose: bool,
    start: Instant,
    /// What the world's clock shows, since the start.
    world: Duration,
    /// How much of that the client has slept: its clock stood still.
    slept: Duration,
    machine: Machine,
    /// What will happen, by world time and order of its making.
    agenda: BTreeMap<(Duration, u64), Event>,
    last_event: u64,
    faulty: bool,
    cut_until: Duration,
    /// Whether connections fail at once while the network is away, or hang.
    no_route: bool,
    /// Until when a service answers nothing but this.
    outage: Option<(Duration, Outage)>,
    /// What the user wants.
    wanted: bool,
    wdm: Wdm,
    mercury: Mercury,
    checks: Checks,
}

impl Simulation {
    fn new(seed: u64, verbose: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let ttl = [None, Some(1800), Some(200)][random.usize(..3)].map(Duration::from_secs);
        let kept = random.u8(..4) == 0;
        let device = if kept {
            device::machine::Machine::kept(random.u64(..))
        } else {
            device::machine::Machine::new(ttl, random.u64(..))
        };
        Self {
            machine: Machine::new(device, random.u64(..)),
            random,
            verbose,
            start: Instant::now(),
            world: Duration::ZERO,
            slept: Duration::ZERO,
            agenda: BTreeMap::new(),
            last_event: 0,
            faulty: true,
            cut_until: Duration::ZERO,
            no_route: false,
            outage: None,
            wanted: false,
            wdm: Wdm::new(if kept { None } else { ttl }),
            mercury: Mercury::default(),
            checks: Checks::default(),
        }
    }

    /// The whole schedule; panics with what is wrong.
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
        // A ping of before may still go unanswered: up is what has outlived it.
        let mut since = self.world;
        while self.world.saturating_sub(since) < PING_INTERVAL + PONG_TIMEOUT {
            self.pass(Duration::from_secs(1));
            if self.machine.phase() == Phase::Failed {
                self.up(); // as an application does that is told
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
            assert!(self.world.saturating_sub(leaving) <= FAREWELL, "not down: {:?}", self.state());
            self.pass(Duration::from_secs(1));
            if self.machine.phase() == Phase::Left {
                self.down(); // a failed release can be repeated
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

    // --- time ----------------------------------------------------------------------------------

    /// The client's clock.
    fn now(&self) -> Instant {
        self.start + (self.world.saturating_sub(self.slept))
    }

    /// Lets so much time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.world + time;
        loop {
            self.act();
            let timer = self.machine.poll_timeout().map(|due| (due - self.start) + self.slept);
            let event = self.agenda.first_key_value().map(|((due, _), _)| *due);
            let next = [timer, event].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.world = self.world.max(next);
            if timer.is_some_and(|timer| timer <= self.world) {
                self.machine.handle_timeout(self.now());
            } else if let Some((_, event)) = self.agenda.pop_first() {
                self.happen(event);
            }
        }
        self.world = end;
    }

    fn later(&mut self, after: Duration, event: Event) {
        self.last_event += 1;
        self.agenda.insert((self.world + after, self.last_event), event);
    }

    fn is_out(&self, outage: Outage) -> bool {
        self.outage.is_some_and(|(until, kind)| kind == outage && self.world < until)
    }

    /// The time a message takes.
    fn latency(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(5..200))
    }

    /// True once in `n` times, while there are faults.
    fn fault(&mut self, n: u32) -> bool {
        self.faulty && self.random.u32(..n) == 0
    }

    // --- the user ------------------------------------------------------------------------------

    fn up(&mut self) {
        self.note("the user wants the link");
        self.wanted = true;
        self.checks.wanted(self.world);
        self.machine.up(self.now());
        self.act();
    }

    fn down(&mut self) {
        self.note("the user gives it up");
        self.wanted = false;
        self.machine.down(self.now(), "bye");
        self.act();
    }

    // --- telling -------------------------------------------------------------------------------

    fn note(&mut self, what: impl AsRef<str>) {
        if self.verbose {
            println!("{:>10.3} {}", self.world.as_secs_f64(), what.as_ref());
        }
    }
}

/// How a schedule ended: the message of what is wrong.
fn outcome(seed: u64, verbose: bool) -> Result<(), String> {
    let run = panic::AssertUnwindSafe(|| Simulation::new(seed, verbose).run());
    panic::catch_unwind(run).map_err(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
    })
}

#[test]
fn whatever_happens_the_link_comes_back_and_leaves_nothing() {
    let chosen = env::var("WEBEX_SIM_SEED").ok().map(|seed| seed.parse().expect("a number"));
    if let Some(seed) = chosen {
        return outcome(seed, true).unwrap();
    }
    // What is wrong is told once, below.
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
