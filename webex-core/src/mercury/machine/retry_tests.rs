//! When attempts are repeated: waits, refusals and hints, in exact virtual time.

use super::*;
use crate::mercury::timings::{
    CHECK_TIMEOUT, HINT_SPACING, RATE_LIMITED_WAIT, RETRY_AFTER_CAP, TELL_AFTER,
    TELL_AFTER_FAILURES, UNREACHABLE_CAP,
};

const SEEDS: u64 = 200;

impl Bench {
    /// A machine during its first attempt.
    fn opening(seed: u64) -> (Self, ConnId) {
        let mut bench = Self::new(seed);
        bench.machine.connect(bench.now);
        let conn = bench.opened();
        (bench, conn)
    }

    fn refused(&mut self, conn: ConnId, failure: &OpenFailure) {
        self.machine.handle_open_failed(self.now, conn, failure);
    }

    fn status(&mut self, conn: ConnId, status: u16, retry_after: Option<u64>) {
        let retry_after = retry_after.map(Duration::from_secs);
        self.refused(conn, &OpenFailure::Status { status, retry_after });
    }
}

/// The minimum and maximum over many seeds.
fn range(wait: impl Fn(u64) -> Duration) -> (Duration, Duration) {
    let waits = (0..SEEDS).map(wait);
    waits.fold((Duration::MAX, Duration::ZERO), |(min, max), wait| (min.min(wait), max.max(wait)))
}

/// Asserts that the waits fill `low..=high` and never leave it.
#[track_caller]
fn assert_fills(found: (Duration, Duration), low: Duration, high: Duration) {
    let slack = high.saturating_sub(low).mul_f64(0.05);
    assert!(found.0 >= low && found.0 <= low + slack, "{found:?} begins not at {low:?}");
    assert!(found.1 <= high && found.1 + slack >= high, "{found:?} ends not at {high:?}");
}

#[test]
fn row_22_the_back_off_doubles_to_its_cap_with_full_jitter() {
    for answered in 1..=9_u32 {
        let cap = BACKOFF_BASE.saturating_mul(1 << (answered - 1)).min(BACKOFF_CAP);
        let found = range(|seed| {
            let (mut bench, mut conn) = Bench::opening(seed);
            for attempt in 1..answered {
                assert_eq!(bench.machine.status(), Status::Connecting { attempt });
                bench.refused(conn, &OpenFailure::Network);
                bench.sleep();
                conn = bench.opened();
            }
            bench.status(conn, 503, None);
            bench.sleep()
        });
        assert_fills(found, Duration::ZERO, cap);
    }
}

#[test]
fn an_unanswered_attempt_is_repeated_within_three_seconds() {
    for attempt in 1..=6_u32 {
        let cap = BACKOFF_BASE.saturating_mul(1 << (attempt - 1)).min(UNREACHABLE_CAP);
        let found = range(|seed| {
            let (mut bench, mut conn) = Bench::opening(seed);
            for _ in 1..attempt {
                bench.refused(conn, &OpenFailure::Unreachable);
                bench.sleep();
                conn = bench.opened();
            }
            bench.refused(conn, &OpenFailure::Unreachable);
            bench.sleep()
        });
        assert_fills(found, cap / 2, cap);
    }
    // An attempt that hung is repeated at once.
    let (mut bench, _) = Bench::opening(1);
    assert_eq!(bench.sleep(), OPEN_TIMEOUT);
    bench.opened();
    // It does not count towards the back-off of answered attempts.
    let found = range(|seed| {
        let (mut bench, mut conn) = Bench::opening(seed);
        for _ in 0..8 {
            bench.refused(conn, &OpenFailure::Unreachable);
            bench.sleep();
            conn = bench.opened();
        }
        bench.refused(conn, &OpenFailure::Network);
        bench.sleep()
    });
    assert_fills(found, Duration::ZERO, BACKOFF_BASE);
}

