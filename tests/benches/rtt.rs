//! `cargo xtask bench rtt`: a start over distinct origins, counted in round trips.
//!
//! Each service has an origin of its own, a relay in front of the sandbox that adds a real round
//! trip in both directions, including the TCP handshake (see `webex_tests::relay` for how that is
//! counted without a firewall or network emulation). A start is a fresh client with fresh
//! connections; it ends when the Meetings device and the line are registered. The time is divided
//! by the round trip. Each figure is printed beside what the machine itself could do at that
//! moment: how late a sleeping thread wakes, and how long a handshake with one request takes over
//! the same relay, which is three round trips.

use std::{
    env,
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use webex_auth::MemoryStore;
use webex_calling::{CallingClient, CallingConfig, LineEvent};
use webex_core::{
    Auth, Credentials, Endpoints, Request, SavedState, Transport, TransportBuilder, Webex,
};
use webex_meetings::Meetings;
use webex_sandbox::{MobiusInstance, Sandbox};
use webex_tests::relay::Relay;

/// Starts per figure.
const RUNS: usize = 11;

/// The round trip to each origin, in milliseconds: long enough that the work of this machine is
/// small in comparison.
const ROUND_TRIP_MS: usize = 100;

/// Services whose address the sandbox hands out.
const PLACED: [&str; 6] =
    ["wdm", "mercury", "conversation", "calliopeDiscovery", "cluster", "primary-1"];

/// The name under which the client keeps its state.
const USER: &str = "ann";

/// The key of its saved hosts.
const HOSTS: &str = "hosts";

fn main() -> ExitCode {
    let runs = option("--runs").unwrap_or(RUNS);
    let round_trip = Duration::from_millis(option("--ms").unwrap_or(ROUND_TRIP_MS) as u64);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cloud = Cloud::start(round_trip);
    println!(
        "a start over {} origins, {} ms round trip each, {runs} runs",
        cloud.relays.len(),
        round_trip.as_millis()
    );
    let (stall, probe) = (probe_stall(), runtime.block_on(cloud.probe()));
    println!(
        "probe: one handshake and one request {:.2} round trips (3 without a machine in between), \
         worst stall {stall:.1} ms",
        trips(probe, round_trip)
    );
    println!("{:<34} {:>24} {:>8}", "round trips", "min / median / max", "target");

    let mut met = true;
    for (what, kept, target) in [
        ("nothing remembered", Saved::Nothing, Some(9.0)),
        ("hosts remembered", Saved::Hosts, Some(7.0)),
        ("all remembered: catalog, device …", Saved::All, None),
    ] {
        let mut taken: Vec<f64> =
            (0..runs).map(|_| trips(runtime.block_on(cloud.measure(kept)), round_trip)).collect();
        taken.sort_by(f64::total_cmp);
        let (least, median, most) = (taken[0], taken[taken.len() / 2], taken[taken.len() - 1]);
        let verdict = target.map(|target| if median <= target { "met" } else { "MISSED" });
        met &= verdict != Some("MISSED");
        println!(
            "{what:<34} {:>24} {:>8} {}",
            format!("{least:.2} / {median:.2} / {most:.2}"),
            target.map_or_else(|| "-".to_owned(), |target| format!("{target:.0}")),
            verdict.unwrap_or_default(),
        );
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The state that a start finds of the one before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Saved {
    Nothing,
    Hosts,
    All,
}

/// The sandbox on a thread of its own, and a relay before each of its services.
struct Cloud {
    ca: String,
    token: String,
    endpoints: Endpoints,
    relays: Vec<Relay>,
}

impl Cloud {
    fn start(round_trip: Duration) -> Self {
        let (send, started) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                // The cluster that answers the discovery is on another host than the server that it lists.
                let instances = [
                    MobiusInstance::backup("cluster").with_host("mobius-cluster.example"),
                    MobiusInstance::primary("primary-1").with_host("mobius-primary.example"),
                ];
                let sandbox = Sandbox::builder().mobius_instances(instances).start().await;
                let sandbox = sandbox.expect("a sandbox");
                let at = sandbox.origin().socket_addrs(|| None).expect("an address")[0];
                send.send(Self::around(&sandbox, at, round_trip)).expect("somebody waits");
                std::future::pending::<()>().await;
            });
        });
        started.recv().expect("the sandbox starts")
    }

    fn around(sandbox: &Sandbox, at: SocketAddr, round_trip: Duration) -> Self {
        let relay = || Relay::start(at, round_trip);
        let mut relays = vec![relay(), relay(), relay()];
        let mut endpoints = Endpoints::at(&relays[0].origin()).expect("an origin");
        let moved = |url: &url::Url, relay: &Relay| {
            let place = relay.origin().parse::<url::Url>().expect("a URL");
            place.join(url.path()).expect("a path")
        };
        endpoints.region = moved(&endpoints.region, &relays[1]);
        endpoints.hydra = moved(&endpoints.hydra, &relays[2]);
        endpoints.webexapis = endpoints.hydra.clone();
        for service in PLACED {
            let relay = relay();
            assert!(sandbox.place(service, &relay.authority()), "{service}");
            endpoints = endpoints.trusting(&relay.origin()).expect("an origin");
            relays.push(relay);
        }
        Self {
            ca: sandbox.ca_pem().expect("TLS").to_owned(),
            token: sandbox.token().to_owned(),
            endpoints,
            relays,
        }
    }

    fn transport(&self) -> Transport {
        Transport::builder()
            .extra_roots_pem(self.ca.as_bytes())
            .and_then(TransportBuilder::build)
            .expect("a transport")
    }

    fn client(&self, store: &Arc<MemoryStore>) -> Webex {
        Webex::builder()
            .credentials(Credentials::access_token(self.token.clone()))
            .endpoints(self.endpoints.clone())
            .state_store(Arc::clone(store) as _, USER)
            .transport(self.transport())
            .build()
            .expect("a client")
    }

    /// One start with this saved state of the start before.
    async fn measure(&self, kept: Saved) -> Duration {
        let before = Arc::new(MemoryStore::default());
        let webex = self.client(&before);
        start(&webex).await.leave(kept == Saved::All).await;
        let store = if kept == Saved::All { before } else { Arc::default() };
        if kept == Saved::Hosts {
            let hosts = webex.saved_state().load::<Value>(HOSTS).await.expect("kept");
            SavedState::new(Arc::clone(&store) as _, USER).save(HOSTS, &hosts).await;
        }
        drop(webex);
        let webex = self.client(&store);
        let started = Instant::now();
        let both = start(&webex).await;
        let taken = started.elapsed();
        both.leave(false).await;
        taken
    }

    /// One request over a new connection.
    async fn probe(&self) -> Duration {
        let webex = self.client(&Arc::new(MemoryStore::default()));
        let started = Instant::now();
        let request = Request::get(self.endpoints.region.clone()).auth(Auth::None);
        webex.http().send(request).await.expect("the sandbox answers");
        started.elapsed()
    }
}

