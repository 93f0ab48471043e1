//! `cargo xtask bench <name>`: runs one benchmark of the workspace.
//!
//! The benchmarks are the bench targets of all packages, listed by cargo, so that adding a file
//! `<package>/benches/<name>.rs` is enough for `bench <name>`. With `harness = false` in the
//! package's manifest, the benchmark gets the arguments after its name.

use std::ffi::OsString;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::workspace::{self, Workspace};

/// A bench target and the package it belongs to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bench<'a> {
    name: &'a str,
    package: &'a str,
}

/// Runs the benchmark named by the first argument, with the remaining arguments. Without arguments,
/// lists the benchmarks.
///
/// # Errors
/// When there is no such benchmark, or when it fails.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let metadata = workspace.metadata()?;
    let benches = benches(&metadata);
    let Some((name, rest)) = arguments.split_first() else {
        println!("{}", listing(&benches));
        return Ok(());
    };
    let Some(bench) = benches.iter().find(|bench| name == bench.name) else {
        bail!("no such bench `{}`; {}", name.to_string_lossy(), listing(&benches));
    };
    let mut command = workspace.cargo("bench");
    command.args(["-p", bench.package, "--bench", bench.name, "--"]).args(rest);
    workspace::run(&mut command)
}

/// The bench targets of the workspace, by name.
fn benches(metadata: &Value) -> Vec<Bench<'_>> {
    let mut found = Vec::new();
    for package in workspace::array(&metadata["packages"]) {
        for target in workspace::array(&package["targets"]) {
            let (Some(name), Some(package)) = (target["name"].as_str(), package["name"].as_str())
            else {
                continue;
            };
            if workspace::array(&target["kind"]).any(|kind| kind == "bench") {
                found.push(Bench { name, package });
            }
        }
    }
    found.sort_unstable();
    found
}

fn listing(benches: &[Bench<'_>]) -> String {
    if benches.is_empty() {
        return "no package has a bench target".to_owned();
    }
    let names: Vec<&str> = benches.iter().map(|bench| bench.name).collect();
    format!("the benches are: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_bench_targets_are_benches() {
        let metadata = json!({"packages": [
            {"name": "webex-tests", "targets": [
                {"kind": ["lib"], "name": "webex_tests"},
                {"kind": ["bench"], "name": "cold"},
            ]},
            {"name": "webex-auth", "targets": [{"kind": ["bench"], "name": "auth"}]},
        ]});
        let benches = benches(&metadata);
        assert_eq!(
            benches,
            [
                Bench { name: "auth", package: "webex-auth" },
                Bench { name: "cold", package: "webex-tests" },
            ]
        );
        assert_eq!(listing(&benches), "the benches are: auth, cold");
    }

    #[test]
    fn an_unknown_bench_names_those_there_are() {
        let error = run(&Workspace::find().unwrap(), &["no-such".into()]).unwrap_err();
        assert!(error.to_string().starts_with("no such bench `no-such`; "), "{error}");
    }
}
