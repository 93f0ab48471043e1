//! Every event reports whether the line goes on by itself.

use super::bench::*;

/// The events: name, whether the line goes on, and when.
fn told(bench: &mut Bench) -> Vec<(&'static str, bool, Option<u64>)> {
    bench.pump();
    let told = bench.events.drain(..).filter_map(|event| {
        let (will_retry, retry_in) = match &event {
            LineEvent::Error(error)
            | LineEvent::ServerFailed { error, .. }
            | LineEvent::Reconnecting { error, .. }
            | LineEvent::KeepaliveMissed { error, .. } => (error.will_retry, error.retry_in),
            LineEvent::Unregistered { reason, will_retry, retry_in, .. } => {
                let error = reason.error().map(|error| error.will_retry);
                assert_eq!(error.unwrap_or(*will_retry), *will_retry, "they agree");
                (*will_retry, *retry_in)
            }
            _ => return None,
        };
        Some((event.name(), will_retry, retry_in.map(|wait| wait.as_secs())))
    });
    told.collect()
}

#[test]
fn a_lost_registration_says_that_the_line_registers_again() {
    let mut forgotten = Bench::registered(30);
    forgotten.sleep();
    forgotten.answer_keepalive(Err(error(404)));
    forgotten.answer(Err(error(503)));
    let again = Some(0);
    assert_eq!(
        told(&mut forgotten),
        [("error", true, again), ("unregistered", true, again), ("server_failed", true, None)]
    );
    let mut missed = Bench::registered(30);
    missed.miss(KEEPALIVE_THRESHOLD);
    let told = told(&mut missed);
    assert_eq!(told[..2], [("keepalive_missed", true, Some(30)), ("reconnecting", true, Some(30))]);
    let last = [("keepalive_missed", true, again), ("unregistered", true, again)];
    assert_eq!(told[told.len() - 2..], last);
}

#[test]
fn final_events_say_that_the_line_does_not_go_on() {
    for status in [400, 401] {
        let mut bench = Bench::registered(30);
        bench.sleep();
        bench.answer_keepalive(Err(error(status)));
        let expected = [("error", false, None), ("unregistered", false, None)];
        assert_eq!(told(&mut bench), expected, "{status}");
    }
    let mut superseded = Bench::registered(30);
    superseded.sleep();
    superseded.answer_keepalive(Err(error(409)));
    assert_eq!(told(&mut superseded), [("unregistered", false, None)]);
    let mut down = Bench::registered(30);
    down.machine.handle_down(down.now, None);
    let kind = down.outcome().error().map(|error| (error.kind, error.server.is_some()));
    assert_eq!(kind, Some((LineErrorType::RegistrationDown, true)));
    assert_eq!(told(&mut down), [("unregistered", false, None)]);
    let mut left = Bench::registered(30);
    left.machine.handle_deregister(left.now);
    left.answer_deletion(Ok(()));
    assert_eq!(told(&mut left), [("unregistered", false, None)]);
    let mut refused = Bench::without_slow_retry(1, 0, 1);
    refused.answer(Err(busy(200)));
    assert_eq!(told(&mut refused), [("server_failed", true, None), ("error", false, None)]);
}

#[test]
fn a_long_wait_says_how_long() {
    let mut bench = Bench::registering(1, 0, 1);
    bench.answer(Err(busy(200)));
    let [.., ("error", true, Some(wait))] = told(&mut bench)[..] else { panic!() };
    assert_eq!(bench.sleep().as_secs(), wait);
}

#[test]
fn a_registration_lost_during_a_call_says_that_the_line_goes_on_but_not_when() {
    let mut bench = Bench::registered(30);
    let calls = std::sync::Arc::new(Calls::default());
    bench.machine.set_call_activity(calls.clone());
    calls.set(true);
    bench.miss(KEEPALIVE_THRESHOLD);
    assert_eq!(told(&mut bench).last(), Some(&("unregistered", true, None)));
}

#[test]
fn a_deregistration_that_was_overtaken_says_that_the_line_registers_again() {
    let mut bench = Bench::registered(30);
    bench.machine.handle_deregister(bench.now);
    bench.machine.handle_register(bench.now);
    bench.answer_deletion(Ok(()));
    assert_eq!(told(&mut bench), [("unregistered", true, Some(0))]);
    let mut unreachable = Bench::registered(30);
    unreachable.machine.handle_deregister(unreachable.now);
    unreachable.machine.handle_register(unreachable.now);
    unreachable.sleep();
    assert_eq!(unreachable.outcome().name(), "not_reachable");
    assert_eq!(told(&mut unreachable), [("unregistered", true, Some(0))]);
    let mut moved = Bench::on_backup(1, 1, 1);
    moved.sleep_on();
    moved.answer_ping(Ok(()));
    moved.answer(Ok(granted(30)));
    assert_eq!(told(&mut moved), [("unregistered", true, Some(0))]);
}

/// Another device took the user's only registration: the server no longer knows the line, and lists
/// the other device when the line registers again.
#[test]
fn the_replaced_side_of_a_takeover_gets_one_event() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.names();
    bench.answer_keepalive(Err(error(404)));
    assert_eq!(bench.machine.info().status, LineStatus::Inactive);
    assert!(bench.names().is_empty());
    bench.refuse(Err(full(&[("other", false)])));
    let Unregistered::Superseded(cause) = bench.outcome().clone() else { panic!() };
    assert_eq!((cause.kind, cause.will_retry), (LineErrorType::SessionSuperseded, false));
    assert_eq!(bench.names(), ["unregistered"]);
    assert_eq!(bench.machine.state(), LineState::Failed);
    assert!(bench.is_quiet() && bench.machine.poll_timeout().is_none());
    // The line's own old registration is deleted to make room, and the loss is reported.
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.names();
    bench.answer_keepalive(Err(error(404)));
    bench.refuse(Err(full(&[("other", false), ("d", true)])));
    assert_eq!(bench.names(), ["error", "unregistered", "server_failed"]);
    // Without a loss before, it is the documented error.
    let mut bench = Bench::registering(1, 0, 1);
    bench.refuse(Err(full(&[("other", false)])));
    assert_eq!(bench.names(), ["connecting", "error"]);
}

#[test]
fn a_loss_is_reported_soon_when_no_answer_comes() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.names();
    bench.answer_keepalive(Err(error(404)));
    assert_eq!(bench.sleep(), LOSS_REPORT_DELAY);
    assert_eq!(bench.names(), ["error", "unregistered"]);
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    assert_eq!(bench.names(), ["registered"]);
}
