use super::*;

const TTL: Duration = Duration::from_secs(1800);

fn device(name: &str) -> Arc<Device> {
    let json =
        format!(r#"{{"url":"https://w/{name}","webSocketUrl":"wss://m/{name}","userId":"u"}}"#);
    Arc::new(serde_json::from_str(&json).unwrap())
}

/// A machine with a registered device.
fn registered(now: Instant) -> Machine {
    let mut machine = Machine::new(Some(TTL), 1);
    machine.want();
    assert_eq!(machine.poll_action(), Some(Action::Register));
    machine.handle_record(now, Ok(device("a")));
    assert_eq!(machine.status(), Status::Registered);
    machine
}

#[test]
fn refreshes_in_time_and_again() {
    let mut now = Instant::now();
    let mut machine = registered(now);
    for _ in 0..3 {
        let due = machine.poll_timeout().unwrap();
        assert_eq!(due - now, Duration::from_secs(960));
        now = due;
        machine.handle_timeout(now);
        assert_eq!(machine.poll_action(), Some(Action::Refresh(device("a"))));
        machine.handle_record(now, Ok(device("a")));
    }
}

#[test]
fn a_short_ttl_is_refreshed_before_it_ends() {
    for seconds in [1, 10, 100, 240, 1800] {
        let ttl = Duration::from_secs(seconds);
        assert!(refresh_after(ttl) <= ttl * 3 / 4, "{ttl:?}");
    }
}

#[test]
fn a_failed_refresh_is_repeated_while_the_device_lives() {
    let now = Instant::now();
    let mut machine = registered(now);
    machine.refresh();
    assert!(machine.poll_action().is_some());
    machine.handle_record(now, Err(Failure::Other));
    assert_eq!(machine.status(), Status::Registered);
    let wait = machine.poll_timeout().unwrap() - now;
    assert!(wait >= Duration::from_millis(500) && wait <= RETRY_CAP, "{wait:?}");
}

#[test]
fn a_device_that_is_gone_is_registered_anew_until_it_works() {
    let mut now = Instant::now();
    let mut machine = registered(now);
    machine.refresh();
    assert!(matches!(machine.poll_action(), Some(Action::Refresh(_))));
    machine.handle_record(now, Err(Failure::NotFound));
    for _ in 0..8 {
        assert_eq!(machine.poll_action(), Some(Action::Register));
        machine.handle_record(now, Err(Failure::Other));
        assert_eq!(machine.status(), Status::Registering);
        let due = machine.poll_timeout().unwrap();
        assert!(due - now <= RETRY_CAP);
        now = due;
        machine.handle_timeout(now);
    }
    assert_eq!(machine.poll_action(), Some(Action::Register));
    machine.handle_record(now, Ok(device("b")));
    assert_eq!(machine.device(), Some(&device("b")));
}

#[test]
fn a_sleep_brings_the_refresh_forward() {
    let now = Instant::now();
    for (slept, wait) in [(0, 960), (600, 360), (3600, 0)] {
        let mut machine = registered(now);
        machine.handle_slept(now, Duration::from_secs(slept));
        assert_eq!(machine.poll_timeout().unwrap() - now, Duration::from_secs(wait));
    }
}

#[test]
fn a_hint_shortens_a_wait_but_not_one_that_the_service_asked_for() {
    let now = Instant::now();
    for (failure, shortened) in [(Failure::Other, true), (Failure::Wait(RETRY_CAP), false)] {
        let mut machine = registered(now);
        machine.handle_hint(now);
        assert_eq!(machine.poll_timeout().unwrap() - now, refresh_after(TTL), "nothing has failed");
        machine.refresh();
        for _ in 0..4 {
            assert!(machine.poll_action().is_some());
            machine.handle_record(now, Err(failure));
            machine.refresh();
        }
        assert!(machine.poll_action().is_some());
        machine.handle_record(now, Err(failure));
        machine.handle_hint(now);
        let wait = machine.poll_timeout().unwrap() - now;
        assert_eq!(wait == HINT_PAUSE, shortened, "{wait:?} after {failure:?}");
    }
}

#[test]
fn a_first_refusal_is_reported_and_not_repeated() {
    let now = Instant::now();
    let mut machine = Machine::new(Some(TTL), 1);
    machine.want();
    assert!(machine.poll_action().is_some());
    machine.handle_record(now, Err(Failure::Other));
    assert_eq!((machine.status(), machine.poll_timeout()), (Status::Failed, None));
    machine.want();
    assert_eq!(machine.poll_action(), Some(Action::Register));
}

#[test]
fn a_device_registered_after_unwant_is_deleted() {
    let now = Instant::now();
    let mut machine = Machine::new(None, 1);
    machine.want();
    assert!(machine.poll_action().is_some());
    machine.unwant();
    machine.handle_record(now, Ok(device("late")));
    assert_eq!(machine.poll_action(), Some(Action::Delete(device("late"))));
    machine.handle_deleted(Ok(()));
    assert_eq!(machine.status(), Status::Absent);
}

#[test]
fn a_deletion_without_confirmation_can_be_repeated_or_taken_back() {
    let now = Instant::now();
    for want in [false, true] {
        let mut machine = registered(now);
        machine.unwant();
        assert!(matches!(machine.poll_action(), Some(Action::Delete(_))));
        machine.handle_deleted(Err(Failure::Other));
        assert_eq!(machine.status(), Status::Left);
        if want {
            machine.want();
        } else {
            machine.unwant();
        }
        let again = machine.poll_action().unwrap();
        let device = device("a");
        let expected = if want { Action::Refresh(device) } else { Action::Delete(device) };
        assert_eq!(again, expected);
    }
}

#[test]
fn wanted_again_while_deleting_registers_anew() {
    let now = Instant::now();
    let mut machine = registered(now);
    machine.unwant();
    assert!(machine.poll_action().is_some());
    machine.want();
    assert_eq!(machine.poll_action(), None);
    machine.handle_deleted(Ok(()));
    assert_eq!(machine.poll_action(), Some(Action::Register));
}

#[test]
fn row_15_one_refresh_task_retries_until_the_ttl_ends_and_then_registers_anew() {
    let start = Instant::now();
    let mut machine = registered(start);
    let mut now = machine.poll_timeout().unwrap();
    assert_eq!(now - start, Duration::from_secs(960));
    let mut longest = Duration::ZERO;
    loop {
        machine.handle_timeout(now);
        match machine.poll_action() {
            Some(Action::Refresh(device)) => assert_eq!(Some(&device), machine.device()),
            Some(Action::Register) => break,
            other => panic!("{other:?}"),
        }
        assert_eq!(machine.poll_timeout(), None, "one request at a time, and no timer beside it");
        // Each of them fails, after a second.
        now += Duration::from_secs(1);
        machine.handle_record(now, Err(Failure::Other));
        if let Some(due) = machine.poll_timeout() {
            assert!(now < start + TTL, "the device has ended by now");
            longest = longest.max(due - now);
            now = due;
        }
    }
    assert!(now - start >= TTL && now - start <= TTL + RETRY_CAP + Duration::from_secs(1));
    assert!(longest > RETRY_CAP / 2 && longest <= RETRY_CAP, "{longest:?}");
    assert_eq!((machine.status(), machine.device()), (Status::Registering, None));
}

#[test]
fn row_15_unregistering_cancels_the_refresh() {
    let now = Instant::now();
    let mut machine = registered(now);
    machine.handle_timeout(machine.poll_timeout().unwrap());
    assert!(matches!(machine.poll_action(), Some(Action::Refresh(_))));
    machine.handle_record(now, Err(Failure::Other));
    machine.unwant();
    assert!(matches!(machine.poll_action(), Some(Action::Delete(_))));
    assert_eq!(machine.poll_timeout(), None);
    machine.handle_deleted(Ok(()));
    machine.handle_timeout(now + 10 * TTL);
    assert_eq!((machine.poll_action(), machine.poll_timeout()), (None, None));
}

#[test]
fn a_wait_that_the_service_asks_for_is_kept() {
    let now = Instant::now();
    for (asked, expected) in [(90, 90), (3600, 3600), (100_000, 3600)] {
        let mut machine = registered(now);
        machine.refresh();
        assert!(machine.poll_action().is_some());
        machine.handle_record(now, Err(Failure::Wait(Duration::from_secs(asked))));
        let wait = machine.poll_timeout().unwrap() - now;
        assert_eq!(wait, Duration::from_secs(expected));
    }
}

#[test]
fn row_16_room_is_made_a_bounded_number_of_times() {
    let now = Instant::now();
    let mut machine = Machine::new(Some(TTL), 1);
    machine.want();
    for _ in 0..ROOM_TRIES {
        assert_eq!(machine.poll_action(), Some(Action::Register));
        machine.handle_record(now, Err(Failure::Excessive));
        assert_eq!(machine.poll_action(), Some(Action::MakeRoom));
        assert_eq!(machine.status(), Status::Registering);
        machine.handle_room(now, Ok(2));
    }
    assert_eq!(machine.poll_action(), Some(Action::Register));
    machine.handle_record(now, Err(Failure::Excessive));
    assert_eq!((machine.poll_action(), machine.status()), (None, Status::Failed));
    // Wanted again, it gets as many tries again.
    machine.want();
    assert_eq!(machine.poll_action(), Some(Action::Register));
    machine.handle_record(now, Err(Failure::Excessive));
    assert_eq!(machine.poll_action(), Some(Action::MakeRoom));
    machine.handle_room(now, Ok(1));
    assert_eq!(machine.poll_action(), Some(Action::Register));
    machine.handle_record(now, Ok(device("a")));
    assert_eq!(machine.status(), Status::Registered);
}

#[test]
fn row_16_a_failure_to_make_room_is_reported_and_unwant_ends_it() {
    let now = Instant::now();
    for answer in [Ok(0), Err(Failure::Other)] {
        for wanted in [true, false] {
            let mut machine = Machine::new(Some(TTL), 1);
            machine.want();
            assert!(machine.poll_action().is_some());
            machine.handle_record(now, Err(Failure::Excessive));
            assert_eq!(machine.poll_action(), Some(Action::MakeRoom));
            if !wanted {
                machine.unwant();
            }
            machine.handle_room(now, answer);
            let expected = if wanted { Status::Failed } else { Status::Absent };
            assert_eq!((machine.poll_action(), machine.status()), (None, expected));
        }
    }
}

#[test]
fn row_17_a_device_that_is_gone_counts_as_deleted() {
    let now = Instant::now();
    let mut machine = registered(now);
    machine.unwant();
    assert!(machine.poll_action().is_some());
    machine.handle_deleted(Err(Failure::NotFound));
    assert_eq!(machine.status(), Status::Absent);
}

/// A machine of a durable device that found one of an earlier run.
fn restored() -> Machine {
    let mut machine = Machine::durable(1);
    machine.want();
    assert_eq!(machine.poll_action(), Some(Action::Restore));
    assert_eq!(machine.status(), Status::Registering);
    machine.handle_restored(Some(device("old")));
    assert_eq!(machine.poll_action(), Some(Action::Refresh(device("old"))));
    machine
}

#[test]
fn a_kept_device_is_used_while_it_is_proven() {
    let now = Instant::now();
    let mut machine = restored();
    assert_eq!((machine.status(), machine.is_proven()), (Status::Registered, false));
    assert_eq!(machine.device(), Some(&device("old")), "its socket can be dialled");
    machine.handle_record(now, Ok(device("old")));
    assert!(machine.is_proven());
    assert_eq!(machine.poll_timeout(), Some(now + DURABLE_REFRESH));
}

#[test]
fn a_kept_device_that_is_gone_or_anothers_is_registered_anew() {
    let now = Instant::now();
    for failure in [Failure::NotFound, Failure::Refused] {
        let mut machine = restored();
        machine.handle_record(now, Err(failure));
        assert_eq!(machine.poll_action(), Some(Action::Register));
        assert_eq!(machine.device(), None);
        // This start never had it: a refusal is reported.
        machine.handle_record(now, Err(Failure::Other));
        assert_eq!(machine.status(), Status::Failed);
    }
    let mut none = Machine::durable(1);
    none.want();
    assert_eq!(none.poll_action(), Some(Action::Restore));
    none.handle_restored(None);
    assert_eq!(none.poll_action(), Some(Action::Register));
}

#[test]
fn an_unverified_device_is_reported_unless_its_socket_works() {
    for works in [false, true] {
        let mut now = Instant::now();
        let mut machine = restored();
        if works {
            machine.prove();
        }
        for _ in 1..UNPROVEN_TRIES {
            machine.handle_record(now, Err(Failure::Other));
            now = machine.poll_timeout().unwrap();
            machine.handle_timeout(now);
            assert_eq!(machine.poll_action(), Some(Action::Refresh(device("old"))));
        }
        machine.handle_record(now, Err(Failure::Other));
        let expected = if works { Status::Registered } else { Status::Failed };
        assert_eq!((machine.status(), machine.poll_timeout().is_some()), (expected, works));
        // The next try begins with the same device.
        machine.want();
        assert_eq!(machine.poll_action(), (!works).then_some(Action::Restore));
    }
}

#[test]
fn leaving_keeps_a_durable_device_and_deletes_an_ephemeral_one() {
    let now = Instant::now();
    let mut durable = restored();
    durable.handle_record(now, Ok(device("old")));
    durable.leave();
    assert_eq!((durable.status(), durable.poll_action()), (Status::Absent, None));
    assert_eq!(durable.poll_timeout(), None);
    durable.want();
    assert_eq!(durable.poll_action(), Some(Action::Restore));

    let mut ephemeral = registered(now);
    ephemeral.leave();
    assert!(matches!(ephemeral.poll_action(), Some(Action::Delete(_))));

    let mut explicit = restored();
    explicit.handle_record(now, Ok(device("old")));
    explicit.unwant();
    assert_eq!(explicit.poll_action(), Some(Action::Delete(device("old"))));
}

fn end(machine: &mut Machine, keep: bool) {
    if keep {
        machine.leave();
    } else {
        machine.unwant();
    }
}

#[test]
fn a_device_in_progress_at_the_end_is_kept_or_deleted() {
    let now = Instant::now();
    // While it is being restored.
    for keep in [true, false] {
        let mut machine = Machine::durable(1);
        machine.want();
        assert_eq!(machine.poll_action(), Some(Action::Restore));
        end(&mut machine, keep);
        machine.handle_restored(Some(device("old")));
        let expected = (!keep).then(|| Action::Delete(device("old")));
        assert_eq!(machine.poll_action(), expected);
    }
    // While it is being registered or refreshed.
    for keep in [true, false] {
        for answer in [Ok(device("new")), Err(Failure::Other), Err(Failure::NotFound)] {
            for restoring in [true, false] {
                let mut machine = if restoring {
                    restored()
                } else {
                    let mut machine = Machine::durable(1);
                    machine.want();
                    let _ = machine.poll_action();
                    machine.handle_restored(None);
                    assert_eq!(machine.poll_action(), Some(Action::Register));
                    machine
                };
                end(&mut machine, keep);
                machine.handle_record(now, answer.clone());
                let left = match &answer {
                    Ok(device) => Some(Arc::clone(device)),
                    Err(Failure::Other) if restoring => Some(device("old")),
                    Err(_) => None,
                };
                let expected = left.filter(|_| !keep).map(Action::Delete);
                assert_eq!(machine.poll_action(), expected, "{keep} {answer:?} {restoring}");
                assert_eq!(machine.poll_timeout(), None);
            }
        }
    }
}
