//! The tables of the protocol, line by line: constants, errors, orders of events.

use std::time::Duration;

use super::bench::*;

/// §7.8. Without the constants of calls, which are not implemented yet.
#[test]
fn every_constant_has_the_protocols_value() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for (name, value, expected) in [
        ("default keepalive interval", KEEPALIVE_INTERVAL, secs(30)),
        ("default rehoming min", REHOMING_MIN, minutes(60)),
        ("default rehoming max", REHOMING_MAX, minutes(120)),
        ("retry base", RETRY_BASE, secs(30)),
        ("try-backup threshold", FAILOVER_AFTER, secs(114)),
        ("shortest wait for the primaries", FAILOVER_MIN_WAIT, secs(30)),
        ("Retry-After upper limit", RETRY_AFTER_MAX, secs(60)),
        ("network flap timer", HINT_GAP, secs(5)),
        ("look for the end of calls", CALLS_POLL, secs(5)),
        // Ours, where the reference client has none.
        ("Retry-After that is missing", RETRY_AFTER_DEFAULT, secs(30)),
        ("age of a saved failover state", FAILOVER_STATE_MAX_AGE, minutes(5)),
        ("slow retry", SLOW_RETRY, minutes(5)),
        ("deregistering", DEREGISTER_LIMIT, secs(5)),
    ] {
        assert_eq!(value, expected, "{name}");
    }
    assert_eq!(RETRY_EXPONENT_BASE, 2, "retry exponent base");
    assert_eq!(RETRY_RANDOM_S, 1..=10, "random part");
    assert_eq!(FAILBACK_429_RETRIES, 5, "failback 429 max retries");
    assert_eq!(RETRY_AFTER_BOUNDS, secs(1)..=secs(3600), "bounds of Retry-After");
    assert_eq!((KEEPALIVE_MIN, KEEPALIVE_MAX), (secs(1), secs(3600)), "bounds of keepalives");
    let threshold =
        |service| Bench::with(1, 0, service, RegistrationPolicy::default(), 1).machine.threshold();
    assert_eq!(threshold(ServiceIndicator::Calling), 5);
    assert_eq!(threshold(ServiceIndicator::GuestCalling), 5);
    assert_eq!(threshold(ServiceIndicator::ContactCenter), 4);
}

/// §7.8, below the table.
#[test]
fn the_retry_interval_is_in_the_protocols_range_and_all_of_it() {
    let mut random = fastrand::Rng::with_seed(1);
    for (attempt, low, high) in [(1, 33, 42), (2, 35, 44), (3, 39, 48), (4, 47, 56)] {
        let mut seen: Vec<_> = (0..1000).map(|_| retry_interval(attempt, &mut random)).collect();
        seen.sort_unstable();
        assert_eq!((seen[0], seen[999]), (secs(low), secs(high)), "{attempt}");
    }
}

/// §7.12, while registering: status, code, type, whether final, event.
#[test]
fn every_error_of_a_registration_has_its_reaction() {
    use LineErrorType as T;
    for (status, code, kind, is_final) in [
        (400, None, T::BadRequest, true),
        (401, None, T::TokenError, true),
        (403, None, T::Forbidden, false),
        (403, Some(102), T::Forbidden, true),
        (403, Some(103), T::Forbidden, false),
        (403, Some(999), T::Forbidden, false),
        (404, None, T::NotFound, true),
        (429, None, T::TooManyRequests, false),
        (500, None, T::ServerError, false),
        (503, None, T::ServiceUnavailable, false),
        (409, None, T::DefaultError, false),
        (418, None, T::DefaultError, false),
    ] {
        let mut bench = Bench::registering(2, 1, 1);
        bench.answer(Err(refused(status, code, None).into()));
        let what = format!("{status} {code:?}");
        let (error, state) = if is_final {
            assert!(bench.is_quiet() && bench.machine.poll_timeout().is_none(), "{what}");
            let Some(LineEvent::Error(error)) = bench.events.last() else { panic!("{what}") };
            (error, LineState::Failed)
        } else {
            assert_eq!(bench.asked(), "p2", "{what}");
            let Some(LineEvent::ServerFailed { server, error }) = bench.events.last() else {
                panic!("{what}")
            };
            assert_eq!(host(server), "p1");
            (error, LineState::Connecting)
        };
        assert_eq!((error.kind, error.is_final()), (kind, is_final), "{what}");
        assert_eq!(error.server, Some(url("https://p1/")), "{what}");
        assert_eq!(bench.machine.state(), state, "{what}");
    }
    // No answer.
    let mut bench = Bench::registering(2, 1, 1);
    bench.answer(Err(unreachable().into()));
    assert_eq!(bench.asked(), "p2");
}

