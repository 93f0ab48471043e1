//! Checks crates as they would be published: complete, packaged, and used by an outside project.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::workspace::{self, Notes, Workspace};

/// The crate that applications depend on.
const FACADE: &str = "webex-sdk";

/// The program of the outside project.
const PROGRAM: &str = "examples/rust/register.rs";

/// Manifest fields that each published crate must have.
const STATED: &[&str] =
    &["description", "license", "repository", "readme", "rust_version", "keywords", "categories"];

/// Files that each published crate must contain.
const FILES: &[&str] = &["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Packages every publishable crate. Then compiles a project whose only dependency is the facade,
/// and every package, from the packaged files.
///
/// cargo's own verification would build each package with its own set of library features, which
/// takes ten times as long; [`features`](crate::features) compiles each crate alone.
///
/// # Errors
/// When a crate lacks something, or does not build.
pub(crate) fn run(workspace: &Workspace) -> Result<Notes> {
    let metadata = workspace.metadata()?;
    let toolchain = fs::read_to_string(workspace.root().join("rust-toolchain.toml"))
        .context("rust-toolchain.toml")?;
    let mut wrong = Vec::new();
    let mut command = workspace.cargo("package");
    command.args(["--quiet", "--workspace", "--allow-dirty", "--offline", "--no-verify"]);
    let mut published = Vec::new();
    for package in workspace::array(&metadata["packages"]) {
        let name = package["name"].as_str().context("cargo metadata")?;
        if package["publish"].is_null() {
            wrong.extend(incomplete(package, &toolchain));
            published.push((name, package["version"].as_str().context("cargo metadata")?));
        } else {
            command.args(["--exclude", name]);
        }
    }
    ensure!(wrong.is_empty(), "not ready to be published:\n  {}", wrong.join("\n  "));
    workspace::run(&mut command)?;
    outside(workspace, &published)?;
    Ok(Notes::new())
}

/// Lists what a package lacks.
fn incomplete(package: &Value, toolchain: &str) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let stated = STATED.iter().filter(|key| empty(&package[**key])).map(|key| (*key).to_owned());
    let folder = Path::new(package["manifest_path"].as_str().unwrap_or_default()).parent();
    let present = |file: &str| folder.is_some_and(|folder| folder.join(file).is_file());
    let files = FILES.iter().filter(|file| !present(file)).map(|file| (*file).to_owned());
    let mut lacks: Vec<String> = stated.chain(files).collect();
    if empty(&package["metadata"]["docs"]["rs"]) {
        lacks.push("package.metadata.docs.rs".to_owned());
    }
    // The gate runs on one toolchain, which must be the oldest supported one.
    let version = package["rust_version"].as_str().unwrap_or_default();
    if !toolchain.contains(&format!("channel = \"{version}.")) {
        lacks.push(format!("a rust-version that is the pinned toolchain's ({version} is not)"));
    }
    lacks.into_iter().map(|what| format!("{name} lacks {what}")).collect()
}

/// Compiles a project that depends only on the packages, and the packages.
fn outside(workspace: &Workspace, published: &[(&str, &str)]) -> Result<()> {
    let target = workspace.target()?;
    let project = target.join("outside");
    if project.exists() {
        fs::remove_dir_all(&project).context("target/outside")?;
    }
    fs::create_dir_all(project.join("src")).context("target/outside")?;
    for (name, version) in published {
        let package = target.join("package").join(format!("{name}-{version}.crate"));
        let mut tar = workspace.command("tar");
        workspace::run(tar.arg("-xzf").arg(package).arg("-C").arg(&project))?;
    }
    fs::write(project.join("Cargo.toml"), manifest(published)?).context("target/outside")?;
    fs::copy(workspace.root().join(PROGRAM), project.join("src/main.rs")).context(PROGRAM)?;
    // Uses the tested versions, without requests to a registry.
    fs::copy(workspace.root().join("Cargo.lock"), project.join("Cargo.lock"))
        .context("Cargo.lock")?;
    for selection in [["-p", "outside"].as_slice(), &["--workspace"]] {
        let mut command = workspace.cargo("check");
        command.args(["--quiet", "--offline"]).args(selection);
        command.arg("--manifest-path").arg(project.join("Cargo.toml"));
        workspace::run(command.env("CARGO_TARGET_DIR", &target))?;
    }
    Ok(())
}

/// The manifest of the outside project.
fn manifest(published: &[(&str, &str)]) -> Result<String> {
    let facade = published.iter().find(|(name, _)| *name == FACADE);
    let (_, version) = facade.context("the facade is not published")?;
    let folder = |(name, version): &(&str, &str)| format!("{name}-{version}");
    let members: Vec<String> =
        published.iter().map(|package| format!("{:?}", folder(package))).collect();
    let patches: Vec<String> = published
        .iter()
        .map(|package| format!("{} = {{ path = {:?} }}\n", package.0, folder(package)))
        .collect();
    Ok(format!(
        "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [workspace]\nmembers = [{}]\n\n\
         [dependencies]\n{FACADE} = \"{version}\"\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"rt\", \"time\"] }}\n\n\
         [patch.crates-io]\n{}",
        members.join(", "),
        patches.concat(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_project_outside_depends_on_the_facade_alone() {
        let text = manifest(&[("webex-auth", "1.2.3"), (FACADE, "1.2.3")]).unwrap();
        assert!(text.contains("[dependencies]\nwebex-sdk = \"1.2.3\"\ntokio"), "{text}");
        assert!(text.contains("webex-auth = { path = \"webex-auth-1.2.3\" }"), "{text}");
        assert!(manifest(&[("webex-auth", "1.2.3")]).is_err());
    }

    #[test]
    fn what_a_crate_lacks_is_named() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../webex-auth/Cargo.toml");
        let complete = json!({
            "name": "a", "manifest_path": folder.to_str().unwrap(), "description": "d",
            "license": "l", "repository": "r", "readme": "README.md", "rust_version": "1.95",
            "keywords": ["k"], "categories": ["c"],
            "metadata": {"docs": {"rs": {"all-features": true}}},
        });
        let toolchain = "[toolchain]\nchannel = \"1.95.0\"\n";
        assert_eq!(incomplete(&complete, toolchain), [""; 0]);
        let mut without = complete.clone();
        without["keywords"] = json!([]);
        without["metadata"] = json!(null);
        assert_eq!(
            incomplete(&without, toolchain),
            ["a lacks keywords", "a lacks package.metadata.docs.rs"]
        );
        let newer = incomplete(&complete, "channel = \"1.99.0\"");
        assert!(newer[0].contains("1.95 is not"), "{newer:?}");
    }
}
