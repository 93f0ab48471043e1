//! The weaknesses of the reference client (§9.5), and what is done instead. Rows that are about
//! requests on the wire are in `tests/registration.rs` of this crate.

use std::time::Duration;

use super::bench::*;

/// A pending registration, with another policy.
fn with_policy(primaries: usize, backups: usize, policy: RegistrationPolicy) -> Bench {
    let mut bench = Bench::with(primaries, backups, ServiceIndicator::Calling, policy, 1);
    bench.machine.handle_register(bench.now);
    bench
}

#[test]
fn row_32_a_deletion_is_repeated_once_and_its_outcome_reported() {
    for (answers, outcome) in [
        (vec![Ok(())], "deleted"),
        (vec![Err(http(404))], "already_gone"),
        (vec![Err(http(410))], "already_gone"),
        (vec![Err(http(503)), Ok(())], "deleted"),
        (vec![Err(unreachable()), Err(http(404))], "already_gone"),
        (vec![Err(http(500)), Err(http(500))], "not_reachable"),
        (vec![Err(unreachable()), Err(unreachable())], "not_reachable"),
        // Repeating these at once would change nothing, or the server asked for a pause.
        (vec![Err(http(401))], "not_reachable"),
        (vec![Err(refused(503, None, Some(1)))], "not_reachable"),
        (vec![Err(refused(429, None, Some(1)))], "not_reachable"),
    ] {
        let mut bench = Bench::registered(30);
        bench.machine.handle_deregister(bench.now);
        for answer in answers {
            assert_eq!(bench.machine.state(), LineState::Deregistering, "{outcome}");
            bench.answer_deletion(answer);
        }
        assert_eq!(bench.outcome().name(), outcome);
        assert_eq!(bench.machine.state(), LineState::Idle);
        assert!(bench.is_quiet());
    }
}

#[test]
fn row_33_deregistering_ends_every_timer() {
    // Waiting for the primaries, the backups, the pause of a busy server, the calls, the long wait.
    let primaries = {
        let mut bench = Bench::registering(1, 1, 1);
        bench.answer(Err(error(503)));
        bench
    };
    let backups = {
        let mut bench = Bench::registering(1, 1, 1);
        bench.answer(Err(busy(200)));
        bench.answer(Err(error(503)));
        bench
    };
    let pause = {
        let mut bench = Bench::registered(30);
        bench.miss(KEEPALIVE_THRESHOLD);
        bench.answer(Err(busy(20)));
        bench
    };
    let long = {
        let mut bench = Bench::registering(1, 0, 1);
        bench.answer(Err(busy(200)));
        bench
    };
    let failback = Bench::on_backup(1, 1, 1);
    for mut bench in [primaries, backups, pause, long, failback] {
        assert!(bench.machine.poll_timeout().is_some());
        bench.machine.handle_deregister(bench.now);
        bench.pump();
        while !bench.requests.is_empty() {
            bench.answer_deletion(Ok(()));
        }
        bench.names();
        assert_eq!(bench.machine.state(), LineState::Idle);
        assert_eq!(bench.machine.poll_timeout(), None);
        bench.pass(secs(1_000_000));
        assert!(bench.is_quiet() && bench.names().is_empty());
    }
}

#[test]
fn row_34_deregistering_without_a_registration_sends_no_request() {
    let mut bench = Bench::new(1, 1, 1);
    bench.machine.handle_deregister(bench.now);
    assert!(bench.is_quiet());
    let Some(LineEvent::Unregistered { server, .. }) = bench.events.last() else { panic!() };
    assert_eq!(server, &None);
}

#[test]
fn row_35_empty_lists_are_requested_again_and_reported_when_they_stay_empty() {
    let mut bench = Bench::registering(0, 0, 1);
    assert_eq!(bench.machine.state(), LineState::Connecting);
    bench.answer_servers(Ok(servers(0, 0)));
    let Some(LineEvent::Error(error)) = bench.events.last() else { panic!() };
    assert_eq!(error.kind, LineErrorType::ServiceUnavailable);
    assert_eq!(bench.names(), ["connecting", "error"]);
    // It tries again by itself, with the servers that are found then.
    bench.sleep();
    bench.answer_servers(Err(error_of_discovery()));
    bench.sleep();
    bench.answer_servers(Ok(servers(1, 0)));
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
    // Only backups: they are asked at once.
    let mut bench = Bench::registering(0, 1, 1);
    assert_eq!((bench.asked().as_str(), bench.elapsed()), ("b1", Duration::ZERO));
}

