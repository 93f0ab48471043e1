//! Runs the `webex` command and reads what it prints, waiting on conditions.

#![allow(dead_code)] // each test uses its part

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use webex_sandbox::Sandbox;

/// Longest wait for anything that should happen at once; generous, for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running `webex`.
pub struct Webex {
    child: Child,
    lines: Receiver<String>,
    /// Every line of standard output so far.
    pub seen: Vec<String>,
    stderr: Option<JoinHandle<String>>,
}

/// How a `webex` ended.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<String>,
    pub stderr: String,
}

impl Webex {
    /// Starts the command; nothing of this process' environment that it reads is passed on.
    pub fn run<'a>(arguments: impl IntoIterator<Item = &'a str>, token: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webex"));
        command
            .args(arguments)
            .env_remove("WEBEX_ACCESS_TOKEN")
            .env_remove("WEBEX_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(token) = token {
            command.env("WEBEX_ACCESS_TOKEN", token);
        }
        let mut child = command.spawn().expect("webex starts");
        let (send, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().expect("piped");
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("text");
            text
        });
        Self { child, lines, seen: Vec::new(), stderr: Some(stderr) }
    }

    /// Starts `webex register --json` against a sandbox of this process.
    pub fn register(sandbox: &Sandbox, ca: &str, more: &[&str]) -> Self {
        let mut arguments = vec!["register", "--json", "--cloud", sandbox.origin().as_str()];
        arguments.extend(["--ca", ca]);
        arguments.extend(more);
        Self::run(arguments, Some(sandbox.token()))
    }

    /// Waits for a line of standard output that satisfies the condition.
    pub fn wait_for(&mut self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        if let Some(line) = self.seen.iter().find(|line| condition(line)) {
            return line.clone();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let _ = self.child.kill();
                let stderr = self.stderr.take().map(|reader| reader.join());
                panic!("no {what} in {:#?}, stderr {stderr:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if condition(&line) {
                return line;
            }
        }
    }

    /// Waits for an event of `--json` output.
    pub fn wait_for_event(&mut self, name: &str) -> Value {
        let text = self.wait_for(name, |line| event(line).is_some_and(|e| e["event"] == name));
        event(&text).expect("looked at")
    }

    /// Waits for `webex sandbox` to tell where it is.
    pub fn origin(&mut self) -> String {
        let line = self.wait_for("origin", |line| line.trim_start().starts_with("origin "));
        line.split_whitespace().last().expect("an address").to_owned()
    }

    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!("webex does not end: {:#?}", self.seen);
                }
            }
        }
        let status = self.child.wait().expect("waited for once");
        let stderr = self.stderr.take().expect("joined once").join().expect("a reader");
        Ended { status, stdout: std::mem::take(&mut self.seen), stderr }
    }
}

impl Drop for Webex {
    fn drop(&mut self) {
        // A failed test leaves no process behind; one that has ended already is not killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The exit code.
    pub fn code(&self) -> i32 {
        self.status.code().expect("not ended by a signal")
    }

    /// Names of the events of one source, in order.
    pub fn events(&self, source: &str) -> Vec<String> {
        let events = self.stdout.iter().filter_map(|line| event(line));
        events
            .filter(|event| event["source"] == source)
            .map(|event| event["event"].as_str().expect("a name").to_owned())
            .collect()
    }
}

/// A line of `--json` output.
pub fn event(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

/// Writes the sandbox's root certificate to a file of the folder; gives its path.
pub fn ca_file(sandbox: &Sandbox, folder: &tempfile::TempDir) -> String {
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, sandbox.ca_pem().expect("TLS")).expect("written");
    path.to_str().expect("a plain path").to_owned()
}
