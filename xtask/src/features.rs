//! Checks features: every one alone and none, and one set of them for all tests.
//!
//! In a build of the whole workspace each crate gets the features that any member requests. This
//! hides a feature that does not compile without another, and a crate that does not compile without
//! what others request of its libraries. So each library is compiled by itself, without features
//! and with each. For tests the opposite is wanted: the same features whatever is tested, so that
//! the tests of one crate reuse what the tests of all have built.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::workspace::{self, Notes, Workspace};

/// Compiles every published library without features, and with each of them alone.
///
/// # Errors
/// When one of them does not compile, or warns.
pub(crate) fn each_alone(workspace: &Workspace) -> Result<Notes> {
    let metadata = workspace.metadata()?;
    for (package, features) in libraries(&metadata) {
        for feature in std::iter::once("").chain(features) {
            let mut command = workspace.cargo("check");
            command.args(["--quiet", "-p", package, "--lib", "--no-default-features"]);
            workspace::run(command.args(["--features", feature]))?;
        }
    }
    Ok(Notes::new())
}

/// Compares the units that the tests of each crate need with those of all tests.
///
/// # Errors
/// Names the units that would be built twice, and for which crate.
pub(crate) fn one_set(workspace: &Workspace) -> Result<Notes> {
    let metadata = workspace.metadata()?;
    let all = units(workspace, &["--workspace"])?;
    let mut twice = Vec::new();
    for package in workspace::array(&metadata["packages"]) {
        let name = package["name"].as_str().context("cargo metadata")?;
        let own = units(workspace, &["-p", name])?;
        twice.extend(own.difference(&all).map(|unit| format!("{name}: {unit}")));
    }
    ensure!(
        twice.is_empty(),
        "`cargo test -p` would build what `cargo test --workspace` has built with other features; \
         name them in tests/Cargo.toml:\n  {}",
        twice.join("\n  ")
    );
    Ok(Notes::new())
}

/// The published libraries, and the names of their features.
fn libraries(metadata: &Value) -> Vec<(&str, Vec<&str>)> {
    let packages = workspace::array(&metadata["packages"]).filter_map(|package| {
        let features = package["features"].as_object()?.keys().map(String::as_str);
        let features: Vec<&str> = features.filter(|name| *name != "default").collect();
        let library = workspace::array(&package["targets"])
            .any(|target| workspace::array(&target["kind"]).any(|kind| kind == "lib"));
        let published = package["publish"].is_null();
        (library && published).then_some((package["name"].as_str()?, features))
    });
    packages.collect()
}

/// What cargo would compile for these tests, each with its features.
fn units(workspace: &Workspace, packages: &[&str]) -> Result<BTreeSet<String>> {
    let mut command = workspace.cargo("test");
    command.args(packages).args(["--no-run", "--unit-graph", "-Z", "unstable-options"]);
    // An unstable option prints the graph; nothing is compiled.
    let text = workspace::capture(command.env("RUSTC_BOOTSTRAP", "1"))?;
    let graph: Value = serde_json::from_str(&text).context("cargo's unit graph")?;
    Ok(workspace::array(&graph["units"]).map(unit).collect())
}

fn unit(unit: &Value) -> String {
    let id = unit["pkg_id"].as_str().unwrap_or_default();
    let name = id.rsplit(['/', '#']).next().unwrap_or(id);
    format!(
        "{name} ({} {}, {} for {}): {}",
        unit["target"]["kind"][0].as_str().unwrap_or_default(),
        unit["target"]["name"].as_str().unwrap_or_default(),
        unit["mode"].as_str().unwrap_or_default(),
        unit["platform"].as_str().unwrap_or("the host"),
        unit["features"],
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_published_library_is_compiled_alone() {
        let library = json!([{"kind": ["lib"]}]);
        let metadata = json!({"packages": [
            {"name": "a", "features": {"default": [], "b": [], "c": ["b"]}, "targets": library},
            {"name": "d", "features": {}, "targets": library},
            {"name": "e", "features": {}, "targets": [{"kind": ["bin"]}]},
            {"name": "f", "features": {"g": []}, "targets": library, "publish": []},
        ]});
        assert_eq!(libraries(&metadata), [("a", vec!["b", "c"]), ("d", vec![])]);
    }

    #[test]
    fn a_unit_differs_by_its_features() {
        let with = |features: &[&str]| {
            unit(&json!({
                "pkg_id": "registry+https://index.example/#tokio@1.0.0",
                "target": {"kind": ["lib"], "name": "tokio"},
                "mode": "build", "platform": null, "features": features,
            }))
        };
        assert_eq!(with(&["net"]), "tokio@1.0.0 (lib tokio, build for the host): [\"net\"]");
        assert_ne!(with(&["net"]), with(&["net", "fs"]));
    }
}
