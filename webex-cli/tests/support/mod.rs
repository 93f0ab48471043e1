//! The `webex` command in tests and benches.

#![allow(dead_code)] // each uses its part

pub(crate) mod report;

use std::process::Command;

use webex_sandbox::Sandbox;
use webex_tests::process::Process;

/// Starts `webex` without the variables that it would read from this process' environment.
pub(crate) fn webex<'a>(
    arguments: impl IntoIterator<Item = &'a str>,
    token: Option<&str>,
) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webex"));
    command.args(arguments).env_remove("WEBEX_ACCESS_TOKEN").env_remove("WEBEX_LOG");
    command.env_remove("WEBEX_CLIENT_ID").env_remove("WEBEX_CLIENT_SECRET");
    // The user who runs the tests may be signed in.
    command.env("WEBEX_STORE", concat!(env!("CARGO_TARGET_TMPDIR"), "/nobody-is-signed-in"));
    if let Some(token) = token {
        command.env("WEBEX_ACCESS_TOKEN", token);
    }
    Process::start(&mut command)
}

/// Starts `webex register --json` against a sandbox of this process.
pub(crate) fn register(sandbox: &Sandbox, ca: &str, more: &[&str]) -> Process {
    let mut arguments = vec!["register", "--json", "--cloud", sandbox.origin().as_str()];
    arguments.extend(["--ca", ca]);
    arguments.extend(more);
    webex(arguments, Some(sandbox.token()))
}

/// Waits for `webex sandbox` to print its origin.
pub(crate) fn origin(sandbox: &mut Process) -> String {
    let line = sandbox.wait_for("origin", |line| line.trim_start().starts_with("origin "));
    line.split_whitespace().last().expect("an address").to_owned()
}

/// Writes the sandbox's root certificate to a file of the folder; returns its path.
pub(crate) fn ca_file(sandbox: &Sandbox, folder: &tempfile::TempDir) -> String {
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, sandbox.ca_pem().expect("TLS")).expect("written");
    path.to_str().expect("a plain path").to_owned()
}
