//! `cargo xtask live`: the scenarios of the test suite on the real cloud, for someone with an
//! account.
//!
//! The program is `webex live` (webex-cli), so that xtask does not depend on the SDK. This command
//! builds it and replaces itself by it.

use std::{
    env,
    ffi::{OsStr, OsString},
    process::Command,
};

use anyhow::{Context, Result};

use crate::workspace::{self, Exit, Workspace};

/// The environment variable with the token.
const TOKEN_VARIABLE: &str = "WEBEX_ACCESS_TOKEN";

/// Exit code of wrong usage, the program's own.
const USAGE: u8 = 2;

/// Runs the scenarios with the program's own arguments.
///
/// # Errors
/// [`Exit`] with code 2 when there is no token, before anything is built; otherwise with the exit
/// code of the program.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    if !wants_help(arguments) && !has_token(arguments, env::var_os(TOKEN_VARIABLE).as_deref()) {
        let message = format!(
            "no access token: put one into {TOKEN_VARIABLE}, or into a file named with --token-file"
        );
        return Err(Exit { code: USAGE, message }.into());
    }
    workspace::run(workspace.cargo("build").args(["--quiet", "-p", "webex-cli"]))?;
    let mut command = workspace.command(workspace.target()?.join("debug").join("webex"));
    // Run in the user's folder, for `--out`.
    command.arg("live").args(arguments).current_dir(env::current_dir().context("current folder")?);
    become_it(command)
}

/// Replaces this program by the other one, so that Ctrl-C and the exit code are that program's.
#[cfg(unix)]
fn become_it(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).context("cannot start `webex live`")
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> Result<()> {
    let status = command.status().context("cannot start `webex live`")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    if code == 0 {
        return Ok(());
    }
    Err(Exit { code, message: format!("`webex live` ended with {status}") }.into())
}

fn wants_help(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| argument == "--help" || argument == "-h")
}

fn has_token(arguments: &[OsString], variable: Option<&OsStr>) -> bool {
    let is_set = variable.is_some_and(|token| !token.to_string_lossy().trim().is_empty());
    is_set
        || arguments.iter().any(|argument| argument.to_string_lossy().starts_with("--token-file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_from_the_environment_or_a_file() {
        let none: &[OsString] = &[];
        assert!(!has_token(none, None));
        assert!(!has_token(none, Some(OsStr::new(" \n"))));
        assert!(has_token(none, Some(OsStr::new("token"))));
        assert!(has_token(&["--token-file".into(), "t".into()], None));
        assert!(has_token(&["--token-file=t".into()], None));
        assert!(wants_help(&["--help".into()]) && !wants_help(none));
    }
}