/// §7.12, last line: all servers have refused.
#[test]
fn all_servers_down_is_the_error_of_an_unavailable_service() {
    let mut bench = Bench::without_slow_retry(1, 1, 1);
    while bench.machine.state() != LineState::Failed {
        match bench.machine.state() {
            LineState::Waiting => drop(bench.sleep()),
            _ => drop(bench.answer(Err(error(503)))),
        }
    }
    let Some(LineEvent::Error(error)) = bench.events.last() else { panic!() };
    // Nothing is tried any more, because the application chose no slow retry.
    assert_eq!((error.kind, error.is_final()), (LineErrorType::ServiceUnavailable, true));
    assert_eq!(bench.machine.poll_timeout(), None);
}

/// §7.10, with §7.12 for a registered line: what each answer to a keepalive leads to.
#[test]
fn every_answer_to_a_keepalive_has_its_reaction() {
    // Final: reported, lost, no further attempt. A 403 is never final, whatever its code.
    for status in [400, 401] {
        let mut bench = Bench::registered(30);
        bench.sleep();
        bench.names();
        bench.answer_keepalive(Err(error(status)));
        assert_eq!(bench.names(), ["error", "unregistered"], "{status}");
        assert_eq!(bench.machine.state(), LineState::Failed, "{status}");
        assert!(bench.is_quiet() && bench.machine.poll_timeout().is_none(), "{status}");
    }
    for (status, code) in [(403, None), (403, Some(102)), (500, None), (503, None), (418, None)] {
        let mut bench = Bench::registered(30);
        bench.sleep();
        bench.names();
        bench.answer_keepalive(Err(refused(status, code, None).into()));
        assert_eq!(bench.names(), ["keepalive_missed", "reconnecting"], "{status}");
        assert_eq!(bench.machine.state(), LineState::Registered, "{status}");
        assert_eq!(bench.sleep(), secs(30), "{status}");
    }
    // Forgotten: reported, lost, and registered again with the first primary.
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.names();
    bench.answer_keepalive(Err(error(404)));
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    assert_eq!(bench.names(), ["error", "unregistered", "registered"]);
    // There is no token, or none for now.
    let mut bench = Bench::registered(30);
    bench.sleep();
    bench.answer_keepalive(Err(unreachable().into()));
    assert_eq!(bench.machine.state(), LineState::Registered);
}

/// §7.10: the pause after a 429, which resets the counter.
#[test]
fn a_busy_server_is_paused_and_its_misses_are_reset() {
    for (asked, expected) in [(5, secs(30)), (100, secs(100)), (7200, secs(3600))] {
        let mut bench = Bench::registered(30);
        bench.miss(3);
        bench.sleep();
        bench.answer_keepalive(Err(busy(asked)));
        assert_eq!(bench.sleep(), expected, "{asked}");
        // Four more would have lost it.
        bench.answer_keepalive(Err(error(503)));
        bench.miss(3);
        assert_eq!(bench.machine.state(), LineState::Registered);
        bench.names();
        bench.sleep();
        bench.answer_keepalive(Ok(()));
        assert_eq!(bench.names(), ["reconnected"]);
    }
    // The one that reaches the threshold loses the registration, 429 or not.
    let mut bench = Bench::registered(30);
    bench.miss(4);
    bench.sleep();
    bench.answer_keepalive(Err(busy(1)));
    assert_eq!(bench.machine.info().status, LineStatus::Inactive);
}

/// §7.10, the table of the services: after the threshold, and after 404.
#[test]
fn the_contact_center_goes_to_the_backups_at_once() {
    let bench = |service, backups| {
        let mut bench = Bench::with(2, backups, service, RegistrationPolicy::default(), 1);
        bench.machine.handle_register(bench.now);
        bench.answer(Ok(granted(30)));
        bench
    };
    for (service, threshold, next) in [
        (ServiceIndicator::Calling, 5, "p1"),
        (ServiceIndicator::GuestCalling, 5, "p1"),
        (ServiceIndicator::ContactCenter, 4, "b1"),
    ] {
        let mut lost = bench(service, 1);
        lost.miss(threshold - 1);
        assert_eq!(lost.machine.state(), LineState::Registered);
        lost.miss(1);
        assert_eq!(lost.asked(), next, "{service:?}");
        let mut forgotten = bench(service, 1);
        forgotten.sleep();
        forgotten.answer_keepalive(Err(error(404)));
        assert_eq!(forgotten.asked(), next, "{service:?}");
    }
    // Without backups it behaves like any other.
    let mut lost = bench(ServiceIndicator::ContactCenter, 0);
    lost.miss(4);
    assert_eq!(lost.asked(), "p1");
    // The backups get their two rounds, and then the primaries follow.
    let mut lost = bench(ServiceIndicator::ContactCenter, 1);
    lost.miss(4);
    assert_eq!(lost.answer(Err(error(503))), "b1");
    assert!((secs(33)..=secs(42)).contains(&lost.sleep()));
    assert_eq!(lost.answer(Err(error(503))), "b1");
    assert_eq!(lost.answer(Ok(granted(30))), "p1");
}

