//! The world of one schedule: its clocks, pending events, and random choices.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    checks::Checks,
    model::{Event, Mercury, Wdm},
};
use crate::{device::machine as device, link::machine::Machine};

/// Time limit of a device request (that of the HTTP client).
pub(super) const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// Ways in which a service can be unusable for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outage {
    /// Mercury refuses every upgrade.
    Upgrade(u16),
    /// Mercury resets every connection.
    Reset,
    /// Mercury closes every socket at its authorization.
    Refusal,
    /// Mercury closes every socket that it has authorized.
    Loss,
    /// Mercury announces the end of every socket that it has authorized.
    Announcement,
    /// WDM does not answer.
    Device,
    /// There is no token.
    Token,
}

/// One schedule.
#[allow(clippy::struct_excessive_bools)] // independent facts
pub(super) struct Simulation {
    pub(super) random: fastrand::Rng,
    pub(super) verbose: bool,
    pub(super) start: Instant,
    /// The world's clock, since the start.
    pub(super) world: Duration,
    /// How long the client has slept, with its clock standing still.
    pub(super) slept: Duration,
    pub(super) machine: Machine,
    /// Pending events, by world time and order of creation.
    pub(super) agenda: BTreeMap<(Duration, u64), Event>,
    pub(super) last_event: u64,
    pub(super) faulty: bool,
    pub(super) cut_until: Duration,
    /// Whether connections fail at once while the network is away, or hang.
    pub(super) no_route: bool,
    /// The current outage, and until when it lasts.
    pub(super) outage: Option<(Duration, Outage)>,
    /// Whether the user wants the link.
    pub(super) wanted: bool,
    /// The application is in the background.
    pub(super) suspended: bool,
    pub(super) wdm: Wdm,
    pub(super) mercury: Mercury,
    pub(super) checks: Checks,
}

impl Simulation {
    pub(super) fn new(seed: u64, verbose: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let ttl = [None, Some(1800), Some(200)][random.usize(..3)].map(Duration::from_secs);
        let kept = random.u8(..4) == 0;
        let device = if kept {
            device::Machine::durable(random.u64(..))
        } else {
            device::Machine::new(ttl, random.u64(..))
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
            suspended: false,
            wdm: Wdm::new(if kept { None } else { ttl }),
            mercury: Mercury::default(),
            checks: Checks::default(),
        }
    }

    // --- time ----------------------------------------------------------------------------------

    /// The client's clock.
    pub(super) fn now(&self) -> Instant {
        self.start + (self.world.saturating_sub(self.slept))
    }

    /// Lets this much time pass.
    pub(super) fn pass(&mut self, time: Duration) {
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

    pub(super) fn later(&mut self, after: Duration, event: Event) {
        self.last_event += 1;
        self.agenda.insert((self.world + after, self.last_event), event);
    }

    pub(super) fn is_out(&self, outage: Outage) -> bool {
        self.outage.is_some_and(|(until, kind)| kind == outage && self.world < until)
    }

    /// The latency of a message.
    pub(super) fn latency(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(5..200))
    }

    /// Returns true once in `n` times, while there are faults.
    pub(super) fn fault(&mut self, n: u32) -> bool {
        self.faulty && self.random.u32(..n) == 0
    }

    // --- logging -------------------------------------------------------------------------------

    pub(super) fn note(&mut self, what: impl AsRef<str>) {
        if self.verbose {
            println!("{:>10.3} {}", self.world.as_secs_f64(), what.as_ref());
        }
    }
}
