//! `cargo xtask bench <name>`: runs one benchmark of the `webex-tests` package.
//!
//! The benchmarks are that package's bench targets, asked from cargo, so that adding the file
//! `tests/benches/<name>.rs` is all it takes to make `bench <name>` work.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::{self, Workspace};

const PACKAGE: &str = "webex-tests";

/// Runs the benchmark named by the first argument, and hands it the rest. Without an argument,
/// lists the benchmarks.
///
/// # Errors
/// When there is no benchmark of that name, or when it fails.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let metadata = workspace::capture(workspace.cargo("metadata").args([
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let names = bench_targets(&metadata);
    let Some((name, rest)) = arguments.split_first() else {
        println!("{}", listing(&names));
        return Ok(());
    };
    let Some(name) = names.iter().find(|known| name == **known) else {
        bail!("no such bench `{}`; {}", name.to_string_lossy(), listing(&names));
    };
    workspace::run(
        workspace.cargo_locked("bench").args(["-p", PACKAGE, "--bench", name, "--"]).args(rest),
    )
}

/// The names of the package's bench targets.
fn bench_targets(metadata: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = array(&metadata["packages"])
        .filter(|package| package["name"] == PACKAGE)
        .flat_map(|package| array(&package["targets"]))
        .filter(|target| array(&target["kind"]).any(|kind| kind == "bench"))
        .filter_map(|target| target["name"].as_str())
        .collect();
    names.sort_unstable();
    names
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn listing(names: &[&str]) -> String {
    if names.is_empty() {
        format!("{PACKAGE} has no bench target")
    } else {
        format!("the benches are: {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_bench_targets_of_the_package_are_benches() {
        let metadata = json!({"packages": [
            {"name": "other", "targets": [{"kind": ["bench"], "name": "not-ours"}]},
            {"name": "webex-tests", "targets": [
                {"kind": ["lib"], "name": "webex_tests"},
                {"kind": ["bench"], "name": "memory"},
                {"kind": ["bench"], "name": "cold"},
            ]},
        ]});
        assert_eq!(bench_targets(&metadata), ["cold", "memory"]);
    }

    #[test]
    fn an_unknown_bench_names_those_there_are() {
        let error = run(&Workspace::find().unwrap(), &["no-such".into()]).unwrap_err();
        assert!(error.to_string().starts_with("no such bench `no-such`; "), "{error}");
        assert_eq!(listing(&["cold", "memory"]), "the benches are: cold, memory");
    }
}
