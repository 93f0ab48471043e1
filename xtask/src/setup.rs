//! `cargo xtask setup`: finds and installs what the gate needs and this machine lacks.
//!
//! The same search is the gate's first step, so that a missing tool is reported at once and never
//! silently skips a check. Debian packages come from `.ci/apt-packages`, the toolchain's components
//! from `rust-toolchain.toml`, cargo-deny from its registry in the version that the gate uses, and
//! the packages of the interop suite from its lock files.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    interop,
    workspace::{self, Notes, Workspace},
};

/// The cargo-deny the gate uses. Its configuration format changes between minor versions.
const DENY_VERSION: &str = "0.20.2";

/// The list of Debian packages, one a line.
const APT_LIST: &str = ".ci/apt-packages";

/// Installs everything that is missing.
///
/// # Errors
/// When an installation fails, or when packages are missing and the user may not install them; the
/// message then has the command to run.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let missing = missing(workspace)?;
    if !missing.packages.is_empty() {
        install_packages(workspace, &missing.packages)?;
    }
    for component in &missing.components {
        workspace::run(workspace.command("rustup").args(["component", "add", component]))?;
    }
    if missing.deny {
        // Unoptimised: built in about a minute instead of several, and quick enough.
        let package = format!("cargo-deny@{DENY_VERSION}");
        workspace::run(workspace.cargo("install").args(["--locked", "--debug", &package]))?;
    }
    interop::install(workspace)?;
    check(workspace)?;
    println!("everything the gate needs is here");
    Ok(())
}

/// The gate's first step: fails when `setup` would install something.
pub(crate) fn check(workspace: &Workspace) -> Result<Notes> {
    let names = missing(workspace)?.names();
    ensure!(names.is_empty(), "missing: {}; run `cargo xtask setup`", names.join(", "));
    Ok(Notes::new())
}

/// Fails when the toolchain lacks `cargo <subcommand>`.
pub(crate) fn require_component(workspace: &Workspace, subcommand: &str) -> Result<()> {
    ensure!(
        workspace::succeeds(workspace.cargo(subcommand).arg("--version")),
        "`cargo {subcommand}` is missing; run `cargo xtask setup`"
    );
    Ok(())
}

/// Fails when cargo-deny is missing or has another version.
pub(crate) fn require_deny(workspace: &Workspace) -> Result<()> {
    ensure!(has_deny(workspace), "cargo-deny {DENY_VERSION} is missing; run `cargo xtask setup`");
    Ok(())
}

#[derive(Default)]
struct Missing {
    packages: Vec<String>,
    components: Vec<&'static str>,
    deny: bool,
    /// Parts of the interop suite.
    interop: Vec<String>,
}

impl Missing {
    fn names(&self) -> Vec<String> {
        let mut names = self.packages.clone();
        names.extend(self.components.iter().map(|&name| name.to_owned()));
        if self.deny {
            names.push(format!("cargo-deny {DENY_VERSION}"));
        }
        names.extend(self.interop.iter().cloned());
        names
    }
}

fn missing(workspace: &Workspace) -> Result<Missing> {
    let list = fs::read_to_string(workspace.root().join(APT_LIST)).context(APT_LIST)?;
    let packages = package_names(&list)
        .into_iter()
        // On other systems the tests that need a compiler report it themselves.
        .filter(|package| cfg!(target_os = "linux") && !has_package(workspace, package))
        .map(str::to_owned)
        .collect();
    let components = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(command, _)| !workspace::succeeds(workspace.cargo(command).arg("--version")))
        .map(|(_, component)| component)
        .collect();
    Ok(Missing {
        packages,
        components,
        deny: !has_deny(workspace),
        interop: interop::missing(workspace),
    })
}

/// The package names of the list: `#` begins a remark.
fn package_names(list: &str) -> Vec<&str> {
    list.lines()
        .filter_map(|line| line.split('#').next())
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}

fn has_package(workspace: &Workspace, package: &str) -> bool {
    workspace::capture(workspace.command("dpkg-query").args([
        "-W",
        "-f=${db:Status-Status}",
        package,
    ]))
    .is_ok_and(|status| status == "installed")
}

fn has_deny(workspace: &Workspace) -> bool {
    workspace::capture(workspace.cargo("deny").arg("--version"))
        .is_ok_and(|version| version.trim() == format!("cargo-deny {DENY_VERSION}"))
}

fn install_packages(workspace: &Workspace, packages: &[String]) -> Result<()> {
    let list = packages.join(" ");
    if !Path::new("/usr/bin/apt-get").is_file() {
        bail!("not a Debian system: install the equivalents of these Debian packages: {list}");
    }
    let user = workspace::capture(workspace.command("id").arg("-u"))?;
    if user.trim() != "0" {
        bail!("packages are missing; run `sudo apt-get install {list}`, then this again");
    }
    let apt = || {
        let mut command = workspace.command("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    workspace::run(apt().arg("update"))?;
    workspace::run(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_and_empty_lines_are_no_packages() {
        let list = "# what the gate needs\n\ngcc   # C programs\n  valgrind\n";
        assert_eq!(package_names(list), ["gcc", "valgrind"]);
    }

    #[test]
    fn the_committed_list_is_readable() {
        let list = fs::read_to_string(Workspace::find().unwrap().root().join(APT_LIST)).unwrap();
        let names = package_names(&list);
        assert!(names.contains(&"gcc"), "{names:?}");
        assert!(
            names.iter().all(|name| !name.contains(char::is_whitespace)),
            "one package a line: {names:?}"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = Missing {
            packages: vec!["valgrind".to_owned()],
            components: vec!["clippy"],
            deny: true,
            interop: vec!["npm packages".to_owned()],
        };
        assert_eq!(missing.names(), ["valgrind", "clippy", "cargo-deny 0.20.2", "npm packages"]);
        assert!(Missing::default().names().is_empty());
    }
}
