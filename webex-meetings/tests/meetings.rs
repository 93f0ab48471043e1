//! The Meetings device against the sandbox: the public state, and what is left in the cloud.

use std::time::Duration;

use webex_core::{Credentials, ErrorKind, LinkEvent, Phase, Subscription, Webex};
use webex_meetings::{Meetings, MeetingsError, MeetingsEvent, MeetingsState, REGISTER_TIMEOUT};
use webex_sandbox::{Mercury, Sandbox, U2c, Wdm};
use webex_tests::{
    user::{assert_empty, builder, client},
    wait::PATIENCE,
};

async fn start() -> (Sandbox, Webex, Meetings) {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let meetings = Meetings::new(&webex);
    (sandbox, webex, meetings)
}

/// The next event, without `Ready`, which comes once by itself, and the progress of steps, which
/// come in no fixed order.
async fn next(events: &mut Subscription<MeetingsEvent>) -> MeetingsEvent {
    loop {
        match webex_tests::wait::next(events).await {
            MeetingsEvent::Step { .. } | MeetingsEvent::Ready => {}
            event => return event,
        }
    }
}

/// As [`next`], without waiting.
fn pending(events: &mut Subscription<MeetingsEvent>) -> Option<MeetingsEvent> {
    let quiet = |e: &MeetingsEvent| matches!(e, MeetingsEvent::Step { .. } | MeetingsEvent::Ready);
    std::iter::from_fn(|| events.try_next()).find(|e| !quiet(e))
}

