//! The failover state of one line in the application's store: one read, and writes in order.

use std::{
    future::{Future, pending},
    pin::Pin,
    time::{Duration, SystemTime},
};

use webex_core::SavedState;

use crate::registration::{Failover, saved::SavedFailover};

/// Where the failover state of a line is kept. Without a store, nowhere.
pub(crate) struct Kept {
    state: SavedState,
    key: String,
    /// The access under way.
    running: Option<Pin<Box<dyn Future<Output = Found> + Send>>>,
    /// What is to be written next; an earlier one that has not been written is out of date.
    next: Option<Write>,
    loaded: bool,
}

/// A change of what is kept.
enum Write {
    Keep(SavedFailover),
    Forget,
}

/// What an access brought.
enum Found {
    /// It was a write.
    Written,
    /// What was kept.
    Read(Option<SavedFailover>),
}

impl Kept {
    /// For the user's n-th line.
    pub(crate) fn new(state: &SavedState, line: usize) -> Self {
        let key = format!("line-{line}-failover");
        Self { state: state.clone(), key, running: None, next: None, loaded: false }
    }

    /// Begins to read what is kept, if anything can be; only the first time.
    pub(crate) fn load(&mut self) -> bool {
        if self.loaded || !self.state.is_kept() {
            return false;
        }
        self.loaded = true;
        let (state, key) = (self.state.clone(), self.key.clone());
        self.running = Some(Box::pin(async move { Found::Read(state.load(&key).await) }));
        true
    }

    /// Keeps the state, or forgets it.
    pub(crate) fn write(&mut self, failover: Option<Failover>) {
        if self.state.is_kept() {
            self.next = Some(failover.map_or(Write::Forget, |failover| {
                Write::Keep(SavedFailover::new(failover, SystemTime::now()))
            }));
            self.go_on();
        }
    }

    /// Whether an access is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// What was kept, and how old it is, once it has been read; writes in the background.
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<(Failover, Duration)> {
        loop {
            let Some(running) = &mut self.running else { return pending().await };
            let found = running.await;
            self.running = None;
            self.go_on();
            if let Found::Read(found) = found {
                return found.map(|saved| saved.read(SystemTime::now()));
            }
        }
    }

    fn go_on(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(next) = self.next.take() else { return };
        let (state, key) = (self.state.clone(), self.key.clone());
        self.running = Some(Box::pin(async move {
            match next {
                Write::Keep(saved) => state.save(&key, &saved).await,
                Write::Forget => state.forget(&key).await,
            }
            Found::Written
        }));
    }
}
