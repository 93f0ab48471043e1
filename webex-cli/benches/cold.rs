//! `cargo xtask bench cold`: from the start of the process to both registered.
//!
//! The sandbox runs in a process of its own; every run is a fresh `webex register`. Beside each
//! figure stands what the machine itself could do at that moment: how late a thread wakes that only
//! sleeps, and how long one TLS handshake with six small requests takes.

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use common::{Cloud, median, option, probe_stall, spread};
use serde_json::Value;
use support::webex;

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
        register(&cloud); // warms the page cache, not the client: each run is a process of its own
        for _ in 0..runs {
            let (wall, own) = register(&cloud);
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

/// One cold start: milliseconds as seen from outside, and as the process counts them.
fn register(cloud: &Cloud) -> (f64, f64) {
    let (ca, token) = (cloud.path("ca.pem"), cloud.path("token"));
    let started = Instant::now();
    let mut webex = webex(
        ["register", "--json", "--cloud", &cloud.origin, "--ca", &ca, "--token-file", &token],
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
