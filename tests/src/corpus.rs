//! Runs fuzz targets on the committed corpus (`fuzz/corpus`), so that ordinary tests repeat what the
//! fuzzer has found.

use std::{fs, path::Path};

/// A fuzz target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// The fewest files of a target's corpus; with fewer the corpus is not there.
const FEWEST: usize = 4;

/// Runs each target on every file of its corpus.
///
/// # Panics
/// When a target does, or when its corpus is missing.
pub fn run(targets: &[Target]) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in targets {
        let folder = corpus.join(name);
        let mut count = 0;
        for file in fs::read_dir(&folder).unwrap_or_else(|_| panic!("{}", folder.display())) {
            target(&fs::read(file.expect("an entry").path()).expect("a file of the corpus"));
            count += 1;
        }
        assert!(count >= FEWEST, "{name} has {count} files");
    }
}
