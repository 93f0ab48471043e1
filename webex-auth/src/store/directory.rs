//! A store of files in one directory.
//!
//! A value is one file `{name}.secret`: a line with a version and the SHA-256 of the rest, then the
//! value. It is written to a temporary file, flushed to the disk and renamed over the old one, so
//! that a crash at any point leaves the old value or the new one. The lock is a file lock of the
//! operating system on `.{name}.lock`, which ends with the process that holds it. In file names a
//! capital letter becomes `=` and the small letter, since some file systems ignore case, and a
//! colon becomes `=.`.
//!
//! Before anything is read or written, [`guard`](super::guard) checks who else has access.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::{task, time};
use tracing::warn;

use crate::{
    http::BoxFuture,
    store::{
        error::StoreError,
        guard,
        interface::{HeldLock, Store, StoreLock},
        name::{SEPARATOR, check_name},
    },
    timings,
};

/// Keeps values in files that only the user can read (mode 0600 in a directory of mode 0700; on
/// Windows with the rights of the directory, which the user's profile protects). A directory that
/// others own or can write is [refused](StoreError::Unsafe), and links in it are not followed.
///
/// Processes of one machine can share it. A damaged file is reported, never used and never
/// overwritten: a later [`save`](Store::save) first moves it to `{name}.corrupt`.
#[derive(Debug, Clone)]
pub struct DirectoryStore(PathBuf);

impl DirectoryStore {
    /// A store in `directory`, which is created when the first value is saved.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The files of a name.
    fn files(&self, name: &str) -> Result<Files, StoreError> {
        check_name(name)?;
        Ok(Files { directory: self.0.clone(), stem: stem(name) })
    }
}

impl Store for DirectoryStore {
    fn load<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<SecretString>, StoreError>> {
        Box::pin(async move {
            let files = self.files(name)?;
            blocking(move || {
                if guard::check_directory(&files.directory)? { files.read() } else { Ok(None) }
            })
            .await
        })
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        value: SecretString,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let files = self.files(name)?;
            blocking(move || {
                guard::make_directory(&files.directory)?;
                files.write(&value)
            })
            .await
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let files = self.files(name)?;
            blocking(move || match fs::remove_file(files.value()) {
                Ok(()) => sync_directory(&files.directory).map_err(StoreError::unavailable),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(StoreError::unavailable(error)),
            })
            .await
        })
    }

    fn lock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<StoreLock, StoreError>> {
        Box::pin(async move {
            let files = self.files(name)?;
            let file = blocking(move || {
                guard::make_directory(&files.directory)?;
                guard::open(guard::private().read(true).create(true), &files.lock())
            })
            .await?;
            // Polled, because a thread that waits in the kernel could not be cancelled.
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

/// Start of the first line; the checksum in hexadecimal and a line feed follow.
const HEADER: &str = "webex-store 1 sha256=";

/// The name of a value in its file names.
fn stem(name: &str) -> String {
    name.chars().fold(String::with_capacity(name.len() + 4), |mut stem, c| {
        match c {
            SEPARATOR => stem.push_str("=."),
            'A'..='Z' => stem.extend(['=', c.to_ascii_lowercase()]),
            c => stem.push(c),
        }
        stem
    })
}

/// The files of one value.
struct Files {
    directory: PathBuf,
    stem: String,
}

impl Files {
    fn value(&self) -> PathBuf {
        self.directory.join(format!("{}.secret", self.stem))
    }

    fn corrupt(&self) -> PathBuf {
        self.directory.join(format!("{}.corrupt", self.stem))
    }

    fn lock(&self) -> PathBuf {
        self.directory.join(format!(".{}.lock", self.stem))
    }

    fn read(&self) -> Result<Option<SecretString>, StoreError> {
        let path = self.value();
        let mut file = match guard::open(OpenOptions::new().read(true), &path) {
            Ok(file) => file,
            Err(StoreError::Unavailable(error)) if is_missing(&*error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(StoreError::unavailable)?;
        let text = String::from_utf8(bytes).map_err(|_| StoreError::Corrupt(path.clone()))?;
        let value = text
            .strip_prefix(HEADER)
            .and_then(|rest| rest.split_once('\n'))
            .filter(|(sum, value)| *sum == checksum(value))
            .map(|(_, value)| SecretString::from(value));
        value.map(Some).ok_or(StoreError::Corrupt(path))
    }

    fn write(&self, value: &SecretString) -> Result<(), StoreError> {
        if matches!(self.read(), Err(StoreError::Corrupt(_))) {
            warn!(file = %self.value().display(), "a damaged file is put aside");
            fs::rename(self.value(), self.corrupt()).map_err(StoreError::unavailable)?;
        }
        self.write_atomically(value.expose_secret()).map_err(StoreError::unavailable)
    }

    fn write_atomically(&self, value: &str) -> io::Result<()> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);

        self.remove_leftovers();
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".{}.{}-{count}.tmp", self.stem, std::process::id());
        let temporary = self.directory.join(temporary);
        let written = (|| {
            // Creates a new file, so that no existing file or link is opened.
            let mut open = guard::private().create_new(true).open(&temporary)?;
            open.write_all(format!("{HEADER}{}\n", checksum(value)).as_bytes())?;
            open.write_all(value.as_bytes())?;
            open.sync_all()?;
            fs::rename(&temporary, self.value())
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary); // the first error is returned
        }
        written?;
        sync_directory(&self.directory)
    }

    /// Removes files that killed writers have left, because they hold secrets.
    fn remove_leftovers(&self) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| self.is_temporary(name));
            let age = entry.metadata().and_then(|data| data.modified()).map(|time| time.elapsed());
            if ours && matches!(age, Ok(Ok(age)) if age > LEFTOVER) {
                let _ = fs::remove_file(entry.path()); // the next write tries again
            }
        }
    }

    /// Returns whether a file is a temporary file of this value. Other names may start with this one.
    fn is_temporary(&self, file: &str) -> bool {
        let numbers = file
            .strip_prefix('.')
            .and_then(|file| {
                file.strip_prefix(&*self.stem)?.strip_prefix('.')?.strip_suffix(".tmp")
            })
            .and_then(|numbers| numbers.split_once('-'));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        numbers.is_some_and(|(process, count)| is_number(process) && is_number(count))
    }
}

