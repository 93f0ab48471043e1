//! Every close code of the protocol, before and after the authorization, in exact virtual time: the
//! actions it leads to, the time of the next attempt, and the changes reported to subscribers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::machine::{Action, Change, Machine, Phase};
use crate::{
    device::{machine as device, record::Device},
    mercury::{
        close::{Close, RULES, Reason, Stop, why},
        frame::{ClientFrame, ServerFrame},
        machine::action::{self as socket, ConnId},
        timings::{BACKOFF_BASE, RATE_LIMITED_WAIT, STABLE_AFTER},
    },
};

/// Enough seeds to reach both ends of a range.
const SEEDS: u64 = 100;

/// Longer than any wait for a socket; later deadlines belong to the daily refresh of the device.
const LONG: Duration = Duration::from_secs(3600);

/// The expected reaction to a close.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expect {
    /// Another attempt.
    Again,
    /// Another attempt, with another token.
    Token,
    /// Another attempt, at the address of a refreshed device.
    Device,
    /// Another attempt, much later.
    Later,
    /// No attempt.
    Never(Stop),
}

use Expect::{Again, Device as Fresh, Later, Never, Token};

/// Code, reason, before authorization, after authorization. Written from the protocol, not derived
/// from [`RULES`].
const TABLE: &[(u16, &str, Expect, Expect)] = &[
    (1000, "", Again, Again),
    (1000, "idle", Again, Again),
    (1000, "done (forced)", Again, Again),
    (1000, "Pong not received", Again, Again),
    (1000, "pong mismatch", Again, Again),
    (1000, "Done", Again, Again),
    (1001, "", Again, Again),
    (1002, "", Again, Again),
    (1003, "not JSON", Again, Again),
    (1005, "", Fresh, Again),
    (1005, "replaced", Never(Stop::Replaced), Never(Stop::Replaced)),
    (1005, "authentication failed", Token, Token),
    (1005, "authentication did not happen within 30000 ms", Token, Token),
    (1006, "", Again, Again),
    (1008, "authentication did not happen within 30000 ms", Token, Token),
    (1008, "policy", Token, Token),
    (1011, "", Again, Again),
    (1012, "", Again, Again),
    (3050, "meetings unregister", Again, Again),
    (3050, "idle", Again, Again),
    (4000, "Replaced", Never(Stop::Replaced), Never(Stop::Replaced)),
    (4000, "replaced", Never(Stop::Replaced), Never(Stop::Replaced)),
    (4000, "", Again, Again),
    (4000, "rebalance", Again, Again),
    (4001, "shutdown", Again, Again),
    (4400, "", Never(Stop::BadRequest), Never(Stop::BadRequest)),
    (4401, "", Token, Token),
    (4403, "", Never(Stop::NotEntitled), Never(Stop::NotEntitled)),
    (4404, "", Fresh, Fresh),
    (4429, "", Later, Later),
    // Codes without a rule.
    (1013, "try again later", Again, Again),
    (4999, "", Again, Again),
];

fn record() -> Arc<Device> {
    let json = r#"{"url":"https://w/1","webSocketUrl":"wss://m/1","userId":"u"}"#;
    Arc::new(serde_json::from_str(json).unwrap())
}

/// A link on virtual time, whose requests for devices and tokens always succeed.
struct Bench {
    machine: Machine,
    now: Instant,
    conn: ConnId,
    opened: Option<Instant>,
    ping: Option<String>,
    asked: Vec<Expect>,
    told: Vec<Change>,
}

impl Bench {
    /// A link whose socket is open, and not authorized.
    fn open(seed: u64) -> Self {
        let mut machine = Machine::new(device::Machine::new(None, seed), seed);
        let now = Instant::now();
        machine.up(now);
        let register = machine.poll_action();
        assert!(matches!(register, Some(Action::Device(device::Action::Register))));
        machine.handle_record(now, Ok(record()));
        let Some(Action::Socket(socket::Action::Open(conn))) = machine.poll_action() else {
            panic!("no socket")
        };
        assert!(machine.handle_opened(now, conn));
        let (asked, told) = (Vec::new(), Vec::new());
        Self { machine, now, conn, opened: None, ping: None, asked, told }
    }

