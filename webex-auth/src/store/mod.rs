//! Where secrets are kept between runs, and shared between processes.
//!
//! A [`Store`] keeps named texts: the tokens of a user, the address of a device. Stores that several
//! processes use also have a lock, so that of `n` processes only one renews a token.
//!
//! * [`MemoryStore`]: for one process, gone with it.
//! * [`DirectoryStore`]: files that only the user can read; shared by the processes of one machine.
//! * `KeyringStore` (feature `keyring`): the operating system's keyring.
//! * `RedisStore` (feature `redis`): shared by many machines.

mod directory;
#[cfg(feature = "keyring")]
mod keyring;
mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::{error::Error as StdError, fmt, path::PathBuf, sync::Arc};

use secrecy::SecretString;
use thiserror::Error;

use crate::http::BoxFuture;

#[cfg(feature = "keyring")]
pub use self::keyring::KeyringStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
pub use self::{directory::DirectoryStore, memory::MemoryStore};

/// A place for named secrets.
///
/// A name is one to 100 ASCII letters, digits or `.`, `_`, `-`, `@`, `+`, and begins with a letter
/// or digit.
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

/// What a [`StoreLock`] keeps alive, for those who write a [`Store`].
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

/// Why a store failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The name is not one.
    #[error("`{0}` is no name for a stored value: use letters, digits and . _ - @ +")]
    BadName(String),
    /// What is stored was damaged. It is left where it is.
    #[error("the stored value in {} is damaged: remove it and sign in again", .0.display())]
    Corrupt(PathBuf),
    /// What is stored is something else than expected.
    #[error("the stored value `{0}` is not of this program: remove it and sign in again")]
    Foreign(String),
    /// The store cannot be reached, or refuses.
    #[error("the store cannot be used: {0}")]
    Unavailable(#[source] Arc<dyn StdError + Send + Sync>),
    /// Another process holds the lock for too long.
    #[error("the lock of the store is held by another process for too long")]
    LockTimeout,
}

impl StoreError {
    /// The store cannot be reached, or refuses. The text of `source` must hold no secret.
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable(source.into().into())
    }
}

/// Checks a name; every store calls it, so that what works with one works with all.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= 100 && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(StoreError::BadName(name.chars().take(100).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_store() {
        for name in ["tokens", "a", "ada.b+c@example.com", &"x".repeat(100)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".hidden", "../up", "a/b", "a\\b", "a:b", "ä", "a b", &"x".repeat(101)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
