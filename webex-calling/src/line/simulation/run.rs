//! One line in one world: its inputs, and the checks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use webex_core::REQUEST_TIMEOUT;

use super::{
    super::requests::{Answer, Requests},
    rules::Quiet,
    world::{LONGEST_PAUSE, Mode, Server, Wire, World, client_device},
};
use crate::registration::tests::bench::*;

/// Limit of steps at one moment of the clock: more is a loop.
const MOST_AT_ONCE: u32 = 200;

macro_rules! counts {
    ($($name:ident),*) => {
        /// Counts of what has happened in all seeds together.
        #[derive(Debug, Default)]
        pub(super) struct Counts { $($name: AtomicU64),* }

        impl Counts {
            pub(super) fn add(&self, other: &Counts) {
                $(self.$name.fetch_add(other.$name.load(Ordering::Relaxed), Ordering::Relaxed);)*
            }

            /// Asserts that each case happened in at least one of a hundred seeds.
            pub(super) fn assert_all_happened(&self, seeds: u64) {
                $(let count = self.$name.load(Ordering::Relaxed);
                assert!(count >= seeds / 100, "{} happened {count} times only", stringify!($name));)*
            }
        }
    };
}

counts!(
    registered,
    on_backup,
    failbacks,
    servers_failed,
    missed,
    reconnected,
    lost,
    superseded,
    down,
    final_errors,
    slow_retries,
    deleted,
    already_gone,
    not_reachable,
    renewals,
    new_tokens
);

#[allow(clippy::struct_excessive_bools)] // each is a fact of its own
struct Run {
    machine: Machine,
    requests: Requests,
    world: Arc<Mutex<World>>,
    calls: Arc<Calls>,
    start: Instant,
    show: bool,
    counts: Counts,
    /// Since when the application waits for the end of a deregistration, if it does.
    leaving: Option<Instant>,
    /// Whether a primary has refused the line for good.
    barred: bool,
    at_once: (Instant, u32),
    /// Whether the application believes that the line is registered.
    registered: bool,
    /// Since when a renewable registration has named a device that is gone.
    stale: Option<Instant>,
    /// Whether a renewal has failed since the device was replaced.
    renewal_failed: bool,
}

type Outcome = Result<(), String>;

/// Runs one seed.
pub(super) fn run(seed: u64, show: bool) -> Result<Counts, String> {
    let mut run = Run::new(seed, show);
    let outcome = run.live();
    let at = (run.now() - run.start).as_secs_f64();
    outcome.map_err(|what| format!("at {at:.3} s: {what}"))?;
    Ok(run.counts)
}

impl Run {
    fn new(seed: u64, show: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (primaries, backups) = (random.usize(1..=3), random.usize(0..=2));
        let device_limit = [DeviceLimit::TakeOver, DeviceLimit::Fail, DeviceLimit::PreferOwn];
        let policy = RegistrationPolicy {
            device_limit: device_limit[random.usize(0..3)],
            slow_retry: random.bool().then_some(SLOW_RETRY),
        };
        let service = ServiceIndicator::ALL[random.usize(0..3)];
        let settings = Settings { service, policy, ..Settings::default() };
        let world = World::new(primaries, backups, random.fork());
        let start = world.now;
        // Some start without servers.
        let servers = if random.u8(..) < 16 { Arc::default() } else { Arc::clone(&world.lists) };
        let mut machine = Machine::new(servers, settings, random.u64(..));
        let calls = Arc::new(Calls::default());
        machine.set_call_activity(calls.clone());
        let world = Arc::new(Mutex::new(world));
        let wire = Arc::new(Wire(Arc::clone(&world)));
        let requests = Requests::new(wire.clone(), wire);
        let (counts, at_once) = (Counts::default(), (start, 0));
        Self {
            machine,
            requests,
            world,
            calls,
            start,
            show,
            counts,
            leaving: None,
            barred: false,
            at_once,
            registered: false,
            stale: None,
            renewal_failed: false,
        }
    }

