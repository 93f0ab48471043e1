//! Shared by the benches of the command: a sandbox in a process of its own, probes of the machine's
//! own speed, and the timing of a start.

use std::{
    env,
    fmt::Write,
    fs,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use webex_sdk::core::{Auth, Credentials, Endpoints, Request, Transport};
use webex_tests::process::Process;

use crate::support::{origin, webex};

/// Runs per latency.
const RUNS: usize = 30;

/// Latencies added to each answer, in milliseconds.
const LATENCIES_MS: [u32; 3] = [0, 20, 100];

/// A kind of start, and its time limit.
pub(crate) struct Start {
    /// Its title.
    pub(crate) title: &'static str,
    /// What ends the timing.
    pub(crate) until: &'static str,
    /// The limit of a median, given the milliseconds added to each answer.
    pub(crate) target_ms: fn(u32) -> f64,
    /// Preparation before the timed runs.
    pub(crate) prepare: fn(&Cloud),
    /// One run: milliseconds measured from outside, and by the process itself.
    pub(crate) run: fn(&Cloud) -> (f64, f64),
}

impl Start {
    /// Times it at each latency and prints a row each; fails when a median misses its target.
    pub(crate) fn measure(&self) -> ExitCode {
        let runs = option("--runs").unwrap_or(RUNS);
        println!("{}, {runs} runs each", self.title);
        println!(
            "{:>10} {:>28} {:>28} {:>17} {:>13}",
            "latency",
            format!("{}, ms: min/median/max", self.until),
            "in process: min/median/max",
            "probe requests",
            "probe stall"
        );
        let (mut timeline, mut all_met) = (None, true);
        for latency in LATENCIES_MS {
            let cloud = Cloud::start(latency);
            (self.prepare)(&cloud);
            let (mut outside, mut inside): (Vec<_>, Vec<_>) =
                (0..runs).map(|_| (self.run)(&cloud)).unzip();
            timeline.get_or_insert_with(|| cloud.timeline());
            let (requests, stall) = (cloud.probe_requests(), probe_stall());
            let target = (self.target_ms)(latency);
            let met = median(&mut outside) <= target;
            all_met &= met;
            println!(
                "{:>7} ms {:>28} {:>28} {:>14.1} ms {:>10.1} ms   target {target:.0} ms: {}",
                latency,
                spread(&mut outside),
                spread(&mut inside),
                requests,
                stall,
                if met { "met" } else { "MISSED" },
            );
        }
        println!("\nrequests of one start without latency (ms since the first):");
        print!("{}", timeline.unwrap_or_default());
        if all_met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// A sandbox in another process.
pub(crate) struct Cloud {
    _process: Process,
    folder: TempDir,
    pub(crate) origin: String,
}

impl Cloud {
    /// Starts it, with this latency in milliseconds added to each answer.
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

    /// A file or folder that is removed with this sandbox.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a plain path").to_owned()
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

    /// The requests of the latest start, from the sandbox's log.
    fn timeline(&self) -> String {
        let ca = fs::read(self.path("ca.pem")).expect("written by the sandbox");
        let log = format!("{}/sandbox/requests", self.origin.trim_end_matches('/'));
        let log: Value = runtime_get(&self.origin, &ca, &log);
        let all =
            log["requests"].as_array().or_else(|| log.as_array()).cloned().unwrap_or_default();
        // The last start begins with its catalog or region request.
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

fn client(origin: &str, ca: &[u8], token: &str) -> webex_sdk::core::Webex {
    let transport =
        Transport::builder().extra_roots_pem(ca).and_then(webex_sdk::core::TransportBuilder::build);
    webex_sdk::core::Webex::builder()
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
