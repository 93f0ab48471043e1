//! The interface of a store: named secrets, and a lock for each name.

use std::{fmt, sync::Arc};

use secrecy::SecretString;

use crate::{http::BoxFuture, store::error::StoreError};

/// A place for named secrets.
///
/// A name is one to 100 ASCII letters, digits or `.`, `_`, `-`, `@`, `+`, and begins with a letter
/// or digit. Names that differ only in case are different. What the SDK saves for a user has names
/// of several such parts joined by `:`; a name given by a program has one part.
pub trait Store: fmt::Debug + Send + Sync {
    /// Returns the value of `name`, or `None` when there is none.
    fn load<'a>(&'a self, name: &'a str)
    -> BoxFuture<'a, Result<Option<SecretString>, StoreError>>;

    /// Sets the value of `name`. A reader sees the old value or the new one, even after a crash.
    fn save<'a>(
        &'a self,
        name: &'a str,
        value: SecretString,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Removes the value of `name`. A missing value is not an error.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Waits for the lock of `name` and takes it. Renewing needs it; loading and saving do not.
    fn lock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<StoreLock, StoreError>>;
}

impl<T: Store + ?Sized> Store for Arc<T> {
    fn load<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<SecretString>, StoreError>> {
        T::load(self, name)
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        value: SecretString,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        T::save(self, name, value)
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        T::delete(self, name)
    }

    fn lock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<StoreLock, StoreError>> {
        T::lock(self, name)
    }
}

/// A lock that is held until this value is dropped or [released](Self::release).
#[must_use = "dropping the lock releases it"]
pub struct StoreLock(Box<dyn HeldLock>);

/// The part of a [`StoreLock`] that an implementation of [`Store`] provides.
pub trait HeldLock: Send + Sync {
    /// Whether the lock is still held; a lease can be lost. Default: yes.
    fn is_held(&self) -> bool {
        true
    }

    /// Releases the lock and returns when others can take it. Default: by being dropped.
    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        drop(self);
        Box::pin(std::future::ready(()))
    }
}

impl StoreLock {
    /// Wraps a held lock; dropping it must release it.
    pub fn new(held: impl HeldLock + 'static) -> Self {
        Self(Box::new(held))
    }

    /// Whether the lock is still held.
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// Releases the lock and returns when others can take it.
    pub async fn release(self) {
        self.0.release().await;
    }
}

impl fmt::Debug for StoreLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLock").field("held", &self.is_held()).finish()
    }
}