/// §7.14: the order of events, scenario by scenario. `server_failed` replaces the reference
/// client's `unregistered` for each server that refused the line.
#[test]
fn events_come_in_the_documented_order() {
    let names = |mut bench: Bench| bench.documented_names();

    let success = Bench::registered(30);
    assert_eq!(names(success), ["connecting", "registered"]);

    let mut second = Bench::registering(2, 0, 1);
    second.answer(Err(error(503)));
    second.answer(Ok(granted(30)));
    assert_eq!(names(second), ["connecting", "server_failed", "registered"]);

    let mut backup = Bench::registering(1, 1, 1);
    let mut expected = vec!["connecting"];
    while backup.asked() == "p1" {
        backup.answer(Err(error(503)));
        expected.push("server_failed");
        if backup.machine.state() == LineState::Waiting {
            backup.sleep();
        }
    }
    backup.answer(Ok(granted(30)));
    expected.push("registered");
    assert_eq!(names(backup), expected);

    let policy =
        RegistrationPolicy { device_limit: DeviceLimit::TakeOver, ..RegistrationPolicy::default() };
    let mut limit = Bench::with(1, 0, ServiceIndicator::Calling, policy, 1);
    limit.machine.handle_register(limit.now);
    limit.refuse(Err(full(&[("x", false)])));
    limit.answer_deletion(Ok(()));
    limit.answer(Ok(granted(30)));
    assert_eq!(names(limit), ["connecting", "server_failed", "registered"]);

    for (status, code) in [(401, None), (403, Some(102)), (404, None), (400, None)] {
        let mut refusing = Bench::registering(2, 2, 1);
        refusing.answer(Err(refused(status, code, None).into()));
        assert_eq!(names(refusing), ["connecting", "error"], "{status}");
    }

    let mut one_lost = Bench::registered(30);
    one_lost.miss(1);
    one_lost.sleep();
    one_lost.answer_keepalive(Ok(()));
    assert_eq!(names(one_lost)[2..], ["reconnecting", "reconnected"]);

    let mut all_lost = Bench::registered(30);
    all_lost.miss(KEEPALIVE_THRESHOLD);
    all_lost.answer(Ok(granted(30)));
    let mut expected = vec!["reconnecting"; KEEPALIVE_THRESHOLD as usize - 1];
    expected.extend(["unregistered", "registered"]);
    assert_eq!(names(all_lost)[2..], expected);

    let mut forgotten = Bench::registered(30);
    forgotten.sleep();
    forgotten.answer_keepalive(Err(error(404)));
    forgotten.answer(Ok(granted(30)));
    assert_eq!(names(forgotten)[2..], ["error", "unregistered", "registered"]);

    let mut failback = Bench::on_backup(1, 1, 1);
    failback.sleep();
    failback.answer_ping(Ok(()));
    failback.answer(Ok(granted(30)));
    assert_eq!(names(failback), ["unregistered", "registered"]);

    let mut leaving = Bench::registered(30);
    leaving.names();
    leaving.machine.handle_deregister(leaving.now);
    leaving.answer_deletion(Ok(()));
    assert_eq!(names(leaving), ["unregistered"]);
}

