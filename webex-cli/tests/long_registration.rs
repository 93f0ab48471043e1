//! `webex register` over minutes of real time: servers that die, a process that is stopped, tokens
//! that expire. One test, so that its parts wait in parallel even on few processors; in a file of
//! its own, so that it can be excluded by name.

#![cfg(unix)]

mod support;

use std::{pin::Pin, thread, time::Duration};

use serde_json::Value;
use support::{ca_file, register, webex};
use tempfile::TempDir;
use webex_sandbox::{Mobius, MobiusInstance, MobiusPolicy, OAuth, OAuthPolicy, Sandbox, Wdm};
use webex_sdk::calling::timings::FAILOVER_AFTER;
use webex_tests::{
    process::{Process, event},
    user::assert_empty,
    wait::PATIENCE,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A part of the test.
type Scenario = Pin<Box<dyn Future<Output = ()>>>;

#[test]
fn minutes_of_real_time() {
    thread::scope(|scope| {
        // The name is shown when a part fails.
        let start = |name: &str, scenario: fn() -> Scenario| {
            let run = move || {
                let mut runtime = tokio::runtime::Builder::new_multi_thread();
                runtime.worker_threads(1).enable_all().build().unwrap().block_on(scenario());
            };
            thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, run).unwrap();
        };
        start("failover and failback", || Box::pin(a_line_fails_over_to_a_backup_and_back()));
        start("stopped", || Box::pin(a_stopped_process_sends_one_keepalive_afterwards()));
        start("short tokens", || Box::pin(tokens_of_twenty_seconds_keep_the_registration()));
    });
}

/// Waits for the line to be registered with an instance; returns the time of the event.
fn registered_with(webex: &mut Process, instance: &str, patience: Duration) -> Duration {
    let is_there = |event: &Value| {
        event["event"] == "registered"
            && event["server"].as_str().is_some_and(|url| url.contains(instance))
    };
    let line =
        webex.wait_for_next(instance, patience, |line| event(line).is_some_and(|e| is_there(&e)));
    Duration::from_secs_f64(event(&line).unwrap()["t_ms"].as_f64().unwrap() / 1000.0)
}

fn assert_nothing_left(sandbox: &Sandbox) {
    assert_empty(sandbox);
}

async fn a_line_fails_over_to_a_backup_and_back() {
    let instances = [MobiusInstance::primary("primary-1"), MobiusInstance::backup("backup-1")];
    let policy = MobiusPolicy {
        keepalive_interval: SECOND,
        rehoming_interval_min: 1,
        rehoming_interval_max: 1,
        ..MobiusPolicy::default()
    };
    let sandbox =
        Sandbox::builder().mobius_instances(instances).mobius_policy(policy).start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let mut webex = register(&sandbox, &ca, &["--calling"]);
    registered_with(&mut webex, "/primary-1/", PATIENCE);

    sandbox.down("primary-1");
    let lost = webex.wait_for_next("loss", PATIENCE, |line| {
        event(line).is_some_and(|event| event["event"] == "unregistered")
    });
    let lost = Duration::from_secs_f64(event(&lost).unwrap()["t_ms"].as_f64().unwrap() / 1000.0);
    // The primaries get their time first; then a backup takes the line.
    let moved = registered_with(&mut webex, "/backup-1/", FAILOVER_AFTER + PATIENCE);
    let took = moved.checked_sub(lost).unwrap();
    assert!(took >= Duration::from_secs(80) && took < FAILOVER_AFTER + 10 * SECOND, "{took:?}");
    assert_eq!(sandbox.lines().iter().filter(|line| line.instance == "backup-1").count(), 1);

    // The primary is up again: the line returns after the rehoming interval, and leaves nothing behind.
    sandbox.up("primary-1");
    let back = registered_with(&mut webex, "/primary-1/", MINUTE + PATIENCE);
    let took = back.checked_sub(moved).unwrap();
    assert!(took >= MINUTE && took < MINUTE + 10 * SECOND, "{took:?}");
    let only_there = |s: &Sandbox| matches!(&s.lines()[..], [line] if line.instance == "primary-1");
    sandbox.wait_for(only_there).await.unwrap();

    webex.signal("INT");
    let ended = webex.end();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_nothing_left(&sandbox);
}

