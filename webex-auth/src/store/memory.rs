//! A store for one process.

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::{
    http::BoxFuture,
    store::{
        error::StoreError,
        interface::{HeldLock, Store, StoreLock},
        name::check_name,
    },
};

/// Keeps values in memory. Clones share them, so that it can be passed to several users of a test
/// or program.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Inner>);

#[derive(Default)]
struct Inner {
    values: Mutex<HashMap<String, SecretString>>,
    locks: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn load<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<SecretString>, StoreError>> {
        Box::pin(async move {
            check_name(name)?;
            Ok(self.0.values.lock().get(name).cloned())
        })
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        value: SecretString,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_name(name)?;
            self.0.values.lock().insert(name.to_owned(), value);
            Ok(())
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_name(name)?;
            self.0.values.lock().remove(name);
            Ok(())
        })
    }

    fn lock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<StoreLock, StoreError>> {
        Box::pin(async move {
            check_name(name)?;
            let lock = Arc::clone(self.0.locks.lock().entry(name.to_owned()).or_default());
            Ok(StoreLock::new(lock.lock_owned().await))
        })
    }
}

impl HeldLock for OwnedMutexGuard<()> {}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("values", &self.0.values.lock().len()).finish()
    }
}
