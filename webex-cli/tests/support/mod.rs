//! The `webex` command in tests and benches.

#![allow(dead_code)] // each uses its part

pub(crate) mod browser;
pub(crate) mod report;

use std::{fs, process::Command};

use serde_json::Value;
use tempfile::TempDir;
use webex_sandbox::Sandbox;
use webex_sdk::core::{Auth, Request, Webex};
use webex_tests::{process::Process, user};

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

/// `webex sandbox` in a process of its own, with a folder for its certificate, its token and more.
pub(crate) struct Cloud {
    process: Process,
    folder: TempDir,
    pub(crate) origin: String,
}

impl Cloud {
    /// Starts it. `folder` will hold `ca.pem` and `token`.
    pub(crate) fn start(folder: TempDir, more: &[&str]) -> Self {
        let path = |name| folder.path().join(name).to_str().expect("a plain path").to_owned();
        let (ca, token) = (path("ca.pem"), path("token"));
        let start = ["sandbox", "--listen", "127.0.0.1:0", "--ca-out", &ca, "--token-out", &token];
        let mut process = webex(start.into_iter().chain(more.iter().copied()), None);
        let line = process.wait_for("origin", |line| line.trim_start().starts_with("origin "));
        let origin = line.split_whitespace().last().expect("an address").to_owned();
        Self { process, folder, origin }
    }

    /// A file or folder that is removed with this sandbox.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a plain path").to_owned()
    }

    /// The token of its user.
    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.path("token")).expect("written by the sandbox").trim().to_owned()
    }

    /// A client of it with a token.
    pub(crate) fn client(&self, token: &str) -> Webex {
        let ca = fs::read(self.path("ca.pem")).expect("written by the sandbox");
        user::client_at(&self.origin, &ca, token)
    }

    /// Asks its control API.
    pub(crate) async fn control(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.origin.trim_end_matches('/')).parse().expect("a URL");
        let request = Request::get(url).auth(Auth::None);
        let answer = self.client("not-sent").http().send(request).await;
        answer.and_then(|answer| answer.json()).expect("the sandbox answers")
    }

    /// Ends it in order.
    pub(crate) fn end(self) {
        self.process.signal("INT");
        assert_eq!(self.process.end().code(), 0);
    }
}

/// Writes the sandbox's root certificate to a file of the folder; returns its path.
pub(crate) fn ca_file(sandbox: &Sandbox, folder: &TempDir) -> String {
    let path = folder.path().join("ca.pem");
    fs::write(&path, sandbox.ca_pem().expect("TLS")).expect("written");
    path.to_str().expect("a plain path").to_owned()
}
