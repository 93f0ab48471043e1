//! The two parts of the benchmark.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use webex_calling::{CallingClient, CallingConfig, Line, LineEvent};
use webex_core::{Credentials, Endpoints, LinkEvent, Transport, Webex};
use webex_meetings::Meetings;

use crate::{
    cloud::{Address, Cloud, KEEPALIVE},
    figure::Figure,
    machine::{Probe, processor_seconds, resident_kib},
};

/// Parallel registrations: more would only make the peak higher.
const AT_ONCE: usize = 64;

/// Size of the event sent to each client.
const EVENT_BYTES: usize = 100_000;

/// Wait until temporary memory of a registration has been freed.
const REST: Duration = Duration::from_secs(5);

/// The wait after a large event: the TLS library frees its buffer with the next frame, which the
/// ping every 15 s brings.
const REST_AFTER_EVENT: Duration = Duration::from_secs(20);

/// A first client, which allocates what all share, and then many more, 64 at a time.
struct Rush<T> {
    all: Vec<T>,
    /// The time that the many took, and their processor time, in seconds.
    seconds: f64,
    busy: f64,
    /// Memory before them, and the growth at rest, in KiB.
    before: f64,
    at_rest: f64,
}

impl<T> Rush<T> {
    async fn of<F: Future<Output = T>>(count: usize, make: impl Fn(usize) -> F) -> Self {
        let mut all = vec![make(0).await];
        tokio::time::sleep(REST).await;
        let before = resident_kib();
        let (started, busy) = (Instant::now(), processor_seconds());
        let mut many = stream::iter(1..=count).map(make).buffer_unordered(AT_ONCE);
        while let Some(made) = many.next().await {
            all.push(made);
        }
        drop(many);
        let (seconds, busy) = (started.elapsed().as_secs_f64(), processor_seconds() - busy);
        tokio::time::sleep(REST).await;
        let mut rush = Self { all, seconds, busy, before, at_rest: 0.0 };
        rush.at_rest = rush.grown_kib();
        rush
    }

    /// The growth of memory since before the many.
    fn grown_kib(&self) -> f64 {
        resident_kib() - self.before
    }
}

/// Figures of a client whose Meetings device is registered.
pub(crate) fn meetings(clients: usize) -> ExitCode {
    println!("{clients} Meetings clients in one process");
    // The first client allocates what all share.
    let mut cloud = Cloud::start(clients + 1);
    runtime().block_on(async {
        let probe = Probe::start();
        let transport = transport(&cloud.address);
        let rush = Rush::of(clients, |user| registered(&cloud.address, &transport, user)).await;
        assert_eq!(cloud.counts(), [clients + 1, clients + 1, 0]);

        let arrivals: Vec<_> = rush.all.iter().map(|(webex, _)| arrival(webex)).collect();
        let pushed = cloud.push(EVENT_BYTES);
        assert_eq!(pushed, clients + 1);
        futures_util::future::join_all(arrivals).await;
        tokio::time::sleep(REST_AFTER_EVENT).await;
        let after_event = rush.grown_kib();

        let each = clients as f64;
        let figure = |what, value, unit, most| Figure { what, value, unit, most };
        let figures = [
            figure("registration, all", rush.seconds, "s", None),
            figure("processor time per registration", rush.busy / each * 1000.0, "ms", None),
            figure("memory per client", rush.at_rest / each, "KiB", Some(32.0)),
            figure(
                "memory per client after a 100 kB event",
                after_event / each,
                "KiB",
                Some(150.0),
            ),
            figure("the machine's worst stall meanwhile", probe.worst_ms(), "ms", None),
        ];
        let outcome = report(&figures);
        leave(rush.all.into_iter()).await;
        assert_eq!(cloud.counts(), [0, 0, 0], "everything is released");
        outcome
    })
}

