//! `cargo xtask bench warm`: from the start of the process to the Meetings device registered, when an
//! earlier run has left its device and its catalog behind.
//!
//! The sandbox runs in a process of its own; every run is a fresh `webex register` over the same state
//! directory, and ends as by a crash, so that nothing is given up. Fails when a median takes more than
//! two sequential request times and what a start itself may take.

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{path::Path, process::ExitCode, thread, time::Duration, time::Instant};

use common::{Cloud, median, option, probe_stall, spread};
use support::webex;
use webex_tests::process::Process;

/// Restarts per latency.
const RUNS: usize = 30;

/// What is added to each answer, in milliseconds.
const LATENCIES_MS: [u32; 3] = [0, 20, 100];

/// Sequential requests of a restart: the socket's upgrade, and its authorization.
const REQUESTS: u32 = 2;

/// What everything but waiting for answers may take: as much as in a cold start.
const OWN_MS: u32 = 20;

/// What an earlier run leaves in its directory.
const LEFT: [&str; 2] = ["webex.device.secret", "webex.catalog.secret"];

fn main() -> ExitCode {
    let runs = option("--runs").unwrap_or(RUNS);
    println!("warm restart: process start to meetings registered, {runs} runs each");
    println!(
        "{:>10} {:>28} {:>28} {:>17} {:>13}",
        "latency",
        "meetings, ms: min/median/max",
        "in process: min/median/max",
        "probe requests",
        "probe stall"
    );
    let (mut timeline, mut all_met) = (None, true);
    for latency in LATENCIES_MS {
        let cloud = Cloud::start(latency);
        leave_state(&cloud);
        let (mut outside, mut inside) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let (wall, own) = restart(&cloud);
            outside.push(wall);
            inside.push(own);
        }
        timeline.get_or_insert_with(|| cloud.timeline());
        let (requests, stall) = (cloud.probe_requests(), probe_stall());
        let target = f64::from(REQUESTS * latency + OWN_MS);
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
    println!("\nrequests of one restart without latency (ms since the first):");
    print!("{}", timeline.unwrap_or_default());
    if all_met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Registers for the first time, and ends once everything is kept.
fn leave_state(cloud: &Cloud) {
    let mut webex = start(cloud);
    webex.wait_for_event("meetings:registered");
    let deadline = Instant::now() + webex_tests::process::PATIENCE;
    let folder = cloud.path("state");
    while !LEFT.iter().all(|name| Path::new(&folder).join(name).exists()) {
        assert!(Instant::now() < deadline, "nothing is kept in {folder}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// One restart: milliseconds as seen from outside, and as the process counts them.
fn restart(cloud: &Cloud) -> (f64, f64) {
    let started = Instant::now();
    let mut webex = start(cloud);
    let meetings = webex.wait_for_event("meetings:registered");
    let outside = started.elapsed();
    (outside.as_secs_f64() * 1000.0, meetings["t_ms"].as_f64().expect("a number"))
    // Dropping the process kills it.
}

fn start(cloud: &Cloud) -> Process {
    let [ca, token, state] = ["ca.pem", "token", "state"].map(|name| cloud.path(name));
    let place = ["--cloud", &cloud.origin, "--ca", &ca, "--token-file", &token];
    let what = ["register", "--meetings", "--json", "--state-dir", &state];
    webex(what.into_iter().chain(place), None)
}
