//! The search for a server, on virtual time.

use super::bench::*;

#[test]
fn success_is_connecting_then_registered_with_the_documented_properties() {
    let mut bench = Bench::registering(2, 1, 1);
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    let Some(LineEvent::Registered(info)) = bench.events.last() else { unreachable!() };
    assert_eq!(info.status, LineStatus::Active);
    assert_eq!(info.mobius_device_id.as_deref(), Some("d"));
    assert_eq!(info.sip_addresses, ["sip:a@b"]);
    assert_eq!(info.server, Some(url("https://p1/")));
}

/// §7.9.3, the last paragraph.
#[test]
fn backups_follow_after_the_time_of_the_primaries() {
    for seed in 0..100 {
        let mut bench = Bench::without_slow_retry(1, 2, seed);
        let mut attempt = 0;
        while bench.asked() == "p1" {
            bench.answer(Err(error(503)));
            attempt += 1;
            if bench.machine.state() == LineState::Waiting {
                let waited = bench.sleep();
                let expected = RETRY_BASE + secs(2_u64.pow(attempt));
                let expected = expected + secs(1)..=expected + secs(10);
                assert!(
                    expected.contains(&waited) || bench.elapsed() == FAILOVER_AFTER,
                    "{attempt}: {waited:?}"
                );
                assert!(waited > FAILOVER_MIN_WAIT);
            }
        }
        assert!((2..=4).contains(&attempt), "{attempt} rounds");
        let window = FAILOVER_AFTER - FAILOVER_MIN_WAIT..=FAILOVER_AFTER;
        assert!(window.contains(&bench.elapsed()), "{:?}", bench.elapsed());

        assert_eq!(bench.answer(Err(error(503))), "b1");
        assert_eq!(bench.answer(Err(error(503))), "b2");
        assert!((secs(33)..=secs(42)).contains(&bench.sleep()));
        assert_eq!(bench.answer(Err(error(503))), "b1");
        assert_eq!(bench.answer(Err(error(503))), "b2");
        let Some(LineEvent::Error(error)) = bench.events.last() else { panic!() };
        assert_eq!(error.kind, LineErrorType::ServiceUnavailable);
        assert_eq!(bench.machine.poll_timeout(), None);
    }
}

#[test]
fn slow_answers_count_towards_the_time_of_the_primaries() {
    let mut bench = Bench::registering(2, 1, 1);
    // Both hang for 30 s each: with less than 54 s left there is one more round.
    bench.pass(secs(30));
    assert_eq!(bench.answer(Err(unreachable().into())), "p1");
    bench.pass(secs(30));
    assert_eq!(bench.answer(Err(unreachable().into())), "p2");
    let waited = bench.sleep();
    assert!((secs(33)..=secs(42)).contains(&waited), "{waited:?}");
    assert_eq!(bench.answer(Err(error(503))), "p1");
    assert_eq!(bench.answer(Err(error(503))), "p2");
    assert_eq!(bench.asked(), "b1");
}

#[test]
fn final_errors_end_the_search_and_register_starts_again() {
    for status in [400, 401, 404] {
        let mut bench = Bench::registering(2, 2, 1);
        bench.answer(Err(error(status)));
        assert_eq!(bench.machine.state(), LineState::Failed);
        // Nothing brings it back but the application.
        bench.machine.handle_network(bench.now, NetworkHint::Changed);
        bench.pass(secs(100_000));
        assert!(bench.is_quiet() && bench.machine.poll_timeout().is_none());
        bench.machine.handle_register(bench.now);
        assert_eq!(bench.answer(Ok(granted(30))), "p1");
    }
}

#[test]
fn a_saved_state_continues_the_search() {
    let resume = |elapsed, age, backup| {
        let mut bench = Bench::new(2, 1, 1);
        let failover = Failover { attempt: 2, elapsed: secs(elapsed), backup };
        bench.machine.handle_resume(bench.now, failover, secs(age));
        bench.answer(Err(error(503)));
        bench.answer(Err(error(503)));
        bench
    };
    // 40 s before and 10 s in between: the next wait is that of the second attempt.
    let mut young = resume(40, 10, false);
    assert!((secs(35)..=secs(44)).contains(&young.sleep()));
    assert_eq!(young.asked(), "p1");
    // All the time has been used up, or the backups were next: they follow the primaries at once.
    assert_eq!(resume(80, 20, false).asked(), "b1");
    assert_eq!(resume(10, 0, true).asked(), "b1");
    // Success removes it.
    let mut bench = Bench::new(1, 0, 1);
    bench.saved = Some(Failover { attempt: 1, elapsed: secs(1), backup: false });
    bench.machine.handle_resume(bench.now, bench.saved.unwrap(), secs(1));
    bench.answer(Ok(granted(30)));
    assert_eq!(bench.saved, None);
    assert_eq!(bench.names(), ["connecting", "registered"]);
}

#[test]
fn the_networks_return_cuts_a_wait_short() {
    let mut bench = Bench::registering(1, 0, 1);
    bench.answer(Err(unreachable().into()));
    bench.pass(secs(10));
    // The first time online is not a return.
    bench.machine.handle_network(bench.now, NetworkHint::Online);
    assert!(bench.is_quiet() && bench.machine.poll_timeout() > Some(bench.now + secs(20)));
    bench.machine.handle_network(bench.now, NetworkHint::Offline);
    bench.machine.handle_network(bench.now, NetworkHint::Online);
    assert_eq!(bench.sleep(), secs(0));
    assert_eq!(bench.answer(Err(unreachable().into())), "p1");
    // An unstable network causes no flood.
    bench.machine.handle_network(bench.now, NetworkHint::Changed);
    assert_eq!(bench.sleep(), HINT_GAP);
    // A server's pause applies, whatever the network does.
    assert_eq!(bench.answer(Err(busy(40))), "p1");
    bench.machine.handle_network(bench.now, NetworkHint::Resumed);
    assert_eq!(bench.sleep(), secs(40));
}

#[test]
fn a_search_waits_for_calls_to_end() {
    let mut bench = Bench::registered(30);
    let calls = std::sync::Arc::new(Calls::default());
    bench.machine.set_call_activity(calls.clone());
    calls.set(true);
    bench.miss(KEEPALIVE_THRESHOLD);
    assert_eq!(bench.names().last(), Some(&"unregistered"));
    for _ in 0..10 {
        assert!(bench.is_quiet());
        assert_eq!(bench.sleep(), CALLS_POLL);
    }
    calls.set(false);
    assert_eq!(bench.sleep(), CALLS_POLL);
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
}
