//! Deregistering in every state, on virtual time.

use super::bench::*;

/// Asserts that the machine is at rest, has reported once, and has no request in flight.
fn is_over(bench: &mut Bench, outcome: &str) {
    assert_eq!(bench.outcome().name(), outcome);
    assert_eq!(bench.names().iter().filter(|name| **name == "unregistered").count(), 1);
    assert_eq!(bench.machine.state(), LineState::Idle);
    assert_eq!(bench.machine.info().status, LineStatus::Inactive);
    assert!(bench.is_quiet() && bench.machine.poll_timeout().is_none());
    bench.pass(secs(1_000_000));
    assert!(bench.is_quiet() && bench.names().is_empty());
}

fn leave(bench: &mut Bench) {
    bench.names();
    bench.machine.handle_deregister(bench.now);
    bench.pump();
}

#[test]
fn deregistering_ends_in_unregistered_from_every_state() {
    let mut idle = Bench::new(1, 0, 1);
    leave(&mut idle);
    is_over(&mut idle, "already_gone");

    let mut waiting = Bench::registering(1, 0, 1);
    waiting.answer(Err(error(503)));
    leave(&mut waiting);
    is_over(&mut waiting, "already_gone");

    let mut slow = Bench::registering(1, 0, 1);
    slow.answer(Err(busy(115)));
    leave(&mut slow);
    is_over(&mut slow, "already_gone");

    let mut failed = Bench::registering(1, 0, 1);
    failed.answer(Err(error(401)));
    leave(&mut failed);
    is_over(&mut failed, "already_gone");

    let mut discovering = Bench::registering(0, 0, 1);
    assert!(!discovering.is_quiet());
    leave(&mut discovering);
    is_over(&mut discovering, "already_gone");

    let mut registered = Bench::registered(30);
    leave(&mut registered);
    assert_eq!(registered.machine.state(), LineState::Deregistering);
    registered.answer_deletion(Ok(()));
    is_over(&mut registered, "deleted");

    let mut forgotten = Bench::registered(30);
    leave(&mut forgotten);
    forgotten.answer_deletion(Err(http(404)));
    is_over(&mut forgotten, "already_gone");
}

#[test]
fn a_keepalive_in_flight_is_dropped() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    let Some(Action::Keepalive(op, ..)) = bench.requests.front().cloned() else { panic!() };
    leave(&mut bench);
    assert_eq!(bench.requests.len(), 1, "the deletion alone");
    bench.machine.handle_keepalive(bench.now, op, Err(error(404)));
    bench.answer_deletion(Ok(()));
    is_over(&mut bench, "deleted");
}

#[test]
fn a_registration_in_flight_is_awaited_and_deleted() {
    let mut granted_late = Bench::registering(1, 0, 1);
    leave(&mut granted_late);
    granted_late.pass(secs(4));
    granted_late.answer(Ok(granted(30)));
    granted_late.answer_deletion(Ok(()));
    is_over(&mut granted_late, "deleted");

    let mut denied = Bench::registering(2, 2, 1);
    leave(&mut denied);
    denied.answer(Err(error(503)));
    is_over(&mut denied, "already_gone");

    // It is unknown whether the server has granted it.
    let mut unknown = Bench::registering(2, 2, 1);
    leave(&mut unknown);
    unknown.answer(Err(unreachable().into()));
    is_over(&mut unknown, "not_reachable");
}

#[test]
fn deregistering_takes_no_longer_than_the_limit() {
    let mut hanging = Bench::registered(30);
    leave(&mut hanging);
    assert_eq!(hanging.sleep(), DEREGISTER_LIMIT);
    is_over(&mut hanging, "not_reachable");

    // A registration that is granted even later is still deleted, without a second event.
    let mut asking = Bench::registering(1, 0, 1);
    leave(&mut asking);
    assert_eq!(asking.sleep(), DEREGISTER_LIMIT);
    assert_eq!(asking.outcome().name(), "not_reachable");
    assert_eq!((asking.names(), asking.machine.state()), (vec!["unregistered"], LineState::Idle));
    asking.pass(secs(20));
    asking.answer(Ok(granted(30)));
    asking.answer_deletion(Ok(()));
    assert!(asking.is_quiet() && asking.names().is_empty());
    assert_eq!(asking.machine.poll_timeout(), None);
}

#[test]
fn a_failback_is_given_up_with_both_its_ends() {
    let mut asking = Bench::on_backup(1, 1, 1);
    asking.sleep_on();
    asking.answer_ping(Ok(()));
    leave(&mut asking);
    assert_eq!(asking.answer(Ok(granted(30))), "p1");
    let (first, _) = asking.answer_deletion(Ok(()));
    assert_eq!(asking.machine.state(), LineState::Deregistering);
    let (second, _) = asking.answer_deletion(Ok(()));
    assert_eq!([first, second], ["b1", "p1"]);
    is_over(&mut asking, "deleted");

    let mut pinging = Bench::on_backup(1, 1, 1);
    pinging.sleep_on();
    leave(&mut pinging);
    pinging.answer_deletion(Ok(()));
    is_over(&mut pinging, "deleted");

    // The backup is being left anyway.
    let mut leaving = Bench::on_backup(1, 1, 1);
    leaving.sleep_on();
    leaving.answer_ping(Ok(()));
    leaving.refuse(Err(full(&[])));
    leave(&mut leaving);
    leaving.answer_deletion(Ok(()));
    is_over(&mut leaving, "deleted");
}

#[test]
fn registering_during_a_deregistration_starts_again_afterwards() {
    let mut bench = Bench::registered(30);
    leave(&mut bench);
    bench.machine.handle_register(bench.now);
    bench.answer_deletion(Ok(()));
    bench.answer(Ok(granted(30)));
    assert_eq!(bench.names(), ["unregistered", "connecting", "registered"]);

    // Deregistering again before that ends it.
    let mut bench = Bench::registered(30);
    leave(&mut bench);
    bench.machine.handle_register(bench.now);
    bench.machine.handle_deregister(bench.now);
    bench.answer_deletion(Ok(()));
    is_over(&mut bench, "deleted");
}

#[test]
fn registering_after_the_limit_uses_the_registration_still_in_flight() {
    let mut bench = Bench::registering(2, 0, 1);
    leave(&mut bench);
    bench.sleep();
    bench.machine.handle_register(bench.now);
    bench.pump();
    assert_eq!(bench.requests.len(), 1, "not a second one");
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    assert_eq!(bench.names(), ["unregistered", "connecting", "registered"]);
    assert!(bench.is_quiet());

    // It fails: the search starts as usual.
    let mut bench = Bench::registering(2, 0, 1);
    leave(&mut bench);
    bench.sleep();
    bench.machine.handle_register(bench.now);
    bench.answer(Err(unreachable().into()));
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
}

#[test]
fn registering_while_a_late_registration_is_deleted_waits_for_that() {
    let mut bench = Bench::registering(1, 0, 1);
    leave(&mut bench);
    bench.sleep();
    bench.answer(Ok(granted(30)));
    bench.machine.handle_register(bench.now);
    assert_eq!(bench.machine.state(), LineState::Connecting);
    bench.answer_deletion(Ok(()));
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    assert_eq!(bench.names(), ["unregistered", "connecting", "registered"]);
}

#[test]
fn a_pause_after_a_deletion_applies_to_the_next_registration() {
    let mut bench = Bench::registering(2, 0, 1);
    bench.answer(Ok(granted(30)));
    leave(&mut bench);
    bench.answer_deletion(Err(refused(429, None, Some(20))));
    bench.machine.handle_register(bench.now);
    assert_eq!(bench.asked(), "p2");
}
