//! Measurements of the operating system about this process, and of the machine's own speed.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Resident memory of this process, in KiB.
pub(crate) fn resident_kib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a figure");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Processor time of this process so far, all threads, in seconds.
pub(crate) fn processor_seconds() -> f64 {
    // One file per thread, in nanoseconds; /proc/self/stat counts in hundredths of a second.
    let threads = fs::read_dir("/proc/self/task").expect("Linux");
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .sum::<f64>()
        / 1e9
}

/// A thread that sleeps for a millisecond at a time, and records the latest wake-up.
pub(crate) struct Probe {
    worst_us: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Probe {
    pub(crate) fn start() -> Self {
        let (worst_us, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (worst, over) = (Arc::clone(&worst_us), Arc::clone(&over));
            move || {
                let nap = Duration::from_millis(1);
                while !over.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    thread::sleep(nap);
                    let late = started.elapsed().saturating_sub(nap).as_micros() as u64;
                    worst.fetch_max(late, Ordering::Relaxed);
                }
            }
        });
        Self { worst_us, over, thread: Some(thread) }
    }

    /// The worst stall since the last call, in milliseconds.
    pub(crate) fn worst_ms(&self) -> f64 {
        self.worst_us.swap(0, Ordering::Relaxed) as f64 / 1000.0
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
