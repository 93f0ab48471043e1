//! `cargo xtask interop`: foreign clients on our sandbox (`tests/interop`).
//!
//! The suite is written for node's own test runner. This file installs what it needs: packages from
//! the registries of npm and Python with the hashes of the lock files, and the programs it starts.
//! A copy of the lock file beside the installed files shows whether they are current.

use std::{ffi::OsString, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

use crate::workspace::{self, Notes, Workspace};

/// The suite's folder.
const SUITE: &str = "tests/interop";

/// The oldest Node.js that playwright-core runs on.
const NODE_MAJOR: u32 = 20;

/// Something that is installed from a lock file.
struct Locked {
    /// What is missing, for messages.
    name: &'static str,
    /// Relative to [`SUITE`], as the other.
    lock: &'static str,
    /// Where the copy of the lock file is put after installing.
    stamp: &'static str,
    install: fn(&Workspace) -> Result<()>,
}

const LOCKED: &[Locked] = &[
    Locked {
        name: "npm packages of tests/interop",
        lock: "package-lock.json",
        stamp: "node_modules/.installed-from",
        install: |ws| {
            let mut npm = ws.command("npm");
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", SUITE]);
            workspace::run(&mut npm)
        },
    },
    Locked {
        name: "Python packages of tests/interop",
        lock: "bot-python/requirements.txt",
        stamp: "bot-python/.venv/.installed-from",
        install: |ws| {
            let folder = ws.root().join(SUITE).join("bot-python");
            let mut venv = ws.command("python3");
            workspace::run(venv.args(["-m", "venv", "--clear"]).arg(folder.join(".venv")))?;
            let mut pip = ws.command(folder.join(".venv/bin/python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            pip.args(["--require-hashes", "-r"]).arg(folder.join("requirements.txt"));
            workspace::run(&mut pip)
        },
    },
];

/// A package outside the workspace, with its own dependencies.
const RUST_BOT: &str = "tests/interop/bot-rust/Cargo.toml";

/// The parts of the suite that `cargo xtask setup` would install.
pub(crate) fn missing(workspace: &Workspace) -> Vec<String> {
    let mut missing = Vec::new();
    if let Err(error) = require_node(workspace) {
        missing.push(format!("{error:#}"));
    }
    let stale = LOCKED.iter().filter(|locked| !locked.is_installed(workspace));
    missing.extend(stale.map(|locked| locked.name.to_owned()));
    missing
}

/// Installs what [`missing`] names, except Node.js itself.
///
/// # Errors
/// When Node.js is missing or too old, or an installation fails.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    require_node(workspace)?;
    for locked in LOCKED.iter().filter(|locked| !locked.is_installed(workspace)) {
        (locked.install)(workspace)?;
        let suite = workspace.root().join(SUITE);
        fs::copy(suite.join(locked.lock), suite.join(locked.stamp)).context(locked.stamp)?;
    }
    Ok(())
}

/// The step of the gate: every scenario.
///
/// # Errors
/// When a tool is missing or a scenario fails.
pub(crate) fn run(workspace: &Workspace) -> Result<Notes> {
    scenarios(workspace, &[])?;
    Ok(Notes::new())
}

/// Runs the scenarios whose name matches one of the given regular expressions; without one, all.
///
/// # Errors
/// When a tool is missing or a scenario fails.
pub(crate) fn scenarios(workspace: &Workspace, patterns: &[OsString]) -> Result<()> {
    let missing = missing(workspace);
    ensure!(missing.is_empty(), "missing: {}; run `cargo xtask setup`", missing.join(", "));
    let target = workspace.target()?;
    workspace::run(workspace.cargo("build").args(["-p", "webex-cli"]))?;
    let mut bot = workspace.cargo("build");
    bot.args(["--locked", "--manifest-path", RUST_BOT]).env("CARGO_TARGET_DIR", &target);
    workspace::run(&mut bot)?;
    let mut node = workspace.command("node");
    node.args(["--test", "--test-reporter=spec"]);
    for pattern in patterns {
        node.arg("--test-name-pattern").arg(pattern);
    }
    node.args(test_files(workspace)?);
    node.env("CARGO_TARGET_DIR", &target);
    workspace::run(&mut node)
}

impl Locked {
    fn is_installed(&self, workspace: &Workspace) -> bool {
        let suite = workspace.root().join(SUITE);
        let lock = fs::read(suite.join(self.lock));
        lock.is_ok_and(|lock| fs::read(suite.join(self.stamp)).is_ok_and(|stamp| stamp == lock))
    }
}

fn require_node(workspace: &Workspace) -> Result<()> {
    let wanted = || format!("Node.js {NODE_MAJOR} or newer, with npm");
    let version =
        workspace::capture(workspace.command("node").arg("--version")).with_context(wanted)?;
    let is_new = major(&version).is_some_and(|major| major >= NODE_MAJOR);
    ensure!(is_new, "{} (this is {})", wanted(), version.trim());
    workspace::capture(workspace.command("npm").arg("--version")).with_context(wanted)?;
    Ok(())
}

/// The first number of a version such as `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn test_files(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let of_suite =
        |file: &PathBuf| file.starts_with(SUITE) && file.to_string_lossy().ends_with(".test.mjs");
    let files: Vec<_> = workspace.files()?.into_iter().filter(of_suite).collect();
    ensure!(!files.is_empty(), "no scenario in {SUITE}");
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn versions_of_node_are_understood() {
        assert_eq!(major("v20.11.1\n"), Some(20));
        assert_eq!(major("20"), None);
    }

    #[test]
    fn what_was_installed_from_another_lock_file_is_missing() {
        let workspace = Workspace::find().unwrap();
        let never = Locked {
            name: "x",
            lock: "package-lock.json",
            stamp: "package.json",
            install: |_| Ok(()),
        };
        assert!(!never.is_installed(&workspace));
        let same = Locked { stamp: "package-lock.json", ..never };
        assert!(same.is_installed(&workspace));
    }

    #[test]
    fn every_scenario_file_is_found() {
        let workspace = Workspace::find().unwrap();
        let there = fs::read_dir(workspace.root().join(SUITE)).unwrap();
        let there = there.map(|entry| Path::new(SUITE).join(entry.unwrap().file_name()));
        let mut there: Vec<_> =
            there.filter(|file| file.to_string_lossy().ends_with(".test.mjs")).collect();
        there.sort_unstable();
        let mut found = test_files(&workspace).unwrap();
        found.sort_unstable();
        assert_eq!(found, there);
        assert!(found.len() > 1, "{found:?}");
    }

    #[test]
    fn lock_files_name_no_registry() {
        let suite = Workspace::find().unwrap().root().join(SUITE);
        for locked in LOCKED {
            let text = fs::read_to_string(suite.join(locked.lock)).unwrap();
            assert!(!text.contains("\"resolved\": \"http"), "{}", locked.lock);
        }
    }
}
