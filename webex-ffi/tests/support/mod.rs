//! Paths for the tests.

use std::{
    env::{self, consts::DLL_PREFIX, consts::DLL_SUFFIX},
    path::{Path, PathBuf},
};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("webex-ffi is in a workspace").to_owned()
}

/// The shared library that cargo has built for the tests.
pub(crate) fn library() -> PathBuf {
    let name = format!("{DLL_PREFIX}webex_ffi{DLL_SUFFIX}");
    let test = env::current_exe().expect("the test knows its path");
    // Test programs are in `deps`, and so is every library they are linked with.
    let library = test.parent().expect("a folder").join(&name);
    assert!(library.is_file(), "cargo builds {} with the tests", library.display());
    library
}
