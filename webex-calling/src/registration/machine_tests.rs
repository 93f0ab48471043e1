//! The machine on virtual time: every expectation is computed from the constants.

use proptest::prelude::*;
use webex_core::ErrorKind;

use super::*;
use crate::{
    line::LineErrorType,
    registration::timings::{KEEPALIVE_THRESHOLD, RETRY_BASE, RETRY_RANDOM_S},
};

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn error(status: u16) -> LineError {
    let kind = match status {
        400 => LineErrorType::BadRequest,
        401 => LineErrorType::TokenError,
        404 => LineErrorType::NotFound,
        429 => LineErrorType::TooManyRequests,
        _ => LineErrorType::ServiceUnavailable,
    };
    let mut error = LineError::closed();
    (error.kind, error.http_status) = (kind, Some(status));
    error
}

fn granted(keepalive_s: u64) -> Registration {
    let json = format!(
        r#"{{"device":{{"deviceId":"d","uri":"https://p1/devices/d","addresses":["sip:a@b"]}},
            "keepaliveInterval":{keepalive_s}}}"#
    );
    serde_json::from_str(&json).unwrap()
}

/// A machine, a clock, and what it asked for.
struct Bench {
    machine: Machine,
    start: Instant,
    now: Instant,
    events: Vec<LineEvent>,
}

impl Bench {
    fn new(primaries: usize, backups: usize, seed: u64) -> Self {
        let list =
            |kind: char, count| (1..=count).map(move |n| url(&format!("https://{kind}{n}/")));
        let servers = Servers {
            primary: list('p', primaries).collect(),
            backup: list('b', backups).collect(),
        };
        let start = Instant::now();
        let machine = Machine::new(Arc::new(servers), KEEPALIVE_THRESHOLD, seed);
        Self { machine, start, now: start, events: Vec::new() }
    }

    fn registering(primaries: usize, backups: usize, seed: u64) -> Self {
        let mut bench = Self::new(primaries, backups, seed);
        bench.machine.register(bench.now);
        bench
    }

    fn registered(keepalive_s: u64) -> Self {
        let mut bench = Self::registering(1, 0, 1);
        bench.answer(Ok(granted(keepalive_s)));
        assert_eq!(bench.machine.state(), LineState::Registered);
        bench
    }

    /// The request asked for; events on the way are collected.
    fn request(&mut self) -> Option<Action> {
        let mut request = None;
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Emit(event) => self.events.push(event),
                other => assert!(request.replace(other).is_none(), "two requests at once"),
            }
        }
        request
    }

    /// Answers the registration under way; tells the server it was for.
    fn answer(&mut self, answer: Result<Registration, LineError>) -> String {
        let request = self.request();
        let Some(Action::Register(op, server)) = request else { panic!("{request:?}") };
        self.machine.handle_registration(self.now, op, answer);
        server.host_str().unwrap().to_owned()
    }

    fn answer_keepalive(&mut self, answer: Result<(), LineError>) {
        let request = self.request();
        let Some(Action::Keepalive(op, _)) = request else { panic!("{request:?}") };
        self.machine.handle_keepalive(self.now, op, answer);
    }

    fn answer_deregistration(&mut self, answer: Result<(), HttpError>) {
        let request = self.request();
        let Some(Action::Deregister(op, ..)) = request else { panic!("{request:?}") };
        self.machine.handle_deregistered(self.now, op, answer);
    }

    /// Sleeps to the next deadline; says how long that took.
    fn sleep(&mut self) -> Duration {
        let deadline = self.machine.poll_timeout().expect("a deadline");
        let slept = deadline.duration_since(self.now);
        self.now = deadline;
        self.machine.handle_timeout(self.now);
        slept
    }

    /// Names of the events so far.
    fn names(&mut self) -> Vec<&'static str> {
        assert!(self.request().is_none());
        self.events.iter().map(LineEvent::name).collect()
    }
}

#[test]
fn success_is_connecting_then_registered_with_the_documented_properties() {
    let mut bench = Bench::registering(2, 1, 1);
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    assert_eq!(bench.names(), ["connecting", "registered"]);
    let Some(LineEvent::Registered(info)) = bench.events.last() else { unreachable!() };
    assert_eq!(info.status, LineStatus::Active);
    assert_eq!(info.mobius_device_id.as_deref(), Some("d"));
    assert_eq!(info.sip_addresses, ["sip:a@b"]);
    assert_eq!(info.server, Some(url("https://p1/")));
}

