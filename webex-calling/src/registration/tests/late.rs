//! Answers to requests that are no longer expected.

use std::sync::Arc;

use super::bench::*;

/// A line in each of its states, with a request under way where there can be one.
fn states() -> Vec<(&'static str, Bench)> {
    let pinging = || {
        let mut bench = Bench::on_backup(2, 1, 1);
        bench.sleep_on();
        bench
    };
    let asking = || {
        let mut bench = pinging();
        bench.answer_ping(Ok(()));
        bench
    };
    let leaving = || {
        let mut bench = asking();
        bench.refuse(Err(full(&[("d", true)])));
        bench
    };
    let mut moving = leaving();
    moving.answer_deletion(Ok(()));
    let mut renewing = Bench::registering(1, 0, 1);
    renewing.answer(Ok(granted_for("d", "old")));
    renewing.machine.handle_client_device(renewing.now, "new".to_owned());
    let mut making_room = Bench::registering(1, 0, 1);
    making_room.refuse(Err(full(&[("other", true)])));
    let mut waiting = Bench::registering(1, 1, 1);
    waiting.answer(Err(error(503)));
    let mut keepalive = Bench::registered(30);
    keepalive.sleep();
    let mut failed = Bench::registering(1, 0, 1);
    failed.answer(Err(error(401)));
    let mut deregistering = Bench::registered(30);
    deregistering.machine.handle_deregister(deregistering.now);
    vec![
        ("idle", Bench::new(1, 1, 1)),
        ("discovering", Bench::registering(0, 0, 1)),
        ("registering", Bench::registering(1, 1, 1)),
        ("making room", making_room),
        ("waiting", waiting),
        ("registered", Bench::registered(30)),
        ("keepalive", keepalive),
        ("pinging a primary", pinging()),
        ("asking a primary", asking()),
        ("leaving a backup", leaving()),
        ("moving to a primary", moving),
        ("renewing", renewing),
        ("failed", failed),
        ("deregistering", deregistering),
    ]
}

#[test]
fn an_answer_to_an_earlier_request_changes_nothing() {
    let earlier = Op(u32::MAX);
    for (state, mut bench) in states() {
        bench.pump();
        let (machine, now) = (&mut bench.machine, bench.now);
        let before = format!("{machine:?}");
        for succeeds in [true, false] {
            let registered = if succeeds { Ok(granted(30)) } else { Err(error(503).into()) };
            machine.handle_registration(now, earlier, registered);
            machine.handle_keepalive(now, earlier, if succeeds { Ok(()) } else { Err(error(404)) });
            machine.handle_deregistered(
                now,
                earlier,
                if succeeds { Ok(()) } else { Err(http(503)) },
            );
            machine.handle_ping(now, earlier, if succeeds { Ok(()) } else { Err(error(503)) });
            let found = if succeeds { Ok(Arc::new(servers(2, 2))) } else { Err(error(503)) };
            machine.handle_servers(now, earlier, found);
            assert_eq!(format!("{machine:?}"), before, "{state}");
        }
    }
}

#[test]
fn a_saved_state_is_ignored_by_a_line_that_is_registering() {
    let mut bench = Bench::registering(1, 1, 1);
    let failover = Failover { attempt: 2, elapsed: secs(40), backup: false };
    bench.machine.handle_resume(bench.now, failover, secs(1));
    bench.pump();
    assert_eq!(bench.requests.len(), 1, "no second registration request");
    assert_eq!(bench.saved, None);
    assert_eq!(bench.names(), ["connecting"]);
}
