//! `cargo xtask fuzz [target] [--minutes N]`: runs a fuzz target, or each of them in turn.
//!
//! The targets are in `fuzz/`, a workspace of its own; what they run stands in each crate's `fuzzing`
//! module, which ordinary tests run too, on the corpus in `fuzz/corpus`. What the fuzzer finds on top
//! goes to `fuzz/found`, an input that fails to `fuzz/artifacts`: add that one to the corpus.

use std::{ffi::OsString, fs, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{self, Workspace};

/// How long each target runs unless told otherwise: enough to see that it works.
const SMOKE: Duration = Duration::from_secs(5);

/// Largest input made, bytes.
const MAX_LEN: u32 = 16 * 1024;

/// Runs the target of the first argument, or all.
///
/// # Errors
/// When there is no such target, cargo-fuzz is missing, or an input fails.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let mut target = None;
    let mut time = SMOKE;
    let mut parser = lexopt::Parser::from_args(arguments.iter().cloned());
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("minutes") => {
                let minutes: u64 = lexopt::ValueExt::parse(&parser.value()?)?;
                time = Duration::from_secs(minutes.saturating_mul(60));
            }
            lexopt::Arg::Value(name) if target.is_none() => target = Some(name),
            other => return Err(other.unexpected().into()),
        }
    }
    let all = targets(workspace)?;
    let chosen: Vec<_> = all
        .iter()
        .filter(|name| target.as_ref().is_none_or(|wanted| wanted == name.as_str()))
        .collect();
    ensure!(!chosen.is_empty(), "no such target; there are: {}", all.join(", "));
    let version = workspace::capture(workspace.cargo("fuzz").arg("--version"));
    ensure!(version.is_ok(), "cargo-fuzz is missing: `cargo install cargo-fuzz --locked`");
    for name in chosen {
        smoke(workspace, name, time)?;
    }
    Ok(())
}

/// The names of all targets.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for file in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = file?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    if names.is_empty() {
        bail!("{} is empty", folder.display());
    }
    Ok(names)
}

fn smoke(workspace: &Workspace, name: &str, time: Duration) -> Result<()> {
    let found = workspace.root().join("fuzz/found").join(name);
    fs::create_dir_all(&found)?;
    println!("fuzz {name}: {} s", time.as_secs());
    // The pinned stable compiler has what the fuzzer needs; it only has to be allowed.
    let mut command = workspace.cargo("fuzz");
    command.env("RUSTC_BOOTSTRAP", "1").args(["run", name]).arg(&found);
    command.arg(format!("fuzz/corpus/{name}")).arg("--");
    command.arg(format!("-max_total_time={}", time.as_secs()));
    command.arg(format!("-max_len={MAX_LEN}"));
    command.args(["-timeout=20", "-print_final_stats=0", "-verbosity=0"]);
    workspace::run(&mut command)
}
