//! Finds the workspace, and starts commands in it.

use std::{
    env,
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The checkout that the commands work on, wherever they are called from.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the root: the folder above this crate's.
    ///
    /// # Errors
    /// When it has no `Cargo.toml`, for example after moving a checkout without rebuilding.
    pub(crate) fn find() -> Result<Self> {
        // cargo sets the variable at run time; the compiled-in value serves a binary run by hand.
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir.parent().context("xtask has no parent folder")?.to_path_buf();
        if !root.join("Cargo.toml").is_file() {
            bail!("{} is not the workspace: run `cargo xtask` from the checkout", root.display());
        }
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a command that runs in the root with an environment like that of a shell.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        // `cargo run` describes xtask in the environment. Build scripts that watch these variables
        // (ring's does) would rebuild each time a developer alternates `cargo` and `cargo xtask`.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(describes_a_crate) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Makes a `cargo <subcommand>` of the toolchain that built xtask.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        command.arg(subcommand);
        command
    }

    /// The target folder of cargo.
    ///
    /// # Errors
    /// When cargo fails.
    pub(crate) fn target(&self) -> Result<PathBuf> {
        let metadata = self.metadata()?;
        let target = metadata["target_directory"].as_str().context("no target folder")?;
        Ok(PathBuf::from(target))
    }

    /// The metadata of the workspace's own packages.
    ///
    /// # Errors
    /// When cargo fails.
    pub(crate) fn metadata(&self) -> Result<Value> {
        let text = capture(self.cargo("metadata").args(["--no-deps", "--format-version", "1"]))?;
        serde_json::from_str(&text).context("cargo metadata")
    }

    /// Every file of the checkout that is committed or about to be, relative to the root.
    ///
    /// # Errors
    /// When git is missing or the root is not a git checkout.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let list = capture(
            self.command("git")
                // A build machine's checkout may belong to another user than the one who builds.
                .args(["-c", "safe.directory=*", "ls-files", "-z"])
                .args(["--cached", "--others", "--exclude-standard"]),
        )?;
        let mut files: Vec<PathBuf> =
            list.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
        // A deleted but unstaged file is still in the list, and so is the target of a link.
        files.retain(|file| {
            let file = self.root.join(file);
            file.is_file() && !file.is_symlink()
        });
        files.sort();
        files.dedup();
        Ok(files)
    }
}

/// Findings that did not fail but must not be overlooked; the gate's summary repeats them.
pub(crate) type Notes = Vec<String>;

/// A failure that ends xtask with its own exit code.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}

/// Runs a command with its output on the terminal.
///
/// # Errors
/// When it cannot be started or ends with a failure.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", describe(command));
    let status =
        command.status().with_context(|| format!("cannot start `{}`", describe(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", describe(command));
    }
    Ok(())
}

/// Runs a command and returns what it wrote to standard output.
///
/// # Errors
/// When it cannot be started, ends with a failure (its standard error is in the message), or
/// writes anything but UTF-8.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output =
        command.output().with_context(|| format!("cannot start `{}`", describe(command)))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", describe(command), output.status, reason.trim());
    }
    Ok(str::from_utf8(&output.stdout).context("output is not UTF-8")?.to_owned())
}

/// Whether a command succeeds, whatever it prints.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The items of a JSON array; none for any other value.
pub(crate) fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn describes_a_crate(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || matches!(name, "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH" | "CARGO_MANIFEST_LINKS")
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // The path of the toolchain's cargo is of no use to the reader.
    let mut text =
        program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        let workspace = Workspace::find().unwrap();
        let files = workspace.files().unwrap();
        assert!(files.contains(&PathBuf::from("xtask/src/workspace.rs")));
        assert!(files.iter().all(|file| !file.starts_with("target")));
    }

    #[test]
    fn children_do_not_see_the_description_of_xtask() {
        let command = Workspace::find().unwrap().cargo("build");
        let removed: Vec<_> =
            command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert!(removed.contains(&OsStr::new("CARGO_PKG_NAME")), "{removed:?}");
        assert!(!removed.contains(&OsStr::new("CARGO_TARGET_DIR")), "{removed:?}");
    }

    #[test]
    fn a_failure_names_the_command() {
        let workspace = Workspace::find().unwrap();
        let error = capture(workspace.cargo("no-such-subcommand").arg("x")).unwrap_err();
        assert!(error.to_string().starts_with("`cargo no-such-subcommand x` failed"), "{error}");
    }
}