#[test]
fn row_35_an_empty_answer_does_not_replace_the_servers_that_are_known() {
    let mut bench = Bench::registering(1, 0, 1);
    bench.answer(Err(busy(200)));
    bench.sleep();
    bench.answer_servers(Ok(servers(0, 0)));
    assert_eq!(bench.asked(), "p1");
}

fn error_of_discovery() -> crate::LineError {
    error(500)
}

#[test]
fn row_36_after_the_final_failure_comes_a_slow_retry_with_the_current_servers() {
    for seed in 0..50 {
        let mut bench = Bench::registering(1, 0, seed);
        bench.answer(Err(busy(200)));
        assert_eq!(bench.machine.state(), LineState::Waiting);
        assert_eq!(bench.names(), ["connecting", "server_failed", "error"]);
        let waited = bench.sleep();
        assert!((secs(240)..=secs(360)).contains(&waited), "{waited:?}");
        // Two new ones, and each is asked once; then the next long wait.
        bench.answer_servers(Ok(servers(2, 1)));
        let Some(LineEvent::Connecting { reason }) = bench.events.first() else { panic!() };
        assert_eq!(*reason, Connecting::Retry);
        for server in ["p1", "p2", "b1"] {
            assert_eq!(bench.answer(Err(error(503))), server);
        }
        assert_eq!(bench.names().last(), Some(&"error"));
        assert!((secs(240)..=secs(360)).contains(&bench.sleep()));
        // Discovery that fails, or hangs, leaves the known servers.
        assert_eq!(bench.sleep(), REDISCOVERY_LIMIT);
        assert!(bench.requests.len() == 1);
        assert_eq!(bench.answer(Ok(granted(30))), "p1");
        assert_eq!(bench.machine.state(), LineState::Registered);
    }
    // Lines that failed together do not come back in step: some sooner, some later.
    let waits = (0..100).map(|seed| {
        let mut bench = Bench::registering(1, 0, seed);
        bench.answer(Err(busy(200)));
        bench.sleep()
    });
    let waits: Vec<_> = waits.collect();
    let (soonest, latest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*soonest < SLOW_RETRY - secs(30) && *latest > SLOW_RETRY + secs(30), "{waits:?}");
    // It can be configured and switched off; the application may always try.
    let policy =
        RegistrationPolicy { slow_retry: Some(secs(3600)), ..RegistrationPolicy::default() };
    let mut bench = with_policy(1, 0, policy);
    bench.answer(Err(busy(200)));
    assert!((secs(2880)..=secs(4320)).contains(&bench.sleep()));
    let policy = RegistrationPolicy { slow_retry: Some(Duration::ZERO), ..Default::default() };
    let mut bench = with_policy(0, 0, policy);
    bench.answer_servers(Ok(servers(0, 0)));
    assert!((secs(24)..=secs(36)).contains(&bench.sleep()), "no flood");
    let mut bench = Bench::without_slow_retry(1, 0, 1);
    bench.answer(Err(busy(200)));
    assert_eq!(bench.machine.state(), LineState::Failed);
    assert_eq!(bench.machine.poll_timeout(), None);
    bench.machine.handle_register(bench.now + secs(200));
    assert_eq!(bench.asked(), "p1");
}

#[test]
fn row_36_an_error_that_stays_ends_the_slow_retry() {
    let mut bench = Bench::registering(1, 0, 1);
    bench.answer(Err(busy(200)));
    bench.sleep();
    bench.answer_servers(Err(error(401)));
    assert_eq!(bench.machine.state(), LineState::Failed);
    assert_eq!(bench.machine.poll_timeout(), None);
}