async fn a_stopped_process_sends_one_keepalive_afterwards() {
    const INTERVAL: Duration = Duration::from_secs(10);
    const STOPPED: Duration = Duration::from_secs(90);
    let policy = MobiusPolicy {
        keepalive_interval: INTERVAL,
        // The server waits longer than the process is stopped.
        missed_keepalives: 12,
        ..MobiusPolicy::default()
    };
    let sandbox = Sandbox::builder().mobius_policy(policy).start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let mut webex = register(&sandbox, &ca, &["--calling"]);
    webex.wait_for_event("registered");
    let keepalives = |s: &Sandbox| s.requests().of(Mobius::status()).answered(200).count();
    let first = async {
        while keepalives(&sandbox) == 0 {
            let _ = sandbox.wait_for(|s| keepalives(s) > 0).await;
        }
    };
    tokio::time::timeout(PATIENCE, first).await.unwrap();

    // Stopped between two keepalives, once the answer to the first has been read. Real time is the
    // point of this test: the process has to be stopped for this long.
    thread::sleep(SECOND);
    webex.signal("STOP");
    let before = keepalives(&sandbox);
    thread::sleep(STOPPED);
    assert_eq!(keepalives(&sandbox), before, "it is not stopped");
    webex.signal("CONT");
    sandbox.wait_for(|s| keepalives(s) > before).await.unwrap();
    // Half an interval later: the eight missed keepalives are not repeated.
    thread::sleep(INTERVAL / 2);
    assert_eq!(keepalives(&sandbox), before + 1);
    // The regular keepalives go on.
    let going_on = async {
        while keepalives(&sandbox) < before + 3 {
            let _ = sandbox.wait_for(|s| keepalives(s) >= before + 3).await;
        }
    };
    tokio::time::timeout(3 * INTERVAL + PATIENCE, going_on).await.unwrap();

    assert_eq!(sandbox.requests().of(Mobius::register()).count(), 1, "it was never lost");
    webex.signal("INT");
    let ended = webex.end();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_eq!(ended.events("line"), ["connecting", "registered", "unregistered"]);
    assert_nothing_left(&sandbox);
}

async fn tokens_of_twenty_seconds_keep_the_registration() {
    const LIFETIME: Duration = Duration::from_secs(20);
    const STAY: Duration = Duration::from_secs(180);
    let oauth = OAuthPolicy { access_token_lifetime: LIFETIME, ..OAuthPolicy::default() };
    let interval = Duration::from_secs(5);
    let sandbox = Sandbox::builder()
        .plain(true)
        .oauth_policy(oauth)
        .keepalive_interval(interval)
        .start()
        .await
        .unwrap();
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store").to_str().unwrap().to_owned();
    let cloud = sandbox.origin().as_str();
    let login = webex(["login", "--cloud", cloud, "--store", &store], None).end();
    assert_eq!(login.code(), 0, "{}", login.stderr);

    let stay = STAY.as_secs().to_string();
    let mut webex = webex(["register", "--json", "--store", &store, "--for", &stay], None);
    webex.wait_for_event("registered");
    webex.wait_for_event("meetings:registered");
    webex.wait_for_next("the end", STAY + PATIENCE, |line| {
        event(line).is_some_and(|event| event["event"] == "meetings:unregistered")
    });
    let ended = webex.end();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);

    // Only the expected events: no loss, no error, no reconnection of line or socket.
    assert_eq!(ended.events("line"), ["connecting", "registered", "unregistered"]);
    let meetings = ended.events("meetings");
    assert_eq!(meetings, ["meetings:ready", "meetings:registered", "meetings:unregistered"]);
    for once in [Mobius::register(), Wdm::register()] {
        assert_eq!(sandbox.requests().of(once).count(), 1, "{once:?}");
    }
    let due = (STAY.as_secs() / interval.as_secs()) as usize;
    let kept = sandbox.requests().of(Mobius::status()).answered(200).count();
    assert!(kept >= due - 4, "{kept} keepalives of {due}");
    // The tokens did expire: each had to be renewed.
    let renewals = sandbox.requests().of(OAuth::token()).count();
    let lives = (STAY.as_secs() / LIFETIME.as_secs()) as usize;
    assert!(renewals >= lives - 1, "{renewals} renewals of {lives}");
    assert_nothing_left(&sandbox);
}
