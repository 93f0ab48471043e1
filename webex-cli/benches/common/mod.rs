//! Shared by the benches of the command: a sandbox in a process of its own, probes of the machine's
//! own speed, and the timing of a start.

use std::{
    env,
    fmt::Write,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use webex_sdk::core::{Auth, Request};

use crate::support::Cloud;

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
            let added = latency.to_string();
            let folder = TempDir::new().expect("a scratch folder");
            let cloud = Cloud::start(folder, &["--latency", &added]);
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

/// What the benches ask of a sandbox in another process.
impl Cloud {
    /// One TLS handshake and six small requests, in milliseconds: the best of five.
    fn probe_requests(&self) -> f64 {
        let runtime = runtime();
        let once = || {
            runtime.block_on(async {
                let started = Instant::now();
                let webex = self.client("probe");
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
        let log = runtime().block_on(self.control("/sandbox/requests"));
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

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
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