    /// Runs the phases: trouble, one healthy server, all healthy, the end.
    fn live(&mut self) -> Outcome {
        self.register();
        let troubles = self.random(10..40);
        for _ in 0..troubles {
            self.trouble()?;
            let until = self.now() + Duration::from_millis(self.random(0..60_000));
            self.go_on(until)?;
        }
        self.one_healthy_server()?;
        self.all_healthy()?;
        self.end()
    }

    fn random(&self, range: std::ops::Range<u64>) -> u64 {
        self.world.lock().random.u64(range)
    }

    fn now(&self) -> Instant {
        self.world.lock().now
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.show {
            eprintln!("{:10.3} s  {}", (self.now() - self.start).as_secs_f64(), what());
        }
    }

    fn register(&mut self) {
        self.say(|| "register()".to_owned());
        self.world.lock().rules.begin();
        self.machine.handle_register(self.now());
    }

    fn deregister(&mut self) {
        self.say(|| "deregister()".to_owned());
        self.world.lock().rules.nudge();
        let now = self.now();
        self.leaving.get_or_insert(now);
        self.machine.handle_deregister(now);
    }

    // --- what goes wrong -----------------------------------------------------------------------

    fn trouble(&mut self) -> Outcome {
        let now = self.now();
        match self.random(0..23) {
            0..9 | 17 => self.change_server(),
            9 => self.forget(),
            10 => {
                let stranger = [None, Some(true), Some(false)][self.random(0..3) as usize];
                let mut world = self.world.lock();
                world.stranger = stranger.filter(|_| world.stranger.is_none());
            }
            11 => self.calls.set(self.random(0..2) == 0),
            12 => {
                let hints = [
                    NetworkHint::Offline,
                    NetworkHint::Online,
                    NetworkHint::Changed,
                    NetworkHint::Resumed,
                ];
                let hint = hints[self.random(0..4) as usize];
                self.say(|| format!("{hint:?}"));
                self.world.lock().rules.nudge();
                self.machine.handle_network(now, hint);
            }
            13 if self.random(0..3) == 0 => self.down(),
            14 if self.random(0..3) == 0 => self.supersede(),
            15 => {
                let modes = [Mode::Up, Mode::Dead, Mode::Silent, Mode::Refusing(500, None)];
                let mode = modes[self.random(0..4) as usize];
                self.world.lock().discovery = mode;
            }
            16 => {
                self.deregister();
                self.settle()?;
            }
            // The machine sleeps, so everything is late.
            18 => {
                let asleep = secs(self.random(1..400));
                self.say(|| format!("asleep for {asleep:?}"));
                let mut world = self.world.lock();
                self.stale = None;
                world.now += asleep;
                world.expire();
                world.rules.nudge();
            }
            19 => self.register(),
            20 => {
                self.say(|| "a new token".to_owned());
                let mut world = self.world.lock();
                let refusing = |server: &&mut Server| server.mode == Mode::Refusing(401, None);
                world.servers.iter_mut().filter(refusing).for_each(|server| server.mode = Mode::Up);
                drop(world);
                self.machine.handle_token(now);
            }
            21 => self.replace_device(),
            22 if self.random(0..2) == 0 => {
                self.say(|| "the token is refused".to_owned());
                for server in &mut self.world.lock().servers {
                    server.mode = Mode::Refusing(401, None);
                }
            }
            // A quiet moment.
            _ => {}
        }
        let resting = matches!(self.machine.state(), LineState::Idle | LineState::Failed);
        if resting && self.random(0..4) > 0 {
            self.register();
        }
        self.settle()
    }

    fn change_server(&mut self) {
        let mut world = self.world.lock();
        let count = world.servers.len();
        let index = world.random.usize(0..count);
        let mode = world.random_mode();
        world.servers[index].mode = mode;
        let url = world.servers[index].url.clone();
        drop(world);
        self.say(|| format!("{url} is {mode:?}"));
    }

