//! `cargo xtask dist`: what is handed out, in `target/dist`.
//!
//! The command and the C library with its header, each built so that it says itself which crates are
//! in it (`cargo auditable`): a scanner of a machine's files finds a vulnerable one without our help.
//! Beside them their components and licences. What was embedded is read back before this succeeds.

use std::{
    collections::BTreeSet,
    env::consts::{DLL_PREFIX, DLL_SUFFIX, EXE_SUFFIX},
    ffi::OsString,
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    sbom,
    workspace::{self, Workspace},
};

/// The cargo-auditable that this was tried with.
const AUDITABLE_VERSION: &str = "0.7.7";

/// How what is shipped is built, unless `--profile` says otherwise.
const PROFILE: &str = "dist";

/// Builds everything that is handed out.
///
/// # Errors
/// When cargo-auditable is missing, the build fails, or a program does not name its crates.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let profile = match arguments {
        [] => PROFILE.to_owned(),
        [flag, name] if flag == "--profile" => name.to_string_lossy().into_owned(),
        [other, ..] => bail!("unexpected argument `{}`", other.to_string_lossy()),
    };
    require_auditable(workspace)?;
    sbom::sbom(workspace)?;
    sbom::notices(workspace)?;
    let mut command = workspace.cargo("auditable");
    command.args([
        "build",
        "--locked",
        "--profile",
        &profile,
        "-p",
        "webex-cli",
        "-p",
        "webex-ffi",
    ]);
    workspace::run(&mut command)?;

    let target = workspace.target()?;
    let folder = target.join("dist");
    // The development profile is the one whose folder has another name.
    let built = target.join(if profile == "dev" { "debug" } else { &profile });
    for (package, file) in [
        ("webex-cli", format!("webex{EXE_SUFFIX}")),
        ("webex-ffi", format!("{DLL_PREFIX}webex_ffi{DLL_SUFFIX}")),
    ] {
        let from = built.join(&file);
        let embedded = embedded(&from)?;
        let listed = sbom::listed(&folder, package)?;
        let absent: Vec<&String> = listed.difference(&embedded).collect();
        ensure!(absent.is_empty(), "{} does not name {absent:?}", from.display());
        copy(&from, &folder.join(&file))?;
        println!("{}: names {} crates", folder.join(&file).display(), embedded.len());
    }
    copy(&workspace.root().join("include/webex.h"), &folder.join("webex.h"))
}

/// The crates that a program or library names, each as name and version.
fn embedded(path: &Path) -> Result<BTreeSet<String>> {
    let text = auditable_info::json_from_file(path, auditable_info::Limits::default())
        .with_context(|| format!("{} does not say what is in it", path.display()))?;
    let list: Value = serde_json::from_str(&text).context("the list of crates")?;
    let packages = workspace::array(&list["packages"]).map(|package| {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        format!("{} {}", text("name"), text("version"))
    });
    Ok(packages.collect())
}

/// It does not tell its own version: what it embeds is checked instead.
fn require_auditable(workspace: &Workspace) -> Result<()> {
    ensure!(
        workspace::succeeds(workspace.cargo("auditable").arg("--version")),
        "cargo-auditable is missing; \
         run `cargo install cargo-auditable@{AUDITABLE_VERSION} --locked`"
    );
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