#[test]
fn keepalives_come_at_the_interval_whatever_the_answers_take() {
    let mut bench = Bench::registered(30);
    let start = bench.now;
    for n in 1..=5_u32 {
        bench.sleep();
        assert_eq!(bench.now - start, Duration::from_secs(30) * n);
        bench.now += Duration::from_millis(900);
        bench.answer_keepalive(Ok(()));
    }
    assert_eq!(bench.names(), ["connecting", "registered"]);
}

#[test]
fn a_sleep_is_followed_by_one_keepalive_not_a_burst() {
    let mut bench = Bench::registered(30);
    bench.now += Duration::from_secs(300);
    bench.machine.handle_timeout(bench.now);
    bench.answer_keepalive(Ok(()));
    assert!(bench.request().is_none());
    assert_eq!(bench.sleep(), Duration::from_secs(30));
}

#[test]
fn an_interval_that_is_missing_or_absurd_is_replaced() {
    for (asked, expected) in [(0, KEEPALIVE_MIN), (999_999, KEEPALIVE_MAX)] {
        assert_eq!(Bench::registered(asked).sleep(), expected);
    }
    let mut bench = Bench::registering(1, 0, 1);
    let silent = serde_json::from_str(r#"{"device":{"deviceId":"d","uri":"https://p1/d"}}"#);
    bench.answer(Ok(silent.unwrap()));
    assert_eq!(bench.sleep(), KEEPALIVE_INTERVAL);
}

#[test]
fn the_next_server_is_asked_at_once() {
    let mut bench = Bench::registering(2, 0, 1);
    assert_eq!(bench.answer(Err(error(503))), "p1");
    assert_eq!(bench.answer(Ok(granted(30))), "p2");
    assert_eq!(bench.now, bench.start);
    assert_eq!(bench.names(), ["connecting", "server_failed", "registered"]);
}

#[test]
fn final_errors_end_it_and_register_begins_anew() {
    for status in [400, 401, 404] {
        let mut bench = Bench::registering(2, 2, 1);
        bench.answer(Err(error(status)));
        assert_eq!(bench.names(), ["connecting", "error"], "{status}");
        assert_eq!(bench.machine.state(), LineState::Failed);
        assert_eq!(bench.machine.poll_timeout(), None);
        bench.machine.register(bench.now);
        assert_eq!(bench.answer(Ok(granted(30))), "p1");
    }
}

/// The wait after round `attempt`, without the cap of the failover.
fn interval(attempt: u32) -> std::ops::RangeInclusive<Duration> {
    let base = RETRY_BASE + Duration::from_secs(1 << attempt);
    base + Duration::from_secs(*RETRY_RANDOM_S.start())
        ..=base + Duration::from_secs(*RETRY_RANDOM_S.end())
}

#[test]
fn backups_follow_when_the_primaries_have_had_their_time() {
    for seed in 0..50 {
        let mut bench = Bench::registering(1, 2, seed);
        let mut attempt = 0;
        while bench.answer(Err(error(503))) == "p1" {
            attempt += 1;
            if bench.machine.state() == LineState::Waiting {
                let waited = bench.sleep();
                let elapsed = bench.now - bench.start;
                let expected = interval(attempt);
                assert!(
                    expected.contains(&waited) || elapsed == FAILOVER_AFTER,
                    "{attempt}: {waited:?}"
                );
                assert!(waited > FAILOVER_MIN_WAIT);
            }
        }
        // The last answer was the first backup's: it came within the protocol's window.
        let elapsed = bench.now - bench.start;
        assert!(elapsed + FAILOVER_MIN_WAIT >= FAILOVER_AFTER, "{elapsed:?}");
        assert!(elapsed <= FAILOVER_AFTER, "{elapsed:?}");

        assert_eq!(bench.answer(Err(error(503))), "b2");
        assert!(interval(1).contains(&bench.sleep()));
        assert_eq!(bench.answer(Err(error(503))), "b1");
        assert_eq!(bench.answer(Err(error(503))), "b2");
        let Some(LineEvent::Error(error)) = ({
            bench.request();
            bench.events.last()
        }) else {
            panic!("{:?}", bench.events)
        };
        assert_eq!(error.kind, LineErrorType::ServiceUnavailable);
        assert_eq!(bench.machine.poll_timeout(), None);
    }
}

#[test]
fn without_backups_it_fails_when_the_primaries_have_had_their_time() {
    let mut bench = Bench::registering(2, 0, 3);
    loop {
        bench.answer(Err(error(500)));
        bench.answer(Err(error(500)));
        if bench.machine.state() == LineState::Failed {
            break;
        }
        bench.sleep();
    }
    assert!(bench.now - bench.start <= FAILOVER_AFTER);
    assert_eq!(bench.names().last(), Some(&"error"));
}

#[test]
fn a_retry_after_is_kept_to_or_the_backups_are_asked_at_once() {
    let mut bench = Bench::registering(1, 1, 1);
    let mut busy = error(429);
    busy.retry_after = Some(Duration::from_secs(50));
    bench.answer(Err(busy.clone()));
    assert_eq!(bench.sleep(), Duration::from_secs(50));

    let mut bench = Bench::registering(1, 1, 1);
    busy.retry_after = Some(FAILOVER_AFTER + Duration::from_secs(1));
    bench.answer(Err(busy));
    assert_eq!(bench.answer(Ok(granted(30))), "b1");
    assert_eq!(bench.now, bench.start);
}

#[test]
fn missed_keepalives_are_told_and_forgotten_once_answered() {
    let mut bench = Bench::registered(30);
    for _ in 1..KEEPALIVE_THRESHOLD {
        bench.sleep();
        bench.answer_keepalive(Err(error(503)));
    }
    bench.sleep();
    bench.answer_keepalive(Ok(()));
    let mut expected = vec!["connecting", "registered"];
    expected.extend(["keepalive_missed", "reconnecting"].repeat(KEEPALIVE_THRESHOLD as usize - 1));
    expected.push("reconnected");
    assert_eq!(bench.names(), expected);
}

#[test]
fn too_many_missed_keepalives_lose_the_registration_and_the_same_server_is_asked_first() {
    let mut bench = Bench::registering(2, 0, 1);
    bench.answer(Err(error(503)));
    assert_eq!(bench.answer(Ok(granted(30))), "p2");
    for _ in 0..KEEPALIVE_THRESHOLD {
        bench.sleep();
        bench.answer_keepalive(Err(error(503)));
    }
    assert_eq!(bench.answer(Err(error(503))), "p2");
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    let names = bench.names();
    assert_eq!(names[names.len() - 3..], ["unregistered", "server_failed", "registered"]);
    assert_eq!(bench.machine.info().status, LineStatus::Active);
}

#[test]
fn a_server_that_forgot_the_line_is_registered_with_again() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.answer_keepalive(Err(error(404)));
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    assert_eq!(bench.names(), ["connecting", "registered", "error", "unregistered", "registered"]);
}

