//! Checks that nobody else can read or change the files of a directory.
//!
//! On Unix a directory has to belong to the user of the process (or to root), and only that user
//! may write to it: others could add files, remove them, or place links. Links are not followed in
//! any case. On Windows the rights of the user's profile apply.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    path::Path,
};

use crate::store::error::StoreError;

/// Creates a directory for the user only, unless it exists, and checks it.
pub(super) fn make_directory(directory: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(StoreError::unavailable)?;
    check_directory(directory).map(drop)
}

/// Checks a directory. Returns whether it exists.
pub(super) fn check_directory(directory: &Path) -> Result<bool, StoreError> {
    let metadata = match directory.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StoreError::unavailable(error)),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let user = rustix::process::geteuid().as_raw();
        if let Some(problem) = problem(metadata.uid(), user, metadata.mode()) {
            return Err(StoreError::Unsafe { path: directory.to_owned(), problem });
        }
    }
    Ok(metadata.is_dir())
}

/// Describes a problem with the owner or mode of a directory, and what to do.
#[cfg(unix)]
fn problem(owner: u32, user: u32, mode: u32) -> Option<String> {
    if owner != user && owner != 0 {
        return Some(format!(
            "it belongs to user {owner}, not to {user}: use a directory of your own"
        ));
    }
    let mode = mode & 0o7777;
    (mode & 0o022 != 0).then(|| format!("others can write it (mode {mode:o}): `chmod go-w` it"))
}

/// Opens a file, but not a link.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> Result<File, StoreError> {
    #[cfg(unix)]
    {
        let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("one flag");
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, no_link);
    }
    options.open(path).map_err(|error| {
        if path.is_symlink() {
            let problem = "it is a link: remove it".to_owned();
            return StoreError::Unsafe { path: path.to_owned(), problem };
        }
        StoreError::unavailable(error)
    })
}

/// Options for a file that only the user can read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use secrecy::SecretString;

    use super::problem;
    use crate::store::{directory::DirectoryStore, error::StoreError, interface::Store};

    fn secret() -> SecretString {
        SecretString::from("a secret")
    }

    fn is_unsafe<T>(result: &Result<T, StoreError>, said: &str) {
        let Err(error @ StoreError::Unsafe { .. }) = result else { panic!("it is used") };
        assert!(error.to_string().contains(said), "{error}");
    }

    #[tokio::test]
    async fn a_directory_that_others_can_write_is_refused() {
        for mode in [0o770, 0o707, 0o777, 0o1777, 0o720, 0o702] {
            let folder = tempfile::tempdir().unwrap();
            let store = DirectoryStore::new(folder.path());
            store.save("ada", secret()).await.unwrap();
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            is_unsafe(&store.load("ada").await, "chmod go-w");
            is_unsafe(&store.save("ada", secret()).await, "chmod go-w");
            is_unsafe(&store.lock("ada").await, "chmod go-w");
            fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
            assert!(
                store.load("ada").await.unwrap().is_some(),
                "readable is fine: the files are not"
            );
        }
    }

    #[test]
    fn a_directory_belongs_to_its_user_or_root() {
        assert_eq!(problem(1_000, 1_000, 0o40_700), None);
        assert_eq!(problem(0, 1_000, 0o40_755), None);
        for (owner, user) in [(1_001, 1_000), (1_000, 0)] {
            let problem = problem(owner, user, 0o40_700).unwrap();
            assert!(problem.contains("a directory of your own"), "{problem}");
        }
        assert!(problem(0, 1_000, 0o41_777).unwrap().contains("mode 1777"));
    }

    #[tokio::test]
    async fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        let store = DirectoryStore::new(folder.path().join("store"));
        store.save("ada", secret()).await.unwrap();
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
