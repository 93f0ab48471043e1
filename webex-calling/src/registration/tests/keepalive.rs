//! Keepalives on virtual time.

use std::time::Duration;

use super::bench::*;

/// The first keepalive of an interval of 30 s.
const FIRST: std::ops::RangeInclusive<Duration> = Duration::from_secs(27)..=Duration::from_secs(30);

#[test]
fn keepalives_come_at_the_interval_however_long_answers_take() {
    let mut bench = Bench::registered(30);
    let first = bench.sleep();
    assert!(FIRST.contains(&first), "{first:?}");
    for n in 1..=5_u32 {
        bench.now += Duration::from_millis(900);
        assert_eq!(bench.answer_keepalive(Ok(())), "p1");
        assert_eq!(bench.machine.upcoming().unwrap().0, Upcoming::Keepalive);
        bench.sleep();
        assert_eq!(bench.elapsed(), first + secs(30) * n);
    }
    assert_eq!(bench.names(), ["connecting", "registered"]);
}

#[test]
fn a_driver_that_wakes_late_does_not_shift_the_schedule() {
    let mut bench = Bench::registered(30);
    let (_, mut due) = bench.machine.upcoming().unwrap();
    for _ in 0..10 {
        bench.pass(due + Duration::from_millis(3) - bench.now);
        bench.answer_keepalive(Ok(()));
        due += secs(30);
        assert_eq!(bench.machine.upcoming().unwrap(), (Upcoming::Keepalive, due));
    }
}

#[test]
fn a_driver_that_wakes_a_tenth_of_the_interval_late_did_not_sleep() {
    let mut bench = Bench::registered(30);
    let (_, due) = bench.machine.upcoming().unwrap();
    bench.pass(due - bench.now + secs(30) / KEEPALIVE_SPREAD);
    bench.answer_keepalive(Ok(()));
    assert_eq!(bench.machine.upcoming().unwrap().1, due + secs(30));
}

#[test]
fn after_a_sleep_the_interval_counts_from_the_keepalive_not_from_its_answer() {
    let mut bench = Bench::registered(30);
    bench.pass(secs(300));
    let sent = bench.now;
    bench.pass(secs(5));
    bench.answer_keepalive(Ok(()));
    bench.sleep();
    assert!(FIRST.contains(&(bench.now - sent)), "{:?}", bench.now - sent);
}

#[test]
fn an_answer_that_takes_the_whole_interval_is_followed_by_a_wait() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.pass(secs(30));
    bench.answer_keepalive(Ok(()));
    assert!(FIRST.contains(&bench.sleep()));
}

#[test]
fn without_a_token_a_keepalive_is_the_last() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.answer_keepalive(Err(LineError::bare(LineErrorType::TokenError, "no token")));
    assert_eq!(bench.machine.state(), LineState::Failed);
}

#[test]
fn lines_registered_in_the_same_moment_are_not_in_step() {
    let firsts = (0..1000).map(|seed| {
        let mut bench = Bench::registering(1, 0, seed);
        bench.answer(Ok(granted(30)));
        bench.sleep()
    });
    let mut firsts: Vec<_> = firsts.collect();
    firsts.sort_unstable();
    assert!(firsts.iter().all(|first| FIRST.contains(first)));
    // In each tenth of the spread about a tenth of the lines.
    for tenth in 0..10 {
        let from = *FIRST.start() + Duration::from_millis(300 * tenth);
        let there =
            firsts.iter().filter(|at| (from..from + Duration::from_millis(300)).contains(*at));
        assert!((50..=150).contains(&there.count()), "{tenth}");
    }
}

#[test]
fn a_sleep_is_followed_by_one_keepalive_not_a_burst() {
    let mut bench = Bench::registered(30);
    bench.pass(secs(300));
    bench.answer_keepalive(Ok(()));
    assert!(bench.is_quiet());
    // Never later than the interval, and no longer in step with machines that slept as long.
    assert!(FIRST.contains(&bench.sleep()));
}

#[test]
fn the_loss_of_a_registration_looks_for_the_same_server_first() {
    let mut bench = Bench::registering(2, 0, 1);
    bench.answer(Err(error(503)));
    assert_eq!(bench.answer(Ok(granted(30))), "p2");
    bench.miss(KEEPALIVE_THRESHOLD);
    assert_eq!(bench.closed, ["p1", "p2"]);
    let lost = bench.events.iter().rev().find_map(|event| match event {
        LineEvent::Unregistered { reason: Unregistered::Lost(error), server, .. } => {
            Some((error.http_status, server.as_ref().map(host)))
        }
        _ => None,
    });
    assert_eq!(lost, Some((Some(503), Some("p2".to_owned()))));
    assert_eq!(bench.answer(Err(error(503))), "p2");
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    assert_eq!(bench.machine.info().status, LineStatus::Active);
}

/// §12.1.
#[test]
fn a_superseded_session_stays_away() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.names();
    bench.answer_keepalive(Err(error(409)));
    let Some(LineEvent::Unregistered { reason, server, .. }) = bench.events.last() else {
        panic!()
    };
    assert_eq!(reason.error().unwrap().kind, LineErrorType::SessionSuperseded);
    assert_eq!(server, &Some(url("https://p1/")));
    assert_eq!(bench.names(), ["unregistered"]);
    assert_eq!(bench.machine.state(), LineState::Failed);
    // Neither the network nor time brings it back.
    for hint in [NetworkHint::Offline, NetworkHint::Online, NetworkHint::Changed] {
        bench.machine.handle_network(bench.now, hint);
    }
    assert!(bench.is_quiet() && bench.machine.poll_timeout().is_none());
    bench.machine.handle_register(bench.now);
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
}

