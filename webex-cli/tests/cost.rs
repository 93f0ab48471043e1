//! Limits on the cost of one answer: `webex register` against services that send too much.

#![cfg(target_os = "linux")] // where the kernel tells what a process has cost

mod support;

use std::time::{Duration, Instant};

use support::{ca_file, register};
use tempfile::TempDir;
use webex_sandbox::{FaultHandle, Fill, Hydra, Mobius, Operation, Region, Sandbox, U2c, Wdm};
use webex_tests::process::Cost;

/// Limit of memory, whatever an answer holds.
const PEAK_KIB: u64 = 64 * 1024;

/// Limit of processor time, in a build without optimisation.
const PROCESSOR: Duration = Duration::from_secs(3);

/// How long a program may take until it gets the oversized answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `webex register` until it has received and handled the faulty answer.
async fn cost(sandbox: &Sandbox, ca: &str, fault: &FaultHandle) -> Cost {
    let webex = register(sandbox, ca, &[]);
    let started = Instant::now();
    let mut met = None;
    let mut last = None;
    while let Some(cost) = webex.cost() {
        last = Some(cost);
        if met.is_none() && fault.fired() > 0 {
            met = Some(Instant::now());
        }
        // The answer is then read or refused within seconds.
        if met.is_some_and(|met| met.elapsed() > Duration::from_secs(3)) {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "it does not come to it");
        // A sample, not a wait.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    last.expect("it ran")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_answer_costs_much_memory_or_time() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let operations: [(Operation, Option<&str>); 6] = [
        (U2c::postauth(), Some("/serviceLinks")),
        (Wdm::register(), Some("/features/developer")),
        (Hydra::me(), None),
        (Region::lookup(), None),
        (Mobius::discovery(), Some("/primary/uris")),
        (Mobius::register(), Some("/device/addresses")),
    ];
    let mut worst = Cost { peak_kib: 0, processor: Duration::ZERO };
    for (operation, list) in operations {
        let fault = || sandbox.fail(operation);
        let kinds: [(&str, &dyn Fn() -> FaultHandle); 5] = [
            ("endless", &|| fault().fill(Fill::Endless).always()),
            ("wide", &|| fault().fill(Fill::WideMib(16)).always()),
            ("deep", &|| fault().fill(Fill::Deep(1_000_000)).always()),
            ("an endless error", &|| {
                fault().with(503).body(serde_json::json!({})).fill(Fill::Endless).always()
            }),
            ("60,000 entries", &|| fault().entries(list.unwrap_or_default(), 60_000).always()),
        ];
        for (kind, fault) in kinds.iter().take(if list.is_some() { 5 } else { 4 }) {
            let fault = fault();
            let cost = cost(&sandbox, &ca, &fault).await;
            fault.clear();
            let what = format!("{operation:?}, {kind}: {cost:?}");
            assert!(cost.peak_kib < PEAK_KIB, "{what}");
            assert!(cost.processor < PROCESSOR, "{what}");
            worst.peak_kib = worst.peak_kib.max(cost.peak_kib);
            worst.processor = worst.processor.max(cost.processor);
            println!("{what}");
        }
    }
    println!("worst: {worst:?}");
}
