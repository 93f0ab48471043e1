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
    use super::problem;

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
}