fn is_missing(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// No write takes this long.
const LEFTOVER: Duration = Duration::from_mins(1);

fn checksum(value: &str) -> String {
    use std::fmt::Write as _;

    Sha256::digest(value).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
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
        store.save("Ada:device", secret("one")).await.unwrap();
        let files: Vec<_> = fs::read_dir(store.path()).unwrap().flatten().collect();
        assert_eq!(files.len(), 1, "no temporary file is left: {files:?}");
        assert_eq!(files[0].file_name(), "=ada=.device.secret", "on every file system its own");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&files[0].path()), 0o600);
            assert_eq!(mode(store.path()), 0o700);
        }
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
        let others = [".other.1-0.tmp", ".tokens.b.1-0.tmp", ".tokens.x-0.tmp"];
        let others = others.map(|name| leftover(name, 120));
        store.save("tokens", secret("one")).await.unwrap();
        assert!(!old.exists() && fresh.exists() && others.iter().all(|other| other.exists()));
    }

    #[cfg(unix)]
    mod guarded {
        use std::{
            fs::{self, Permissions},
            os::unix::fs::{PermissionsExt, symlink},
        };

        use super::{super::*, secret};

        fn is_unsafe<T>(result: &Result<T, StoreError>, said: &str) {
            let Err(error @ StoreError::Unsafe { .. }) = result else { panic!("it is used") };
            assert!(error.to_string().contains(said), "{error}");
        }

        #[tokio::test]
        async fn a_directory_that_others_can_write_is_refused() {
            for mode in [0o770, 0o707, 0o777, 0o1777, 0o720, 0o702] {
                let folder = tempfile::tempdir().unwrap();
                let store = DirectoryStore::new(folder.path());
                store.save("ada", secret("a secret")).await.unwrap();
                fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
                is_unsafe(&store.load("ada").await, "chmod go-w");
                is_unsafe(&store.save("ada", secret("a secret")).await, "chmod go-w");
                is_unsafe(&store.lock("ada").await, "chmod go-w");
                fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
                assert!(
                    store.load("ada").await.unwrap().is_some(),
                    "readable is fine: the files are not"
                );
            }
        }

        #[tokio::test]
        async fn links_are_not_followed() {
            let folder = tempfile::tempdir().unwrap();
            let elsewhere = folder.path().join("elsewhere");
            let store = DirectoryStore::new(folder.path().join("store"));
            store.save("ada", secret("a secret")).await.unwrap();
            fs::rename(store.path().join("ada.secret"), &elsewhere).unwrap();
            symlink(&elsewhere, store.path().join("ada.secret")).unwrap();
            is_unsafe(&store.load("ada").await, "is a link");
            symlink(folder.path().join("made"), store.path().join(".ada.lock")).unwrap();
            is_unsafe(&store.lock("ada").await, "is a link");
            assert!(!folder.path().join("made").exists());
            // Saving replaces the link by a file, and does not touch its target.
            let before = fs::read(&elsewhere).unwrap();
            store.save("ada", SecretString::from("another")).await.unwrap();
            assert_eq!(fs::read(&elsewhere).unwrap(), before);
            assert!(store.load("ada").await.unwrap().is_some());
        }
    }
}
