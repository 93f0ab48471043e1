//! The hosts that the last start used. They are dialled ahead ([`ahead`](super::ahead)), like those
//! of the expected services when the catalog arrives.
//!
//! With a state store the origins in use are saved (never paths, never anything about the user),
//! and dialled first thing at the next start.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    ahead,
    timings::{REMEMBERED, USE_EXACT_TO},
};
use crate::saved::SavedState;

/// Key of the hosts in the saved state.
const SAVED: &str = "hosts";

/// Limit of saved hosts; a start needs about eight.
const MOST: usize = 16;

/// The hosts that one user's start needs.
#[derive(Debug)]
pub(crate) struct StartHosts {
    saved: SavedState,
    /// The cloud they belong to.
    environment: String,
    begun: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    hosts: Vec<Host>,
    loaded: bool,
    /// Whether there is something to save, and whether a task is saving it.
    changed: bool,
    saving: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Host {
    origin: String,
    /// When it was last used: seconds since 1970.
    used: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    environment: String,
    hosts: Vec<Host>,
}

impl StartHosts {
    pub(crate) fn new(saved: SavedState, environment: &Url) -> Self {
        let environment = environment.to_string();
        Self { saved, environment, begun: AtomicBool::new(false), known: Mutex::default() }
    }

    /// Whether this is the first call and there is a store.
    pub(super) fn begin(&self) -> bool {
        self.saved.is_kept() && !self.begun.swap(true, Ordering::AcqRel)
    }

    /// The origins of earlier starts.
    pub(super) async fn remembered(&self) -> Vec<Url> {
        let saved = self.saved.load::<Saved>(SAVED).await;
        let saved = saved.filter(|saved| saved.environment == self.environment);
        let mut known = self.known.lock();
        known.loaded = true;
        let since = epoch_s().saturating_sub(REMEMBERED.as_secs());
        let fresh =
            saved.into_iter().flat_map(|saved| saved.hosts).filter(|host| host.used > since);
        for host in fresh {
            known.add(host);
        }
        known.hosts.iter().filter_map(|host| host.origin.parse().ok()).collect()
    }

    /// Records that a host has answered. Returns true when [`save`](Self::save) should be called.
    #[must_use]
    pub(super) fn note(&self, url: &Url) -> bool {
        if !self.saved.is_kept() || !matches!(url.scheme(), "https" | "wss") {
            return false;
        }
        let (origin, used) = (ahead::origin(url), epoch_s());
        let mut known = self.known.lock();
        let exact = |host: &Host| used.saturating_sub(host.used) < USE_EXACT_TO.as_secs();
        if known.hosts.iter().any(|host| host.origin == origin && exact(host)) {
            return false;
        }
        known.add(Host { origin: origin.to_owned(), used });
        known.changed = true;
        !std::mem::replace(&mut known.saving, true)
    }

    /// Saves the list, until it stops changing.
    pub(super) async fn save(&self) {
        if !self.known.lock().loaded {
            self.remembered().await;
        }
        loop {
            let hosts = self.known.lock().take_changed();
            let Some(hosts) = hosts else { break };
            let saved = Saved { environment: self.environment.clone(), hosts };
            self.saved.save(SAVED, &saved).await;
        }
    }
}

impl Known {
    /// Adds a host, or updates its last use. The least recently used one is dropped when the list is full.
    fn add(&mut self, host: Host) {
        if let Some(known) = self.hosts.iter_mut().find(|known| known.origin == host.origin) {
            known.used = known.used.max(host.used);
            return;
        }
        self.hosts.push(host);
        if self.hosts.len() > MOST {
            let oldest = self.hosts.iter().enumerate().min_by_key(|(_, host)| host.used);
            if let Some((index, _)) = oldest {
                self.hosts.remove(index);
            }
        }
    }

    /// The list to save; `None` when nothing has changed.
    fn take_changed(&mut self) -> Option<Vec<Host>> {
        self.saving = std::mem::take(&mut self.changed);
        self.saving.then(|| self.hosts.clone())
    }
}

fn epoch_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use webex_auth::{MemoryStore, Store};

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn store() -> Arc<dyn Store> {
        Arc::new(MemoryStore::default())
    }

    fn hosts(store: &Arc<dyn Store>, environment: &str) -> StartHosts {
        StartHosts::new(SavedState::new(Arc::clone(store), "ann"), &url(environment))
    }

    #[tokio::test]
    async fn used_hosts_are_remembered_by_origin_and_cloud() {
        let store = store();
        let first = hosts(&store, "https://u2c.example/u2c");
        assert!(first.begin() && !first.begin());
        assert!(first.note(&url("https://wdm.example/wdm/api?secret=x")));
        assert!(!first.note(&url("https://wdm.example/other")), "known");
        assert!(!first.note(&url("wss://mercury.example:8443/v1")), "the task under way saves it");
        for plain in ["http://wdm.example", "ws://mercury.example"] {
            assert!(!first.note(&url(plain)), "{plain}");
        }
        first.save().await;
        let again = hosts(&store, "https://u2c.example/u2c").remembered().await;
        assert_eq!(again, [url("https://wdm.example"), url("wss://mercury.example:8443")]);
        assert!(hosts(&store, "https://other.example/u2c").remembered().await.is_empty());
        let text = store.load("ann:hosts").await.unwrap().unwrap();
        assert!(!secrecy::ExposeSecret::expose_secret(&text).contains("secret"));
    }

    #[tokio::test]
    async fn old_hosts_are_dropped_and_the_list_stays_short() {
        let store = store();
        let saved = SavedState::new(Arc::clone(&store), "ann");
        let host = |origin: &str, age: Duration| Host {
            origin: origin.to_owned(),
            used: epoch_s() - age.as_secs(),
        };
        let environment = "https://u2c.example/".to_owned();
        let day = Duration::from_secs(24 * 60 * 60);
        let kept =
            vec![host("https://new.example", day * 29), host("https://old.example", day * 31)];
        saved.save(SAVED, &Saved { environment: environment.clone(), hosts: kept }).await;
        let hosts = hosts(&store, &environment);
        assert_eq!(hosts.remembered().await, [url("https://new.example")]);
        for n in 0..MOST {
            let _ = hosts.note(&url(&format!("https://h{n}.example")));
        }
        let known = hosts.known.lock();
        assert_eq!(known.hosts.len(), MOST);
        assert!(known.hosts.iter().all(|host| host.origin != "https://new.example"));
    }

    #[tokio::test]
    async fn a_use_before_the_list_is_read_does_not_lose_it() {
        let store = store();
        let first = hosts(&store, "https://u2c.example");
        assert!(first.note(&url("https://a.example")));
        first.save().await;
        let second = hosts(&store, "https://u2c.example");
        assert!(second.note(&url("https://b.example")));
        second.save().await;
        assert_eq!(hosts(&store, "https://u2c.example").remembered().await.len(), 2);
    }

    #[test]
    fn without_a_store_nothing_is_done() {
        let hosts = StartHosts::new(SavedState::default(), &url("https://u2c.example"));
        assert!(!hosts.begin() && !hosts.note(&url("https://a.example")));
    }
}
