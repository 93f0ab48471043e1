//! The return to a primary, on virtual time.

use std::sync::Arc;

use super::bench::*;

#[test]
fn a_primary_takes_the_line_before_the_backup_is_left() {
    let mut bench = Bench::on_backup(2, 1, 1);
    assert_eq!(bench.machine.upcoming().unwrap().0, Upcoming::Failback);
    let waited = bench.sleep_on();
    assert!(REHOMING.contains(&waited), "{waited:?}");
    assert_eq!(bench.answer_ping(Err(error(503))), "p1");
    assert_eq!(bench.answer_ping(Ok(())), "p2");
    assert!(bench.names().is_empty());
    assert_eq!(bench.machine.state(), LineState::Registered);
    assert_eq!(bench.answer(Ok(granted(3600))), "p2");
    let moved = bench.events.iter().find_map(|event| match event {
        LineEvent::Unregistered { reason: Unregistered::Moved, server, .. } => server.clone(),
        _ => None,
    });
    assert_eq!(moved, Some(url("https://b1/")));
    assert_eq!(bench.names(), ["unregistered", "registered"]);
    assert_eq!(bench.answer_deletion(Ok(())), ("b1".to_owned(), "d".to_owned()));
    assert_eq!(bench.closed.last().unwrap(), "b1");
    // On a primary there is nothing to return to.
    assert_eq!(bench.machine.upcoming().unwrap().0, Upcoming::Keepalive);
}

#[test]
fn without_a_primary_that_is_up_the_backup_keeps_the_line() {
    let mut bench = Bench::on_backup(2, 1, 2);
    for _ in 0..5 {
        assert!(REHOMING.contains(&bench.sleep_on()));
        bench.answer_ping(Err(unreachable().into()));
        bench.answer_ping(Err(error(500)));
        assert!(bench.is_quiet());
    }
    assert!(bench.names().is_empty());
    assert_eq!(bench.machine.state(), LineState::Registered);
}

#[test]
fn calls_put_a_failback_off() {
    let calls = Arc::new(Calls::default());
    let mut bench = Bench::on_backup(1, 1, 1);
    bench.machine.set_call_activity(calls.clone());
    calls.set(true);
    bench.sleep_on();
    assert!(bench.is_quiet());
    assert!(REHOMING.contains(&bench.sleep_on()));
    calls.set(false);
    assert!(REHOMING.contains(&bench.sleep_on()));
    // A call that starts during the ping of the primary counts as well.
    calls.set(true);
    bench.answer_ping(Ok(()));
    assert!(bench.is_quiet());
    calls.set(false);
    bench.sleep_on();
    bench.answer_ping(Ok(()));
    assert_eq!(bench.asked(), "p1");
}

#[test]
fn a_call_that_begins_while_the_primary_is_asked_is_not_ended() {
    let calls = Arc::new(Calls::default());
    for refusal in [None, Some(full(&[("d", true)]))] {
        let mut bench = Bench::on_backup(1, 1, 1);
        bench.machine.set_call_activity(calls.clone());
        bench.sleep_on();
        bench.answer_ping(Ok(()));
        calls.set(true);
        let granted_by_primary = refusal.is_none();
        match refusal {
            Some(refusal) => bench.refuse(Err(refusal)),
            None => bench.answer(Ok(granted(30))),
        };
        assert_eq!(bench.machine.state(), LineState::Registered);
        if granted_by_primary {
            assert_eq!(bench.answer_deletion(Ok(())).0, "p1");
        }
        assert!(bench.is_quiet() && bench.names().is_empty());
        calls.set(false);
        assert!(REHOMING.contains(&bench.sleep_on()));
        assert_eq!(bench.answer_ping(Ok(())), "p1");
    }
}

/// A primary that accepts no second registration of the user.
fn moving(seed: u64) -> Bench {
    let mut bench = Bench::on_backup(1, 1, seed);
    bench.sleep_on();
    bench.answer_ping(Ok(()));
    bench.refuse(Err(full(&[("d", true)])));
    assert_eq!(bench.machine.state(), LineState::Connecting);
    bench
}

#[test]
fn where_two_registrations_are_not_allowed_the_backup_is_left_first() {
    let mut bench = moving(1);
    assert_eq!(bench.answer_deletion(Ok(())), ("b1".to_owned(), "d".to_owned()));
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    assert_eq!(bench.names(), ["unregistered", "registered"]);
    assert!(bench.is_quiet());
}

#[test]
fn a_backup_that_does_not_delete_the_line_still_has_it() {
    let mut bench = moving(1);
    bench.answer_deletion(Err(unreachable()));
    assert_eq!(bench.machine.state(), LineState::Registered);
    // A keepalive finds out whether it has.
    assert_eq!(bench.sleep(), secs(0));
    assert_eq!(bench.answer_keepalive(Ok(())), "b1");
    assert!(bench.names().is_empty());
    assert!(REHOMING.contains(&bench.sleep_on()));
}

#[test]
fn a_backup_that_asks_for_a_pause_gets_it_before_the_keepalive() {
    let mut bench = moving(1);
    bench.answer_deletion(Err(refused(429, None, Some(20))));
    assert_eq!(bench.machine.state(), LineState::Registered);
    assert_eq!(bench.sleep(), secs(20));
    assert_eq!(bench.answer_keepalive(Ok(())), "b1");
}

