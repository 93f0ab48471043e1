//! `cargo xtask bench warm`: from the start of the process to the registered Meetings device, after
//! an earlier run has left its device and catalog behind.
//!
//! The sandbox runs in a process of its own. Every run is a fresh `webex register` over the same
//! state directory, and is killed, so that nothing is given up. Fails when a median takes more than
//! two sequential request times plus the time of the start itself.

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{path::Path, process::ExitCode, thread, time::Duration, time::Instant};

use common::Start;
use support::{Cloud, webex};
use webex_tests::process::Process;

/// Sequential requests of a restart: the socket's upgrade, and its authorization.
const REQUESTS: u32 = 2;

/// Limit for everything but waiting for answers: the same as in a cold start.
const OWN_MS: u32 = 20;

/// The files that an earlier run leaves in its directory.
const LEFT: [&str; 2] = ["webex=.device.secret", "webex=.catalog.secret"];

fn main() -> ExitCode {
    let warm = Start {
        title: "warm restart: process start to meetings registered",
        until: "meetings",
        target_ms: |latency| f64::from(REQUESTS * latency + OWN_MS),
        prepare: leave_state,
        run: restart,
    };
    warm.measure()
}

/// Registers for the first time, and ends once everything is saved.
fn leave_state(cloud: &Cloud) {
    let mut webex = start(cloud);
    webex.wait_for_event("meetings:registered");
    let deadline = Instant::now() + webex_tests::wait::PATIENCE;
    let folder = cloud.path("state");
    while !LEFT.iter().all(|name| Path::new(&folder).join(name).exists()) {
        assert!(Instant::now() < deadline, "nothing is kept in {folder}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// One restart: milliseconds measured from outside, and by the process itself.
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
