//! A machine, a clock, and the machine's actions.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use url::Url;
use webex_core::{HttpError, ServiceError};

pub(crate) use crate::{
    mobius::{
        timings::*,
        transport::NetworkHint,
        wire::{MobiusDevice, Registration},
    },
    model::{
        config::ServiceIndicator,
        error::{LineError, LineErrorType},
        event::{Connecting, LineEvent, Unregistered},
        info::LineStatus,
        policy::{CallActivity, DeviceLimit, RegistrationPolicy},
        servers::Servers,
        state::{LineState, Upcoming},
    },
    registration::{
        failover::Failover,
        machine::{Machine, Settings},
        state::{Action, Op, Refusal},
    },
};

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// The error of an answer with this status, and in a 403 with this code.
pub(crate) fn refused(status: u16, code: Option<i64>, retry_after: Option<u64>) -> HttpError {
    refused_with(status, code, retry_after, String::new())
}

pub(crate) fn refused_with(
    status: u16,
    code: Option<i64>,
    retry_after: Option<u64>,
    body: String,
) -> HttpError {
    HttpError::Status(Arc::new(ServiceError {
        host: "m".to_owned(),
        status: status.try_into().unwrap(),
        message: None,
        error_code: code,
        tracking_id: None,
        retry_after: retry_after.map(secs),
        body: body.into_bytes().into(),
    }))
}

pub(crate) fn http(status: u16) -> HttpError {
    refused(status, None, None)
}

pub(crate) fn error(status: u16) -> LineError {
    http(status).into()
}

/// A 429 with this `Retry-After`.
pub(crate) fn busy(seconds: u64) -> LineError {
    refused(429, None, Some(seconds)).into()
}

/// No answer at all.
pub(crate) fn unreachable() -> HttpError {
    HttpError::Network { host: "m".to_owned(), reason: "refused".to_owned() }
}

pub(crate) fn device(id: &str) -> MobiusDevice {
    let uri = format!("https://other/calling/web/devices/{id}");
    serde_json::from_value(serde_json::json!({"deviceId": id, "uri": uri})).unwrap()
}

/// A 403 with code 101 that lists these devices; `true` marks those of this client.
pub(crate) fn full(devices: &[(&str, bool)]) -> Refusal {
    let error = refused(403, Some(101), None).into();
    let devices = devices.iter().map(|(id, ours)| (device(id), *ours)).collect();
    Refusal { error, devices, unusable: None }
}

/// A registration of device `id`, requested for that WDM device.
pub(crate) fn granted_for(id: &str, client_device: &str) -> Registration {
    let mut granted = granted(3600);
    id.clone_into(&mut granted.device.device_id);
    granted.requested_for = Some(client_device.to_owned());
    granted
}

pub(crate) fn granted(keepalive_s: u64) -> Registration {
    let json = format!(
        r#"{{"device":{{"deviceId":"d","uri":"https://p1/devices/d","addresses":["sip:a@b"]}},
            "keepaliveInterval":{keepalive_s},"rehomingIntervalMin":10,"rehomingIntervalMax":20}}"#
    );
    serde_json::from_str(&json).unwrap()
}

/// The bounds in [`granted`].
pub(crate) const REHOMING: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(600)..=Duration::from_secs(1200);

pub(crate) fn servers(primaries: usize, backups: usize) -> Servers {
    let list = |kind: char, count| (1..=count).map(move |n| url(&format!("https://{kind}{n}/")));
    Servers { primary: list('p', primaries).collect(), backup: list('b', backups).collect() }
}

/// Calls that the test starts and ends.
#[derive(Debug, Default)]
pub(crate) struct Calls(AtomicBool);

impl CallActivity for Calls {
    fn is_active(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Calls {
    pub(crate) fn set(&self, active: bool) {
        self.0.store(active, Ordering::Relaxed);
    }
}

pub(crate) struct Bench {
    pub(crate) machine: Machine,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) events: Vec<LineEvent>,
    /// The requests in flight, oldest first.
    pub(crate) requests: VecDeque<Action>,
    /// The saved state of the failover.
    pub(crate) saved: Option<Failover>,
    /// Servers that are no longer needed, in order.
    pub(crate) closed: Vec<String>,
}

impl Bench {
    pub(crate) fn with(
        primaries: usize,
        backups: usize,
        service: ServiceIndicator,
        policy: RegistrationPolicy,
        seed: u64,
    ) -> Self {
        let start = Instant::now();
        let servers = Arc::new(servers(primaries, backups));
        let settings = Settings { service, policy, ..Settings::default() };
        let machine = Machine::new(servers, settings, seed);
        let (events, requests, closed) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { machine, start, now: start, events, requests, saved: None, closed }
    }

    pub(crate) fn new(primaries: usize, backups: usize, seed: u64) -> Self {
        let (service, policy) = (ServiceIndicator::Calling, RegistrationPolicy::default());
        Self::with(primaries, backups, service, policy, seed)
    }

    pub(crate) fn registering(primaries: usize, backups: usize, seed: u64) -> Self {
        let mut bench = Self::new(primaries, backups, seed);
        bench.machine.handle_register(bench.now);
        bench
    }

    /// A machine that makes no further attempt when all servers have refused.
    pub(crate) fn without_slow_retry(primaries: usize, backups: usize, seed: u64) -> Self {
        let policy = RegistrationPolicy { slow_retry: None, ..RegistrationPolicy::default() };
        let mut bench = Self::with(primaries, backups, ServiceIndicator::Calling, policy, seed);
        bench.machine.handle_register(bench.now);
        bench
    }