/// §7.11, first line: registration on primaries and backups.
#[test]
fn retry_after_of_all_primaries_shapes_the_failover() {
    // It is waited for while there is time ...
    let mut bench = Bench::registering(1, 1, 1);
    bench.answer(Err(busy(50)));
    assert_eq!(bench.sleep(), secs(50));
    assert_eq!(bench.asked(), "p1");
    // ... up to the last second of it ...
    let mut bench = Bench::registering(1, 1, 1);
    bench.answer(Err(busy(FAILOVER_AFTER.as_secs())));
    assert_eq!(bench.sleep(), FAILOVER_AFTER);
    // ... and not beyond: the backups are asked in the same pass.
    let mut bench = Bench::registering(1, 1, 1);
    bench.answer(Err(busy(FAILOVER_AFTER.as_secs() + 1)));
    assert_eq!((bench.asked().as_str(), bench.elapsed()), ("b1", Duration::ZERO));
    // Backups: a pause that is longer than ours is waited for below the limit.
    for (asked, expected) in [(59, secs(59)..=secs(59)), (20, secs(33)..=secs(42))] {
        let mut bench = Bench::registering(1, 1, 1);
        bench.answer(Err(busy(115)));
        assert_eq!(bench.answer(Err(busy(asked))), "b1");
        assert!(expected.contains(&bench.sleep()), "{asked}");
        assert_eq!(bench.asked(), "b1");
    }
    // At the limit the second round comes as usual, without that backup.
    let mut bench = Bench::registering(1, 2, 1);
    bench.answer(Err(busy(115)));
    assert_eq!(bench.answer(Err(busy(60))), "b1");
    assert_eq!(bench.answer(Err(error(503))), "b2");
    assert!((secs(33)..=secs(42)).contains(&bench.sleep()));
    assert_eq!(bench.asked(), "b2");
}

/// §7.11, second line: registering again with the previous server.
#[test]
fn a_busy_previous_server_is_waited_for_or_left() {
    let lost = |primaries, backups| {
        let mut bench = Bench::registering(primaries, backups, 1);
        bench.answer(Ok(granted(30)));
        bench.miss(KEEPALIVE_THRESHOLD);
        bench
    };
    let mut short = lost(2, 1);
    assert_eq!(short.answer(Err(busy(59))), "p1");
    assert_eq!(short.sleep(), secs(59));
    assert_eq!(short.asked(), "p1");

    let mut long = lost(2, 1);
    assert_eq!(long.answer(Err(busy(60))), "p1");
    assert_eq!(long.answer(Ok(granted(30))), "b1");

    // Without backups the search starts again at once, with the servers that are not paused.
    let mut alone = lost(2, 0);
    assert_eq!(alone.answer(Err(busy(60))), "p1");
    assert_eq!(alone.answer(Ok(granted(30))), "p2");
}

/// §7.9.4: what is saved, and what happens to it.
#[test]
fn a_busy_backup_that_was_the_previous_server_is_followed_by_the_primaries() {
    let mut bench = Bench::registering(1, 2, 1);
    bench.answer(Err(busy(115)));
    assert_eq!(bench.answer(Ok(granted(30))), "b1");
    bench.miss(KEEPALIVE_THRESHOLD);
    assert_eq!(bench.answer(Err(busy(70))), "b1");
    assert_eq!(bench.asked(), "p1");
}

#[test]
fn a_pause_of_all_primaries_that_is_just_the_time_left_is_waited_for() {
    let mut bench = Bench::registering(1, 1, 1);
    bench.answer(Err(busy(FAILOVER_AFTER.as_secs())));
    assert_eq!(bench.sleep(), FAILOVER_AFTER);
    assert_eq!(bench.asked(), "p1");
}

#[test]
fn a_pause_of_all_backups_is_waited_for_if_it_is_short() {
    let limit = RETRY_AFTER_MAX.as_secs();
    for (asked, waits) in [(limit - 1, true), (limit, false)] {
        let mut bench = Bench::registering(0, 1, 1);
        assert_eq!(bench.answer(Err(busy(asked))), "b1");
        assert_eq!(bench.sleep() == secs(asked), waits);
        assert_eq!(bench.is_quiet(), !waits, "asked again only after the pause");
    }
}

#[test]
fn the_failover_state_is_saved_at_each_wait_and_removed_at_each_end() {
    let mut bench = Bench::registering(1, 1, 1);
    bench.pass(secs(3));
    bench.answer(Err(error(503)));
    assert_eq!(bench.saved, Some(Failover { attempt: 2, elapsed: secs(3), backup: false }));
    while bench.machine.state() == LineState::Waiting {
        bench.sleep();
        if bench.asked() == "p1" {
            bench.answer(Err(error(503)));
        }
    }
    assert_eq!(bench.answer(Err(error(503))), "b1");
    let kept = bench.saved.expect("kept");
    assert!(kept.backup && kept.elapsed == bench.elapsed(), "{kept:?}");

    let mut registered = bench;
    registered.sleep();
    registered.answer(Ok(granted(30)));
    assert_eq!(registered.saved, None);

    let mut left = Bench::registering(1, 0, 1);
    left.answer(Err(error(503)));
    assert!(left.saved.is_some());
    left.machine.handle_deregister(left.now);
    left.pump();
    assert_eq!(left.saved, None);
}
