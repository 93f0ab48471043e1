//! Thousands of lines, each in its own faulty world.
//!
//! [`world`] is a set of Mobius servers in memory: they hold registrations and let them expire,
//! refuse, hang, die, ask for pauses, forget lines, are full, and accept a user's second
//! registration or not. Its transport is the second implementation of
//! [`MobiusTransport`](crate::mobius::MobiusTransport): one with connections that have to be opened
//! before a registration, as for Mobius' own websocket. [`rules`] checks what the line does, and
//! [`run`] drives one line, with the same code as in a program, on a virtual clock.
//!
//! A seed determines everything. A failing seed prints one line:
//!
//! ```text
//! WEBEX_SIM_SEED=1234 cargo test -p webex-calling simulation: at 812.3 s: two keepalives at once
//! ```
//!
//! With that variable the test runs this seed alone, and shows what happened. `WEBEX_SIM_SEEDS` is a
//! number of seeds other than [`SEEDS`].

// A subtraction below zero panics, which fails the test as it should.
#![allow(clippy::unchecked_time_subtraction)]

mod rules;
mod run;
mod world;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Number of seeds to run.
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
    // Every case has been tried, and not just once.
    counted.assert_all_happened(seeds);
}

fn report(seed: u64, what: &str) -> String {
    format!("WEBEX_SIM_SEED={seed} cargo test -p webex-calling simulation: {what}")
}
