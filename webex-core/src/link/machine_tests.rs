//! The rules of the link, without a socket or a server.

use super::*;

fn device() -> Arc<Device> {
    let json = r#"{"url":"https://w/1","webSocketUrl":"wss://m/1","userId":"u"}"#;
    Arc::new(serde_json::from_str(json).unwrap())
}

fn up(now: Instant) -> (Machine, ConnId) {
    let mut machine = Machine::new(device::Machine::new(None, 1), 1);
    machine.up(now);
    assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Register))));
    machine.handle_record(now, Ok(device()));
    let Some(Action::Socket(socket::Action::Open(conn))) = machine.poll_action() else {
        panic!("no socket")
    };
    assert!(machine.handle_opened(now, conn));
    let frame = r#"{"data":{"eventType":"mercury.buffer_state"}}"#;
    machine.handle_frame(now, conn, ServerFrame::parse(frame).unwrap());
    assert_eq!(machine.phase(), Phase::Up);
    while machine.poll_action().is_some() {}
    (machine, conn)
}

#[test]
fn goes_down_socket_first_then_device() {
    let now = Instant::now();
    let (mut machine, conn) = up(now);
    machine.down(now, "bye");
    let Some(Action::Socket(socket::Action::Close(_, close))) = machine.poll_action() else {
        panic!("no close")
    };
    assert_eq!((close.code, close.reason.as_str()), (3050, "bye"));
    assert!(matches!(machine.poll_action(), Some(Action::Change(Change::Offline))));
    assert!(machine.poll_action().is_none(), "the device waits for the socket");
    machine.handle_closed(now, conn, &close);
    assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Delete(_)))));
    assert_eq!(machine.phase(), Phase::Stopping);
    machine.handle_deleted(now, Ok(()));
    assert_eq!((machine.phase(), machine.poll_timeout()), (Phase::Down, None));
}

#[test]
fn a_lost_socket_registration_refreshes_the_device_and_reconnects() {
    let now = Instant::now();
    let (mut machine, conn) = up(now);
    let close = Close { code: 4404, reason: String::new() };
    machine.handle_closed(now, conn, &close);
    assert_eq!(machine.phase(), Phase::Starting);
    assert!(matches!(machine.poll_action(), Some(Action::Change(Change::Offline))));
    assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Refresh(_)))));
    machine.handle_timeout(machine.poll_timeout().unwrap());
    assert!(machine.poll_action().is_none(), "the stale address is not tried");
    machine.handle_record(now, Ok(device()));
    assert!(matches!(machine.poll_action(), Some(Action::Socket(socket::Action::Open(_)))));
}

#[test]
fn an_abandoned_link_closes_the_socket_and_deletes_nothing() {
    let now = Instant::now();
    let (mut machine, conn) = up(now);
    machine.abandon(now, "embargo");
    assert_eq!(machine.phase(), Phase::Failed);
    let Some(Action::Socket(socket::Action::Close(_, close))) = machine.poll_action() else {
        panic!("no close")
    };
    machine.handle_closed(now, conn, &close);
    for change in [Change::Offline, Change::Failed] {
        assert!(matches!(machine.poll_action(), Some(Action::Change(told)) if told == change));
    }
    assert!(machine.poll_action().is_none(), "neither a request nor another socket");
    assert_eq!((machine.phase(), machine.poll_timeout()), (Phase::Failed, None));
    machine.down(now, "bye");
    assert_eq!(machine.phase(), Phase::Down);
    assert!(machine.poll_action().is_none());
    // After a new sign-in the link starts again.
    machine.up(now);
    assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Register))));
}

#[test]
fn down_while_registering_leaves_nothing() {
    let now = Instant::now();
    let mut machine = Machine::new(device::Machine::new(None, 1), 1);
    machine.up(now);
    assert!(machine.poll_action().is_some());
    machine.down(now, "bye");
    assert!(machine.poll_action().is_none());
    machine.handle_record(now, Ok(device()));
    assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Delete(_)))));
    machine.handle_deleted(now, Ok(()));
    assert_eq!(machine.phase(), Phase::Down);
}

