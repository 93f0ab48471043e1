//! What a store is: named secrets, and a lock for each name.

use std::{fmt, sync::Arc};

use secrecy::SecretString;

use crate::{http::BoxFuture, store::error::StoreError};

/// A place for named secrets.
///
/// A name is one to 100 ASCII letters, digits or `.`, `_`, `-`, `@`, `+`, and begins with a letter
/// or digit. Names that differ, be it in case only, are different values. What the SDK keeps for a user
/// has several such parts with `:` between them; a name that a program gives has one.
pub trait Store: fmt::Debug + Send + Sync {
    /// Gives the value of `name`, or `None` when there is none.
    fn load<'a>(&'a self, name: &'a str)
    -> BoxFuture<'a, Result<Option<SecretString>, StoreError>>;

    /// Sets the value of `name`. A reader, also after a crash, sees the old value or the new one.
    fn save<'a>(
        &'a self,
        name: &'a str,
        value: SecretString,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Forgets `name`. It is no error when there is no value.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Waits for the lock of `name` and takes it. Loading and saving do not need it; renewing does.
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

    /// Gives the lock back and returns when others can take it. Default: by being dropped.
    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        drop(self);
        Box::pin(std::future::ready(()))
    }
}

impl StoreLock {
    /// Wraps what holds the lock; dropping it must release it.
    pub fn new(held: impl HeldLock + 'static) -> Self {
        Self(Box::new(held))
    }

    /// Whether the lock is still held.
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// Gives the lock back and returns when others can take it.
    pub async fn release(self) {
        self.0.release().await;
    }
}

impl fmt::Debug for StoreLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLock").field("held", &self.is_held()).finish()
    }
}
