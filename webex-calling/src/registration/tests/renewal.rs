//! A new WDM device under a registered line.

use std::sync::Arc;

use super::bench::*;

/// Registered with the only primary, as device `d`, for the WDM device `old`.
fn named() -> Bench {
    let mut bench = Bench::registering(1, 0, 1);
    bench.answer(Ok(granted_for("d", "old")));
    bench.names();
    bench
}

fn replaced(bench: &mut Bench) {
    bench.machine.handle_client_device(bench.now, "new".to_owned());
    bench.pump();
}

#[test]
fn the_line_registers_again_at_once_without_having_been_unregistered() {
    let mut bench = named();
    replaced(&mut bench);
    assert_eq!(bench.machine.state(), LineState::Registered);
    assert_eq!(bench.machine.info().status, LineStatus::Active);
    assert_eq!(bench.answer(Ok(granted_for("e", "new"))), "p1");
    assert_eq!(bench.names(), ["registered"]);
    assert_eq!(bench.machine.info().mobius_device_id.as_deref(), Some("e"));
    // The old registration is deleted, unless the new one has replaced it.
    let closed = bench.closed.len();
    assert_eq!(bench.answer_deletion(Ok(())), ("p1".to_owned(), "d".to_owned()));
    assert!(bench.is_quiet());
    assert_eq!(bench.closed.len(), closed, "the line is registered with that server");
    let mut same = named();
    replaced(&mut same);
    same.answer(Ok(granted_for("d", "new")));
    assert!(same.is_quiet());
}

#[test]
fn the_same_address_again_is_no_change() {
    let mut bench = named();
    bench.machine.handle_client_device(bench.now, "old".to_owned());
    assert!(bench.is_quiet());
    replaced(&mut bench);
    bench.answer(Ok(granted_for("d", "new")));
    replaced(&mut bench);
    assert!(bench.is_quiet());
}

#[test]
fn a_device_that_is_replaced_during_the_request_is_named_after_it() {
    let mut bench = Bench::registering(1, 0, 1);
    replaced(&mut bench);
    bench.answer(Ok(granted_for("d", "old")));
    assert_eq!(bench.answer(Ok(granted_for("d", "new"))), "p1");
    assert!(bench.is_quiet());
    // The request may already have named the new one.
    let mut bench = Bench::registering(1, 0, 1);
    replaced(&mut bench);
    bench.answer(Ok(granted_for("d", "new")));
    assert!(bench.is_quiet());
    // A replacement before the request changes nothing.
    let mut bench = Bench::new(1, 0, 1);
    bench.machine.handle_client_device(bench.now, "older".to_owned());
    bench.machine.handle_register(bench.now);
    bench.answer(Ok(granted_for("d", "old")));
    assert!(bench.is_quiet());
}

#[test]
fn a_renewal_that_fails_is_tried_again_and_the_registration_stays() {
    let mut bench = named();
    replaced(&mut bench);
    for n in 0..8 {
        bench.answer(Err(error(503)));
        assert_eq!(bench.machine.state(), LineState::Registered);
        assert_eq!(bench.machine.upcoming().unwrap().0, Upcoming::Retry);
        let wait = (RENEWAL_RETRY * 2_u32.pow(n)).min(RENEWAL_RETRY_MAX);
        assert_eq!(bench.sleep_on(), wait);
    }
    bench.answer(Err(busy(400)));
    assert_eq!(bench.sleep_on(), secs(400));
    assert!(bench.names().is_empty());
    bench.answer(Ok(granted_for("d", "new")));
    assert_eq!(bench.names(), ["registered"]);
}

#[test]
fn a_paused_server_gets_no_renewal() {
    let mut bench = Bench::registering(1, 0, 1);
    let mut soon = granted_for("d", "old");
    soon.keepalive_interval = Some(secs(10));
    bench.answer(Ok(soon));
    bench.sleep();
    bench.answer_keepalive(Err(busy(40)));
    replaced(&mut bench);
    assert!(bench.is_quiet());
    assert_eq!(bench.sleep(), secs(40));
    assert!(bench.requests.iter().any(|request| matches!(request, Action::Register(..))));
}

#[test]
fn a_pause_after_a_renewal_applies_to_keepalives() {
    let mut bench = named();
    let (_, due) = bench.machine.upcoming().unwrap();
    bench.pass(due - bench.now - secs(1));
    replaced(&mut bench);
    bench.answer(Err(busy(40)));
    assert_eq!(bench.sleep(), secs(1));
    assert!(bench.is_quiet());
    assert_eq!(bench.sleep(), secs(39));
    assert!(bench.requests.iter().any(|request| matches!(request, Action::Keepalive(..))));
}