fn device_at(url: &str, socket: &str) -> Arc<Device> {
    let json = format!(r#"{{"url":"{url}","webSocketUrl":"{socket}","userId":"u"}}"#);
    Arc::new(serde_json::from_str(&json).unwrap())
}

fn opens(machine: &mut Machine) -> usize {
    let actions = std::iter::from_fn(|| machine.poll_action());
    actions.filter(|it| matches!(it, Action::Socket(socket::Action::Open(_)))).count()
}

#[test]
fn an_open_socket_follows_a_new_device_and_stays_with_the_same_one() {
    let now = Instant::now();
    for (url, expected) in [("https://w/1", 0), ("https://w/2", 1)] {
        let (mut machine, _) = up(now);
        assert!(machine.device_to_dial().is_some());
        machine.device.refresh();
        machine.handle_record(now, Ok(device_at(url, "wss://m/2")));
        assert_eq!(opens(&mut machine), expected, "{url}");
        assert_eq!(machine.phase(), Phase::Up, "make before break");
    }
}

/// A link that is wanted, and has the device of an earlier start.
fn remembered(now: Instant) -> Machine {
    let mut machine = Machine::new(device::Machine::durable(1), 1);
    machine.up(now);
    assert!(machine.poll_action().is_some());
    machine.handle_restored(now, Some(device()));
    machine
}

#[test]
fn a_remembered_device_is_dialled_while_it_is_proven_and_its_new_address_at_once() {
    let now = Instant::now();
    let mut machine = remembered(now);
    let Some(Action::Socket(socket::Action::Open(conn))) = machine.poll_action() else {
        panic!("no socket")
    };
    assert!(machine.device_to_dial().is_some());
    assert!(machine.device().is_none(), "not to be named before it is proven");
    assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Refresh(_)))));
    machine.handle_open_failed(now, conn, &OpenFailure::Network);
    assert_eq!(opens(&mut machine), 0, "it waits");
    machine.handle_record(now, Ok(device_at("https://w/1", "wss://m/2")));
    assert_eq!(opens(&mut machine), 1);
    assert_eq!(machine.device_to_dial().unwrap().web_socket_url.as_str(), "wss://m/2");
    // The same answer again changes nothing.
    machine.device.refresh();
    machine.handle_record(now, Ok(device_at("https://w/1", "wss://m/2")));
    assert_eq!(opens(&mut machine), 0);
}

#[test]
fn the_socket_of_a_remembered_device_ends_with_it() {
    let now = Instant::now();
    let mut machine = remembered(now);
    assert_eq!(opens(&mut machine), 1);
    assert!(machine.device_to_dial().is_some());
    machine.handle_record(now, Err(device::Failure::NotFound));
    let _ = opens(&mut machine);
    machine.handle_record(now, Err(device::Failure::Refused));
    assert_eq!(machine.phase(), Phase::Failed);
    let _ = opens(&mut machine);
    assert_eq!(machine.poll_timeout(), None, "nothing goes on by itself");
}

#[test]
fn a_new_address_does_not_shorten_the_wait_after_several_failures() {
    let now = Instant::now();
    let (mut machine, conn) = up(now);
    machine.handle_closed(now, conn, &Close { code: 4404, reason: String::new() });
    for number in 2..6 {
        let _ = opens(&mut machine);
        machine.handle_record(now, Err(device::Failure::NotFound));
        let _ = opens(&mut machine);
        let url = format!("https://w/{number}");
        machine.handle_record(now, Ok(device_at(&url, "wss://m/1")));
        let at_once = opens(&mut machine);
        assert!(at_once == 0 || number == 2, "attempt {number}");
        let Some(due) = machine.poll_timeout() else { panic!("no deadline") };
        machine.handle_timeout(due);
        while let Some(action) = machine.poll_action() {
            if let Action::Socket(socket::Action::Open(conn)) = action {
                assert!(machine.device_to_dial().is_some());
                let gone = OpenFailure::Status { status: 404, retry_after: None };
                machine.handle_open_failed(now, conn, &gone);
            }
        }
    }
}

/// The socket of the current device is refused until the device is refreshed or replaced. Returns
/// the action that this leads to.
fn refused_until_mended(machine: &mut Machine, now: &mut Instant) -> device::Action {
    loop {
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Device(action) => return action,
                Action::Socket(socket::Action::Open(conn)) => {
                    assert!(machine.device_to_dial().is_some());
                    let gone = OpenFailure::Status { status: 404, retry_after: None };
                    machine.handle_open_failed(*now, conn, &gone);
                }
                _ => {}
            }
        }
        *now = machine.poll_timeout().expect("a deadline");
        machine.handle_timeout(*now);
    }
}

#[test]
fn an_address_that_is_refused_for_good_is_replaced_at_a_bounded_rate() {
    let mut now = Instant::now();
    let (mut machine, conn) = up(now);
    assert!(machine.device_to_dial().is_some());
    machine.handle_closed(now, conn, &Close { code: 1001, reason: String::new() });
    let mut replaced = Vec::new();
    for number in 2..6 {
        // The service confirms the address again, and the socket is refused again.
        let mut refreshes = 0;
        loop {
            match refused_until_mended(&mut machine, &mut now) {
                device::Action::Refresh(same) => {
                    refreshes += 1;
                    machine.handle_record(now, Ok(same));
                }
                device::Action::Delete(_) => break,
                other => panic!("{other:?}"),
            }
        }
        replaced.push(now);
        assert!(refreshes > 0, "it is asked before it is replaced");
        machine.handle_deleted(now, Ok(()));
        let asked = refused_until_mended(&mut machine, &mut now);
        assert!(matches!(asked, device::Action::Register), "{asked:?}");
        let url = format!("https://w/{number}");
        machine.handle_record(now, Ok(device_at(&url, &format!("wss://m/{number}"))));
    }
    assert!(replaced.windows(2).all(|pair| pair[1] - pair[0] >= REPLACE_PAUSE));
}

