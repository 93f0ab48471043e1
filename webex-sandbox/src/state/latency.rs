//! Delays added to answers and connections.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Added delays, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Latency {
    request: AtomicU64,
    connection: AtomicU64,
}

impl Latency {
    pub(crate) fn new(request: Duration, connection: Duration) -> Self {
        let latency = Self { request: AtomicU64::new(0), connection: AtomicU64::new(0) };
        latency.set_request(request);
        latency.set_connection(connection);
        latency
    }

    pub(crate) fn request(&self) -> Duration {
        Duration::from_nanos(self.request.load(Ordering::Acquire))
    }

    pub(crate) fn connection(&self) -> Duration {
        Duration::from_nanos(self.connection.load(Ordering::Acquire))
    }

    pub(crate) fn set_request(&self, delay: Duration) {
        self.request.store(nanos(delay), Ordering::Release);
    }

    pub(crate) fn set_connection(&self, delay: Duration) {
        self.connection.store(nanos(delay), Ordering::Release);
    }
}

fn nanos(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)
}