#[test]
fn row_37_a_busy_primary_always_leaves_the_line_with_the_backup() {
    let mut bench = Bench::on_backup(1, 1, 1);
    for _ in 0..20 {
        bench.sleep_on();
        bench.answer_ping(Ok(()));
        // A primary that accepts no second registration, and is then too busy.
        bench.refuse(Err(full(&[("d", true)])));
        bench.answer_deletion(Ok(()));
        assert_eq!(bench.answer(Err(busy(40))), "p1");
        assert_eq!(bench.answer(Ok(granted(3600))), "b1");
        assert_eq!(bench.names(), ["unregistered", "server_failed", "registered"]);
    }
}

#[test]
fn row_38_the_line_is_without_a_registration_for_one_request_at_most() {
    for refusal in [error(503), error(401), error(404), unreachable().into(), busy(10)] {
        let mut bench = Bench::on_backup(3, 1, 1);
        bench.sleep();
        bench.answer_ping(Ok(()));
        bench.refuse(Err(full(&[("d", true)])));
        bench.answer_deletion(Ok(()));
        // Not registered anywhere: one request to the primary, and back to the backup, whatever the answer.
        assert_eq!(bench.answer(Err(refusal)), "p1");
        assert_eq!(bench.asked(), "b1");
        bench.answer(Ok(granted(30)));
        assert_eq!(bench.machine.state(), LineState::Registered);
    }
    // If the backup does not accept it again, the search starts.
    let mut bench = Bench::on_backup(1, 1, 1);
    bench.sleep();
    bench.answer_ping(Ok(()));
    bench.refuse(Err(full(&[])));
    bench.answer_deletion(Ok(()));
    bench.answer(Err(error(503)));
    assert_eq!(bench.answer(Err(error(503))), "b1");
    assert_eq!(bench.asked(), "p1");
}

#[test]
fn row_39_the_contact_center_comes_back_to_the_primaries() {
    let (service, policy) = (ServiceIndicator::ContactCenter, RegistrationPolicy::default());
    for backups in [0, 1] {
        let mut bench = Bench::with(1, backups, service, policy.clone(), 1);
        bench.machine.handle_register(bench.now);
        bench.answer(Ok(granted(30)));
        bench.miss(KEEPALIVE_THRESHOLD_CONTACT_CENTER);
        bench.machine.handle_deregister(bench.now);
        bench.answer(Err(error(503)));
        // Every start is one with the primaries.
        bench.machine.handle_register(bench.now);
        assert_eq!(bench.asked(), "p1");
    }
}

#[test]
fn row_40_a_long_pause_whose_backups_fail_goes_on_with_the_primaries() {
    let mut bench = Bench::registering(1, 1, 1);
    bench.answer(Ok(granted(30)));
    bench.miss(KEEPALIVE_THRESHOLD);
    assert_eq!(bench.answer(Err(busy(70))), "p1");
    assert_eq!(bench.answer(Err(error(503))), "b1");
    // The failover timer, but not before the pause that the primary asked for.
    assert_eq!(bench.sleep(), secs(70));
    assert_eq!(bench.answer(Ok(granted(30))), "p1");
}