#[test]
fn a_refused_token_ends_the_registration_for_good() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.answer_keepalive(Err(error(401)));
    assert_eq!(bench.names(), ["connecting", "registered", "error", "unregistered"]);
    assert_eq!(bench.machine.poll_timeout(), None);
    assert_eq!(bench.machine.info().status, LineStatus::Inactive);
}

#[test]
fn a_superseded_session_stays_away() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.answer_keepalive(Err(error(409)));
    assert_eq!(bench.names(), ["connecting", "registered", "unregistered"]);
    let Some(LineEvent::Unregistered { reason, server }) = bench.events.last() else { panic!() };
    assert_eq!(reason.error().unwrap().kind, LineErrorType::SessionSuperseded);
    assert_eq!(server, &Some(url("https://p1/")));
    assert_eq!(bench.machine.poll_timeout(), None);
}

#[test]
fn deregister_ends_in_unregistered_from_every_state() {
    let outcome = |bench: &mut Bench| {
        assert!(bench.request().is_none());
        assert_eq!(bench.machine.state(), LineState::Idle);
        assert_eq!(bench.machine.poll_timeout(), None);
        match bench.events.last() {
            Some(LineEvent::Unregistered { reason, .. }) => reason.name(),
            other => panic!("{other:?}"),
        }
    };

    let mut idle = Bench::new(1, 0, 1);
    idle.machine.deregister(idle.now);
    assert_eq!(outcome(&mut idle), "already_gone");

    let mut waiting = Bench::registering(1, 0, 1);
    waiting.answer(Err(error(503)));
    waiting.machine.deregister(waiting.now);
    assert_eq!(outcome(&mut waiting), "already_gone");

    let mut registered = Bench::registered(30);
    registered.machine.deregister(registered.now);
    registered.answer_deregistration(Ok(()));
    assert_eq!(outcome(&mut registered), "deleted");

    // A keepalive under way does not hold it up, and its answer changes nothing.
    let mut keepalive = Bench::registered(30);
    keepalive.sleep();
    let Some(Action::Keepalive(op, _)) = keepalive.request() else { panic!() };
    keepalive.machine.deregister(keepalive.now);
    keepalive.machine.handle_keepalive(keepalive.now, op, Err(error(404)));
    let host = "p1".to_owned();
    let down = HttpError::Network { host, reason: "refused".to_owned() };
    assert_eq!(down.kind(), ErrorKind::Network);
    keepalive.answer_deregistration(Err(down));
    assert_eq!(outcome(&mut keepalive), "not_reachable");

    // A registration under way that succeeds after all is given up.
    let mut connecting = Bench::registering(1, 0, 1);
    let Some(Action::Register(op, _)) = connecting.request() else { panic!() };
    connecting.machine.deregister(connecting.now);
    connecting.machine.handle_registration(connecting.now, op, Ok(granted(30)));
    connecting.answer_deregistration(Ok(()));
    assert_eq!(outcome(&mut connecting), "deleted");

    let mut failed = Bench::registering(1, 0, 1);
    failed.answer(Err(error(401)));
    failed.machine.deregister(failed.now);
    assert_eq!(outcome(&mut failed), "already_gone");
}

