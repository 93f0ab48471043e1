//! Limits on the cost of one answer: `webex register` against services that send too much.

#![cfg(target_os = "linux")] // where the kernel tells what a process has cost

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::{ca_file, register, webex};
use tempfile::TempDir;
use webex_sandbox::{
    FaultHandle, Fill, Hydra, Mobius, OAuth, Operation, Region, Sandbox, U2c, Wdm,
};
use webex_tests::process::{Cost, Process};

/// Limit of memory, whatever an answer holds.
const PEAK_KIB: u64 = 64 * 1024;

/// Limit of processor time, in a build without optimisation.
const PROCESSOR: Duration = Duration::from_secs(3);

/// How long a program may take until it gets the oversized answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ways in which an answer is oversized.
const KINDS: [&str; 5] = ["endless", "wide", "deep", "an endless error", "60,000 entries"];

/// Makes the answers to an operation oversized. `list` is where entries are, for the last kind.
fn fault(sandbox: &Sandbox, operation: Operation, kind: &str, list: &str) -> FaultHandle {
    let fault = sandbox.fail(operation);
    match kind {
        "endless" => fault.fill(Fill::Endless),
        "wide" => fault.fill(Fill::WideMib(16)),
        "deep" => fault.fill(Fill::Deep(1_000_000)),
        "an endless error" => fault.with(503).body(json!({})).fill(Fill::Endless),
        _ => fault.entries(list, 60_000),
    }
    .always()
}

/// Runs the program until it has received and handled the oversized answer.
async fn cost(webex: &Process, has_met: impl Fn() -> bool) -> Cost {
    let started = Instant::now();
    let mut met = None;
    let mut last = None;
    while let Some(cost) = webex.cost() {
        last = Some(cost);
        if met.is_none() && has_met() {
            met = Some(Instant::now());
        }
        // The answer is then read or refused within seconds.
        if met.is_some_and(|met| met.elapsed() > Duration::from_secs(3)) {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "it does not get the answer");
        // A sample, not a wait.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(has_met(), "it ended before it got the answer");
    last.expect("it ran")
}

fn check(what: &str, cost: Cost) {
    println!("{what}: {cost:?}");
    assert!(cost.peak_kib < PEAK_KIB, "{what}: {cost:?}");
    assert!(cost.processor < PROCESSOR, "{what}: {cost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_answer_costs_much_memory_or_time() {
    let sandbox = Sandbox::builder().keepalive_interval(Duration::from_secs(1)).start();
    let sandbox = sandbox.await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let operations: [(Operation, Option<&str>); 8] = [
        (U2c::postauth(), Some("/serviceLinks")),
        (Wdm::register(), Some("/features/developer")),
        (Hydra::me(), None),
        (Region::lookup(), None),
        (Mobius::discovery(), Some("/primary/uris")),
        (Mobius::register(), Some("/device/addresses")),
        (Mobius::status(), None),
        (Wdm::unregister(), None),
    ];
    for (operation, list) in operations {
        for kind in &KINDS[..if list.is_some() { 5 } else { 4 }] {
            let fault = fault(&sandbox, operation, kind, list.unwrap_or_default());
            let mut webex = register(&sandbox, &ca, &[]);
            if operation == Wdm::unregister() {
                webex.wait_for_event("registered");
                webex.signal("INT");
            }
            let cost = cost(&webex, || fault.fired() > 0).await;
            fault.clear();
            check(&format!("{operation:?}, {kind}"), cost);
        }
    }
}

/// The token endpoint: the stored token is refused, and the answer to its renewal is oversized.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_token_answer_costs_much_memory_or_time() {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store").to_str().unwrap().to_owned();
    for kind in &KINDS[..4] {
        let cloud = sandbox.origin().as_str();
        let ended = webex(["login", "--cloud", cloud, "--store", &store], None).end();
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
        let ended = webex(["token", "--store", &store], None).end();
        assert!(sandbox.revoke_token(ended.stdout.last().unwrap()), "{ended:?}");

        let fault = fault(&sandbox, OAuth::token(), kind, "");
        let webex = webex(["register", "--json", "--store", &store], None);
        let cost = cost(&webex, || fault.fired() > 0).await;
        fault.clear();
        check(&format!("the token, {kind}"), cost);
    }
}

/// The event socket: one frame is oversized. It is acknowledged, or the socket is opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_frame_costs_much_memory_or_time() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let frame = |data: &str, headers: &str| {
        format!(r#"{{"id":"f","data":{{"eventType":"board.x","it":{data}}},"headers":{headers}}}"#)
    };
    let entries: Vec<_> = (0..60_000).map(|number| format!(r#""k{number}":"{number}""#)).collect();
    let entries = format!("{{{}}}", entries.join(","));
    let wide = format!("[{}0]", r#"{"":0},"#.repeat(500_000));
    let deep = 1_000_000;
    let frames = [
        ("beyond the limit", "x".repeat(16 * 1024 * 1024)),
        ("wide", frame(&wide, "{}")),
        ("deep", frame(&format!("{}{}", "[".repeat(deep), "]".repeat(deep)), "{}")),
        ("60,000 entries", frame(&entries, "{}")),
        ("60,000 headers", frame("0", &entries)),
    ];
    for (kind, text) in frames {
        let mut webex = register(&sandbox, &ca, &["--meetings"]);
        webex.wait_for_event("meetings:registered");
        let [socket] = &sandbox.sockets()[..] else { panic!("{:?}", sandbox.sockets()) };
        let first = socket.id;
        assert!(sandbox.inject_frame(first, text));
        // This one is acknowledged after it.
        let user = sandbox.user().id.clone();
        sandbox.push_event(user, &json!({ "eventType": "board.after" }));
        let read_or_closed = || {
            let sockets = sandbox.sockets();
            let first = sockets.iter().find(|socket| socket.id == first);
            first.is_none_or(|socket| socket.unacknowledged.is_empty())
        };
        let cost = cost(&webex, read_or_closed).await;
        check(&format!("a frame, {kind}"), cost);
        webex.signal("KILL");
        sandbox.wait_for(|s| s.counts().sockets == 0).await.unwrap();
    }
}