#[test]
fn every_refused_upgrade_has_its_rule() {
    // Status, action, the wait before the next attempt.
    let after = |low: u64| (Duration::from_secs(low), Duration::from_secs(low) + BACKOFF_BASE);
    let none = None::<fn(&Action) -> bool>;
    let token = |action: &Action| matches!(action, Action::ReplaceToken);
    let device = |action: &Action| matches!(action, Action::RefreshDevice);
    let cap = RETRY_AFTER_CAP.as_secs();
    for (status, retry_after, asked, (low, high)) in [
        (400, None, none, after(0)),
        (401, None, Some(token as fn(&Action) -> bool), after(0)),
        (404, None, none, after(0)),
        (410, None, Some(device), after(0)),
        (429, Some(7), none, after(7)),
        (429, Some(cap * 24), none, after(cap)),
        (429, Some(0), none, after(RATE_LIMITED_WAIT.as_secs())),
        (429, None, none, after(RATE_LIMITED_WAIT.as_secs())),
        (500, None, none, after(0)),
        (502, None, none, after(0)),
        (503, Some(20), none, after(20)),
        (504, None, none, after(0)),
    ] {
        let found = range(|seed| {
            let (mut bench, conn) = Bench::opening(seed);
            bench.status(conn, status, retry_after);
            let actions = bench.actions();
            assert_eq!(actions.len(), usize::from(asked.is_some()), "{status}: {actions:?}");
            assert!(asked.is_none_or(|asked| actions.iter().all(asked)), "{status}: {actions:?}");
            bench.sleep()
        });
        assert_fills(found, low, high);
    }
    let (mut bench, conn) = Bench::opening(1);
    bench.status(conn, 403, None);
    assert_eq!(bench.machine.status(), Status::Stopped(Stop::NotEntitled));
    assert_eq!(bench.machine.poll_timeout(), None);
}

#[test]
fn a_repeated_404_refreshes_the_device_a_first_one_does_not() {
    let (mut bench, mut conn) = Bench::opening(1);
    for (status, refreshes) in [(404, false), (404, true), (404, true), (503, false), (404, false)]
    {
        bench.status(conn, status, None);
        let asked = bench.actions().iter().any(|a| matches!(a, Action::RefreshDevice));
        assert_eq!(asked, refreshes, "{status}");
        bench.sleep();
        conn = bench.opened();
    }
}

#[test]
fn retry_after_applies_to_a_new_connect() {
    let (mut bench, conn) = Bench::opening(1);
    bench.status(conn, 429, Some(90));
    bench.now += Duration::from_secs(10);
    bench.machine.disconnect(bench.now, "bye");
    assert_eq!(bench.machine.poll_timeout(), None);
    bench.machine.connect(bench.now);
    bench.machine.handle_hint(bench.now);
    assert_eq!(bench.sleep(), Duration::from_secs(80));
    bench.opened();
}

#[test]
fn a_stable_connection_is_replaced_at_once_an_unstable_one_is_not() {
    let (mut bench, conn) = Bench::online(8);
    bench.now += STABLE_AFTER;
    bench.closed(conn, 1001, "");
    assert_eq!(bench.sleep(), Duration::ZERO);

    let (mut bench, mut conn) = Bench::online(9);
    let mut attempts = 1;
    while bench.now.duration_since(bench.start) < Duration::from_secs(60) {
        bench.closed(conn, 1001, "");
        bench.sleep();
        conn = bench.opened();
        assert!(bench.machine.handle_opened(bench.now, conn));
        bench.frame(conn, BUFFER_STATE);
        attempts += 1;
    }
    assert!(attempts < 20, "{attempts} attempts in a minute");
}

#[test]
fn endless_announcements_cause_no_fast_loop() {
    let (mut bench, mut conn) = Bench::online(9);
    let mut attempts = 1;
    while bench.now.duration_since(bench.start) < Duration::from_secs(60) {
        bench.actions();
        bench.frame(conn, SHUTDOWN);
        bench.sleep();
        if let Some(Attempt::Opening(new)) = bench.machine.attempt {
            conn = new;
            assert!(bench.machine.handle_opened(bench.now, conn));
            bench.frame(conn, BUFFER_STATE);
            attempts += 1;
        }
    }
    assert!(attempts < 20, "{attempts} attempts in a minute");
}

#[test]
fn a_refused_token_is_replaced_or_tried_again_a_few_times() {
    let (mut bench, mut conn) = Bench::online(10);
    for refused in 1..=TOKEN_REFUSALS {
        bench.actions();
        bench.closed(conn, 4401, "");
        assert!(matches!(bench.actions()[..], [Action::ReplaceToken]));
        bench.machine.handle_token(false);
        if refused == TOKEN_REFUSALS {
            break;
        }
        bench.sleep();
        conn = bench.opened();
        assert!(bench.machine.handle_opened(bench.now, conn));
    }
    assert_eq!(bench.machine.status(), Status::Stopped(Stop::Unauthorized));
    assert_eq!(bench.machine.poll_timeout(), None);

    // With another token the attempts go on.
    let (mut bench, mut conn) = Bench::opening(11);
    for _ in 0..10 {
        assert!(bench.machine.handle_opened(bench.now, conn));
        bench.closed(conn, 4401, "");
        bench.machine.handle_token(true);
        bench.sleep();
        conn = bench.opened();
    }
    // Without any token there is nothing to try.
    bench.refused(conn, &OpenFailure::Token);
    assert_eq!(bench.machine.status(), Status::Stopped(Stop::Unauthorized));
}

