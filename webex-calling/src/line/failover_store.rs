//! The failover state of one line in the application's store: one read, and writes in order.

use std::{
    future::{Future, pending},
    pin::Pin,
    time::{Duration, SystemTime},
};

use webex_core::SavedState;

use crate::registration::failover::{Failover, SavedFailover};

/// Saves the failover state of a line. Without a store it does nothing.
pub(crate) struct FailoverStore {
    state: SavedState,
    key: String,
    /// The access under way.
    running: Option<Pin<Box<dyn Future<Output = Access> + Send>>>,
    /// The next write. It replaces an earlier one that has not begun.
    next: Option<Write>,
    loaded: bool,
}

enum Write {
    Save(SavedFailover),
    Delete,
}

/// A finished access.
enum Access {
    Written,
    Read(Option<SavedFailover>),
}

impl FailoverStore {
    /// For the user's n-th line.
    pub(crate) fn new(state: &SavedState, line: usize) -> Self {
        let key = format!("line-{line}-failover");
        Self { state: state.clone(), key, running: None, next: None, loaded: false }
    }

    /// Begins to read the saved state, the first time and if there is a store. Returns whether it
    /// did.
    pub(crate) fn load(&mut self) -> bool {
        if self.loaded || !self.state.is_kept() {
            return false;
        }
        self.loaded = true;
        let (state, key) = (self.state.clone(), self.key.clone());
        self.running = Some(Box::pin(async move { Access::Read(state.load(&key).await) }));
        true
    }

    /// Saves the state; with `None` deletes it.
    pub(crate) fn write(&mut self, failover: Option<Failover>) {
        if self.state.is_kept() {
            self.next = Some(failover.map_or(Write::Delete, |failover| {
                Write::Save(SavedFailover::new(failover, SystemTime::now()))
            }));
            self.begin_write();
        }
    }

    /// Whether an access is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Waits for the saved state and its age, and writes in the meantime. Dropping the future loses
    /// nothing.
    pub(crate) async fn next(&mut self) -> Option<(Failover, Duration)> {
        loop {
            let Some(running) = &mut self.running else { return pending().await };
            let access = running.await;
            self.running = None;
            self.begin_write();
            if let Access::Read(saved) = access {
                return saved.map(|saved| saved.read(SystemTime::now()));
            }
        }
    }

    fn begin_write(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(next) = self.next.take() else { return };
        let (state, key) = (self.state.clone(), self.key.clone());
        self.running = Some(Box::pin(async move {
            match next {
                Write::Save(saved) => state.save(&key, &saved).await,
                Write::Delete => state.forget(&key).await,
            }
            Access::Written
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use webex_core::Store;

    use super::*;

    /// An earlier search is continued once; what this line saves later is not for itself.
    #[tokio::test]
    async fn the_saved_state_is_read_once() {
        let kept: Arc<dyn Store> = Arc::new(webex_auth::MemoryStore::default());
        let state = SavedState::new(kept, "ann");
        let failover = Failover { attempt: 2, elapsed: Duration::from_secs(40), backup: false };
        let saved = SavedFailover::new(failover, SystemTime::now());
        state.save("line-1-failover", &saved).await;
        let mut store = FailoverStore::new(&state, 1);
        assert!(store.load());
        assert_eq!(store.next().await.map(|(found, _)| found), Some(failover));
        assert!(!store.load(), "once");
        // Another line has its own, and without a store there is nothing to read.
        let mut other = FailoverStore::new(&state, 2);
        assert!(other.load());
        assert_eq!(other.next().await, None);
        assert!(!FailoverStore::new(&SavedState::default(), 1).load());
    }
}