    /// A link whose socket has been authorized for this long.
    fn authorized(seed: u64, since: Duration) -> Self {
        let mut bench = Self::open(seed);
        bench.frame(r#"{"data":{"eventType":"mercury.buffer_state"}}"#);
        let start = bench.now;
        while bench.now - start < since {
            bench.act();
            if let Some(ping) = bench.ping.take() {
                bench.frame(&format!(r#"{{"id":"{ping}","type":"pong"}}"#));
            }
            bench.sleep();
        }
        bench.act();
        assert_eq!(std::mem::take(&mut bench.told), [Change::Online]);
        bench
    }

    fn frame(&mut self, text: &str) {
        self.machine.handle_frame(self.now, self.conn, ServerFrame::parse(text).unwrap());
    }

    fn sleep(&mut self) {
        self.now = self.machine.poll_timeout().expect("a deadline");
        self.machine.handle_timeout(self.now);
    }

    /// Performs the requested actions.
    fn act(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Change(change) => self.told.push(change),
                Action::Device(device::Action::Refresh(_)) => {
                    self.asked.push(Fresh);
                    self.machine.handle_record(self.now, Ok(record()));
                }
                Action::Socket(socket::Action::ReplaceToken) => {
                    self.asked.push(Token);
                    self.machine.handle_token(self.now, true);
                }
                Action::Socket(socket::Action::Open(_)) => self.opened = Some(self.now),
                Action::Socket(socket::Action::Send(_, ClientFrame::Ping { id })) => {
                    self.ping = Some(id);
                }
                _ => {}
            }
        }
    }

    /// Ends the socket. Returns the time until the next attempt.
    fn close(&mut self, code: u16, reason: &str) -> Option<Duration> {
        let close = Close { code, reason: reason.to_owned() };
        let start = self.now;
        self.machine.handle_closed(start, self.conn, &close);
        self.act();
        let soon = |at: Instant| at - start <= LONG;
        while self.opened.is_none() && self.machine.poll_timeout().is_some_and(soon) {
            self.sleep();
            self.act();
        }
        self.opened.map(|at| at - start)
    }
}

/// Asserts that a close leads to the expected reaction, with waits that fill the range from `low` to `high`.
fn check(
    code: u16,
    reason: &str,
    expect: Expect,
    (low, high): (Duration, Duration),
    bench: impl Fn(u64) -> Bench,
) {
    let online = |bench: &Bench| bench.machine.phase() == Phase::Up;
    let mut found = (Duration::MAX, Duration::ZERO);
    for seed in 0..SEEDS {
        let mut bench = bench(seed);
        let mut told = if online(&bench) { vec![Change::Offline] } else { vec![] };
        let wait = bench.close(code, reason);
        let asked: &[Expect] = match expect {
            Token | Fresh => &[expect],
            Again | Later | Never(_) => &[],
        };
        assert_eq!(bench.asked, asked, "{code} {reason:?}");
        if let Never(stop) = expect {
            told.push(Change::Failed);
            assert_eq!(bench.told, told, "{code} {reason:?}");
            assert_eq!(wait, None, "{code} {reason:?} is final");
            assert_eq!(bench.machine.stopped(), Some(stop), "{code} {reason:?}");
            assert_eq!(bench.machine.phase(), Phase::Failed, "{code} {reason:?}");
            continue;
        }
        assert_eq!(bench.told, told, "{code} {reason:?}");
        let wait = wait.unwrap_or_else(|| panic!("{code} {reason:?}: no attempt"));
        found = (found.0.min(wait), found.1.max(wait));
    }
    if !matches!(expect, Never(_)) {
        let slack = high.saturating_sub(low).mul_f64(0.1);
        let fills = found.0 >= low
            && found.0 <= low + slack
            && found.1 <= high
            && found.1 >= high.saturating_sub(slack);
        assert!(fills, "{code} {reason:?}: {found:?} is not {low:?} to {high:?}");
    }
}

fn range(expect: Expect, backoff: Duration) -> (Duration, Duration) {
    let least = if expect == Later { RATE_LIMITED_WAIT } else { Duration::ZERO };
    (least, least + backoff)
}

#[test]
fn row_20_every_close_code_before_authorization() {
    for &(code, reason, before, _) in TABLE {
        check(code, reason, before, range(before, BACKOFF_BASE), Bench::open);
    }
}

#[test]
fn row_20_every_close_code_after_authorization() {
    for &(code, reason, _, after) in TABLE {
        let young = |seed| Bench::authorized(seed, Duration::ZERO);
        check(code, reason, after, range(after, BACKOFF_BASE), young);
        // A stable connection is replaced at once, unless the server asked for fewer requests.
        let wait = if after == Later { BACKOFF_BASE } else { Duration::ZERO };
        let stable = |seed| Bench::authorized(seed, STABLE_AFTER);
        check(code, reason, after, range(after, wait), stable);
    }
}

#[test]
fn no_code_reopens_a_socket_closed_by_this_side() {
    for &(code, reason, ..) in TABLE {
        let mut bench = Bench::authorized(1, Duration::ZERO);
        bench.machine.down(bench.now, "bye");
        bench.act();
        assert_eq!(bench.close(code, reason), None, "{code} {reason:?}");
        assert_eq!(bench.told, [Change::Offline], "{code} {reason:?}");
        assert_eq!(bench.machine.phase(), Phase::Stopping, "the device is being deleted");
    }
}

#[test]
fn the_table_has_every_rule() {
    for rule in RULES {
        let about = |reason: &str| match rule.reason {
            Reason::Any => true,
            Reason::Is(text) => reason.eq_ignore_ascii_case(text),
            Reason::Contains(text) => reason.contains(text),
        };
        let tested = TABLE.iter().any(|(code, reason, ..)| *code == rule.code && about(reason));
        assert!(tested, "{rule:?} is not tested");
    }
}

#[test]
fn a_log_says_why_a_known_code_is_met_as_it_is() {
    let of = |code| why(&Close { code, reason: String::new() });
    assert_eq!(of(4001), Some("the end of a switchover; without a successor, reason to make one"));
    assert_eq!(of(4999), None);
}