/// Figures of users with device and line, over some minutes of keepalives.
pub(crate) fn lines(lines: usize, seconds: u64) -> ExitCode {
    println!("{lines} users with Meetings device, socket and line, for {seconds} s");
    let mut cloud = Cloud::start(lines + 1);
    runtime().block_on(async {
        let probe = Probe::start();
        let transport = transport(&cloud.address);
        let rush = Rush::of(lines, |user| full(&cloud.address, &transport, user)).await;
        assert_eq!(cloud.counts(), [lines + 1; 3]);

        cloud.clear();
        probe.worst_ms();
        let (started, busy) = (Instant::now(), processor_seconds());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let load = (processor_seconds() - busy) / started.elapsed().as_secs_f64() * 100.0;
        let stall = probe.worst_ms();
        let memory_later = rush.grown_kib();
        let keepalives = cloud.keepalives();
        assert_eq!(keepalives.lines, lines + 1, "every line sent some");
        assert_eq!(cloud.counts(), [lines + 1; 3], "no registration was lost");
        let late = |part: f64| {
            let last = keepalives.late_ms.len() - 1;
            keepalives.late_ms[(last as f64 * part) as usize]
        };
        let due = (lines + 1) as f64 * (seconds as f64 / KEEPALIVE.as_secs_f64()).floor();

        let each = lines as f64;
        let figure = |what, value, unit, most| Figure { what, value, unit, most };
        let figures = [
            figure("registration, all", rush.seconds, "s", None),
            figure("processor time per registration", rush.busy / each * 1000.0, "ms", None),
            figure("memory per user", rush.at_rest / each, "KiB", Some(40.0)),
            figure("memory per user at the end", memory_later / each, "KiB", Some(40.0)),
            figure("processor", load, "% of a core", Some(6.0)),
            figure("keepalives missing", due - keepalives.late_ms.len() as f64, "", Some(0.0)),
            figure("keepalives late, half of them", late(0.5), "ms", Some(5.0)),
            figure("keepalives late, 99 of 100", late(0.99), "ms", Some(1000.0)),
            figure("the machine's worst stall meanwhile", stall, "ms", None),
            figure("keepalives late, the latest", late(1.0), "ms", Some(stall + 100.0)),
        ];
        let outcome = report(&figures);
        let (users, callers): (Vec<_>, Vec<_>) =
            rush.all.into_iter().map(|full| ((full.webex, full.meetings), full.calling)).unzip();
        stream::iter(callers)
            .for_each_concurrent(AT_ONCE, |calling| async move {
                calling.deregister().await.expect("it is released");
            })
            .await;
        leave(users.into_iter()).await;
        assert_eq!(cloud.counts(), [0; 3], "everything is released");
        outcome
    })
}

fn report(figures: &[Figure]) -> ExitCode {
    let missed = figures.iter().filter(|figure| !figure.report()).count();
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One thread, as in a program with many idle users, whose work needs little processor time.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn transport(address: &Address) -> Transport {
    let builder = Transport::builder().extra_roots_pem(address.ca.as_bytes());
    builder.and_then(webex_core::TransportBuilder::build).expect("a transport")
}

fn client(address: &Address, transport: &Transport, user: usize) -> Webex {
    Webex::builder()
        .credentials(Credentials::access_token(address.tokens[user].as_str()))
        .endpoints(Endpoints::at(&address.origin).expect("an origin"))
        .transport(transport.clone())
        .build()
        .expect("a client")
}

async fn registered(address: &Address, transport: &Transport, user: usize) -> (Webex, Meetings) {
    let webex = client(address, transport, user);
    let meetings = Meetings::new(&webex);
    meetings.register().await.expect("the device is registered");
    (webex, meetings)
}

/// A user with device and line.
struct Full {
    webex: Webex,
    meetings: Meetings,
    calling: CallingClient,
    _line: Line,
}

async fn full(address: &Address, transport: &Transport, user: usize) -> Full {
    let (webex, meetings) = registered(address, transport, user).await;
    let calling =
        CallingClient::new(&webex, CallingConfig::default()).await.expect("there are servers");
    let line = calling.lines().remove(0);
    let mut events = line.subscribe();
    line.register();
    loop {
        match events.next().await.expect("the line is there") {
            LineEvent::Registered(_) => break,
            LineEvent::Error(error) => panic!("user {user}: {error}"),
            _ => {}
        }
    }
    Full { webex, meetings, calling, _line: line }
}

/// Waits for the large event.
fn arrival(webex: &Webex) -> impl Future<Output = ()> + use<> {
    let mut events = webex.link().subscribe();
    async move {
        loop {
            match events.next().await.expect("the client is there") {
                LinkEvent::Event(event) if event.namespace() == "bench" => return,
                _ => {}
            }
        }
    }
}

async fn leave(clients: impl Iterator<Item = (Webex, Meetings)>) {
    stream::iter(clients)
        .for_each_concurrent(AT_ONCE, |(_webex, meetings)| async move {
            meetings.unregister().await.expect("it is released");
        })
        .await;
}
