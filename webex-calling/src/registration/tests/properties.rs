//! Properties that hold for any inputs, in any order.

use proptest::prelude::*;

use super::bench::*;

#[derive(Debug, Clone)]
enum Input {
    Register,
    Deregister,
    /// Answers the oldest request, or the newest.
    Answer(u16, bool),
    Sleep,
    Pass(u64),
    Down,
    Hint(NetworkHint),
    Token,
    ClientDevice(u8),
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let status = prop_oneof![
        6 => Just(200_u16), 1 => Just(101), 1 => Just(401), 1 => Just(404), 1 => Just(409),
        1 => Just(429), 3 => Just(503)
    ];
    let hint = prop_oneof![
        Just(NetworkHint::Offline),
        Just(NetworkHint::Online),
        Just(NetworkHint::Changed)
    ];
    let input = prop_oneof![
        2 => Just(Input::Register),
        1 => Just(Input::Deregister),
        8 => (status, any::<bool>()).prop_map(|(status, oldest)| Input::Answer(status, oldest)),
        5 => Just(Input::Sleep),
        1 => (0..2_000_000_u64).prop_map(Input::Pass),
        1 => hint.prop_map(Input::Hint),
        1 => Just(Input::Down),
        1 => Just(Input::Token),
        1 => (0..3_u8).prop_map(Input::ClientDevice),
    ];
    proptest::collection::vec(input, 0..120)
}

fn answer(bench: &mut Bench, status: u16) {
    let refused = || if status == 101 { full(&[("x", true)]) } else { error(status).into() };
    match bench.requests.front() {
        Some(Action::Register(..)) => {
            bench.refuse(if status == 200 { Ok(granted(30)) } else { Err(refused()) });
        }
        Some(Action::Keepalive(..)) => {
            bench.answer_keepalive(if status == 200 { Ok(()) } else { Err(refused().error) });
        }
        Some(Action::Deregister(..)) => {
            bench.answer_deletion(if status == 200 { Ok(()) } else { Err(http(status.max(400))) });
        }
        Some(Action::Ping(..)) => {
            bench.answer_ping(if status == 200 { Ok(()) } else { Err(refused().error) });
        }
        Some(Action::Rediscover(_)) => {
            bench.answer_servers(if status == 200 {
                Ok(servers(2, 1))
            } else {
                Err(refused().error)
            });
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn never_stuck_never_double(
        seed: u64, primaries in 0..3_usize, backups in 0..3_usize, inputs in inputs()
    ) {
        let mut bench = Bench::new(primaries, backups, seed);
        for input in inputs {
            match input {
                Input::Register => bench.machine.handle_register(bench.now),
                Input::Deregister => bench.machine.handle_deregister(bench.now),
                Input::Answer(status, oldest) => {
                    if !oldest {
                        bench.requests.rotate_right(1.min(bench.requests.len()));
                    }
                    answer(&mut bench, status);
                }
                Input::Sleep if bench.machine.poll_timeout().is_none() => {}
                Input::Sleep => drop(bench.sleep()),
                Input::Pass(ms) => bench.pass(std::time::Duration::from_millis(ms)),
                Input::Down => bench.machine.handle_down(bench.now, None),
                Input::Hint(hint) => bench.machine.handle_network(bench.now, hint),
                Input::Token => bench.machine.handle_token(bench.now),
                Input::ClientDevice(n) => {
                    bench.machine.handle_client_device(bench.now, format!("device-{n}"));
                }
            }
            bench.pump();
            let count = |kind: fn(&Action) -> bool| bench.requests.iter().filter(|r| kind(r)).count();
            let registrations = count(|request| matches!(request, Action::Register(..)));
            let keepalives = count(|request| matches!(request, Action::Keepalive(..)));
            let pings = count(|request| matches!(request, Action::Ping(..)));
            prop_assert!(registrations <= 1 && keepalives <= 1 && pings <= 1);
            let waits = bench.machine.poll_timeout().is_some();
            let state = bench.machine.state();
            match state {
                // Only earlier requests may be in flight.
                LineState::Idle | LineState::Failed => prop_assert!(!waits && keepalives + pings == 0),
                LineState::Connecting => prop_assert!(!bench.requests.is_empty()),
                LineState::Waiting => prop_assert!(waits && registrations == 0),
                LineState::Deregistering => prop_assert!(waits && !bench.requests.is_empty()),
                LineState::Registered => prop_assert!(waits || keepalives == 1),
            }
            let active = bench.machine.info().status == LineStatus::Active;
            prop_assert!(!active || matches!(state, LineState::Registered | LineState::Connecting));
            prop_assert!(active || state != LineState::Registered);
            let wanted = bench.machine.upcoming().is_some();
            prop_assert!(!wanted || matches!(state, LineState::Registered | LineState::Waiting));
        }
        // It can be ended from any state.
        bench.machine.handle_deregister(bench.now);
        bench.pump();
        while let Some(deadline) = bench.machine.poll_timeout() {
            bench.pass(deadline.saturating_duration_since(bench.now));
        }
        prop_assert_eq!(bench.machine.state(), LineState::Idle);
        while !bench.requests.is_empty() {
            answer(&mut bench, 200);
        }
        prop_assert_eq!(bench.machine.state(), LineState::Idle);
    }
}
