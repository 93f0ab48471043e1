//! A store of files in one directory.
//!
//! A value is one file `{name}.secret`: a line with a version and the SHA-256 of the rest, then the
//! value. It is written to a temporary file, flushed to the disk and renamed over the old one, so that
//! a crash at any point leaves the old value or the new one. The lock is a file lock of the operating
//! system on `.{name}.lock`, which goes away with the process that holds it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::{task, time};

use crate::{
    http::BoxFuture,
    store::{
        error::StoreError,
        interface::{HeldLock, Store, StoreLock},
        name::check_name,
    },
    timings,
};

/// Keeps values in files that only the user can read (mode 0600 in a directory of mode 0700; on
/// Windows, where the user's profile protects them, with the rights that the directory gives).
///
/// Processes of one machine can share it. On a case-insensitive file system, names that differ in
/// case only are one name. A damaged file is reported, never used and never overwritten: a later
/// [`save`](Store::save) moves it to `{name}.corrupt` first.
#[derive(Clone, Debug)]
pub struct DirectoryStore(PathBuf);

impl DirectoryStore {
    /// A store in `directory`, which is made when the first value is saved.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn file(&self, name: &str) -> Result<PathBuf, StoreError> {
        check_name(name)?;
        Ok(self.0.join(format!("{name}.secret")))
    }
}

impl Store for DirectoryStore {
    fn load<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<SecretString>, StoreError>> {
        Box::pin(async move {
            let file = self.file(name)?;
            blocking(move || read(&file)).await
        })
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        value: SecretString,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (directory, file, name) = (self.0.clone(), self.file(name)?, name.to_owned());
            blocking(move || write(&directory, &name, &file, &value)).await
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (directory, file) = (self.0.clone(), self.file(name)?);
            blocking(move || match fs::remove_file(&file) {
                Ok(()) => sync_directory(&directory).map_err(StoreError::unavailable),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(StoreError::unavailable(error)),
            })
            .await
        })
    }

    fn lock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<StoreLock, StoreError>> {
        Box::pin(async move {
            check_name(name)?;
            let (directory, path) = (self.0.clone(), self.0.join(format!(".{name}.lock")));
            let file = blocking(move || {
                make_directory(&directory)
                    .and_then(|()| private().read(true).create(true).open(path))
                    .map_err(StoreError::unavailable)
            })
            .await?;
            // Polled, not waited for in the kernel: a waiting thread could not be cancelled.
            let deadline = time::Instant::now() + timings::LOCK_WAIT;
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(StoreLock::new(FileLock(file))),
                    Err(TryLockError::Error(error)) => return Err(StoreError::unavailable(error)),
                    Err(TryLockError::WouldBlock) if time::Instant::now() >= deadline => {
                        return Err(StoreError::LockTimeout);
                    }
                    Err(TryLockError::WouldBlock) => time::sleep(timings::LOCK_POLL).await,
                }
            }
        })
    }
}

/// Closing the file releases its lock; so does the end of the process.
struct FileLock(#[allow(dead_code)] File);

impl HeldLock for FileLock {}

/// The first line is this, the checksum in hexadecimal and a line feed.
const HEADER: &str = "webex-store 1 sha256=";

fn read(file: &Path) -> Result<Option<SecretString>, StoreError> {
    let text = match fs::read(file) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| StoreError::Corrupt(file.to_owned()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::unavailable(error)),
    };
    let value = text
        .strip_prefix(HEADER)
        .and_then(|rest| rest.split_once('\n'))
        .filter(|(sum, value)| *sum == checksum(value))
        .map(|(_, value)| SecretString::from(value));
    value.map(Some).ok_or_else(|| StoreError::Corrupt(file.to_owned()))
}

fn write(
    directory: &Path,
    name: &str,
    file: &Path,
    value: &SecretString,
) -> Result<(), StoreError> {
    if matches!(read(file), Err(StoreError::Corrupt(_))) {
        tracing::warn!(file = %file.display(), "a damaged file is put aside");
        fs::rename(file, file.with_extension("corrupt")).map_err(StoreError::unavailable)?;
    }
    write_atomically(directory, name, file, value.expose_secret()).map_err(StoreError::unavailable)
}

