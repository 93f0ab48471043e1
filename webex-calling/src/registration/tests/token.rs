//! A refused token, and a new one.

use super::bench::*;

/// Ended by a refused token.
fn refused_token() -> Bench {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.answer_keepalive(Err(error(401)));
    assert_eq!(bench.machine.state(), LineState::Failed);
    bench.names();
    bench
}

#[test]
fn a_new_token_revives_a_line_that_failed_without_one() {
    // Refused while registered, while registering, and while the servers were discovered.
    let registering = {
        let mut bench = Bench::registering(1, 0, 1);
        bench.answer(Err(error(401)));
        bench
    };
    let discovering = {
        let mut bench = Bench::registering(0, 0, 1);
        bench.answer_servers(Err(error(401)));
        bench.machine.handle_token(bench.now);
        bench.answer_servers(Ok(servers(1, 0)));
        bench
    };
    for (mut bench, needs_token) in
        [(refused_token(), true), (registering, true), (discovering, false)]
    {
        if needs_token {
            bench.names();
            bench.pass(secs(3600));
            assert!(bench.is_quiet(), "nothing by itself");
            bench.machine.handle_token(bench.now);
        }
        assert_eq!(bench.answer(Ok(granted(30))), "p1");
        let Some(LineEvent::Connecting { reason }) =
            bench.events.iter().rev().find(|event| matches!(event, LineEvent::Connecting { .. }))
        else {
            panic!()
        };
        assert_eq!(*reason, Connecting::NewToken);
        assert_eq!(bench.names().last(), Some(&"registered"));
    }
}

#[test]
fn a_token_does_not_affect_a_line_that_ended_otherwise() {
    let mut deregistered = refused_token();
    deregistered.machine.handle_deregister(deregistered.now);
    let mut superseded = Bench::registered(30);
    superseded.sleep();
    superseded.answer_keepalive(Err(error(409)));
    let mut down = Bench::registered(30);
    down.machine.handle_down(down.now, None);
    let mut refused_for_good = Bench::registering(1, 0, 1);
    refused_for_good.answer(Err(error(404)));
    let idle = Bench::new(1, 0, 1);
    for mut bench in [deregistered, superseded, down, refused_for_good, idle] {
        bench.names();
        bench.machine.handle_token(bench.now);
        assert!(bench.is_quiet() && bench.names().is_empty());
        assert_eq!(bench.machine.poll_timeout(), None);
    }
    let mut registered = Bench::registered(30);
    registered.names();
    registered.machine.handle_token(registered.now);
    assert!(registered.is_quiet() && registered.names().is_empty());
}

/// The answer to a request may be older than the new token.
#[test]
fn a_token_that_came_during_the_refused_request_counts() {
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.pass(secs(1));
    bench.machine.handle_token(bench.now);
    bench.answer_keepalive(Err(error(401)));
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    // One that came before the request was used by it.
    let mut bench = Bench::registered(30);
    bench.machine.handle_token(bench.now);
    bench.sleep();
    bench.answer_keepalive(Err(error(401)));
    assert!(bench.is_quiet());
}

/// A server that refuses every token, each of which is renewed at its refusal.
#[test]
fn a_server_that_refuses_every_token_causes_no_loop() {
    let mut bench = refused_token();
    bench.machine.handle_token(bench.now);
    for _ in 0..5 {
        bench.pass(secs(1));
        bench.machine.handle_token(bench.now);
        bench.answer(Err(error(401)));
        assert!(bench.is_quiet());
        assert_eq!(bench.machine.state(), LineState::Waiting);
        assert_eq!(bench.machine.upcoming().unwrap().0, Upcoming::Retry);
        bench.machine.handle_network(bench.now, NetworkHint::Changed);
        assert_eq!(bench.sleep(), SLOW_RETRY - secs(1));
    }
    // After a success the next token is used at once.
    bench.answer(Ok(granted(30)));
    bench.sleep();
    bench.answer_keepalive(Err(error(401)));
    bench.machine.handle_token(bench.now);
    assert_eq!(bench.asked(), "p1");
    // So is it after the application asked for it, also while the line waits.
    let mut bench = refused_token();
    bench.machine.handle_token(bench.now);
    bench.answer(Err(error(401)));
    bench.machine.handle_token(bench.now);
    assert_eq!(bench.machine.state(), LineState::Waiting);
    bench.machine.handle_register(bench.now);
    bench.answer(Err(error(401)));
    bench.machine.handle_token(bench.now);
    assert_eq!(bench.asked(), "p1");
}

#[test]
fn an_earlier_registration_is_cleaned_up_first() {
    // A registration request of a failback goes on when the keepalive ends the line.
    let mut bench = Bench::registering(1, 1, 1);
    bench.answer(Err(busy(115)));
    bench.answer(Ok(granted(650)));
    bench.sleep_on();
    bench.answer_ping(Ok(()));
    let Action::Register(op, _) = bench.request() else { panic!() };
    bench.sleep();
    bench.answer_keepalive(Err(error(401)));
    bench.names();
    bench.machine.handle_token(bench.now);
    assert_eq!(bench.names(), ["connecting"]);
    assert!(bench.is_quiet(), "the request under way is the new one");
    bench.machine.handle_registration(bench.now, op, Ok(granted(30)));
    assert_eq!(bench.names(), ["registered"]);
}
