//! The `webex` command in tests and benches.

#![allow(dead_code)] // each uses its part

pub(crate) mod report;

use std::process::Command;

use webex_sandbox::Sandbox;
use webex_tests::process::Process;

/// Variables that the command reads.
const VARIABLES: [&str; 12] = [
    "WEBEX_ACCESS_TOKEN",
    "WEBEX_CLIENT_ID",
    "WEBEX_CLIENT_SECRET",
    "WEBEX_LOG",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// `webex`, to be started, without the variables that it would read from this process' environment.
pub(crate) fn webex_command<'a>(
    arguments: impl IntoIterator<Item = &'a str>,
    token: Option<&str>,
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webex"));
    command.args(arguments);
    for name in VARIABLES {
        command.env_remove(name);
    }
    // The user who runs the tests may be signed in.
    command.env("WEBEX_STORE", concat!(env!("CARGO_TARGET_TMPDIR"), "/nobody-is-signed-in"));
    if let Some(token) = token {
        command.env("WEBEX_ACCESS_TOKEN", token);
    }
    command
}

/// Starts `webex`.
pub(crate) fn webex<'a>(
    arguments: impl IntoIterator<Item = &'a str>,
    token: Option<&str>,
) -> Process {
    Process::start(&mut webex_command(arguments, token))
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