fn write_atomically(directory: &Path, name: &str, file: &Path, value: &str) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);

    make_directory(directory)?;
    remove_leftovers(directory, name);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = directory.join(format!(".{name}.{}-{count}.tmp", std::process::id()));
    let written = (|| {
        let mut open = private().create_new(true).open(&temporary)?;
        open.write_all(format!("{HEADER}{}\n", checksum(value)).as_bytes())?;
        open.write_all(value.as_bytes())?;
        open.sync_all()?;
        fs::rename(&temporary, file)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // the error that matters is the first
    }
    written?;
    sync_directory(directory)
}

/// Removes what processes that were killed while writing have left: it holds secrets.
fn remove_leftovers(directory: &Path, name: &str) {
    let begin = format!(".{name}.");
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let file_name = entry.file_name();
        let Some(file_name) = file_name.to_str() else { continue };
        let ours = file_name.starts_with(&begin) && file_name.rsplit('.').next() == Some("tmp");
        let age = entry.metadata().and_then(|data| data.modified()).map(|time| time.elapsed());
        if ours && matches!(age, Ok(Ok(age)) if age > LEFTOVER) {
            let _ = fs::remove_file(entry.path()); // the next write tries again
        }
    }
}

/// No write takes as long.
const LEFTOVER: Duration = Duration::from_mins(1);

fn checksum(value: &str) -> String {
    use std::fmt::Write as _;

    Sha256::digest(value).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Options for a file that only the user can read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a rename or removal durable. Only Unix can flush a directory.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    task::spawn_blocking(work).await.map_err(StoreError::unavailable)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    async fn value(store: &DirectoryStore) -> Option<String> {
        let value = store.load("tokens").await.unwrap();
        value.map(|value| value.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn keeps_values_in_private_files() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(folder.path().join("a/b"));
        assert_eq!(value(&store).await, None);
        store.save("tokens", secret("one")).await.unwrap();
        store.save("tokens", secret("two\nlines")).await.unwrap();
        assert_eq!(value(&store).await.unwrap(), "two\nlines");
        let files: Vec<_> = fs::read_dir(store.path()).unwrap().flatten().collect();
        assert_eq!(files.len(), 1, "no temporary file is left: {files:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&files[0].path()), 0o600);
            assert_eq!(mode(store.path()), 0o700);
        }
        store.delete("tokens").await.unwrap();
        store.delete("tokens").await.unwrap();
        assert_eq!(value(&store).await, None);
        assert!(store.save("../x", secret("one")).await.is_err());
    }

    #[tokio::test]
    async fn a_damaged_file_is_reported_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(folder.path());
        store.save("tokens", secret("precious")).await.unwrap();
        let file = folder.path().join("tokens.secret");
        let whole = fs::read_to_string(&file).unwrap();
        for damaged in ["", &whole[..whole.len() - 1], &whole.replace("prec", "Prec"), "x\ny"] {
            fs::write(&file, damaged).unwrap();
            let error = store.load("tokens").await.unwrap_err();
            assert!(matches!(&error, StoreError::Corrupt(path) if *path == file), "{error}");
            assert!(!error.to_string().contains("recious"), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), damaged, "left alone");
        }
        fs::write(&file, [0xff]).unwrap();
        assert!(matches!(store.load("tokens").await, Err(StoreError::Corrupt(_))));
        store.save("tokens", secret("new")).await.unwrap();
        assert_eq!(value(&store).await.unwrap(), "new");
        assert_eq!(fs::read(folder.path().join("tokens.corrupt")).unwrap(), [0xff]);
    }

    #[tokio::test]
    async fn leftovers_of_killed_writers_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(folder.path());
        let leftover = |name: &str, age: u64| {
            let path = folder.path().join(name);
            let file = File::create(&path).unwrap();
            let then = std::time::SystemTime::now() - Duration::from_secs(age);
            file.set_modified(then).unwrap();
            path
        };
        let old = leftover(".tokens.1-0.tmp", 120);
        let fresh = leftover(".tokens.2-0.tmp", 0);
        let other = leftover(".other.1-0.tmp", 120);
        store.save("tokens", secret("one")).await.unwrap();
        assert!(!old.exists() && fresh.exists() && other.exists());
    }

    #[tokio::test]
    async fn one_at_a_time_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(folder.path());
        let held = store.lock("tokens").await.unwrap();
        let mut second = Box::pin(store.lock("tokens"));
        let first_try = tokio::time::timeout(Duration::ZERO, second.as_mut()).await;
        assert!(first_try.is_err(), "it is held");
        store.lock("other").await.unwrap().release().await;
        held.release().await;
        assert!(second.await.unwrap().is_held());
    }
}