#[test]
fn register_while_deregistering_begins_anew_afterwards() {
    let mut bench = Bench::registered(30);
    bench.machine.deregister(bench.now);
    bench.machine.register(bench.now);
    bench.answer_deregistration(Ok(()));
    bench.answer(Ok(granted(30)));
    assert_eq!(
        bench.names(),
        ["connecting", "registered", "unregistered", "connecting", "registered"]
    );
}

/// Things that can happen to a machine, in any order.
#[derive(Debug, Clone)]
enum Input {
    Register,
    Deregister,
    Answer(u16),
    Sleep,
    Pass(u64),
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let status = prop_oneof![
        4 => Just(200_u16), 1 => Just(401), 1 => Just(404), 1 => Just(429), 3 => Just(503)
    ];
    let input = prop_oneof![
        2 => Just(Input::Register),
        1 => Just(Input::Deregister),
        6 => status.prop_map(Input::Answer),
        4 => Just(Input::Sleep),
        1 => (0..200_000_u64).prop_map(Input::Pass),
    ];
    proptest::collection::vec(input, 0..80)
}

proptest! {
    /// Whatever happens: one request at a time, always something to wait for while the line is
    /// wanted and not failed, and what is granted is given up again.
    #[test]
    fn never_stuck_never_double(seed: u64, primaries in 1..3_usize, backups in 0..3_usize, inputs in inputs()) {
        let mut bench = Bench::new(primaries, backups, seed);
        let mut pending: Option<Action> = None;
        let mut held = 0_i32;
        for input in inputs {
            match input {
                Input::Register => bench.machine.register(bench.now),
                Input::Deregister => bench.machine.deregister(bench.now),
                Input::Answer(status) => match pending.take() {
                    Some(Action::Register(op, _)) => {
                        held += i32::from(status == 200);
                        let answer = if status == 200 { Ok(granted(30)) } else { Err(error(status)) };
                        bench.machine.handle_registration(bench.now, op, answer);
                    }
                    Some(Action::Keepalive(op, _)) => {
                        held -= i32::from(status == 404);
                        let answer = if status == 200 { Ok(()) } else { Err(error(status)) };
                        bench.machine.handle_keepalive(bench.now, op, answer);
                    }
                    Some(Action::Deregister(op, ..)) => {
                        held -= 1;
                        bench.machine.handle_deregistered(bench.now, op, Ok(()));
                    }
                    _ => {}
                },
                Input::Sleep if bench.machine.poll_timeout().is_none() => {}
                Input::Sleep => {
                    bench.sleep();
                }
                Input::Pass(ms) => {
                    bench.now += Duration::from_millis(ms);
                    bench.machine.handle_timeout(bench.now);
                }
            }
            if let Some(request) = bench.request() {
                // Only a keepalive's answer may be given up for something else.
                prop_assert!(!matches!(pending, Some(Action::Register(..) | Action::Deregister(..))));
                pending = Some(request);
            }
            // A keepalive that lost its registration is not answered any more.
            let (machine, waits) = (&bench.machine, bench.machine.poll_timeout().is_some());
            match machine.state() {
                LineState::Idle => prop_assert!(!waits && !machine.wanted),
                LineState::Failed => prop_assert!(!waits),
                LineState::Connecting | LineState::Deregistering => prop_assert!(pending.is_some()),
                LineState::Waiting => prop_assert!(waits && machine.wanted),
                LineState::Registered => {
                    prop_assert!(machine.wanted);
                    prop_assert!(waits || matches!(pending, Some(Action::Keepalive(..))));
                }
            }
            let active = machine.info().status == LineStatus::Active;
            prop_assert_eq!(active, machine.state() == LineState::Registered);
            prop_assert!(!active || held >= 1);
        }
    }
}
