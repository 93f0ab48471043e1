//! Thousands of lines, each with a world of its own that goes wrong in its own way.
//!
//! [`world`] is a set of Mobius servers in memory: they hold registrations and let them expire, they
//! refuse, hang, die, want to be left alone, forget, are full, take a user's second registration or
//! do not. Its transport is the second implementation of
//! [`MobiusTransport`](crate::mobius::MobiusTransport): one with connections that have to be made
//! before a registration, as Mobius' own websocket has. [`rules`] watches what the line does, and
//! [`run`] drives one line, by the very code that drives it in a program, on a clock of its own.
//!
//! A seed tells everything. One that fails prints one line:
//!
//! ```text
//! WEBEX_SIM_SEED=1234 cargo test -p webex-calling simulation: at 812.3 s: two keepalives at once
//! ```
//!
//! With that variable the test runs this seed alone, and shows what happened. `WEBEX_SIM_SEEDS` is a
//! number of seeds other than [`SEEDS`].

// A subtraction below zero is a test that fails, which is what tests are for.
#![allow(clippy::unchecked_time_subtraction)]

mod rules;
mod run;
mod world;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// How many seeds are run.
const SEEDS: u64 = 10_000;

#[test]
fn simulation() {
    if let Ok(seed) = std::env::var("WEBEX_SIM_SEED") {
        let seed = seed.parse().expect("WEBEX_SIM_SEED is a number");
        let outcome = run::run(seed, true);
        assert!(outcome.is_ok(), "{}", report(seed, &outcome.err().unwrap_or_default()));
        return;
    }
    let seeds = std::env::var("WEBEX_SIM_SEEDS")
        .map_or(SEEDS, |seeds| seeds.parse().expect("WEBEX_SIM_SEEDS is a number"));
    let (next, counted) = (AtomicU64::new(0), run::Counts::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return None;
            }
            match run::run(seed, false) {
                Ok(counts) => counted.add(&counts),
                Err(what) => return Some((seed, what)),
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failed = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| worker.join().expect("no panic inside"));
        ended.flatten().min()
    });
    assert!(failed.is_none(), "{}", failed.map(|(seed, what)| report(seed, &what)).unwrap());
    // What was to be tried has been tried, and not just once.
    counted.assert_all_happened(seeds);
}

fn report(seed: u64, what: &str) -> String {
    format!("WEBEX_SIM_SEED={seed} cargo test -p webex-calling simulation: {what}")
}