#[test]
fn row_41_times_that_are_missing_or_absurd_are_replaced() {
    // 429 without a time.
    let mut bench = Bench::registering(1, 1, 1);
    bench.answer(Ok(granted(30)));
    bench.miss(KEEPALIVE_THRESHOLD);
    bench.answer(Err(error(429)));
    assert_eq!(bench.sleep(), RETRY_AFTER_DEFAULT);
    for (asked, expected) in [(0, secs(1)), (1_000_000, secs(3600))] {
        let mut bench = Bench::registered(30);
        bench.sleep();
        bench.answer_keepalive(Err(busy(asked)));
        assert_eq!(bench.sleep(), expected.max(secs(30)));
    }
    // Registrations without intervals, or with absurdly short or long ones.
    let first = |interval: Duration| interval - interval / KEEPALIVE_SPREAD..=interval;
    for (asked, expected) in [(0, KEEPALIVE_INTERVAL), (1, KEEPALIVE_MIN), (999_999, KEEPALIVE_MAX)]
    {
        assert!(first(expected).contains(&Bench::registered(asked).sleep()), "{asked}");
    }
    for text in ["", r#","keepaliveInterval":"soon""#, r#","keepaliveInterval":null"#] {
        let json = format!(r#"{{"device":{{"deviceId":"d","uri":"https://p1/d"}}{text}}}"#);
        let mut bench = Bench::registering(1, 0, 1);
        bench.answer(Ok(serde_json::from_str(&json).unwrap()));
        assert!(first(KEEPALIVE_INTERVAL).contains(&bench.sleep()), "{text}");
    }
}

#[test]
fn row_42_each_server_has_its_own_pause() {
    let mut bench = Bench::registering(2, 0, 1);
    assert_eq!(bench.answer(Err(busy(110))), "p1");
    assert_eq!(bench.answer(Err(error(503))), "p2");
    // The second asked for no pause: the round comes as usual, without the first.
    let waited = bench.sleep();
    assert!((secs(33)..=secs(42)).contains(&waited), "{waited:?}");
    assert_eq!(bench.answer(Err(error(503))), "p2");
    bench.sleep();
    assert_eq!(bench.answer(Err(error(503))), "p2");
    // At 114 s the first may be asked again.
    while bench.machine.state() == LineState::Waiting && bench.elapsed() < secs(110) {
        bench.sleep();
        bench.pump();
    }
    assert!(bench.elapsed() >= secs(110));
    // Deregistering and registering again does not forget it either.
    let mut bench = Bench::registering(2, 0, 1);
    assert_eq!(bench.answer(Err(busy(50))), "p1");
    bench.machine.handle_deregister(bench.now);
    bench.answer(Err(error(503)));
    bench.machine.handle_register(bench.now);
    assert_eq!(bench.answer(Err(error(503))), "p2");
}

#[test]
fn row_43_the_rehoming_interval_is_that_of_the_registration_in_force() {
    for (text, expected) in [
        (r#","rehomingIntervalMin":10,"rehomingIntervalMax":20"#, REHOMING),
        (r#","rehomingIntervalMin":20,"rehomingIntervalMax":10"#, REHOMING),
        ("", REHOMING_MIN..=REHOMING_MAX),
        (r#","rehomingIntervalMin":0,"rehomingIntervalMax":0"#, REHOMING_MIN..=REHOMING_MAX),
        (r#","rehomingIntervalMin":1e9,"rehomingIntervalMax":1e9"#, secs(86_400)..=secs(86_400)),
    ] {
        let mut drawn = Vec::new();
        for seed in 0..50 {
            let mut bench = Bench::registering(1, 1, seed);
            // A primary's values do not apply to a backup's registration.
            bench.answer(Ok(granted(30)));
            bench.sleep();
            bench.answer_keepalive(Err(error(404)));
            bench.answer(Err(busy(115)));
            let device =
                r#""device":{"deviceId":"d","uri":"https://b1/d"},"keepaliveInterval":3600"#;
            let json = format!("{{{device}{text}}}");
            bench.answer(Ok(serde_json::from_str(&json).unwrap()));
            let registered = bench.now;
            bench.sleep_on();
            bench.answer_ping(Err(error(503)));
            drawn.push(bench.now - registered);
        }
        drawn.sort_unstable();
        assert!(expected.contains(&drawn[0]) && expected.contains(&drawn[49]), "{text} {drawn:?}");
        let width = *expected.end() - *expected.start();
        assert!(drawn[49] - drawn[0] >= width / 2, "{text}: they are random");
    }
}

#[test]
fn row_44_an_old_failover_state_is_ignored_and_the_primaries_are_always_tried() {
    let mut bench = Bench::new(1, 1, 1);
    bench.saved = Some(Failover { attempt: 3, elapsed: secs(100), backup: true });
    let age = FAILOVER_STATE_MAX_AGE + Duration::from_millis(1);
    bench.machine.handle_resume(bench.now, bench.saved.unwrap(), age);
    bench.pump();
    assert_eq!(bench.saved, None, "forgotten");
    assert_eq!(bench.answer(Err(error(503))), "p1");
    assert!((secs(33)..=secs(42)).contains(&bench.sleep()));

    let mut bench = Bench::new(1, 1, 1);
    let young = Failover { attempt: 3, elapsed: secs(100), backup: true };
    bench.machine.handle_resume(bench.now, young, FAILOVER_STATE_MAX_AGE);
    assert_eq!(bench.answer(Err(error(503))), "p1");
    assert_eq!(bench.asked(), "b1");
    // The final failure deletes it.
    bench.answer(Err(error(503)));
    assert!(bench.saved.is_some());
    bench.sleep();
    bench.answer(Err(error(503)));
    assert_eq!(bench.names().last(), Some(&"error"));
    assert_eq!(bench.saved, None);
}

#[test]
fn row_46_the_device_limit_is_a_matter_of_policy() {
    let policy = |device_limit| RegistrationPolicy { device_limit, ..Default::default() };
    let listed = [("other", false), ("ours", true)];
    let documented = |bench: &mut Bench| {
        let Some(LineEvent::Error(error)) = bench.events.last() else { panic!() };
        assert!(error.is_final() && error.mobius_code == Some(101));
        let documented = error.documented();
        assert_eq!(documented.kind, "registrationError");
        assert!(documented.msg.starts_with("Device limit exceeded."));
        assert_eq!(bench.machine.state(), LineState::Failed);
        assert!(bench.is_quiet() && bench.machine.poll_timeout().is_none());
    };

    // Taking over: deletes the first listed device, on its own server.
    let mut bench = with_policy(2, 0, policy(DeviceLimit::TakeOver));
    bench.refuse(Err(full(&listed)));
    assert_eq!(bench.answer_deletion(Ok(())), ("other".to_owned(), "other".to_owned()));
    assert_eq!(bench.answer(Ok(granted(30))), "other");
    assert_eq!(bench.names(), ["connecting", "server_failed", "registered"]);
    // Nobody listed: the next server.
    let mut bench = with_policy(2, 0, policy(DeviceLimit::TakeOver));
    bench.refuse(Err(full(&[])));
    assert_eq!(bench.asked(), "p2");
    // If that did not help, no second device is deleted: the next server.
    let mut bench = with_policy(2, 0, policy(DeviceLimit::TakeOver));
    bench.refuse(Err(full(&listed)));
    bench.answer_deletion(Err(http(500)));
    bench.refuse(Err(full(&listed)));
    assert_eq!(bench.asked(), "p2");

    // Failing: the documented error, and nothing after it.
    let mut bench = with_policy(2, 0, policy(DeviceLimit::Fail));
    bench.refuse(Err(full(&listed)));
    documented(&mut bench);

    // Our own earlier registration, or none: the default.
    assert_eq!(RegistrationPolicy::default().device_limit, DeviceLimit::PreferOwn);
    let mut bench = Bench::registering(2, 0, 1);
    bench.refuse(Err(full(&listed)));
    assert_eq!(bench.answer_deletion(Ok(())).1, "ours");
    bench.answer(Ok(granted(30)));
    assert_eq!(bench.machine.state(), LineState::Registered);
    let mut bench = Bench::registering(2, 0, 1);
    bench.refuse(Err(full(&listed[..1])));
    documented(&mut bench);
}

#[test]
fn row_46_a_refused_takeover_continues_the_search() {
    let policy = RegistrationPolicy { device_limit: DeviceLimit::TakeOver, ..Default::default() };
    let freed = || {
        let mut bench = with_policy(2, 1, policy.clone());
        bench.refuse(Err(full(&[("x", false)])));
        bench.answer_deletion(Ok(()));
        bench
    };
    let mut transient = freed();
    transient.answer(Err(error(503)));
    assert_eq!(transient.asked(), "p2");
    // The server of the other device asks for a pause: the next of the list.
    let mut pause = with_policy(2, 1, policy.clone());
    pause.refuse(Err(full(&[("x", false)])));
    pause.answer_deletion(Err(refused(429, None, Some(20))));
    assert_eq!(pause.asked(), "p2");
    let mut last = freed();
    last.answer(Err(error(401)));
    assert_eq!(last.machine.state(), LineState::Failed);
    let mut short = freed();
    short.answer(Err(busy(20)));
    assert_eq!(short.sleep(), secs(20));
    assert_eq!(short.asked(), "p1");
    let mut leaving = with_policy(1, 0, policy);
    leaving.refuse(Err(full(&[("x", false)])));
    leaving.machine.handle_deregister(leaving.now);
    assert!(leaving.is_quiet());
    assert_eq!(leaving.outcome().name(), "already_gone");
}

#[test]
fn row_47_every_change_is_reported_with_its_reason_and_server() {
    let mut bench = Bench::registering(2, 0, 1);
    bench.answer(Err(error(503)));
    bench.answer(Ok(granted(30)));
    bench.miss(1);
    bench.sleep();
    bench.answer_keepalive(Ok(()));
    bench.miss(KEEPALIVE_THRESHOLD);
    for event in &bench.events {
        let (server, error) = match event {
            LineEvent::Connecting { reason } => {
                assert_eq!(*reason, Connecting::Requested);
                continue;
            }
            LineEvent::Registered(info) => {
                assert_eq!(info.server.as_ref().map(host).as_deref(), Some("p2"));
                continue;
            }
            LineEvent::ServerFailed { server, error } => {
                assert_eq!((host(server).as_str(), error.http_status), ("p1", Some(503)));
                continue;
            }
            LineEvent::KeepaliveMissed { missed, of, server, error }
            | LineEvent::Reconnecting { missed, of, server, error } => {
                assert!((1..=*of).contains(missed) && *of == KEEPALIVE_THRESHOLD);
                (server.clone(), Some(error))
            }
            LineEvent::Reconnected { server } => (server.clone(), None),
            LineEvent::Unregistered { reason, server, .. } => {
                (server.clone().unwrap(), Some(reason.error().unwrap()))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(host(&server), "p2");
        if let Some(error) = error {
            assert_eq!((error.http_status, error.server.as_ref()), (Some(503), Some(&server)));
        }
    }
    let missed = bench.names().iter().filter(|name| **name == "keepalive_missed").count();
    assert_eq!(missed, 1 + KEEPALIVE_THRESHOLD as usize);
}

#[test]
fn row_49_every_request_that_fails_ends_in_an_event_or_a_deadline() {
    // A primary's registration, a keepalive, a deletion, a ping, a discovery: each of them ends in
    // an event.
    let mut bench = Bench::registering(1, 1, 1);
    bench.answer(Err(unreachable().into()));
    assert_eq!(bench.names(), ["connecting", "server_failed"]);
    assert!(bench.machine.upcoming().is_some());
    let mut bench = Bench::registered(30);
    bench.miss(1);
    assert_eq!(bench.names()[2..], ["keepalive_missed", "reconnecting"]);
    assert!(bench.machine.upcoming().is_some());
    let mut bench = Bench::registered(30);
    bench.names();
    bench.machine.handle_deregister(bench.now);
    bench.sleep();
    assert_eq!(bench.names(), ["unregistered"]);
    let mut bench = Bench::on_backup(1, 1, 1);
    bench.sleep();
    bench.answer_ping(Err(unreachable().into()));
    assert!(bench.machine.upcoming().is_some());
    let mut bench = Bench::registering(0, 0, 1);
    bench.answer_servers(Err(unreachable().into()));
    assert_eq!(bench.names(), ["connecting", "error"]);
    assert!(bench.machine.upcoming().is_some());
}

#[test]
fn row_50_an_answer_resets_the_count_of_missed_keepalives() {
    let mut bench = Bench::registered(30);
    for _ in 0..3 {
        bench.miss(KEEPALIVE_THRESHOLD - 1);
        bench.sleep();
        bench.answer_keepalive(Ok(()));
    }
    assert_eq!(bench.machine.state(), LineState::Registered);
    bench.miss(KEEPALIVE_THRESHOLD);
    assert_eq!(bench.machine.state(), LineState::Connecting);
}