    /// Makes a server forget its registrations.
    fn forget(&mut self) {
        let mut world = self.world.lock();
        let count = world.servers.len();
        let index = world.random.usize(0..count);
        world.servers[index].held.clear();
    }

    /// Makes a server drop the line with an event.
    fn down(&mut self) {
        let mut world = self.world.lock();
        let now = world.now;
        let found = world.owned().next().map(|(server, held)| (server.url.clone(), held.id));
        let Some((url, id)) = found else { return };
        if let Some(server) = world.server(&url) {
            server.held.retain(|held| held.id != id);
        }
        drop(world);
        self.say(|| format!("{url} drops the registration"));
        self.machine.handle_down(now, Some(&id.to_string()));
    }

    /// Replaces the WDM device.
    fn replace_device(&mut self) {
        let mut world = self.world.lock();
        world.client += 1;
        world.rules.nudge();
        let (now, client) = (world.now, world.client);
        drop(world);
        self.say(|| format!("WDM device {client}"));
        self.renewal_failed = false;
        self.machine.handle_client_device(now, client_device(client));
    }

    /// Registers the user elsewhere.
    fn supersede(&mut self) {
        let mut world = self.world.lock();
        for held in world.servers.iter_mut().flat_map(|server| &mut server.held) {
            held.superseded = true;
        }
    }

    // --- how it ends ---------------------------------------------------------------------------

    /// With one healthy server the line must register within the bound.
    fn one_healthy_server(&mut self) -> Outcome {
        self.calls.set(false);
        {
            let mut world = self.world.lock();
            world.stranger = None;
            world.discovery = Mode::Up;
            let count = world.servers.len();
            let healthy = world.random.usize(0..count);
            let ill = [Mode::Dead, Mode::Silent][world.random.usize(0..2)];
            for (index, server) in world.servers.iter_mut().enumerate() {
                server.mode = if index == healthy { Mode::Up } else { ill };
            }
        }
        // By then, earlier registrations and pauses of servers have ended.
        let (interval, count) = {
            let world = self.world.lock();
            (world.interval, world.servers.len() as u32)
        };
        self.say(|| "one healthy server".to_owned());
        self.go_on(self.now() + (interval * 4).max(LONGEST_PAUSE) + REQUEST_TIMEOUT)?;
        // The loss of a faulty server's registration is noticed ...
        let noticed = (interval + KEEPALIVE_TIMEOUT) * (KEEPALIVE_THRESHOLD + 1);
        // ... every server is tried in each round, and may hang: the rounds of the primaries end
        // one round after their time, those of the backups are two and a wait, and for the contact
        // center they come first as well; a failback may be in progress ...
        let round = REQUEST_TIMEOUT * count;
        let search = FAILOVER_AFTER + round * 3 + (round + RETRY_AFTER_MAX) * 4;
        // ... and if all of that fails, the long wait follows.
        let slow = SLOW_RETRY * 6 / 5 + REDISCOVERY_LIMIT + round * 2;
        let bound = noticed + search + slow;
        let until = self.now() + bound;
        loop {
            // A line that has given up, as configured, needs the application.
            if matches!(self.machine.state(), LineState::Idle | LineState::Failed) {
                self.register();
            }
            let world = self.world.lock();
            let healthy = world.owned().any(|(server, _)| server.mode == Mode::Up);
            let now = world.now;
            drop(world);
            if healthy && self.machine.state() == LineState::Registered {
                return Ok(());
            }
            if now >= until {
                let state = self.machine.state();
                return Err(format!("{state:?} {bound:?} after there was a healthy server"));
            }
            self.go_on((now + secs(30)).min(until))?;
        }
    }