/// §12.1: also when a failback is armed, and when it is in progress.
#[test]
fn a_superseded_session_ends_a_failback() {
    let mut armed = Bench::registering(1, 1, 1);
    armed.answer(Err(busy(115)));
    armed.answer(Ok(granted(30)));
    armed.sleep();
    armed.answer_keepalive(Err(error(409)));
    assert!(armed.is_quiet() && armed.machine.poll_timeout().is_none());

    let mut asking = Bench::registering(1, 1, 1);
    asking.answer(Err(busy(115)));
    asking.answer(Ok(granted(650)));
    asking.sleep_on();
    asking.answer_ping(Ok(()));
    let registration = asking.request();
    // The keepalive is due during the request to the primary.
    asking.sleep();
    asking.answer_keepalive(Err(error(409)));
    assert_eq!(asking.machine.state(), LineState::Failed);
    asking.names();
    // A registration that the primary still grants is deleted.
    let Action::Register(op, _) = registration else { panic!() };
    asking.machine.handle_registration(asking.now, op, Ok(granted(30)));
    assert_eq!(asking.answer_deletion(Ok(())), ("p1".to_owned(), "d".to_owned()));
    assert_eq!(asking.machine.state(), LineState::Failed);
    assert!(asking.names().is_empty() && asking.is_quiet());
}

/// §12.2.
#[test]
fn a_registration_that_the_server_drops_is_neither_deleted_nor_repeated() {
    for named in [None, Some("d")] {
        let mut bench = Bench::registered(30);
        bench.sleep();
        bench.names();
        bench.machine.handle_down(bench.now, Some("another"));
        assert_eq!(bench.machine.state(), LineState::Registered);
        bench.machine.handle_down(bench.now, named);
        assert_eq!(bench.outcome().name(), "down");
        assert_eq!(bench.names(), ["unregistered"]);
        assert_eq!(bench.machine.state(), LineState::Failed);
        assert!(bench.is_quiet() && bench.machine.poll_timeout().is_none());
        assert_eq!(bench.machine.info().status, LineStatus::Inactive);
    }
    // A backup that was about to be left is then not left for a primary.
    let mut moving = Bench::on_backup(1, 1, 1);
    moving.sleep_on();
    moving.answer_ping(Ok(()));
    moving.refuse(Err(full(&[("d", true)])));
    moving.machine.handle_down(moving.now, Some("another"));
    assert_eq!(moving.machine.state(), LineState::Connecting);
    moving.machine.handle_down(moving.now, Some("d"));
    assert_eq!((moving.names(), moving.machine.state()), (vec!["unregistered"], LineState::Failed));
    assert!(moving.is_quiet() && moving.machine.poll_timeout().is_none());
    // An event of a backup that has been left does not affect the move.
    let mut moved = Bench::on_backup(1, 1, 1);
    moved.sleep_on();
    moved.answer_ping(Ok(()));
    moved.refuse(Err(full(&[("d", true)])));
    moved.answer_deletion(Ok(()));
    moved.machine.handle_down(moved.now, Some("d"));
    assert_eq!(moved.answer(Ok(granted(30))), "p1");
    assert_eq!(moved.machine.state(), LineState::Registered);
    // It does not affect a line that is not registered.
    let mut bench = Bench::registering(1, 0, 1);
    bench.machine.handle_down(bench.now, None);
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
}

#[test]
fn the_networks_return_causes_one_keepalive() {
    let mut bench = Bench::registered(30);
    bench.pass(secs(10));
    bench.machine.handle_network(bench.now, NetworkHint::Offline);
    assert!(bench.is_quiet());
    assert!(bench.machine.poll_timeout() > Some(bench.now), "nothing is checked without a network");
    for _ in 0..3 {
        bench.machine.handle_network(bench.now, NetworkHint::Offline);
        bench.machine.handle_network(bench.now, NetworkHint::Online);
    }
    assert_eq!(bench.sleep(), Duration::ZERO);
    bench.answer_keepalive(Ok(()));
    // It was not a missed one, and the registration is still valid.
    assert_eq!(bench.names(), ["connecting", "registered"]);
    // The schedule has not changed.
    bench.sleep();
    assert!(FIRST.contains(&bench.elapsed()));
    // The next regular one is soon enough.
    bench.answer_keepalive(Ok(()));
    bench.pass(secs(30) - HINT_GAP);
    bench.machine.handle_network(bench.now, NetworkHint::Changed);
    assert_eq!(bench.sleep(), HINT_GAP);
}

#[test]
fn a_paused_server_gets_no_keepalive_on_the_networks_return() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.answer_keepalive(Err(busy(60)));
    bench.pass(secs(20));
    bench.machine.handle_network(bench.now, NetworkHint::Changed);
    assert_eq!(bench.sleep(), secs(40));
}

#[test]
fn a_keepalive_that_hangs_on_the_old_network_is_sent_anew() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.pass(HINT_GAP - secs(1));
    let Some(Action::Keepalive(old, ..)) = bench.requests.front().cloned() else { panic!() };
    // It has just been sent.
    bench.machine.handle_network(bench.now, NetworkHint::Resumed);
    bench.pump();
    assert_eq!(bench.requests.len(), 1);
    bench.pass(secs(1));
    bench.machine.handle_network(bench.now, NetworkHint::Resumed);
    bench.pump();
    let Some(Action::Keepalive(new, ..)) = bench.requests.front().cloned() else { panic!() };
    assert!(new != old && bench.requests.len() == 1);
    bench.machine.handle_keepalive(bench.now, old, Err(error(404)));
    assert_eq!(bench.machine.state(), LineState::Registered);
    bench.answer_keepalive(Ok(()));
    assert_eq!(bench.sleep(), secs(30) - HINT_GAP);
}
