//! A store in the operating system's keyring.
//!
//! Keychain on macOS, Credential Manager on Windows, the Secret Service (GNOME Keyring, `KWallet`)
//! elsewhere. Keyrings have no locks, so another store provides the lock.

use std::{fmt, path::PathBuf, sync::Arc};

use keyring_core::{CredentialStore, Entry, Error};
use secrecy::{ExposeSecret, SecretString};
use tokio::task;

use crate::{
    http::BoxFuture,
    store::{
        directory::DirectoryStore,
        error::StoreError,
        interface::{Store, StoreLock},
        memory::MemoryStore,
        name::check_name,
    },
};

/// Keeps values in the keyring of the signed-in user.
///
/// The refresh lock works within this process only, unless [`lock_in`](Self::lock_in) sets a
/// directory. Windows limits a value to 2,560 bytes, which tokens in JWT form exceed: use a
/// [`DirectoryStore`] there if yours are JWTs.
#[derive(Clone)]
pub struct KeyringStore {
    keyring: Arc<CredentialStore>,
    service: String,
    locks: Arc<dyn Store>,
}

impl KeyringStore {
    /// The operating system's keyring. `service` is the name of the application, by which a user
    /// finds its entries.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is none, as on a server without a desktop session.
    #[cfg(any(
        target_os = "macos",
        windows,
        all(unix, not(target_vendor = "apple"), not(target_os = "android"))
    ))]
    pub async fn native(service: impl Into<String>) -> Result<Self, StoreError> {
        #[cfg(target_os = "macos")]
        use apple_native_keyring_store::keychain::Store as Native;
        #[cfg(windows)]
        use windows_native_keyring_store::Store as Native;
        #[cfg(all(unix, not(target_vendor = "apple")))]
        use zbus_secret_service_keyring_store::Store as Native;

        let keyring = blocking(|| Native::new().map_err(unavailable)).await?;
        Ok(Self::with_keyring(keyring, service))
    }

    /// Any other keyring with a `keyring-core` credential store.
    pub fn with_keyring(keyring: Arc<CredentialStore>, service: impl Into<String>) -> Self {
        Self { keyring, service: service.into(), locks: Arc::new(MemoryStore::new()) }
    }

    /// Makes the refresh lock work between the processes of this machine, by files in a directory.
    /// No secret is written there.
    #[must_use]
    pub fn lock_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.locks = Arc::new(DirectoryStore::new(directory));
        self
    }

    /// Runs `f` on the entry of a name, away from the runtime's threads: a keyring may ask its user
    /// for a password.
    async fn with_entry<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Entry) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        check_name(name)?;
        let (keyring, service) = (Arc::clone(&self.keyring), self.service.clone());
        let name = name.to_owned();
        blocking(move || {
            let done = keyring.build(&service, &name, None).and_then(|entry| work(&entry));
            match done {
                Ok(value) => Ok(Some(value)),
                Err(Error::NoEntry) => Ok(None),
                // These errors contain the stored value.
                Err(Error::BadEncoding(_) | Error::BadDataFormat(..)) => {
                    Err(StoreError::Foreign(name))
                }
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }
}

impl Store for KeyringStore {
    fn load<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<SecretString>, StoreError>> {
        Box::pin(self.with_entry(name, |entry| entry.get_password().map(SecretString::from)))
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        value: SecretString,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let saved =
                self.with_entry(name, move |entry| entry.set_password(value.expose_secret()));
            match saved.await? {
                Some(()) => Ok(()),
                None => Err(StoreError::unavailable("the keyring lost the entry while it was set")),
            }
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.with_entry(name, Entry::delete_credential).await.map(drop) })
    }

    fn lock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<StoreLock, StoreError>> {
        self.locks.lock(name)
    }
}

impl fmt::Debug for KeyringStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyringStore")
            .field("service", &self.service)
            .field("locks", &self.locks)
            .finish_non_exhaustive()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    task::spawn_blocking(work).await.map_err(StoreError::unavailable)?
}

#[allow(clippy::needless_pass_by_value)] // taken as `map_err` gives it
fn unavailable(error: Error) -> StoreError {
    StoreError::unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use keyring_core::{api::CredentialStoreApi, mock};

    use super::*;

    #[tokio::test]
    async fn values_of_another_service_are_not_seen() {
        let keyring = mock::Store::new().unwrap();
        let store = KeyringStore::with_keyring(keyring.clone(), "app");
        let other = KeyringStore::with_keyring(keyring, "other app");
        store.save("ada", SecretString::from("one")).await.unwrap();
        assert!(other.load("ada").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn foreign_entries_and_failures_show_no_secret() {
        let keyring = mock::Store::new().unwrap();
        let store = KeyringStore::with_keyring(keyring.clone(), "app");
        store.save("ada", SecretString::from("one")).await.unwrap();
        let fail = |error| {
            let entry = keyring.build("app", "ada", None).unwrap();
            let credential: &mock::Cred = entry.as_any().downcast_ref().unwrap();
            credential.set_error(error);
        };
        fail(Error::BadEncoding(b"s3cret".to_vec()));
        let error = store.load("ada").await.unwrap_err();
        assert!(matches!(&error, StoreError::Foreign(name) if name == "ada"), "{error}");
        assert!(!format!("{error:?}").contains("s3cret") && !format!("{error:?}").contains("115"));
        fail(Error::NoStorageAccess("it is locked".into()));
        let error = store.load("ada").await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    }
}
