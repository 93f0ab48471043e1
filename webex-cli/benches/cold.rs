//! `cargo xtask bench cold`: from the start of the process to both registered.
//!
//! The sandbox runs in a process of its own; every run is a fresh `webex register`. Beside each
//! figure stands what the machine itself could do at that moment: how late a thread wakes that only
//! sleeps, and how long one TLS handshake with six small requests takes.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    env,
    fmt::Write,
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{origin, webex};
use tempfile::TempDir;
use webex_core::{Auth, Credentials, Endpoints, Request, Transport};
use webex_tests::process::Process;

/// Cold starts per latency.
const RUNS: usize = 30;

/// What is added to each answer, in milliseconds.
const LATENCIES_MS: [u32; 3] = [0, 20, 100];

/// The target without added latency (issue: at most 20 ms; `docs/performance.md`: 15 ms).
const TARGET_MS: f64 = 15.0;

fn main() {
    let runs = option("--runs").unwrap_or(RUNS);
    println!("cold start: process start to meetings and line registered, {runs} runs each");
    println!(
        "{:>10} {:>28} {:>28} {:>17} {:>13}",
        "latency",
        "both, ms: min/median/max",
        "in process: min/median/max",
        "probe requests",
        "probe stall"
    );
    let mut timeline = None;
    for latency in LATENCIES_MS {
        let cloud = Cloud::start(latency);
        let (mut outside, mut inside) = (Vec::new(), Vec::new());
        cloud.register(); // warms the page cache, not the client: each run is a process of its own
        for _ in 0..runs {
            let (wall, own) = cloud.register();
            outside.push(wall);
            inside.push(own);
        }
        timeline.get_or_insert_with(|| cloud.timeline());
        let (requests, stall) = (cloud.probe_requests(), probe_stall());
        let target = TARGET_MS.max(f64::from(4 * latency) + 20.0 * f64::from(latency.min(1)));
        println!(
            "{:>7} ms {:>28} {:>28} {:>14.1} ms {:>10.1} ms   target {target:.0} ms: {}",
            latency,
            spread(&mut outside),
            spread(&mut inside),
            requests,
            stall,
            if median(&mut outside) <= target { "met" } else { "MISSED" },
        );
    }
    println!("\nrequests of one cold start without latency (ms since the first):");
    print!("{}", timeline.unwrap_or_default());
}

/// A sandbox in another process.
struct Cloud {
    _process: Process,
    folder: TempDir,
    origin: String,
}

impl Cloud {
    fn start(latency_ms: u32) -> Self {
        let folder = TempDir::new().expect("a scratch folder");
        let path = |name| folder.path().join(name).to_str().expect("a plain path").to_owned();
        let (ca, token, latency) = (path("ca.pem"), path("token"), latency_ms.to_string());
        let mut process = webex(
            [
                "sandbox",
                "--listen",
                "127.0.0.1:0",
                "--ca-out",
                &ca,
                "--token-out",
                &token,
                "--latency",
                &latency,
            ],
            None,
        );
        let origin = origin(&mut process);
        Self { _process: process, folder, origin }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a plain path").to_owned()
    }

    /// One cold start: milliseconds as seen from outside, and as the process counts them.
    fn register(&self) -> (f64, f64) {
        let (ca, token) = (self.path("ca.pem"), self.path("token"));
        let started = Instant::now();
        let mut webex = webex(
            ["register", "--json", "--cloud", &self.origin, "--ca", &ca, "--token-file", &token],
            None,
        );
        let line = webex.wait_for_event("registered");
        let meetings = webex.wait_for_event("meetings:registered");
        let outside = started.elapsed();
        webex.signal("INT");
        assert_eq!(webex.end().code(), 0);
        let own = |event: &Value| event["t_ms"].as_f64().expect("a number");
        (outside.as_secs_f64() * 1000.0, own(&line).max(own(&meetings)))
    }

    /// One TLS handshake and six small requests, in milliseconds: the best of five.
    fn probe_requests(&self) -> f64 {
        let ca = fs::read(self.path("ca.pem")).expect("written by the sandbox");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let once = || {
            runtime.block_on(async {
                let started = Instant::now();
                let webex = client(&self.origin, &ca, "probe");
                let region = webex.endpoints().region.clone();
                for _ in 0..6 {
                    let request = Request::get(region.clone()).auth(Auth::None);
                    webex.http().send(request).await.expect("the sandbox answers");
                }
                started.elapsed().as_secs_f64() * 1000.0
            })
        };
        (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
    }

    /// The requests of one cold start, from the sandbox's log.
    fn timeline(&self) -> String {
        let ca = fs::read(self.path("ca.pem")).expect("written by the sandbox");
        let log = format!("{}/sandbox/requests", self.origin.trim_end_matches('/'));
        let log: Value = runtime_get(&self.origin, &ca, &log);
        let all =
            log["requests"].as_array().or_else(|| log.as_array()).cloned().unwrap_or_default();
        // Those of the last start begin with its catalog or region request.
        let session = |request: &Value| {
            let id = request["tracking_id"].as_str()?;
            Some(id.rsplit_once('_')?.0.to_owned())
        };
        let last = all.iter().rev().find_map(session);
        let own: Vec<_> = all.iter().filter(|request| session(request) == last).collect();
        let at = |request: &Value| request["at_ms"].as_f64().unwrap_or_default();
        let first = own.first().map(|request| at(request)).unwrap_or_default();
        let mut text = String::new();
        for request in own {
            let word = |name: &str| request[name].as_str().unwrap_or("-").to_owned();
            let _ = writeln!(
                text,
                "{:>9.2}  {:<6} {:<24} {}",
                at(request) - first,
                word("method"),
                format!("{} {}", word("service"), word("operation")),
                word("path"),
            );
        }
        text
    }
}

fn runtime_get(origin: &str, ca: &[u8], url: &str) -> Value {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let request = Request::get(url.parse().expect("a URL")).auth(Auth::None);
        let answer = client(origin, ca, "probe").http().send(request).await;
        answer.and_then(|answer| answer.json()).expect("the sandbox's log")
    })
}

fn client(origin: &str, ca: &[u8], token: &str) -> webex_core::Webex {
    let transport =
        Transport::builder().extra_roots_pem(ca).and_then(webex_core::TransportBuilder::build);
    webex_core::Webex::builder()
        .credentials(Credentials::access_token(token))
        .endpoints(Endpoints::at(origin).expect("an origin"))
        .transport(transport.expect("a transport"))
        .build()
        .expect("a client")
}

/// How late a sleeping thread wakes at worst, in milliseconds, over a quarter of a second.
fn probe_stall() -> f64 {
    let nap = Duration::from_millis(1);
    let mut worst = Duration::ZERO;
    for _ in 0..250 {
        let started = Instant::now();
        thread::sleep(nap);
        worst = worst.max(started.elapsed().saturating_sub(nap));
    }
    worst.as_secs_f64() * 1000.0
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spread(values: &mut [f64]) -> String {
    let median = median(values);
    format!("{:.1} / {median:.1} / {:.1}", values[0], values[values.len() - 1])
}

fn option(name: &str) -> Option<usize> {
    let arguments: Vec<_> = env::args().collect();
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1)?.parse().ok()
}
