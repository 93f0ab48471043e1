//! Runs a program of the workspace and reads what it prints, waiting on conditions.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::wait::PATIENCE;

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    /// Every line of standard output so far.
    pub seen: Vec<String>,
    stderr: Option<JoinHandle<String>>,
}

/// The resources that a program has used.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Peak memory, in KiB.
    pub peak_kib: u64,
    /// Processor time, to a hundredth of a second.
    pub processor: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status.
    pub status: ExitStatus,
    /// Every line of standard output.
    pub stdout: Vec<String>,
    /// All of standard error.
    pub stderr: String,
}

impl Process {
    /// Starts the command. Its output is read here, and its input is empty.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
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

    /// Waits for a line of standard output that satisfies the condition.
    ///
    /// # Panics
    /// When there is none within [`PATIENCE`], or before the program ends; shows the output.
    pub fn wait_for(&mut self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        if let Some(line) = self.seen.iter().find(|line| condition(line)) {
            return line.clone();
        }
        self.wait_for_next(what, PATIENCE, condition)
    }

    /// Waits for a line of standard output that satisfies the condition, among the lines that have
    /// not been read yet.
    ///
    /// # Panics
    /// When there is none within `patience`, or before the program ends; shows the output.
    pub fn wait_for_next(
        &mut self,
        what: &str,
        patience: Duration,
        condition: impl Fn(&str) -> bool,
    ) -> String {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let _ = self.child.kill();
                let stderr = self.stderr.take().map(JoinHandle::join);
                panic!("no {what} in {:#?}, stderr {stderr:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if condition(&line) {
                return line;
            }
        }
    }

    /// Waits for an event of `--json` output.
    ///
    /// # Panics
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_for_event(&mut self, name: &str) -> Value {
        let text = self.wait_for(name, |line| event(line).is_some_and(|e| e["event"] == name));
        event(&text).expect("looked at")
    }

    /// The resources used so far, as the kernel counts them; `None` once the program has ended.
    #[cfg(target_os = "linux")]
    pub fn cost(&self) -> Option<Cost> {
        let read = |file| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).ok();
        let status = read("status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak_kib = peak.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        // Parsed after the name, which may hold anything: user and system time are fields 14 and 15.
        let stat = read("stat")?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
        Some(Cost { peak_kib, processor: Duration::from_millis(ticks * 10) })
    }

    /// Sends a signal, such as `INT`.
    ///
    /// # Panics
    /// When the program has ended.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not come within [`PATIENCE`] of the last line.
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!("it does not end: {:#?}", self.seen);
                }
            }
        }
        let status = self.child.wait().expect("waited for once");
        let stderr = self.stderr.take().expect("joined once").join().expect("a reader");
        Ended { status, stdout: std::mem::take(&mut self.seen), stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A failed test leaves no process behind; one that has already ended is not killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The exit code.
    ///
    /// # Panics
    /// When a signal ended the program.
    pub fn code(&self) -> i32 {
        self.status.code().expect("not ended by a signal")
    }

    /// Names of the events of one source, in order; without the steps of a registration, which end
    /// in any order.
    pub fn events(&self, source: &str) -> Vec<String> {
        let events = self.stdout.iter().filter_map(|line| event(line));
        events
            .filter(|event| event["source"] == source)
            .map(|event| event["event"].as_str().expect("a name").to_owned())
            .filter(|name| name != "meetings:step")
            .collect()
    }
}

/// A line of `--json` output.
pub fn event(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}
