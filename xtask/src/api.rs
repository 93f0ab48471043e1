//! The public API as a listing: `docs/api/<crate>.txt`, one item a line.
//!
//! A review shows every change of the public API as a change of these files, intended or not.
//! `cargo xtask api` rewrites them; the gate compares.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::workspace::{self, Notes, Workspace};

/// The folder of the listings.
const FOLDER: &str = "docs/api";

/// The tool that converts rustdoc's JSON to a listing. A package outside the workspace.
const LISTING: &str = "xtask/api/Cargo.toml";

/// Differing lines to show for each crate.
const SHOWN: usize = 10;

/// Rewrites the listings.
///
/// # Errors
/// When the documentation cannot be built or a file cannot be written.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root().join(FOLDER);
    fs::create_dir_all(&folder).context(FOLDER)?;
    let listings = listings(workspace)?;
    for (name, listing) in &listings {
        let file = committed(workspace, name);
        let before = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, listing).with_context(|| format!("cannot write {}", file.display()))?;
        if before != *listing {
            println!("{FOLDER}/{name}.txt rewritten");
        }
    }
    for stale in stale(&folder, &listings)? {
        fs::remove_file(&stale).with_context(|| format!("cannot remove {}", stale.display()))?;
        println!("{} removed", stale.display());
    }
    Ok(())
}

/// The step of the gate: compares the listings.
///
/// # Errors
/// When a listing does not match the code.
pub(crate) fn check(workspace: &Workspace) -> Result<Notes> {
    let listings = listings(workspace)?;
    let mut changed = Vec::new();
    for (name, now) in &listings {
        let before = fs::read_to_string(committed(workspace, name)).unwrap_or_default();
        if before != *now {
            changed.push(format!("{FOLDER}/{name}.txt\n{}", difference(&before, now)));
        }
    }
    let stale = stale(&workspace.root().join(FOLDER), &listings)?;
    changed.extend(stale.iter().map(|file| format!("{}: no such crate", file.display())));
    ensure!(
        changed.is_empty(),
        "the public API is not as listed; `cargo xtask api` rewrites the lists:\n  {}",
        changed.join("\n  ")
    );
    Ok(Notes::new())
}

/// Name and listing of each published library.
fn listings(workspace: &Workspace) -> Result<Vec<(String, String)>> {
    let target = workspace.target()?;
    let mut tool = workspace.cargo("build");
    tool.args(["--quiet", "--locked", "--manifest-path", LISTING]);
    workspace::run(tool.env("CARGO_TARGET_DIR", &target))?;

    // The whole workspace, as for the documentation, so that everything is already compiled.
    let mut docs = workspace.cargo("doc");
    docs.args(["--quiet", "--workspace", "--no-deps", "--lib"]);
    docs.env("RUSTDOC", bootstrapped_rustdoc(&target)?);
    workspace::run(docs.env("RUSTDOCFLAGS", "-Z unstable-options --output-format json"))?;

    let metadata = workspace.metadata()?;
    let libraries: Vec<(&str, PathBuf)> = libraries(&metadata)
        .map(|(package, library)| (package, target.join("doc").join(library)))
        .collect();
    let mut tool = workspace.command(target.join("debug/public-api-listing"));
    tool.args(libraries.iter().map(|(_, file)| file.with_extension("json")));
    workspace::run(&mut tool)?;
    let read = |(package, file): (&str, PathBuf)| {
        let text = fs::read_to_string(file.with_extension("txt")).context("a listing")?;
        Ok((package.to_owned(), text))
    };
    libraries.into_iter().map(read).collect()
}

/// Package and library name of each published library.
fn libraries(metadata: &Value) -> impl Iterator<Item = (&str, &str)> {
    let published =
        workspace::array(&metadata["packages"]).filter(|package| package["publish"].is_null());
    published.filter_map(|package| {
        let mut targets = workspace::array(&package["targets"]);
        let library =
            targets.find(|target| workspace::array(&target["kind"]).any(|kind| kind == "lib"))?;
        Some((package["name"].as_str()?, library["name"].as_str()?))
    })
}

/// The pinned toolchain writes JSON only in its bootstrap mode. Only rustdoc gets that variable: in
/// cargo's environment it would make build scripts run again.
fn bootstrapped_rustdoc(target: &Path) -> Result<PathBuf> {
    let script = target.join("bootstrapped-rustdoc");
    let text = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n";
    if fs::read_to_string(&script).ok().as_deref() != Some(text) {
        fs::write(&script, text).context("bootstrapped-rustdoc")?;
        executable(&script)?;
    }
    Ok(script)
}

#[cfg(unix)]
fn executable(script: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).context("bootstrapped-rustdoc")
}

#[cfg(not(unix))]
fn executable(_: &Path) -> Result<()> {
    anyhow::bail!("the listing of the public API is made on a Unix system")
}

fn committed(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.root().join(FOLDER).join(format!("{name}.txt"))
}

/// Listings of crates that no longer exist.
fn stale(folder: &Path, listings: &[(String, String)]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).context(FOLDER)? {
        let path = entry.context(FOLDER)?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let listing = path.extension().is_some_and(|extension| extension == "txt");
        if listing && !listings.iter().any(|(known, _)| known == name) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The first lines that only one of the two has.
fn difference(before: &str, now: &str) -> String {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.lines().collect(), now.lines().collect());
    let gone = old.difference(&new).map(|line| format!("    - {line}"));
    let added = new.difference(&old).map(|line| format!("    + {line}"));
    let mut lines: Vec<String> = gone.chain(added).collect();
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("    and {more} more"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_libraries_that_are_published_are_listed() {
        let library = |name: &str| json!({"name": name, "kind": ["lib", "cdylib"]});
        let metadata = json!({"packages": [
            {"name": "a-b", "publish": null, "targets": [{"name": "x", "kind": ["test"]}, library("a_b")]},
            {"name": "c", "publish": null, "targets": [{"name": "c", "kind": ["bin"]}]},
            {"name": "d", "publish": [], "targets": [library("d")]},
        ]});
        assert_eq!(libraries(&metadata).collect::<Vec<_>>(), [("a-b", "a_b")]);
    }

    #[test]
    fn a_difference_shows_what_is_gone_and_what_is_new() {
        assert_eq!(difference("a\nb\n", "b\nc\n"), "    - a\n    + c");
        let many: Vec<_> = (0..20).map(|n| format!("{n:02}")).collect();
        let text = difference("", &many.join("\n"));
        assert!(text.ends_with("    + 09\n    and 10 more"), "{text}");
    }
}
