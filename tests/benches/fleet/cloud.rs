//! The sandbox in a process of its own, controlled by lines of text.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use webex_sandbox::{Mobius, Sandbox, U2c};

use crate::program;

/// The keepalive interval (the service's usual value).
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(30);

/// The approximate size of the real service's catalog.
const CATALOG_BYTES: usize = 50_000;

/// How to reach it: the first line it writes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) origin: String,
    pub(crate) ca: String,
    pub(crate) tokens: Vec<String>,
}

/// Delays of keepalives in milliseconds, sorted.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Keepalives {
    pub(crate) late_ms: Vec<f64>,
    pub(crate) lines: usize,
}

/// The sandbox, from the side of the benchmark.
pub(crate) struct Cloud {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) address: Address,
}

impl Cloud {
    pub(crate) fn start(users: usize) -> Self {
        let mut child = program::again(["--part", "cloud", "--users", &users.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let commands = child.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.stdout.take().expect("piped"));
        let address = read(&mut answers);
        Self { child, commands, answers, address }
    }

    /// Sends every user an event of about this size. Returns the number of sockets.
    pub(crate) fn push(&mut self, bytes: usize) -> usize {
        self.ask(&format!("push {bytes}"))
    }

    /// Clears the request log.
    pub(crate) fn clear(&mut self) {
        self.ask::<bool>("clear");
    }

    pub(crate) fn keepalives(&mut self) -> Keepalives {
        self.ask("keepalives")
    }

    /// Devices, sockets and lines that it holds.
    pub(crate) fn counts(&mut self) -> [usize; 3] {
        self.ask("counts")
    }

    fn ask<T: for<'a> Deserialize<'a>>(&mut self, command: &str) -> T {
        writeln!(self.commands, "{command}").expect("it listens");
        read(&mut self.answers)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read<T: for<'a> Deserialize<'a>>(from: &mut impl BufRead) -> T {
    let mut line = String::new();
    from.read_line(&mut line).expect("it answers");
    serde_json::from_str(&line).expect("JSON")
}

/// Runs the sandbox, in its own process.
pub(crate) fn serve(users: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sandbox = runtime.block_on(async {
        let builder = Sandbox::builder().keepalive_interval(KEEPALIVE).log_capacity(users * 40);
        builder.start().await.expect("the sandbox starts")
    });
    sandbox.fail(U2c::postauth()).merge(padding()).always();
    let users: Vec<_> = (0..users)
        .map(|number| sandbox.add_user(format!("user{number}@example.com").as_str()))
        .collect();
    let address = Address {
        origin: sandbox.origin().to_string(),
        ca: sandbox.ca_pem().expect("TLS").to_owned(),
        tokens: users.iter().map(|user| user.token().to_owned()).collect(),
    };
    answer(&address);
    for command in io::stdin().lines() {
        let command = command.expect("text");
        let mut words = command.split_whitespace();
        match words.next() {
            Some("push") => {
                let bytes = words.next().and_then(|word| word.parse().ok()).expect("a number");
                let event = json!({"eventType": "bench.large", "text": "x".repeat(bytes)});
                let _within = runtime.enter();
                answer(&users.iter().map(|user| sandbox.push_event(user, &event)).sum::<usize>());
            }
            Some("clear") => {
                sandbox.clear_requests();
                answer(&true);
            }
            Some("keepalives") => answer(&keepalives(&sandbox)),
            Some("counts") => {
                let counts = sandbox.counts();
                answer(&[counts.devices, counts.sockets, counts.lines]);
            }
            _ => panic!("unknown command {command:?}"),
        }
    }
}

fn answer(value: &impl Serialize) {
    let text = serde_json::to_string(value).expect("plain data");
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).expect("somebody reads");
}

/// Unused services, which make the catalog as large as a real one.
fn padding() -> Value {
    let mut links = Map::new();
    let mut hosts = Map::new();
    let mut bytes = 0;
    for number in 0.. {
        let host = format!("service-{number}.example.com");
        let link = json!(format!("https://{host}/service-{number}/api/v1"));
        let entry = json!([
            {"host": host, "ttl": -1, "priority": 5, "id": format!("urn:TEAM:us-east-2_a:service-{number}")},
            {"host": format!("alt-{host}"), "ttl": -1, "priority": 10, "id": format!("urn:TEAM:us-west-2_b:service-{number}")},
        ]);
        bytes += link.to_string().len() + entry.to_string().len() + 50;
        links.insert(format!("service{number}"), link);
        hosts.insert(host, entry);
        if bytes > CATALOG_BYTES {
            break;
        }
    }
    json!({"serviceLinks": links, "hostCatalog": hosts})
}

/// The delay of each keepalive, as the server saw it.
///
/// A line's keepalives follow a fixed schedule, whose phase is unknown here: the earliest one
/// counts as on time.
fn keepalives(sandbox: &Sandbox) -> Keepalives {
    let mut lines: HashMap<String, Vec<f64>> = HashMap::new();
    for request in &sandbox.requests().of(Mobius::status()) {
        lines.entry(request.path().to_owned()).or_default().push(request.at().as_secs_f64());
    }
    let mut late_ms = Vec::new();
    for times in lines.values() {
        let offset = |(n, at): (usize, &f64)| at - n as f64 * KEEPALIVE.as_secs_f64();
        let offsets: Vec<f64> = times.iter().enumerate().map(offset).collect();
        let first = offsets.iter().copied().fold(f64::INFINITY, f64::min);
        late_ms.extend(offsets.iter().map(|offset| (offset - first) * 1000.0));
    }
    late_ms.sort_by(f64::total_cmp);
    Keepalives { late_ms, lines: lines.len() }
}