#[test]
fn a_missing_token_ends_an_attempt_in_progress() {
    let (mut bench, conn) = Bench::opening(12);
    for _ in 0..TOKEN_REFUSALS {
        bench.machine.handle_token(false);
    }
    assert!(matches!(bench.actions()[..], [Action::Drop(dropped)] if dropped == conn));
    assert_eq!(bench.machine.status(), Status::Stopped(Stop::Unauthorized));
    assert_eq!(bench.machine.poll_timeout(), None);
}

#[test]
fn the_successor_of_a_replaced_connection_goes_on() {
    let (mut bench, old, new) = changing_over();
    assert!(bench.machine.handle_opened(bench.now, new));
    // The server took the unauthorized successor for another client.
    bench.closed(old, 4000, "Replaced");
    assert!(matches!(bench.machine.status(), Status::Connecting { .. }));
    bench.frame(new, BUFFER_STATE);
    assert_eq!(bench.machine.status(), Status::Online);
    bench.closed(new, 4000, "Replaced");
    assert_eq!(bench.machine.status(), Status::Stopped(Stop::Replaced));
}

// --- hints -----------------------------------------------------------------------------------

/// Number of pings among the machine's actions.
fn pings(bench: &mut Bench) -> usize {
    let ping = |action: &Action| matches!(action, Action::Send(_, ClientFrame::Ping { .. }));
    bench.actions().iter().filter(|action| ping(action)).count()
}

#[test]
fn a_hint_pings_at_once_and_a_live_connection_stays() {
    let (mut bench, conn) = Bench::online(30);
    bench.pong(conn);
    bench.now += Duration::from_secs(3);
    bench.machine.handle_hint(bench.now);
    let due = bench.machine.poll_timeout().unwrap();
    assert_eq!(due - bench.now, CHECK_TIMEOUT);
    bench.pong(conn);
    assert_eq!(bench.sleep(), PING_INTERVAL);
    // The next pong has the usual time limit.
    assert_eq!(bench.sleep(), PONG_TIMEOUT);
}

#[test]
fn a_hint_shortens_the_time_limit_of_a_ping_in_flight() {
    let (mut bench, _) = Bench::online(31);
    assert_eq!(pings(&mut bench), 1);
    bench.now += Duration::from_secs(1);
    bench.machine.handle_hint(bench.now);
    assert_eq!(pings(&mut bench), 0);
    assert_eq!(bench.sleep(), CHECK_TIMEOUT);
    // Late hints do not extend it.
    let (mut bench, _) = Bench::online(31);
    bench.now += PONG_TIMEOUT.saturating_sub(Duration::from_secs(1));
    bench.machine.handle_hint(bench.now);
    assert_eq!(bench.sleep(), Duration::from_secs(1));
}

#[test]
fn a_dead_connection_found_by_a_hint_is_replaced_without_back_off() {
    let (mut bench, conn) = Bench::online(32);
    bench.pong(conn);
    bench.machine.handle_hint(bench.now);
    assert_eq!(bench.sleep(), CHECK_TIMEOUT);
    // It was not stable, but it was in doubt.
    assert_ne!(bench.opened(), conn);
}

#[test]
fn a_hint_cuts_a_wait_short_but_not_a_servers() {
    let (mut bench, mut conn) = Bench::opening(33);
    for _ in 0..8 {
        bench.refused(conn, &OpenFailure::Network);
        bench.sleep();
        conn = bench.opened();
    }
    bench.refused(conn, &OpenFailure::Network);
    bench.machine.handle_hint(bench.now);
    assert!(bench.sleep() <= HINT_SPACING);
    conn = bench.opened();
    bench.status(conn, 429, Some(50));
    bench.machine.handle_hint(bench.now);
    assert_eq!(bench.sleep(), Duration::from_secs(50));
}

#[test]
fn endless_hints_cause_no_fast_loop() {
    let (mut bench, mut conn) = Bench::opening(34);
    let mut attempts = 1;
    while bench.now.duration_since(bench.start) < Duration::from_secs(60) {
        bench.refused(conn, &OpenFailure::Network);
        for _ in 0..5 {
            bench.machine.handle_hint(bench.now);
        }
        bench.sleep();
        conn = bench.opened();
        attempts += 1;
    }
    // One per second, plus a few that back-off allows at first.
    assert!(attempts <= 66, "{attempts} attempts in a minute");
}