#[test]
fn in_the_background_the_socket_is_closed_and_afterwards_opened_at_once() {
    let now = Instant::now();
    let (mut machine, conn) = up(now);
    machine.suspend(now);
    let Some(Action::Socket(socket::Action::Close(_, close))) = machine.poll_action() else {
        panic!("no close")
    };
    assert!(!machine.is_quiet());
    machine.handle_closed(now, conn, &close);
    assert!(matches!(machine.poll_action(), Some(Action::Change(Change::Offline))));
    assert!(machine.poll_action().is_none());
    assert_eq!((machine.phase(), machine.is_quiet()), (Phase::Suspended, true));
    // Neither a hint nor a token nor a new lease opens it.
    machine.handle_hint(now);
    machine.handle_token_available(now);
    machine.up(now);
    assert!(machine.poll_action().is_none());
    machine.resume(now);
    assert_eq!(opens(&mut machine), 1, "without asking for the device");
    // Resumed before the close was confirmed: opened as soon as it is.
    let (mut machine, conn) = up(now);
    machine.suspend(now);
    machine.resume(now);
    assert_eq!(opens(&mut machine), 0);
    machine.handle_closed(now, conn, &close);
    assert_eq!(opens(&mut machine), 1);
}

#[test]
fn a_device_left_for_the_next_start_can_still_be_given_up() {
    let now = Instant::now();
    let mut machine = Machine::new(device::Machine::durable(1), 1);
    machine.up(now);
    assert!(machine.poll_action().is_some());
    machine.leave(now, "dropped");
    machine.handle_restored(now, Some(device()));
    assert_eq!(machine.phase(), Phase::Down, "it stays for the next start");
    machine.leave(now, "again");
    assert!(machine.poll_action().is_none());
    machine.down(now, "unregistered");
    assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Restore))));
    machine.handle_restored(now, Some(device()));
    assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Delete(_)))));
    machine.handle_deleted(now, Ok(()));
    assert_eq!(machine.phase(), Phase::Down);
    machine.down(now, "again");
    assert!(machine.poll_action().is_none(), "nothing is left");
}

#[test]
fn a_sleep_brings_the_refresh_of_the_device_forward() {
    let now = Instant::now();
    let ttl = Duration::from_secs(1800);
    let mut machine = Machine::new(device::Machine::new(Some(ttl), 1), 1);
    machine.suspend(now);
    machine.up(now);
    assert!(matches!(machine.poll_action(), Some(Action::Device(device::Action::Register))));
    machine.handle_record(now, Ok(device()));
    let due = machine.poll_timeout().expect("a refresh is due");
    machine.handle_slept(now, Duration::from_secs(60));
    let sooner = machine.poll_timeout().expect("a refresh is due");
    assert_eq!(due - sooner, Duration::from_secs(60));
}

#[test]
fn a_remembered_device_whose_socket_works_is_proven() {
    let now = Instant::now();
    let mut machine = remembered(now);
    let Some(Action::Socket(socket::Action::Open(conn))) = machine.poll_action() else {
        panic!("no socket")
    };
    assert!(machine.handle_opened(now, conn));
    let other = r#"{"data":{"eventType":"a.b"}}"#;
    machine.handle_frame(now, conn, ServerFrame::parse(other).unwrap());
    assert!(machine.device().is_none(), "not authorized yet");
    let frame = r#"{"data":{"eventType":"mercury.buffer_state"}}"#;
    machine.handle_frame(now, conn, ServerFrame::parse(frame).unwrap());
    assert_eq!(machine.device(), Some(&device()));
}

#[test]
fn only_what_failed_for_want_of_a_token_waits_for_one() {
    let now = Instant::now();
    let failed = |failure| {
        let mut machine = Machine::new(device::Machine::new(None, 1), 1);
        machine.up(now);
        assert!(!machine.wants_token());
        assert!(machine.poll_action().is_some());
        machine.handle_record(now, Err(failure));
        assert_eq!(machine.phase(), Phase::Failed);
        machine
    };
    assert!(failed(device::Failure::Unauthorized).wants_token());
    assert!(!failed(device::Failure::Refused).wants_token());
    for (code, wants_token) in [(4403, false), (4401, true)] {
        let (mut machine, conn) = up(now);
        assert!(!machine.wants_token());
        machine.handle_closed(now, conn, &Close { code, reason: String::new() });
        let mut at = now;
        while machine.phase() != Phase::Failed {
            match machine.poll_action() {
                Some(Action::Socket(socket::Action::ReplaceToken)) => {
                    machine.handle_token(at, false);
                }
                Some(Action::Socket(socket::Action::Open(conn))) => {
                    let refused = OpenFailure::Status { status: 401, retry_after: None };
                    machine.handle_open_failed(at, conn, &refused);
                }
                Some(_) => {}
                None => {
                    at = machine.poll_timeout().expect("a deadline");
                    machine.handle_timeout(at);
                }
            }
        }
        assert_eq!(machine.wants_token(), wants_token, "{code}");
    }
}