#[test]
fn where_two_registrations_are_not_allowed_the_old_one_is_deleted_first() {
    let mut bench = named();
    replaced(&mut bench);
    bench.refuse(Err(full(&[("d", false)])));
    assert_eq!(bench.answer_deletion(Ok(())), ("p1".to_owned(), "d".to_owned()));
    assert_eq!(bench.answer(Ok(granted_for("e", "new"))), "p1");
    assert_eq!(bench.names(), ["unregistered", "registered"]);
    assert!(bench.is_quiet());
}

#[test]
fn calls_put_a_renewal_off() {
    let calls = Arc::new(Calls::default());
    let mut bench = named();
    bench.machine.set_call_activity(calls.clone());
    calls.set(true);
    replaced(&mut bench);
    assert!(bench.is_quiet());
    assert_eq!(bench.sleep(), CALLS_POLL);
    calls.set(false);
    assert_eq!(bench.sleep(), CALLS_POLL);
    // A call that starts during the request is not ended.
    calls.set(true);
    bench.answer(Ok(granted_for("e", "new")));
    assert_eq!(bench.answer_deletion(Ok(())).1, "e");
    assert_eq!(bench.machine.info().mobius_device_id.as_deref(), Some("d"));
    assert!(bench.names().is_empty());
}

#[test]
fn a_registration_with_a_call_is_not_deleted_to_make_room_for_its_renewal() {
    let calls = Arc::new(Calls::default());
    let mut bench = named();
    bench.machine.set_call_activity(calls.clone());
    replaced(&mut bench);
    calls.set(true);
    bench.refuse(Err(full(&[("d", false)])));
    assert_eq!(bench.machine.state(), LineState::Registered);
    assert!(bench.is_quiet());
}

#[test]
fn a_renewal_and_a_failback_do_not_meet() {
    // A ping is cancelled, and the failback comes later.
    let mut bench = Bench::on_backup(1, 1, 1);
    bench.sleep_on();
    assert!(matches!(bench.requests.front(), Some(Action::Ping(..))));
    replaced(&mut bench);
    assert_eq!(bench.requests.len(), 1, "the ping is dropped");
    assert_eq!(bench.answer(Err(error(503))), "b1");
    bench.sleep_on();
    assert_eq!(bench.answer(Ok(granted_for("d", "new"))), "b1");
    assert!(REHOMING.contains(&bench.sleep_on()));
    // A move goes on, and names the new device itself or is renewed after it.
    bench.answer_ping(Ok(()));
    bench.machine.handle_client_device(bench.now, "newer".to_owned());
    bench.pump();
    assert_eq!(bench.requests.len(), 1);
    assert_eq!(bench.answer(Err(error(503))), "p1");
    assert_eq!(bench.asked(), "b1");
}

#[test]
fn whatever_ends_the_registration_ends_a_renewal() {
    let pending = || {
        let mut bench = named();
        let keepalive = bench.machine.upcoming().unwrap().1;
        bench.pass(keepalive - bench.now);
        replaced(&mut bench);
        bench.requests.rotate_left(1);
        let Some(Action::Register(op, _)) = bench.requests.pop_front() else { panic!() };
        (bench, op)
    };
    // After a loss, the request becomes the search.
    let (mut lost, op) = pending();
    lost.answer_keepalive(Err(error(404)));
    assert!(lost.is_quiet());
    lost.machine.handle_registration(lost.now, op, Ok(granted_for("e", "new")));
    assert_eq!(lost.names(), ["error", "unregistered", "registered"]);
    assert!(lost.is_quiet());
    // When the line stays away or is deregistered, the registration of the request is deleted.
    let (mut away, op) = pending();
    away.answer_keepalive(Err(error(409)));
    away.machine.handle_registration(away.now, op, Ok(granted_for("e", "new")));
    assert_eq!(away.answer_deletion(Ok(())), ("p1".to_owned(), "e".to_owned()));
    let (mut left, op) = pending();
    left.machine.handle_deregister(left.now);
    left.machine.handle_registration(left.now, op, Ok(granted_for("e", "new")));
    left.pump();
    let deleted = [left.answer_deletion(Ok(())).1, left.answer_deletion(Ok(())).1];
    assert_eq!(deleted, ["d", "e"]);
    assert_eq!(left.machine.state(), LineState::Idle);
}
