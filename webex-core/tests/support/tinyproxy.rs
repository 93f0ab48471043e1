//! A real proxy: Debian's tinyproxy, with a user name and a password.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::Command,
};

use tempfile::TempDir;
use webex_tests::process::Process;

/// The user name it accepts.
pub(crate) const USER: &str = "ann";

/// The password it accepts.
pub(crate) const PASSWORD: &str = "proxy-pass-word";

/// A running tinyproxy.
pub(crate) struct Tinyproxy {
    process: Process,
    address: String,
    _folder: TempDir,
}

impl Tinyproxy {
    /// Starts it. Fails when it is not installed: `cargo xtask setup` installs it.
    pub(crate) fn start() -> Self {
        let port = free_port();
        let folder = TempDir::new().expect("a scratch folder");
        let file = folder.path().join("tinyproxy.conf");
        let settings = format!(
            "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 600\nLogLevel Info\n\
             BasicAuth {USER} {PASSWORD}\n"
        );
        std::fs::write(&file, settings).expect("written");
        let mut process = Process::start(Command::new("tinyproxy").arg("-d").arg("-c").arg(&file));
        process.wait_for("start", |line| line.contains("Accepting connections"));
        Self { process, address: format!("127.0.0.1:{port}"), _folder: folder }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The URL that a user would set in the environment.
    pub(crate) fn url(&self) -> String {
        format!("http://{USER}:{PASSWORD}@{}", self.address)
    }

    /// Stops it, and returns the `CONNECT` requests that it logged.
    pub(crate) fn stop(self) -> Vec<String> {
        self.process.signal("TERM");
        let lines = self.process.end().stdout;
        lines
            .iter()
            .filter(|line| line.contains("Request (file descriptor"))
            .filter_map(|line| line.split_once("): "))
            .map(|(_, request)| request.to_owned())
            .collect()
    }
}

/// A port of loopback that nothing listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("bound").port()
}
