//! `cargo xtask mutants <area>`: changes the code of an area, line by line, and lists the changes
//! that no test notices.
//!
//! cargo-mutants works on a copy of the checkout, so that you can go on editing. Libraries come
//! from the workspace's own target folder. The first pass runs the unit tests of the crate, which
//! are quick; `--all-tests` tries the survivors again with every test of the crate, without the
//! mutants that were already caught. Further arguments go to cargo-mutants: `--list`, `--shard
//! 1/4`, `--file`, `-j 2`.

use std::{ffi::OsString, fs};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{self, Workspace};

/// The version of cargo-mutants that the areas were tested with.
const VERSION: &str = "27.1.0";

/// A part of a crate whose tests must notice every change.
struct Area {
    name: &'static str,
    package: &'static str,
    /// Its files, without tests.
    files: &'static [&'static str],
}

/// The machines and the rules, where a wrong line is a wrong decision that nothing else shows.
const AREAS: &[Area] = &[
    Area {
        name: "registration",
        package: "webex-calling",
        files: &["webex-calling/src/registration/**/*.rs"],
    },
    Area { name: "link", package: "webex-core", files: &["webex-core/src/link/**/*.rs"] },
    Area { name: "mercury", package: "webex-core", files: &["webex-core/src/mercury/**/*.rs"] },
    Area { name: "allow", package: "webex-core", files: &["webex-core/src/http/allow*"] },
    Area { name: "catalog", package: "webex-core", files: &["webex-core/src/catalog/**/*.rs"] },
    Area { name: "lifecycle", package: "webex-auth", files: &["webex-auth/src/lifecycle/**/*.rs"] },
];

/// Test files, wherever they are.
const TESTS: &[&str] = &["**/tests/**", "**/*_tests.rs", "**/simulation/**"];

/// Code whose changes no test can notice.
const NOTHING_TO_NOTICE: &str = "impl (fmt::)?(Debug|Display) for";

/// Runs cargo-mutants on the area named by the first argument.
///
/// # Errors
/// When there is no such area, when cargo-mutants is missing, or when a mutant survives.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        println!("{}", listing());
        return Ok(());
    };
    let Some(area) = AREAS.iter().find(|area| name == area.name) else {
        bail!("no such area `{}`; {}", name.to_string_lossy(), listing());
    };
    let version = workspace::capture(workspace.cargo("mutants").arg("--version"));
    ensure!(
        version.is_ok_and(|version| version.trim() == format!("cargo-mutants {VERSION}")),
        "cargo-mutants {VERSION} is missing; run `cargo install cargo-mutants@{VERSION} --locked --debug`"
    );
    let target = workspace.target()?;
    let output = target.join("mutants").join(area.name);
    fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let (all_tests, passed_on): (Vec<_>, Vec<_>) =
        rest.iter().partition(|argument| *argument == "--all-tests");
    let mut command = workspace.cargo("mutants");
    command.args(["--package", area.package, "--test-package", area.package]);
    command.args(area.files.iter().flat_map(|files| ["--file", files]));
    command.args(TESTS.iter().flat_map(|files| ["--exclude", files]));
    command.args(["--exclude-re", NOTHING_TO_NOTICE, "--no-times", "--iterate"]);
    command.arg("--output").arg(output).args(passed_on);
    command.args(["--", if all_tests.is_empty() { "--lib" } else { "--tests" }]);
    // Only the copy's own files are compiled; everything else is already built.
    workspace::run(command.env("CARGO_TARGET_DIR", &target))
}

fn listing() -> String {
    let names: Vec<&str> = AREAS.iter().map(|area| area.name).collect();
    format!("the areas are: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_area_has_files_and_a_package() {
        let workspace = Workspace::find().unwrap();
        let files = workspace.files().unwrap();
        for area in AREAS {
            for pattern in area.files {
                let folder = pattern.split('*').next().unwrap();
                assert!(folder.starts_with(area.package), "{folder}");
                assert!(
                    files.iter().any(|file| file.display().to_string().starts_with(folder)),
                    "no file {pattern}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_area_names_those_there_are() {
        let error = run(&Workspace::find().unwrap(), &["no-such".into()]).unwrap_err();
        assert!(error.to_string().contains("registration, link, mercury"), "{error}");
    }
}