/// Both products, registered.
struct Both {
    meetings: Meetings,
    calling: CallingClient,
}

async fn start(webex: &Webex) -> Both {
    let meetings = Meetings::new(webex);
    let line = async {
        let calling = CallingClient::new(webex, CallingConfig::default()).await.expect("calling");
        let line = calling.lines().remove(0);
        let mut events = line.subscribe();
        line.register();
        while let Some(event) = events.next().await {
            if matches!(event, LineEvent::Registered(_)) {
                break;
            }
        }
        calling
    };
    let (registered, calling) = tokio::join!(meetings.register(), line);
    registered.expect("meetings");
    Both { meetings, calling }
}

impl Both {
    /// Ends the client; `keep` leaves the device for the next start.
    async fn leave(self, keep: bool) {
        let line = self.calling.lines().remove(0);
        let mut events = line.subscribe();
        line.deregister();
        while let Some(event) = events.next().await {
            if matches!(event, LineEvent::Unregistered { .. }) {
                break;
            }
        }
        drop(line);
        drop(self.calling);
        if !keep {
            self.meetings.unregister().await.expect("unregistered");
        }
    }
}

fn trips(taken: Duration, round_trip: Duration) -> f64 {
    taken.as_secs_f64() / round_trip.as_secs_f64()
}

/// How late a sleeping thread wakes at worst, in milliseconds, over a quarter of a second.
fn probe_stall() -> f64 {
    let nap = Duration::from_millis(1);
    let late = (0..250).map(|_| {
        let started = Instant::now();
        thread::sleep(nap);
        started.elapsed().saturating_sub(nap)
    });
    late.max().unwrap_or_default().as_secs_f64() * 1000.0
}

fn option(name: &str) -> Option<usize> {
    let arguments: Vec<_> = env::args().collect();
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1)?.parse().ok()
}