#[tokio::test]
async fn ready_register_unregister_with_the_documented_events() {
    let (sandbox, webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    meetings.ready().await.unwrap();
    assert_eq!(events.next().await, Some(MeetingsEvent::Ready));

    meetings.register().await.unwrap();
    assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
    assert_eq!(meetings.state(), MeetingsState::Registered);
    assert_eq!(webex.link().state().phase, Phase::Up);
    assert_eq!((sandbox.counts().devices, sandbox.counts().sockets), (1, 1));

    meetings.register().await.unwrap();
    meetings.unregister().await.unwrap();
    assert_eq!(next(&mut events).await, MeetingsEvent::Unregistered);
    assert_eq!(meetings.state(), MeetingsState::Unregistered);
    assert_empty(&sandbox);
    meetings.unregister().await.unwrap();
    assert_eq!(pending(&mut events), None, "what is so already makes no event");
    assert_eq!(sandbox.requests().of(Wdm::register()).count(), 1);

    // It works a second time.
    meetings.register().await.unwrap();
    assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
    meetings.unregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn the_requests_are_those_of_the_protocol() {
    let (sandbox, _webex, meetings) = start().await;
    meetings.register().await.unwrap();
    let catalog = sandbox.requests().of(U2c::postauth());
    assert_eq!(catalog.first().unwrap().query_value("format").as_deref(), Some("hostmap"));
    assert!(sandbox.requests().of(U2c::limited()).is_empty(), "not needed with a token");

    let requests = sandbox.requests().of(Wdm::register());
    let device = requests.first().unwrap();
    assert_eq!(device.query_value("includeUpstreamServices").as_deref(), Some("all"));
    assert_eq!(device.json()["deviceType"], "WEB");
    assert_eq!(device.json()["ttl"], 1800);
    assert!(device.header("spark-user-agent").unwrap().starts_with("webex-native/"));
    assert_eq!(device.header("cisco-no-http-redirect"), Some("true"));
    assert_eq!(device.header("cisco-device-url"), None, "there is none yet");

    let [socket] = &sandbox.sockets()[..] else { panic!("{:?}", sandbox.sockets()) };
    for parameter in ["outboundWireFormat=text", "bufferStates=true", "aliasHttpStatus=true"] {
        assert!(socket.query.contains(parameter), "{}", socket.query);
    }
    // The first ping follows the authorization at once.
    let id = socket.id;
    let pinged = |s: &Sandbox| s.sockets().iter().any(|socket| socket.id == id && socket.pings > 0);
    sandbox.wait_for(pinged).await.unwrap();
    // Every frame with an id is acknowledged.
    sandbox
        .wait_for(|s| s.sockets().iter().all(|socket| socket.unacknowledged.is_empty()))
        .await
        .unwrap();

    meetings.unregister().await.unwrap();
    let requests = sandbox.requests().of(Wdm::unregister());
    let url = requests.first().unwrap().header("cisco-device-url").unwrap().to_owned();
    assert!(url.contains(requests.first().unwrap().path()), "{url}");
}

#[tokio::test]
async fn row_26_a_failed_registration_is_reported_with_its_cause_and_leaves_nothing() {
    let (sandbox, _webex, meetings) = start().await;

    let fault = sandbox.fail(U2c::postauth()).with(503).once();
    let error = meetings.register().await.unwrap_err();
    assert!(matches!(error, MeetingsError::Link(_)), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    assert_eq!(fault.fired(), 1);

    sandbox.fail(Wdm::register()).with(403).once();
    let error = meetings.register().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");

    // The device is registered, but the socket is refused for good: the device is deleted again.
    sandbox.fail(Mercury::connect()).close(4403, "not entitled").once();
    let error = meetings.register().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    assert_eq!(meetings.state(), MeetingsState::Unregistered);
    assert_eq!(sandbox.counts().devices, 0, "that has been waited for");

    let mut events = meetings.subscribe();
    meetings.register().await.unwrap();
    assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
}

#[tokio::test]
async fn a_cancelled_registration_leaves_nothing() {
    let (sandbox, _webex, meetings) = start().await;
    sandbox.fail(Wdm::register()).delay(Duration::from_millis(300)).always();
    let registering = tokio::spawn({
        let meetings = meetings.clone();
        async move { meetings.register().await }
    });
    sandbox.wait_for(|s| !s.requests().of(Wdm::register()).is_empty()).await.unwrap();
    assert_eq!(meetings.state(), MeetingsState::Registering);
    registering.abort();
    assert!(registering.await.unwrap_err().is_cancelled());
    sandbox.wait_for(|s| s.requests().of(Wdm::unregister()).count() == 1).await.unwrap();
    sandbox.wait_for(|s| s.counts().devices == 0).await.unwrap();
    assert_eq!(meetings.state(), MeetingsState::Unregistered);
}

#[tokio::test]
async fn many_callers_make_one_registration() {
    let (sandbox, _webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    let calls = (0..20).map(|_| {
        let meetings = meetings.clone();
        tokio::spawn(async move { meetings.register().await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
    assert_eq!(pending(&mut events), None);
    for operation in [U2c::postauth(), Wdm::register()] {
        assert_eq!(sandbox.requests().of(operation).count(), 1);
    }
}

#[tokio::test]
async fn a_lost_socket_is_reported_and_comes_back() {
    let (sandbox, webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    meetings.register().await.unwrap();
    assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
    for (code, reason) in [(1001, "going away"), (4404, "registration not found")] {
        let [socket] = &sandbox.sockets()[..] else { panic!("{:?}", sandbox.sockets()) };
        assert!(sandbox.close_socket(socket.id, code, reason));
        assert_eq!(next(&mut events).await, MeetingsEvent::NetworkDisconnected);
        assert_eq!(next(&mut events).await, MeetingsEvent::NetworkConnected);
    }
    // 4404 means that the registration is unknown: the device was refreshed for its current address.
    assert_eq!(sandbox.requests().of(Wdm::refresh()).count(), 1);
    assert_eq!(meetings.state(), MeetingsState::Registered);
    assert_eq!(webex.link().state().phase, Phase::Up);
    meetings.unregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn a_socket_refused_for_good_is_reported_and_can_be_reopened() {
    let (sandbox, _webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    for leave in [false, true] {
        meetings.register().await.unwrap();
        assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
        assert_eq!(meetings.failure().map(|e| e.kind()), None);
        let [socket] = &sandbox.sockets()[..] else { panic!("{:?}", sandbox.sockets()) };
        assert!(sandbox.close_socket(socket.id, 4000, "Replaced"));
        assert_eq!(next(&mut events).await, MeetingsEvent::NetworkDisconnected);
        let failed = next(&mut events).await;
        let MeetingsEvent::Failed(error) = &failed else { panic!("{failed:?}") };
        assert_eq!((error.kind(), error.will_retry()), (ErrorKind::Cancelled, false));
        assert_eq!(failed.to_json()["willRetry"], false);
        assert_eq!(meetings.state(), MeetingsState::Failed);
        assert_eq!(meetings.failure().map(|e| e.kind()), Some(ErrorKind::Cancelled));
        if leave {
            meetings.unregister().await.unwrap();
            assert_eq!(next(&mut events).await, MeetingsEvent::Unregistered);
        }
    }
    assert_empty(&sandbox);
}

#[tokio::test]
async fn a_refusal_while_the_socket_is_away_is_reported() {
    let (sandbox, _webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    meetings.register().await.unwrap();
    assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
    // The socket is lost, and its successor refused for good: two moments, two events.
    sandbox.fail(Mercury::connect()).close(4403, "not entitled").once();
    let [socket] = &sandbox.sockets()[..] else { panic!("{:?}", sandbox.sockets()) };
    assert!(sandbox.close_socket(socket.id, 1001, "going away"));
    assert_eq!(next(&mut events).await, MeetingsEvent::NetworkDisconnected);
    assert!(matches!(next(&mut events).await, MeetingsEvent::Failed(_)));
    assert_eq!(meetings.failure().map(|e| e.kind()), Some(ErrorKind::Forbidden));
    meetings.unregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn a_server_that_goes_away_causes_no_event() {
    let (sandbox, webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    let mut link = webex.link().subscribe();
    meetings.register().await.unwrap();
    assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
    let old = sandbox.sockets()[0].id;
    assert!(sandbox.shutdown_socket(old));
    // The successor is online before the server closes the old socket with 4001.
    sandbox.wait_for(|s| s.closed_sockets().iter().any(|socket| socket.id == old)).await.unwrap();
    sandbox.wait_for(|s| s.sockets().iter().any(|socket| socket.authorized)).await.unwrap();
    let closed = sandbox.closed_sockets();
    let successor = &sandbox.sockets()[0];
    assert!(successor.opened < closed[0].closed_at.unwrap());

    sandbox.push_event(sandbox.user(), &serde_json::json!({"eventType": "test.after"}));
    let event = async {
        loop {
            match link.next().await {
                Some(LinkEvent::Event(event)) if event.namespace() == "test" => return,
                Some(LinkEvent::Offline) => panic!("it was noticed"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, event).await.unwrap();
    assert_eq!(pending(&mut events), None, "nothing to tell");
    meetings.unregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn row_28_an_unconfirmed_unregistration_is_reported_and_can_be_repeated() {
    let (sandbox, _webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    meetings.register().await.unwrap();
    assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
    sandbox.fail(Wdm::unregister()).with(503).once();
    let error = meetings.unregister().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    assert_eq!(sandbox.counts().devices, 1);
    assert_eq!(meetings.state(), MeetingsState::Unconfirmed);
    assert_eq!(pending(&mut events), None, "not yet");
    meetings.unregister().await.unwrap();
    assert_empty(&sandbox);
    assert_eq!(meetings.state(), MeetingsState::Unregistered);

    // A device that is already gone counts as deleted.
    meetings.register().await.unwrap();
    sandbox.fail(Wdm::unregister()).with(404).once();
    meetings.unregister().await.unwrap();
}

#[tokio::test]
async fn dropping_everything_gives_the_device_up() {
    let (sandbox, webex, meetings) = start().await;
    meetings.register().await.unwrap();
    assert_eq!(sandbox.counts().devices, 1);
    drop((webex, meetings));
    sandbox.wait_for(|s| s.counts().devices == 0 && s.counts().sockets == 0).await.unwrap();
}

#[tokio::test]
async fn a_refused_token_is_unauthorized() {
    let sandbox = Sandbox::start().await.unwrap();
    let credentials = Credentials::access_token("unknown_P0A1_org");
    let meetings = Meetings::new(&builder(&sandbox).credentials(credentials).build().unwrap());
    assert_eq!(meetings.ready().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(meetings.register().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_empty(&sandbox);
}

#[tokio::test]
async fn ready_comes_by_itself_once_per_object_and_the_documented_sample_works() {
    let (sandbox, webex, meetings) = start().await;
    // The sample: subscribe after init, register in the handler.
    let mut events = meetings.subscribe();
    let mut second = meetings.clone().subscribe();
    let sample = async {
        loop {
            match events.next().await.expect("open") {
                MeetingsEvent::Ready => meetings.register().await.unwrap(),
                MeetingsEvent::Registered => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, sample).await.expect("in time");
    assert_eq!(second.next().await, Some(MeetingsEvent::Ready));
    // Not again, and not for later subscribers of the same object; another object has its own.
    meetings.ready().await.unwrap();
    let readies = |events: &mut Subscription<MeetingsEvent>| {
        std::iter::from_fn(|| events.try_next()).filter(|e| *e == MeetingsEvent::Ready).count()
    };
    let mut late = meetings.subscribe();
    assert_eq!((readies(&mut events), readies(&mut second), readies(&mut late)), (0, 0, 0));
    let other = Meetings::new(&webex);
    let mut others = other.subscribe();
    assert_eq!(others.next().await, Some(MeetingsEvent::Ready));
    assert_eq!(sandbox.requests().of(U2c::postauth()).count(), 1);
    meetings.unregister().await.unwrap();
}

#[tokio::test]
async fn ready_comes_when_the_catalog_does() {
    let (sandbox, _webex, meetings) = start().await;
    let fault = sandbox.fail(U2c::postauth()).with(503).times(2);
    let mut events = meetings.subscribe();
    let ready = tokio::time::timeout(PATIENCE, events.next()).await.expect("in time");
    assert_eq!((ready, fault.fired()), (Some(MeetingsEvent::Ready), 2));
}

#[tokio::test]
async fn two_objects_of_one_user_are_one_device() {
    let (sandbox, webex, one) = start().await;
    let two = Meetings::new(&webex);
    let (mut ones, mut twos) = (one.subscribe(), two.subscribe());
    one.register().await.unwrap();
    assert_eq!((one.state(), two.state()), (MeetingsState::Registered, MeetingsState::Registered));
    for events in [&mut ones, &mut twos] {
        assert_eq!(next(events).await, MeetingsEvent::Registered);
    }
    two.register().await.unwrap();
    two.unregister().await.unwrap();
    assert_eq!(one.state(), MeetingsState::Unregistered);
    assert_eq!(next(&mut ones).await, MeetingsEvent::Unregistered);
    assert_empty(&sandbox);
    drop((one, two));
    // The next one starts from the beginning.
    assert_eq!(Meetings::new(&webex).state(), MeetingsState::Unregistered);
}

/// A token of the sandbox's user, as a new sign-in brings it.
fn another_token(sandbox: &Sandbox) -> webex_auth::TokenSet {
    let token = sandbox.issue_token(sandbox.user(), None).expect("a user");
    webex_auth::TokenSet::new(webex_core::AccessToken::parse(&token).expect("a token"))
}

#[tokio::test]
async fn a_registration_that_lost_its_token_comes_back_with_another() {
    let (sandbox, webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    meetings.register().await.unwrap();
    assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
    sandbox.revoke_token(sandbox.token());
    let [socket] = &sandbox.sockets()[..] else { panic!("{:?}", sandbox.sockets()) };
    assert!(sandbox.close_socket(socket.id, 4401, "token revoked"));
    assert_eq!(next(&mut events).await, MeetingsEvent::NetworkDisconnected);
    let failed = next(&mut events).await;
    let MeetingsEvent::Failed(error) = &failed else { panic!("{failed:?}") };
    assert_eq!((error.kind(), error.will_retry()), (ErrorKind::Unauthorized, true));
    assert_eq!(failed.to_json()["willRetry"], true);
    webex.tokens().supply(another_token(&sandbox)).await.unwrap();
    assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
    assert_eq!((meetings.state(), meetings.failure()), (MeetingsState::Registered, None));
    meetings.unregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn a_registration_without_a_good_token_waits_for_one_unless_it_is_unregistered() {
    for withdrawn in [false, true] {
        let sandbox = Sandbox::start().await.unwrap();
        let credentials = Credentials::access_token("unknown_P0A1_org");
        let webex = builder(&sandbox).credentials(credentials).build().unwrap();
        let meetings = Meetings::new(&webex);
        let mut events = meetings.subscribe();
        assert!(meetings.register().await.unwrap_err().will_retry());
        assert!(matches!(next(&mut events).await, MeetingsEvent::Failed(_)));
        assert_eq!(meetings.state(), MeetingsState::Failed);
        if withdrawn {
            meetings.unregister().await.unwrap();
            assert_eq!(next(&mut events).await, MeetingsEvent::Unregistered);
        }
        let mut link = webex.link().subscribe();
        webex.tokens().supply(another_token(&sandbox)).await.unwrap();
        if withdrawn {
            while !matches!(link.next().await, Some(LinkEvent::TokenAvailable)) {}
            assert_eq!(webex.link().state().phase, Phase::Down);
        } else {
            assert_eq!(next(&mut events).await, MeetingsEvent::Registered);
            meetings.unregister().await.unwrap();
        }
        assert_empty(&sandbox);
    }
}

#[tokio::test]
async fn unregistering_waits_for_a_registration_that_was_dropped() {
    let (sandbox, _webex, meetings) = start().await;
    sandbox.fail(Wdm::register()).delay(Duration::from_millis(300)).always();
    let registering = tokio::spawn({
        let meetings = meetings.clone();
        async move { meetings.register().await }
    });
    sandbox.wait_for(|s| !s.requests().of(Wdm::register()).is_empty()).await.unwrap();
    registering.abort();
    assert!(registering.await.unwrap_err().is_cancelled());
    meetings.unregister().await.unwrap();
    assert_empty(&sandbox);
    assert_eq!(meetings.state(), MeetingsState::Unregistered);
    assert_eq!(sandbox.requests().of(Wdm::unregister()).count(), 1);
}

#[tokio::test]
async fn an_unconfirmed_cleanup_is_reported() {
    let (sandbox, _webex, meetings) = start().await;
    sandbox.fail(Mercury::connect()).close(4403, "not entitled").once();
    sandbox.fail(Wdm::unregister()).with(503).once();
    meetings.register().await.unwrap_err();
    assert_eq!((meetings.state(), sandbox.counts().devices), (MeetingsState::Unconfirmed, 1));
    meetings.unregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_is_reported_with_its_reason() {
    let (sandbox, _webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    sandbox.fail(Mercury::connect()).with(400).always();
    let registering = tokio::spawn({
        let meetings = meetings.clone();
        async move { meetings.register().await }
    });
    let retrying = next(&mut events).await;
    let MeetingsEvent::Retrying(error) = &retrying else { panic!("{retrying:?}") };
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let json = retrying.to_json();
    assert_eq!((&json["httpStatus"], &json["willRetry"]), (&400.into(), &true.into()));
    sandbox.clear_faults();
    registering.await.unwrap().unwrap();
    meetings.unregister().await.unwrap();
}

#[tokio::test]
async fn a_registration_that_ends_in_time_says_what_went_wrong_last() {
    let (sandbox, webex, meetings) = start().await;
    let mut link = webex.link().subscribe();
    let refused = sandbox.fail(Mercury::connect()).with(400).always();
    // The link is in trouble before the registration begins, which hears of it all the same.
    let lease = webex.link().acquire().await.unwrap();
    while !matches!(link.next().await, Some(LinkEvent::Retrying(_))) {}
    let mut events = meetings.subscribe();
    let registering = tokio::spawn({
        let meetings = meetings.clone();
        async move { meetings.register().await }
    });
    let retrying = next(&mut events).await;
    assert!(matches!(retrying, MeetingsEvent::Retrying(_)), "{retrying:?}");
    tokio::time::pause();
    tokio::time::advance(REGISTER_TIMEOUT).await;
    tokio::time::resume();
    let error = registering.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("HTTP status 400"), "{error}");
    let json = error.to_json();
    assert_eq!((&json["kind"], &json["httpStatus"]), (&"timeout".into(), &400.into()));
    refused.clear();
    lease.release("done").await.unwrap();
    assert_empty(&sandbox);
}