    /// With only healthy servers the line must return to a primary, and have one registration.
    fn all_healthy(&mut self) -> Outcome {
        self.say(|| "all servers are healthy".to_owned());
        let latest = {
            let mut world = self.world.lock();
            for server in &mut world.servers {
                server.mode = Mode::Up;
            }
            world.rehoming.1
        };
        // A failback that was answered 429 is repeated sooner; pings may be slow.
        self.go_on(self.now() + latest * 2 + LONGEST_PAUSE + secs(120))?;
        let world = self.world.lock();
        let held: usize = world.servers.iter().map(|server| server.held.len()).sum();
        let primary = world.owned().any(|(server, _)| world.lists.primary.contains(&server.url));
        let present = world.owned().all(|(_, held)| held.client == world.client);
        drop(world);
        if !present {
            return Err("registered for a device that is gone".to_owned());
        }
        if self.machine.state() != LineState::Registered {
            return Err(format!("{:?} with healthy servers", self.machine.state()));
        }
        if held != 1 {
            return Err(format!("{held} registrations with healthy servers"));
        }
        if !primary && !self.barred {
            return Err("not with a primary again".to_owned());
        }
        Ok(())
    }

    /// Deregistering from healthy servers must leave nothing.
    fn end(&mut self) -> Outcome {
        self.deregister();
        self.go_on(self.now() + DEREGISTER_LIMIT)?;
        if self.machine.state() != LineState::Idle {
            return Err(format!("{:?} after deregistering", self.machine.state()));
        }
        let world = self.world.lock();
        let held: usize = world.servers.iter().map(|server| server.held.len()).sum();
        let connected = world.has_connections();
        drop(world);
        if held > 0 || connected || !self.requests.is_empty() {
            return Err("something is left after deregistering".to_owned());
        }
        if self.machine.poll_timeout().is_some() {
            return Err("a timer is left after deregistering".to_owned());
        }
        Ok(())
    }

    // --- the driver ----------------------------------------------------------------------------

    /// Lets time pass.
    fn go_on(&mut self, until: Instant) -> Outcome {
        loop {
            self.settle()?;
            let mut world = self.world.lock();
            let wake = world.next_wake();
            let next = wake.into_iter().chain(self.machine.poll_timeout()).min();
            let next = next.filter(|next| *next <= until).unwrap_or(until);
            world.now = world.now.max(next);
            world.expire();
            let now = world.now;
            drop(world);
            self.machine.handle_timeout(now);
            if now >= until {
                return self.settle();
            }
        }
    }