    /// Registered with the only primary.
    pub(crate) fn registered(keepalive_s: u64) -> Self {
        let mut bench = Self::registering(1, 0, 1);
        bench.answer(Ok(granted(keepalive_s)));
        assert_eq!(bench.machine.state(), LineState::Registered);
        bench
    }

    /// Registered with the first backup, after the primaries have had their time.
    pub(crate) fn on_backup(primaries: usize, backups: usize, seed: u64) -> Self {
        let mut bench = Self::registering(primaries, backups, seed);
        while !bench.asked().starts_with('b') {
            bench.answer(Err(error(503)));
            if bench.machine.state() == LineState::Waiting {
                bench.sleep();
            }
        }
        // A long keepalive interval, so that only the failback is waited for.
        bench.answer(Ok(granted(3600)));
        bench.events.clear();
        bench
    }

    /// Takes the machine's actions.
    pub(crate) fn pump(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Emit(event) => self.events.push(*event),
                Action::Save(failover) => self.saved = Some(failover),
                Action::Forget => self.saved = None,
                Action::Disconnect(server) => self.closed.push(host(&server)),
                Action::Cancel(op) => self.requests.retain(|request| op_of(request) != op),
                request => self.requests.push_back(request),
            }
        }
    }

    /// The oldest request in flight.
    pub(crate) fn request(&mut self) -> Action {
        self.pump();
        self.requests.pop_front().expect("a request is under way")
    }

    /// The server of the registration request.
    pub(crate) fn asked(&mut self) -> String {
        self.pump();
        match self.requests.front() {
            Some(Action::Register(_, server)) => host(server),
            other => panic!("{other:?}"),
        }
    }

    /// Answers the pending registration request. Returns its server.
    pub(crate) fn answer(&mut self, answer: Result<Registration, LineError>) -> String {
        self.refuse(answer.map_err(Refusal::from))
    }

    pub(crate) fn refuse(&mut self, answer: Result<Registration, Refusal>) -> String {
        let request = self.request();
        let Action::Register(op, server) = request else { panic!("{request:?}") };
        self.machine.handle_registration(self.now, op, answer);
        self.pump();
        host(&server)
    }

    pub(crate) fn answer_keepalive(&mut self, answer: Result<(), LineError>) -> String {
        let request = self.request();
        let Action::Keepalive(op, server, _) = request else { panic!("{request:?}") };
        self.machine.handle_keepalive(self.now, op, answer);
        self.pump();
        host(&server)
    }

    /// Answers the pending deletion. Returns the server and the device.
    pub(crate) fn answer_deletion(&mut self, answer: Result<(), HttpError>) -> (String, String) {
        let request = self.request();
        let Action::Deregister(op, server, device) = request else { panic!("{request:?}") };
        self.machine.handle_deregistered(self.now, op, answer);
        self.pump();
        (host(&server), device.device_id.clone())
    }

    pub(crate) fn answer_ping(&mut self, answer: Result<(), LineError>) -> String {
        let request = self.request();
        let Action::Ping(op, server) = request else { panic!("{request:?}") };
        self.machine.handle_ping(self.now, op, answer);
        self.pump();
        host(&server)
    }

    pub(crate) fn answer_servers(&mut self, answer: Result<Servers, LineError>) {
        let request = self.request();
        let Action::Rediscover(op) = request else { panic!("{request:?}") };
        self.machine.handle_servers(self.now, op, answer.map(Arc::new));
        self.pump();
    }

    /// Sleeps until the next deadline. Returns how long that took.
    pub(crate) fn sleep(&mut self) -> Duration {
        let deadline = self.machine.poll_timeout().expect("a deadline");
        let slept = deadline.duration_since(self.now);
        self.now = deadline;
        self.machine.handle_timeout(self.now);
        self.pump();
        slept
    }

    /// Sleeps through keepalives, which are answered, until anything else. Returns how long that took.
    pub(crate) fn sleep_on(&mut self) -> Duration {
        let from = self.now;
        loop {
            self.sleep();
            let mut keepalive = self.requests.iter();
            if !keepalive.any(|request| matches!(request, Action::Keepalive(..))) {
                return self.now - from;
            }
            self.answer_keepalive(Ok(()));
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.machine.handle_timeout(self.now);
        self.pump();
    }

    /// Lets this many keepalives in a row be missed.
    pub(crate) fn miss(&mut self, count: u32) {
        for _ in 0..count {
            self.sleep();
            self.answer_keepalive(Err(error(503)));
        }
    }

    /// Whether no request is in flight.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.pump();
        self.requests.is_empty()
    }

    /// Names of the events since the last call.
    pub(crate) fn names(&mut self) -> Vec<&'static str> {
        self.pump();
        self.events.drain(..).map(|event| event.name()).collect()
    }

    /// Only the names that the reference client has, too.
    pub(crate) fn documented_names(&mut self) -> Vec<&'static str> {
        let names = self.names().into_iter();
        names.filter(|name| *name != "keepalive_missed").collect()
    }

    /// The reason of the last `unregistered`.
    pub(crate) fn outcome(&mut self) -> &Unregistered {
        self.pump();
        let mut events = self.events.iter().rev();
        let outcome = events.find_map(|event| match event {
            LineEvent::Unregistered { reason, .. } => Some(reason),
            _ => None,
        });
        outcome.expect("an unregistered")
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

pub(crate) fn host(server: &Url) -> String {
    server.host_str().unwrap().to_owned()
}

fn op_of(request: &Action) -> Op {
    match request {
        Action::Register(op, _)
        | Action::Keepalive(op, ..)
        | Action::Deregister(op, ..)
        | Action::Ping(op, _)
        | Action::Rediscover(op) => *op,
        other => panic!("{other:?} is no request"),
    }
}
