//! The machine on virtual time: every expectation is computed from the constants.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::mercury::timings::{
    BACKOFF_BASE, BACKOFF_CAP, OPEN_TIMEOUT, PING_INTERVAL, PONG_TIMEOUT, RETIRE_TIMEOUT,
    STABLE_AFTER,
};

#[path = "machine/retry_tests.rs"]
mod retry;

const BUFFER_STATE: &str =
    r#"{"id":"b","data":{"eventType":"mercury.buffer_state"},"sequenceNumber":1}"#;

/// A machine, a clock, and the machine's actions.
struct Bench {
    machine: Machine,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let start = Instant::now();
        Self { machine: Machine::new(seed), start, now: start }
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.machine.poll_action()).collect()
    }

    fn opened(&mut self) -> ConnId {
        let actions = self.actions();
        let Some(Action::Open(conn)) = actions.last() else { panic!("{actions:?}") };
        *conn
    }

    fn frame(&mut self, conn: ConnId, text: &str) {
        self.machine.handle_frame(self.now, conn, ServerFrame::parse(text).unwrap());
    }

    fn closed(&mut self, conn: ConnId, code: u16, reason: &str) {
        let close = Close { code, reason: reason.to_owned() };
        self.machine.handle_closed(self.now, conn, &close);
    }

    /// Sleeps until the next deadline. Returns how long that took.
    fn sleep(&mut self) -> Duration {
        let deadline = self.machine.poll_timeout().expect("a deadline");
        let slept = deadline.duration_since(self.now);
        self.now = deadline;
        self.machine.handle_timeout(self.now);
        slept
    }

    fn online(seed: u64) -> (Self, ConnId) {
        let mut bench = Self::new(seed);
        bench.machine.connect(bench.now);
        let conn = bench.opened();
        assert!(bench.machine.handle_opened(bench.now, conn));
        bench.frame(conn, BUFFER_STATE);
        assert_eq!(bench.machine.status(), Status::Online);
        (bench, conn)
    }

    fn is_opening(&self) -> bool {
        matches!(self.machine.attempt, Some(Attempt::Opening(_)))
    }

    /// Answers the ping in flight.
    fn pong(&mut self, conn: ConnId) {
        let ping = self.actions().into_iter().find_map(|action| match action {
            Action::Send(_, ClientFrame::Ping { id }) => Some(id),
            _ => None,
        });
        let ping = ping.expect("a ping");
        self.frame(conn, &format!(r#"{{"id":"{ping}","type":"pong"}}"#));
    }
}

#[test]
fn connects_acknowledges_delivers_and_pings_at_once() {
    let mut bench = Bench::new(1);
    bench.machine.connect(bench.now);
    let conn = bench.opened();
    assert!(bench.machine.handle_opened(bench.now, conn));
    bench.frame(conn, BUFFER_STATE);
    let actions = bench.actions();
    let [Action::Send(_, ack), Action::Send(_, ping), Action::Deliver(event)] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(*ack, ClientFrame::Ack { message_id: "b".to_owned() });
    assert!(matches!(ping, ClientFrame::Ping { .. }));
    assert_eq!(event.event_type, "mercury.buffer_state");
}

#[test]
fn waits_for_the_authorizing_frame_among_others() {
    let mut bench = Bench::new(1);
    bench.machine.connect(bench.now);
    let conn = bench.opened();
    assert!(bench.machine.handle_opened(bench.now, conn));
    bench.frame(conn, r#"{"id":"x","data":{"eventType":"mobius.call"}}"#);
    assert_eq!(bench.machine.status(), Status::Connecting { attempt: 1 });
    bench.frame(conn, BUFFER_STATE);
    assert_eq!(bench.machine.status(), Status::Online);
}

#[test]
fn pings_an_interval_after_each_pong() {
    let (mut bench, conn) = Bench::online(2);
    for _ in 0..3 {
        bench.pong(conn);
        assert_eq!(bench.sleep(), PING_INTERVAL);
    }
}

#[test]
fn a_missing_pong_ends_the_connection() {
    let (mut bench, conn) = Bench::online(3);
    bench.actions();
    assert_eq!(bench.sleep(), PONG_TIMEOUT);
    let actions = bench.actions();
    let [Action::Close(closed, close), Action::Drop(dropped)] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((*closed, *dropped), (conn, conn));
    assert_eq!((close.code, close.reason.as_str()), (1000, "pong not received"));
    assert!(matches!(bench.machine.status(), Status::Connecting { .. }));
}

#[test]
fn a_pong_with_another_id_ends_the_connection() {
    let (mut bench, conn) = Bench::online(4);
    bench.actions();
    bench.frame(conn, r#"{"id":"other","type":"pong"}"#);
    let actions = bench.actions();
    let close = actions.iter().find_map(|action| match action {
        Action::Close(_, close) => Some(close.reason.as_str()),
        _ => None,
    });
    assert_eq!(close, Some("pong mismatch"));
}

#[test]
fn authorization_is_not_waited_for_longer_than_the_server_would() {
    let mut bench = Bench::new(5);
    bench.machine.connect(bench.now);
    let conn = bench.opened();
    assert!(bench.machine.handle_opened(bench.now, conn));
    assert_eq!(bench.sleep(), AUTHORIZATION_TIMEOUT);
    assert!(bench.actions().iter().any(|action| matches!(action, Action::Drop(id) if *id == conn)));
}

#[test]
fn dialling_is_not_waited_for_for_ever() {
    let mut bench = Bench::new(5);
    bench.machine.connect(bench.now);
    let conn = bench.opened();
    assert_eq!(bench.sleep(), OPEN_TIMEOUT);
    assert!(bench.actions().iter().any(|action| matches!(action, Action::Drop(id) if *id == conn)));
    // Inputs about the abandoned attempt are ignored.
    assert!(!bench.machine.handle_opened(bench.now, conn));
    assert!(matches!(bench.machine.status(), Status::Connecting { .. }));
}

#[test]
fn closes_with_its_own_code_and_waits_for_the_server() {
    let (mut bench, conn) = Bench::online(11);
    bench.actions();
    bench.machine.disconnect(bench.now, "meetings unregister");
    let actions = bench.actions();
    let [Action::Close(_, close)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((close.code, close.reason.as_str()), (3050, "meetings unregister"));
    assert_eq!(bench.machine.status(), Status::Closing);
    bench.closed(conn, 3050, "meetings unregister");
    assert_eq!(bench.machine.status(), Status::Offline);
    assert_eq!(bench.machine.poll_timeout(), None);
}

#[test]
fn a_server_that_does_not_answer_the_close_is_left() {
    let (mut bench, conn) = Bench::online(12);
    bench.actions();
    bench.machine.disconnect(bench.now, "bye");
    bench.actions();
    assert_eq!(bench.sleep(), FORCE_CLOSE_DELAY);
    assert!(matches!(bench.actions()[..], [Action::Drop(id)] if id == conn));
    assert_eq!(bench.machine.status(), Status::Offline);
}

#[test]
fn wanted_again_while_closing_opens_afterwards() {
    let (mut bench, conn) = Bench::online(13);
    bench.machine.disconnect(bench.now, "bye");
    bench.machine.connect(bench.now);
    bench.actions();
    bench.closed(conn, 3050, "bye");
    bench.opened();
    assert_eq!(bench.machine.status(), Status::Connecting { attempt: 1 });
}

#[test]
fn a_gap_in_the_numbers_is_reported_and_bridged() {
    let (mut bench, conn) = Bench::online(14);
    bench.actions();
    for number in [2, 5, 6] {
        bench.frame(conn, &format!(r#"{{"type":"x","sequenceNumber":{number}}}"#));
    }
    let gaps: Vec<_> = bench
        .actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::SequenceGap { expected, actual } => Some((expected, actual)),
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [(3, 5)]);
}

const SHUTDOWN: &str = r#"{"id":"s","type":"shutdown"}"#;

/// An online machine whose server has announced its end, and the successor being opened.
fn changing_over() -> (Bench, ConnId, ConnId) {
    let (mut bench, old) = Bench::online(20);
    bench.pong(old);
    while bench.now - bench.start < STABLE_AFTER {
        bench.sleep();
        bench.pong(old);
    }
    bench.frame(old, SHUTDOWN);
    let new = bench.opened();
    assert_ne!(old, new);
    (bench, old, new)
}

fn delivered(bench: &mut Bench) -> Vec<String> {
    let name = |action| match action {
        Action::Deliver(event) => Some(event.event_type.clone()),
        _ => None,
    };
    bench.actions().into_iter().filter_map(name).collect()
}

#[test]
fn a_server_is_left_only_when_the_successor_is_authorized() {
    let (mut bench, old, new) = changing_over();
    // A second announcement changes nothing; the old connection still counts.
    bench.frame(old, SHUTDOWN);
    assert_eq!(bench.machine.status(), Status::Online);
    bench.frame(old, r#"{"id":"1","data":{"eventType":"a.one"}}"#);
    assert_eq!(delivered(&mut bench), ["a.one"]);

    assert!(bench.machine.handle_opened(bench.now, new));
    bench.frame(new, BUFFER_STATE);
    bench.pong(new);
    // Both deliver, but no event twice.
    bench.frame(new, r#"{"id":"2","data":{"eventType":"a.two"}}"#);
    bench.frame(old, r#"{"id":"2","data":{"eventType":"a.two"}}"#);
    bench.frame(old, r#"{"id":"3","data":{"eventType":"a.three"}}"#);
    assert_eq!(delivered(&mut bench), ["a.two", "a.three"]);

    bench.closed(old, 4001, "");
    assert_eq!(bench.machine.status(), Status::Online);
    assert_eq!(bench.sleep(), PING_INTERVAL, "the successor is pinged");
    let actions = bench.actions();
    assert!(matches!(actions[..], [Action::Send(conn, ClientFrame::Ping { .. })] if conn == new));
}

#[test]
fn a_predecessor_that_is_not_closed_is_left() {
    let (mut bench, old, new) = changing_over();
    assert!(bench.machine.handle_opened(bench.now, new));
    bench.frame(new, BUFFER_STATE);
    let start = bench.now;
    while bench.now - start < RETIRE_TIMEOUT {
        bench.pong(new);
        bench.sleep();
    }
    let actions = bench.actions();
    assert!(actions.iter().any(|action| matches!(action, Action::Drop(id) if *id == old)));
    assert_eq!(bench.machine.status(), Status::Online);
}

#[test]
fn a_predecessor_that_ends_early_leaves_the_successor_on_its_way() {
    let (mut bench, old, new) = changing_over();
    bench.closed(old, 4001, "");
    assert_eq!(bench.machine.status(), Status::Connecting { attempt: 1 });
    assert!(bench.machine.handle_opened(bench.now, new));
    bench.frame(new, BUFFER_STATE);
    assert_eq!(bench.machine.status(), Status::Online);
}

#[test]
fn a_failed_successor_is_tried_again_while_the_old_one_stays() {
    let (mut bench, old, new) = changing_over();
    bench.machine.handle_open_failed(bench.now, new, &OpenFailure::Network);
    assert_eq!(bench.machine.status(), Status::Online);
    assert!(bench.sleep() <= BACKOFF_BASE);
    let again = bench.opened();
    let refused = OpenFailure::Status { status: 403, retry_after: None };
    bench.machine.handle_open_failed(bench.now, again, &refused);
    assert_eq!(bench.machine.status(), Status::Online);
    bench.closed(old, 4001, "");
    assert_eq!(bench.machine.status(), Status::Connecting { attempt: 1 });
}

#[test]
fn disconnecting_while_changing_over_closes_both() {
    let (mut bench, old, new) = changing_over();
    assert!(bench.machine.handle_opened(bench.now, new));
    bench.frame(new, BUFFER_STATE);
    bench.actions();
    bench.machine.disconnect(bench.now, "bye");
    let closed = |action: &Action| matches!(action, Action::Close(_, close) if close.code == 3050);
    assert_eq!(bench.actions().iter().filter(|action| closed(action)).count(), 2);
    bench.closed(old, 3050, "bye");
    assert_eq!(bench.machine.status(), Status::Closing);
    bench.closed(new, 3050, "bye");
    assert_eq!((bench.machine.status(), bench.machine.poll_timeout()), (Status::Offline, None));
}

/// Inputs of a machine, in any order.
#[derive(Debug, Clone)]
enum Input {
    Connect,
    Disconnect,
    Opened,
    OpenFailed(u16),
    Authorized,
    Frame,
    Shutdown,
    Closed(u16),
    OldClosed(u16),
    Token(bool),
    Hint,
    Sleep,
    Pass(u64),
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let input = prop_oneof![
        Just(Input::Connect),
        Just(Input::Disconnect),
        Just(Input::Opened),
        prop_oneof![Just(0_u16), Just(401), Just(403), Just(404), Just(429), Just(503)]
            .prop_map(Input::OpenFailed),
        Just(Input::Authorized),
        Just(Input::Frame),
        Just(Input::Shutdown),
        prop_oneof![
            Just(1000_u16),
            Just(1005),
            Just(1006),
            Just(4000),
            Just(4001),
            Just(4401),
            Just(4404)
        ]
        .prop_map(Input::Closed),
        prop_oneof![Just(1006_u16), Just(4001)].prop_map(Input::OldClosed),
        any::<bool>().prop_map(Input::Token),
        Just(Input::Hint),
        Just(Input::Sleep),
        (0..100_000_u64).prop_map(Input::Pass),
    ];
    proptest::collection::vec(input, 0..60)
}

proptest! {
    /// Whatever happens, there is one connection at a time (two during a switchover), always a
    /// deadline while the connection is wanted, and nothing left once it is not.
    #[test]
    fn never_stuck_never_double(seed: u64, inputs in inputs()) {
        let mut bench = Bench::new(seed);
        // Open connections, oldest first.
        let mut open: Vec<ConnId> = Vec::new();
        for input in inputs {
            let latest = open.last().copied().unwrap_or(ConnId(0));
            let oldest = open.first().copied().unwrap_or(ConnId(0));
            match input {
                Input::Connect => bench.machine.connect(bench.now),
                Input::Disconnect => bench.machine.disconnect(bench.now, "bye"),
                Input::Opened => {
                    let _ = bench.machine.handle_opened(bench.now, latest);
                }
                Input::OpenFailed(status) if bench.is_opening() => {
                    open.pop();
                    let failure = OpenFailure::Status { status, retry_after: None };
                    bench.machine.handle_open_failed(bench.now, latest, &failure);
                }
                Input::Authorized => bench.frame(latest, BUFFER_STATE),
                Input::Frame => bench.frame(latest, r#"{"data":{"eventType":"a.b"}}"#),
                Input::Shutdown => bench.frame(latest, SHUTDOWN),
                Input::Closed(code) if !bench.is_opening() => {
                    open.pop();
                    bench.closed(latest, code, "");
                }
                Input::OldClosed(code) if open.len() > 1 => {
                    open.remove(0);
                    bench.closed(oldest, code, "");
                }
                Input::Token(renewed) => bench.machine.handle_token(renewed),
                Input::Hint => bench.machine.handle_hint(bench.now),
                Input::Sleep if bench.machine.poll_timeout().is_some() => {
                    bench.sleep();
                }
                Input::Pass(ms) => {
                    bench.now += Duration::from_millis(ms);
                    bench.machine.handle_timeout(bench.now);
                }
                Input::OpenFailed(_) | Input::Closed(_) | Input::OldClosed(_) | Input::Sleep => {}
            }
            for action in bench.actions() {
                match action {
                    Action::Open(conn) => open.push(conn),
                    Action::Drop(conn) => open.retain(|open| *open != conn),
                    Action::Send(conn, _) | Action::Close(conn, _) => {
                        prop_assert!(open.contains(&conn), "{conn:?} of {open:?}");
                    }
                    _ => {}
                }
            }
            let machine = &bench.machine;
            let two = machine.retiring.is_some() || (machine.live.is_some() && machine.attempt.is_some());
            let changing_over = two || machine.closing.len() > 1;
            prop_assert!(open.len() <= if changing_over { 3 } else { 1 }, "{open:?}");
            let waits = machine.poll_timeout().is_some();
            match machine.status() {
                Status::Connecting { .. } | Status::Online => {
                    prop_assert!(machine.wanted);
                    prop_assert!(waits, "waiting for nothing");
                }
                Status::Closing => prop_assert!(waits),
                Status::Offline => prop_assert!(!machine.wanted && !waits && open.is_empty()),
                Status::Stopped(_) => prop_assert!(!waits && open.is_empty(), "{open:?}"),
            }
        }
    }
}
