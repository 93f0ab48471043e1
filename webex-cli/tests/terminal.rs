//! `webex register` in a terminal: the live status.

#![cfg(unix)]

mod support;

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Instant,
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use webex_sandbox::Sandbox;
use webex_tests::wait::PATIENCE;

/// A program in a terminal of its own.
struct Terminal {
    child: Child,
    chunks: Receiver<String>,
    /// All output so far.
    text: String,
}

impl Terminal {
    fn start(command: &mut Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = || -> OwnedFd {
            open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap()
        };
        command.stdin(Stdio::null()).stdout(theirs()).stderr(Stdio::from(theirs()));
        let child = command.spawn().unwrap();
        let (send, chunks) = mpsc::channel();
        thread::spawn(move || {
            let mut ours = File::from(ours);
            let mut buffer = [0; 4096];
            // The end is an error: the last program on the terminal has closed it.
            while let Ok(count @ 1..) = ours.read(&mut buffer) {
                if send.send(String::from_utf8_lossy(&buffer[..count]).into_owned()).is_err() {
                    break;
                }
            }
        });
        Self { child, chunks, text: String::new() }
    }

    /// Waits until the output satisfies the condition.
    fn wait_for(&mut self, what: &str, condition: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.chunks.recv_timeout(left) {
                Ok(chunk) => self.text += &chunk,
                Err(error) => panic!("no {what} ({error}) in {:?}", self.text),
            }
        }
    }

    /// Interrupts the program, and returns all output.
    fn interrupt(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        while let Ok(chunk) =
            self.chunks.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.text += &chunk;
        }
        assert!(self.child.wait().unwrap().success(), "{:?}", self.text);
        std::mem::take(&mut self.text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A failed test leaves no process behind; one that has already ended is not killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn register(terminal: &str, more: &[(&str, &str)]) -> Terminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webex"));
    command.args(["register", "--calling"]).env("TERM", terminal);
    for name in ["WEBEX_ACCESS_TOKEN", "WEBEX_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.env("WEBEX_STORE", concat!(env!("CARGO_TARGET_TMPDIR"), "/nobody-is-signed-in"));
    command.envs(more.iter().copied());
    Terminal::start(&mut command)
}

/// The rows that a terminal would finally show.
fn rows(text: &str) -> Vec<String> {
    let mut rows = vec![String::new()];
    for part in text.replace("\r\n", "\n").split_inclusive('\n') {
        let ends = part.ends_with('\n');
        let row = rows.last_mut().unwrap();
        match part.rsplit_once("\r\x1b[2K") {
            Some((_, after)) => after.trim_end_matches('\n').clone_into(row),
            None => row.push_str(part.trim_end_matches('\n')),
        }
        if ends {
            rows.push(String::new());
        }
    }
    rows
}

#[test]
fn the_countdown_runs_below_the_events_and_is_cleared_at_the_end() {
    let mut terminal = register("xterm", &[]);
    // State, server, deadline and countdown; green; and the countdown runs.
    terminal.wait_for("status", |text| {
        text.contains("\x1b[32m●\x1b[0m registered with 127.0.0.1:")
            && text.contains("/mobius/primary-1, keepalive at ")
    });
    let counts = |text: &str| {
        let mut seen: Vec<_> =
            (20..=30).filter(|n| text.contains(&format!(", in {n} s"))).collect();
        seen.dedup();
        seen.len()
    };
    terminal.wait_for("countdown", |text| counts(text) >= 3);
    let text = terminal.interrupt();

    let rows = rows(&text);
    assert!(rows.iter().all(|row| !row.contains('●')), "the status stays: {rows:#?}");
    assert!(rows.iter().all(|row| !row.contains('\x1b')), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("Leaving …")), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("registered") && row.contains("sip:")));
    assert_eq!(rows.last().unwrap(), "", "the prompt begins a row");
    assert_eq!(text.matches("\x1b[?7l").count(), text.matches("\x1b[?7h").count());
}

#[test]
fn colours_are_left_out_on_request() {
    let mut terminal = register("xterm", &[("NO_COLOR", "1")]);
    terminal.wait_for("status", |text| text.contains("● registered with"));
    let text = terminal.interrupt();
    assert!(!text.contains("\x1b[3"), "{text:?}");
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let mut terminal = register("dumb", &[]);
    terminal.wait_for("state", |text| text.contains("/mobius/primary-1, keepalive at "));
    let text = terminal.interrupt();
    assert!(!text.contains('\x1b') && !text.contains('●'), "{text:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_terminal_every_change_is_a_line() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let ca = support::ca_file(&sandbox, &folder);
    let cloud = sandbox.origin().as_str();
    let arguments = ["register", "--calling", "--cloud", cloud, "--ca", &ca];
    let mut webex = support::webex(arguments, Some(sandbox.token()));
    webex.wait_for("state", |line| line.contains("/mobius/primary-1, keepalive at "));
    webex.signal("INT");
    let ended = webex.end();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let states = ended.stdout.iter().filter(|line| line.contains(" state ")).count();
    assert_eq!(states, 1, "{:#?}", ended.stdout);
    assert!(!ended.stdout.concat().contains('\x1b'));
}