#[test]
fn an_attempt_under_way_when_a_hint_comes_has_little_time_and_is_followed_at_once() {
    let (mut bench, conn) = Bench::opening(35);
    bench.now += Duration::from_secs(1);
    bench.machine.handle_hint(bench.now);
    assert_eq!(bench.sleep(), CHECK_TIMEOUT);
    let actions = bench.actions();
    let [Action::Drop(dropped), Action::Open(next)] = actions[..] else { panic!("{actions:?}") };
    assert_eq!(dropped, conn);
    // It is the same between opening and authorization.
    let conn = next;
    bench.machine.handle_hint(bench.now);
    bench.now += Duration::from_secs(3);
    assert!(bench.machine.handle_opened(bench.now, conn));
    assert_eq!(bench.sleep(), CHECK_TIMEOUT);
    // An attempt without a hint has the full time limit.
    let conn = bench.opened();
    assert!(bench.machine.handle_opened(bench.now, conn));
    assert_eq!(bench.sleep(), AUTHORIZATION_TIMEOUT);
}

#[test]
fn a_hint_changes_nothing_where_nothing_is_wanted_or_possible() {
    let mut bench = Bench::new(36);
    bench.machine.handle_hint(bench.now);
    assert!(bench.actions().is_empty());
    assert_eq!(bench.machine.poll_timeout(), None);
    let (mut bench, conn) = Bench::online(36);
    bench.closed(conn, 4403, "");
    bench.actions();
    bench.machine.handle_hint(bench.now);
    assert!(bench.actions().is_empty());
    assert_eq!(bench.machine.poll_timeout(), None);
}

#[test]
fn trouble_is_reported_once_with_its_reason_until_it_is_online() {
    let told = |bench: &mut Bench| -> Vec<SocketFailure> {
        let trouble = |action| match action {
            Action::Trouble(why) => Some(why),
            _ => None,
        };
        bench.actions().into_iter().filter_map(trouble).collect()
    };
    // Immediate refusals are reported with the third one.
    let (mut bench, mut conn) = Bench::opening(7);
    for failure in 1..6 {
        bench.status(conn, 400, None);
        let due =
            if failure == TELL_AFTER_FAILURES { vec![SocketFailure::Status(400)] } else { vec![] };
        assert_eq!(told(&mut bench), due, "failure {failure}");
        bench.sleep();
        conn = bench.opened();
    }
    // Being online resets it; the next outage is reported again.
    assert!(bench.machine.handle_opened(bench.now, conn));
    bench.frame(conn, BUFFER_STATE);
    bench.closed(conn, 1001, "");
    for _ in 0..TELL_AFTER_FAILURES {
        assert_eq!(told(&mut bench), []);
        bench.sleep();
        conn = bench.opened();
        bench.refused(conn, &OpenFailure::Network);
    }
    assert_eq!(told(&mut bench), [SocketFailure::Broken]);
    // An attempt that hangs is reported when it is given up.
    let (mut bench, _) = Bench::opening(7);
    assert!(OPEN_TIMEOUT >= TELL_AFTER);
    bench.sleep();
    assert_eq!(told(&mut bench), [SocketFailure::Unanswered]);
    // So is a missing authorization, and a close in its place.
    let (mut bench, conn) = Bench::opening(7);
    assert!(bench.machine.handle_opened(bench.now, conn));
    bench.sleep();
    assert_eq!(told(&mut bench), [SocketFailure::NotAuthorized]);
    let (mut bench, mut conn) = Bench::opening(7);
    for _ in 0..TELL_AFTER_FAILURES {
        assert!(bench.machine.handle_opened(bench.now, conn));
        bench.closed(conn, 1011, "");
        if bench.machine.trouble.reported {
            break;
        }
        bench.sleep();
        conn = bench.opened();
    }
    assert_eq!(told(&mut bench), [SocketFailure::Closed(1011)]);
    // Neither a final failure nor that of a successor is reported as trouble.
    let (mut bench, conn) = Bench::opening(7);
    bench.status(conn, 403, None);
    assert_eq!(told(&mut bench), []);
}

#[test]
fn a_pause_that_is_over_delays_nothing() {
    for late in [0, 1] {
        let (mut bench, conn) = Bench::opening(1);
        bench.status(conn, 503, Some(5));
        bench.machine.disconnect(bench.now, "bye");
        bench.now += Duration::from_secs(5 + late);
        bench.machine.connect(bench.now);
        assert!(bench.is_opening(), "{late}");
    }
}

#[test]
fn a_token_opens_nothing_that_was_stopped_for_another_reason() {
    let (mut bench, conn) = Bench::opening(1);
    bench.status(conn, 403, None);
    assert_eq!(bench.machine.status(), Status::Stopped(Stop::NotEntitled));
    bench.actions();
    bench.machine.handle_token_available(bench.now);
    assert_eq!(bench.machine.status(), Status::Stopped(Stop::NotEntitled));
    assert!(bench.actions().is_empty());
}