#[test]
fn a_backup_that_no_longer_has_the_line_is_left() {
    for status in [404, 410] {
        let mut bench = moving(1);
        bench.answer_deletion(Err(http(status)));
        assert_eq!(bench.answer(Ok(granted(30))), "p1", "{status}");
        assert_eq!(bench.names(), ["unregistered", "registered"], "{status}");
    }
}

#[test]
fn a_primary_that_is_busy_after_the_backup_was_left_is_tried_again_soon() {
    for (refusal, soon) in [(busy(1), true), (error(503), false)] {
        let mut bench = moving(1);
        bench.answer_deletion(Ok(()));
        assert_eq!(bench.answer(Err(refusal)), "p1");
        assert_eq!(bench.answer(Ok(granted(3600))), "b1");
        let waited = bench.sleep_on();
        let expected = if soon { secs(33)..=secs(42) } else { REHOMING };
        assert!(expected.contains(&waited), "{waited:?}");
    }
}

#[test]
fn a_lost_backup_leaves_the_line_to_the_primary() {
    let mut bench = Bench::registering(1, 1, 1);
    bench.answer(Err(busy(115)));
    bench.answer(Ok(granted(650)));
    bench.sleep_on();
    bench.answer_ping(Ok(()));
    let Action::Register(op, _) = bench.request() else { panic!() };
    bench.sleep();
    bench.answer_keepalive(Err(error(404)));
    // No second registration is requested: the pending one is wanted.
    assert!(bench.is_quiet());
    bench.machine.handle_registration(bench.now, op, Ok(granted(30)));
    assert_eq!(bench.machine.state(), LineState::Registered);
    assert!(bench.is_quiet(), "nothing to delete at a server that has forgotten");
}

#[test]
fn a_final_refusal_of_the_primary_leaves_the_line_with_the_backup() {
    for (status, code) in [(400, None), (401, None), (404, None), (403, Some(102))] {
        let mut bench = Bench::on_backup(2, 1, 1);
        bench.sleep_on();
        bench.answer_ping(Ok(()));
        bench.answer(Err(refused(status, code, None).into()));
        assert_eq!(bench.machine.state(), LineState::Registered, "{status}");
        assert!(bench.names().is_empty() && bench.is_quiet(), "{status}");
        // It does not try again by itself.
        assert_eq!(bench.machine.upcoming().unwrap().0, Upcoming::Keepalive, "{status}");
    }
}

/// §7.11, third line, with the exception of row 37.
#[test]
fn a_failback_answered_429_is_repeated_soon_a_few_times() {
    for asked in [1, 300] {
        let mut bench = Bench::on_backup(1, 1, 1);
        bench.sleep_on();
        for n in 1..=FAILBACK_429_RETRIES {
            bench.answer_ping(Ok(()));
            bench.answer(Err(busy(asked)));
            assert_eq!(bench.machine.state(), LineState::Registered);
            let waited = bench.sleep_on();
            let low = RETRY_BASE + secs(2_u64.pow(n) + 1);
            let expected = low.max(secs(asked))..=(low + secs(9)).max(secs(asked));
            assert!(expected.contains(&waited), "{n}: {waited:?}");
        }
        bench.answer_ping(Ok(()));
        bench.answer(Err(busy(asked)));
        assert!(REHOMING.contains(&bench.sleep_on()));
        // The count then starts again.
        bench.answer_ping(Ok(()));
        bench.answer(Err(busy(1)));
        assert!((secs(33)..=secs(42)).contains(&bench.sleep_on()));
    }
}

/// Moved to the primary; the deletion at the backup is in flight.
fn moved(service: ServiceIndicator) -> Bench {
    let mut bench = Bench::with(1, 1, service, RegistrationPolicy::default(), 1);
    bench.machine.handle_register(bench.now);
    bench.answer(Err(busy(115)));
    bench.answer(Ok(granted(3600)));
    bench.sleep_on();
    bench.answer_ping(Ok(()));
    let Action::Register(op, _) = bench.request() else { panic!() };
    bench.machine.handle_registration(bench.now, op, Ok(granted(30)));
    bench.pump();
    assert!(matches!(bench.requests[0], Action::Deregister(..)) && bench.requests.len() == 1);
    bench.sleep();
    bench.requests.rotate_left(1);
    bench
}

#[test]
fn a_deletion_does_not_hit_the_next_registration_with_the_same_server() {
    // The contact center goes to the backup at once.
    let mut bench = moved(ServiceIndicator::ContactCenter);
    bench.answer_keepalive(Err(error(404)));
    assert_eq!(bench.requests.len(), 1, "the deletion is dropped: {:?}", bench.requests);
    assert_eq!(bench.asked(), "b1");
    // Others ask the primary, and the deletion at the backup goes on.
    let mut bench = moved(ServiceIndicator::Calling);
    bench.answer_keepalive(Err(error(404)));
    assert_eq!(bench.requests.len(), 2, "{:?}", bench.requests);
    assert_eq!(bench.answer_deletion(Ok(())).0, "b1");
    assert_eq!(bench.asked(), "p1");
}

#[test]
fn only_a_line_on_a_backup_fails_back() {
    // A server that is in both lists is a primary.
    let mut bench = Bench::registering(1, 0, 1);
    bench.answer(Ok(granted(30)));
    assert_eq!(bench.machine.upcoming().unwrap().0, Upcoming::Keepalive);
    assert!(bench.machine.poll_timeout() <= Some(bench.now + secs(30)));
}
