//! `webex register` on a network that goes away and comes back, and on a machine that sleeps.
//!
//! These tests take a minute and some seconds of real time: they show the whole program with its
//! timers. The rules themselves are tested on virtual time in webex-core.

mod support;

use std::time::{Duration, Instant};

use support::{ca_file, register, webex};
use tempfile::TempDir;
use webex_sandbox::Sandbox;
use webex_tests::{
    cut::Cuttable,
    process::{Process, event},
};

/// How long the network is down.
const CUT: Duration = Duration::from_secs(60);

/// Time limit for recovery after the network's return.
const BACK: Duration = Duration::from_secs(5);

/// Waits for the next event of that name.
fn next(webex: &mut Process, name: &str, patience: Duration) {
    let is = |line: &str| event(line).is_some_and(|event| event["event"] == name);
    webex.wait_for_next(name, patience, is);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_network_that_was_away_for_a_minute_is_used_within_five_seconds_of_its_return() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let network = Cuttable::start(sandbox.origin().socket_addrs(|| None).unwrap()[0]);
    // The sandbox's URLs have the origin of the request, so everything goes through the relay.
    let cloud = format!("https://{}", network.address());
    let arguments = ["register", "--json", "--meetings", "--cloud", &cloud, "--ca", &ca];
    let mut webex = webex(arguments, Some(sandbox.token()));
    webex.wait_for_event("meetings:registered");

    let started = Instant::now();
    network.cut();
    next(&mut webex, "network:disconnected", CUT);
    tokio::time::sleep(CUT.saturating_sub(started.elapsed())).await;
    network.mend();
    let mended = Instant::now();
    next(&mut webex, "network:connected", BACK);
    assert!(mended.elapsed() < BACK, "{:?}", mended.elapsed());

    webex.signal("INT");
    let ended = webex.end();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    sandbox.wait_for(|s| s.counts().devices == 0 && s.counts().sockets == 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_program_that_was_stopped_notices_and_checks_its_connection() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let mut webex = register(&sandbox, &ca, &["--meetings", "--log", "webex_core=info"]);
    webex.wait_for_event("meetings:registered");
    webex.signal("STOP");
    // A little more than twice the interval in which it compares its clocks.
    tokio::time::sleep(
        2 * webex_sdk::core::link::timings::SLEEP_CHECK_INTERVAL + Duration::from_secs(2),
    )
    .await;
    let before = sandbox.sockets()[0].pings;
    webex.signal("CONT");
    sandbox.wait_for(|s| s.sockets()[0].pings > before).await.unwrap();
    webex.signal("INT");
    let ended = webex.end();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("the machine has slept"), "{}", ended.stderr);
}
