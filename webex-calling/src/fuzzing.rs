//! The fuzz targets of `fuzz/`. The tests below run them on the committed corpus.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;
use webex_core::HttpError;

pub use crate::discovery::mobius_discovery;
use crate::{
    mobius::{
        transport::NetworkHint,
        wire::{MobiusDevice, Registration},
    },
    model::{error::LineError, servers::Servers},
    registration::{
        machine::{Machine, Settings},
        state::{Action, Op},
    },
};

/// A target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub const TARGETS: &[Target] = &[
    ("line_machine", line_machine),
    ("mobius_discovery", mobius_discovery),
    ("mobius_registration", mobius_registration),
];

/// The answer to a registration request, passed to a machine that waits for it.
pub fn mobius_registration(data: &[u8]) {
    let _ = serde_json::from_slice::<MobiusDevice>(data);
    let Ok(answer) = serde_json::from_slice::<Registration>(data) else { return };
    let mut line = Line::new();
    line.machine.handle_register(line.now);
    line.drain();
    if let Some(Asked::Registration(op)) = line.asked.pop() {
        line.machine.handle_registration(line.now, op, Ok(answer));
        line.drain();
        // Whatever times it has, the machine goes on.
        for _ in 0..20 {
            line.wait();
        }
    }
}

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Registration(Op),
    Keepalive(Op),
    Deregistration(Op),
    Ping(Op),
    Servers(Op),
}

/// A machine, its clock, and its requests.
struct Line {
    machine: Machine,
    now: Instant,
    asked: Vec<Asked>,
}

fn url(name: &str) -> Url {
    Url::parse(&format!("https://{name}.webex.com/api/v1/calling/web/")).expect("a URL")
}

fn servers() -> Arc<Servers> {
    Arc::new(Servers { primary: vec![url("p1"), url("p2")], backup: vec![url("b1")] })
}

impl Line {
    fn new() -> Self {
        let machine = Machine::new(servers(), Settings::default(), 7);
        Self { machine, now: Instant::now(), asked: Vec::new() }
    }

    /// Takes the machine's actions.
    fn drain(&mut self) {
        let mut actions = 0;
        while let Some(action) = self.machine.poll_action() {
            actions += 1;
            assert!(actions < 200, "one input has this many consequences");
            self.asked.extend(match action {
                Action::Register(op, _) => Some(Asked::Registration(op)),
                Action::Keepalive(op, ..) => Some(Asked::Keepalive(op)),
                Action::Deregister(op, ..) => Some(Asked::Deregistration(op)),
                Action::Ping(op, _) => Some(Asked::Ping(op)),
                Action::Rediscover(op) => Some(Asked::Servers(op)),
                Action::Emit(event) => {
                    let _ = format!("{event:?}");
                    None
                }
                _ => None,
            });
        }
    }

    /// Lets time pass to the next deadline.
    fn wait(&mut self) {
        if let Some(at) = self.machine.poll_timeout() {
            self.now = self.now.max(at);
        }
        self.machine.handle_timeout(self.now);
        self.drain();
    }
}

fn failure(kind: u8) -> HttpError {
    let host = "p1.webex.com".to_owned();
    match kind % 4 {
        0 => HttpError::Network { host, reason: "refused".to_owned() },
        1 => HttpError::Timeout { host, after: Duration::from_secs(10) },
        2 => HttpError::Body { host, reason: "Eof".to_owned() },
        _ => HttpError::Paused { host, retry_after: Duration::from_secs(60) },
    }
}

fn registration(which: u8) -> Registration {
    let interval = [r"30", r"1", "0", "-5", r#""7""#, "1e300", "null"][usize::from(which % 7)];
    let text = format!(
        r#"{{"device":{{"deviceId":"d{which}","uri":"https://p1.webex.com/devices/{which}",
            "addresses":[]}},"keepaliveInterval":{interval},"rehomingIntervalMin":{},
            "rehomingIntervalMax":{}}}"#,
        which % 5,
        which % 3,
    );
    serde_json::from_str(&text).expect("a registration")
}

/// A script for the machine of a line: each pair of bytes is an input.
pub fn line_machine(data: &[u8]) {
    let mut line = Line::new();
    line.machine.handle_register(line.now);
    line.drain();
    for pair in data.chunks(2).take(2_000) {
        let [what, which] = *pair else { break };
        let now = line.now;
        match what % 12 {
            0 => line.machine.handle_register(now),
            1 => line.machine.handle_deregister(now),
            2 => line.machine.handle_down(now, None),
            3 => line.machine.handle_down(now, Some(&format!("d{which}"))),
            4 => {
                let hints = [
                    NetworkHint::Offline,
                    NetworkHint::Online,
                    NetworkHint::Changed,
                    NetworkHint::Resumed,
                ];
                line.machine.handle_network(now, hints[usize::from(which % 4)]);
            }
            5 => line.now += Duration::from_millis(u64::from(which) * 500),
            6..=8 => {
                let at = usize::from(which) % line.asked.len().max(1);
                if at < line.asked.len() {
                    let asked = line.asked.swap_remove(at);
                    let good = what % 12 != 8;
                    let http = || if good { Ok(()) } else { Err(failure(which)) };
                    #[allow(clippy::result_large_err)] // as the machine takes it
                    let result = || http().map_err(LineError::from);
                    match asked {
                        Asked::Registration(op) => {
                            let answer = match result() {
                                Ok(()) => Ok(registration(which)),
                                Err(error) => Err(error.into()),
                            };
                            line.machine.handle_registration(now, op, answer);
                        }
                        Asked::Keepalive(op) => line.machine.handle_keepalive(now, op, result()),
                        Asked::Deregistration(op) => {
                            line.machine.handle_deregistered(now, op, http());
                        }
                        Asked::Ping(op) => line.machine.handle_ping(now, op, result()),
                        Asked::Servers(op) => {
                            line.machine.handle_servers(now, op, result().map(|()| servers()));
                        }
                    }
                }
            }
            _ => line.wait(),
        }
        line.drain();
        let _ = (line.machine.state(), line.machine.upcoming());
    }
    // After any inputs, a deregistered line comes to rest.
    line.machine.handle_deregister(line.now);
    line.drain();
    for _ in 0..50 {
        line.wait();
    }
    assert!(line.machine.state().is_at_rest(), "{:?}", line.machine.state());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_passes() {
        webex_tests::corpus::run(TARGETS);
    }
}
