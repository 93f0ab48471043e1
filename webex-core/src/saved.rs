//! The state that survives a restart: the device, the catalog, the hosts of services, the server of
//! a line.
//!
//! With a store ([`WebexBuilder::state_store`](crate::WebexBuilder::state_store)) each part of the
//! SDK saves one JSON value under its own key. The name in the store is the user's name and the
//! key, joined by a colon, which application names cannot contain. The saved state is optional: an
//! unreadable value counts as absent, and a failed write is logged and ignored.

use std::{fmt, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use tracing::warn;
use webex_auth::{Store, StoreError};

/// The saved state of one user. Clones share it. Without a store nothing is saved.
#[derive(Clone, Default)]
pub struct SavedState(Option<(Arc<dyn Store>, Arc<str>)>);

impl SavedState {
    /// Saves values in `store`, under names that begin with `name` and a colon.
    pub fn new(store: Arc<dyn Store>, name: &str) -> Self {
        Self(Some((store, name.into())))
    }

    /// Whether there is a store.
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Loads the value of `key`; `None` when it is missing, or not a `T`.
    pub async fn load<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let (store, name) = self.0.as_ref()?;
        let text = logged("read", key, store.load(&format!("{name}:{key}")).await)??;
        let value = serde_json::from_str(text.expose_secret());
        // The error would quote the value.
        value.inspect_err(|_| warn!(key, "saved state is not understood, and not used")).ok()
    }

    /// Saves `value` under `key`. Does nothing without a store.
    pub async fn save<T: Serialize>(&self, key: &str, value: &T) {
        let Some((store, name)) = &self.0 else { return };
        match serde_json::to_string(value) {
            Ok(text) => {
                let text = SecretString::from(text);
                logged("written", key, store.save(&format!("{name}:{key}"), text).await);
            }
            Err(error) => warn!(key, error = ?error.classify(), "state cannot be saved"),
        }
    }

    /// Removes the value of `key`.
    pub async fn forget(&self, key: &str) {
        let Some((store, name)) = &self.0 else { return };
        logged("removed", key, store.delete(&format!("{name}:{key}")).await);
    }
}

/// Shows no value: saved state may hold private data of the user.
impl fmt::Debug for SavedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SavedState").field(&self.0.as_ref().map(|(_, name)| name)).finish()
    }
}

fn logged<T>(what: &str, key: &str, outcome: Result<T, StoreError>) -> Option<T> {
    outcome.inspect_err(|error| warn!(key, %error, "saved state could not be {what}")).ok()
}

#[cfg(test)]
mod tests {
    use webex_auth::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn values_are_kept_by_user_and_key() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let ann = SavedState::new(Arc::clone(&store), "ann");
        ann.save("device", &7).await;
        assert_eq!(ann.load::<u8>("device").await, Some(7));
        assert_eq!(SavedState::new(Arc::clone(&store), "bob").load::<u8>("device").await, None);
        assert_eq!(ann.load::<String>("device").await, None, "not a text");
        ann.forget("device").await;
        assert_eq!(ann.load::<u8>("device").await, None);
    }

    #[tokio::test]
    async fn without_a_store_nothing_is_kept() {
        let none = SavedState::default();
        none.save("device", &7).await;
        assert!(!none.is_kept() && none.load::<u8>("device").await.is_none());
    }
}