    /// Performs the pending actions, and checks the invariants.
    fn settle(&mut self) -> Outcome {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            while let Some(action) = self.machine.poll_action() {
                self.say(|| match &action {
                    Action::Emit(event) => format!("    {event:?}"),
                    other => format!("  {other:?}"),
                });
                if let Some(Action::Emit(event)) = self.requests.begin(action) {
                    self.told(*event)?;
                }
            }
            let Poll::Ready(news) = self.requests.poll(&mut context) else { break };
            let now = self.now();
            if let (_, Answer::Registration(Err(error))) = &news
                && self.machine.state() == LineState::Registered
            {
                self.barred |= LineError::from(error.error.clone()).ends_search();
                self.renewal_failed = true;
            }
            self.requests.deliver(&mut self.machine, now, news);
            self.at_once = if self.at_once.0 == now { (now, self.at_once.1 + 1) } else { (now, 0) };
            if self.at_once.1 > MOST_AT_ONCE {
                return Err("it turns in circles".to_owned());
            }
        }
        self.look()
    }

    fn look(&mut self) -> Outcome {
        let state = self.machine.state();
        let mut world = self.world.lock();
        let now = world.now;
        if state == LineState::Failed {
            world.rules.end(Quiet::Final);
        }
        if let Some(violation) = world.rules.violation.take() {
            return Err(violation);
        }
        let owned = world.owned().count();
        if owned > 1 {
            return Err(format!("{owned} registrations at once"));
        }
        // A registration with a healthy server must not name a device that is gone.
        let is_stale = state == LineState::Registered
            && !self.calls.is_active()
            && !self.renewal_failed
            && !world.rules.registration_is_under_way()
            && world.owned().any(|(server, held)| {
                let free = world.rules.busy_until(&server.url).is_none_or(|until| until <= now);
                held.client != world.client && server.mode == Mode::Up && free
            });
        self.stale = is_stale.then(|| self.stale.unwrap_or(now));
        if self.stale.is_some_and(|since| now > since + CALLS_POLL + secs(1)) {
            return Err("registered for a device that has been gone for seconds".to_owned());
        }
        let due = self.machine.upcoming();
        match (state, due) {
            (LineState::Waiting, None) => return Err("waiting for nothing".to_owned()),
            (LineState::Registered, due) if !world.rules.keepalive_is_under_way() => {
                let server = self.machine.info().server.clone();
                let server = server.ok_or("registered with nobody")?;
                let by = world.rules.keepalive_by(now, &server);
                let soon = due.is_some_and(|(what, at)| what == Upcoming::Failback || at <= by);
                if !soon {
                    return Err(format!("the next keepalive comes too late: {due:?}"));
                }
            }
            _ => {}
        }
        let late = self.leaving.is_some_and(|since| now > since + DEREGISTER_LIMIT);
        // A machine that slept gets a hint when it wakes up.
        if late && self.machine.poll_timeout().is_none_or(|at| at > now) {
            return Err("deregistering takes too long".to_owned());
        }
        Ok(())
    }

    /// Handles an event as the application.
    fn told(&mut self, event: LineEvent) -> Outcome {
        let mut world = self.world.lock();
        let (now, counts) = (world.now, &self.counts);
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        match event {
            LineEvent::Registered(info) => {
                world.rules.registered(now);
                count(&counts.registered);
                if std::mem::replace(&mut self.registered, true) {
                    count(&counts.renewals);
                }
                self.barred = false;
                if info.server.as_ref().is_some_and(|server| !world.lists.primary.contains(server))
                {
                    count(&counts.on_backup);
                }
            }
            LineEvent::ServerFailed { .. } => count(&counts.servers_failed),
            LineEvent::KeepaliveMissed { .. } => count(&counts.missed),
            LineEvent::Reconnected { .. } => count(&counts.reconnected),
            LineEvent::Error(error) if error.is_final() => count(&counts.final_errors),
            LineEvent::Connecting { reason: Connecting::NewToken } => {
                world.rules.begin();
                count(&counts.new_tokens);
            }
            LineEvent::Connecting { reason: Connecting::Retry } => {
                count(&counts.slow_retries);
            }
            LineEvent::Unregistered { reason, server, .. } => {
                self.registered = false;
                match reason {
                    Unregistered::Lost(error) => {
                        count(&counts.lost);
                        // After a 404 nothing is left; the server may already have the next registration.
                        if error.http_status != Some(404) {
                            world.disown(server.as_ref());
                        }
                    }
                    Unregistered::Superseded(_) => {
                        count(&counts.superseded);
                        world.disown(server.as_ref());
                    }
                    Unregistered::Down(_) => count(&counts.down),
                    Unregistered::Moved => {
                        count(&counts.failbacks);
                        let at_once = self.machine.state() == LineState::Registered;
                        if at_once && self.calls.is_active() {
                            return Err("moved in the midst of a call".to_owned());
                        }
                    }
                    outcome => {
                        match &outcome {
                            Unregistered::Deleted => count(&counts.deleted),
                            Unregistered::NotReachable(_) => count(&counts.not_reachable),
                            _ => count(&counts.already_gone),
                        }
                        if self.leaving.take().is_none() {
                            return Err("unregistered without having been asked".to_owned());
                        }
                        let is_held = world.is_held();
                        if is_held && !matches!(outcome, Unregistered::NotReachable(_)) {
                            return Err(format!("{} is not true", outcome.name()));
                        }
                        world.disown(None);
                        // It may start again at once, if that was requested in the meantime.
                        if self.machine.state() == LineState::Idle {
                            world.rules.end(Quiet::Deregistered);
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
