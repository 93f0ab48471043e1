//! The link against the sandbox: hints from outside, final refusals, and the requests made while a
//! socket cannot be opened.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Linked, client};
use serde_json::json;
use webex_core::{
    AccessToken, Credentials, ErrorKind, LinkError, LinkEvent, Phase,
    mercury::{
        MercuryEvent, SocketFailure, Stop, Switchover,
        timings::{CHECK_TIMEOUT, PING_INTERVAL},
    },
};
use webex_sandbox::{Mercury, Mutation, Sandbox, Wdm};

#[tokio::test]
async fn hints_are_passed_on_and_answered_by_a_ping_at_once() {
    let mut t = Linked::start().await;
    for resumed in [false, true] {
        let id = t.socket().id;
        // The first ping has its pong: nothing is in flight.
        t.sandbox.wait_for(|s| s.sockets()[0].acks >= 2 + u64::from(resumed)).await.unwrap();
        let (before, started) = (t.socket().pings, Instant::now());
        if resumed {
            t.webex.resumed();
            t.until(|event| matches!(event, LinkEvent::Resumed)).await;
        } else {
            t.webex.network_changed();
            t.until(|event| matches!(event, LinkEvent::NetworkChanged)).await;
        }
        t.sandbox.wait_for(|s| s.sockets()[0].pings > before).await.unwrap();
        assert!(started.elapsed() < PING_INTERVAL / 2, "{:?}", started.elapsed());
        assert_eq!(t.socket().id, id, "a connection that answers stays");
    }
    t.end().await;
}

#[tokio::test]
async fn a_connection_that_does_not_answer_a_hint_is_replaced_at_once() {
    let mut t = Linked::start().await;
    let id = t.socket().id;
    t.sandbox.wait_for(|s| s.sockets()[0].acks >= 2).await.unwrap();
    t.sandbox.silence_socket(id, true);
    t.sandbox.wait_for(|s| s.sockets()[0].silent).await.unwrap();
    let started = Instant::now();
    t.webex.network_changed();
    t.until(|event| matches!(event, LinkEvent::Offline)).await;
    t.online().await;
    let took = started.elapsed();
    assert!(took >= CHECK_TIMEOUT && took < CHECK_TIMEOUT + Duration::from_secs(5), "{took:?}");
    assert_ne!(t.socket().id, id);
    t.end().await;
}

#[tokio::test]
async fn a_final_refusal_is_reported_and_ended_by_acquiring_again() {
    for (code, reason, stop, kind) in [
        (4000, "Replaced", Stop::Replaced, ErrorKind::Cancelled),
        (4403, "not entitled", Stop::NotEntitled, ErrorKind::Forbidden),
        (4400, "bad request", Stop::BadRequest, ErrorKind::Forbidden),
    ] {
        let mut t = Linked::start().await;
        t.close(code, reason);
        t.until(|event| matches!(event, LinkEvent::Offline)).await;
        // The state already shows it when the event comes.
        let failed = t.until(|event| matches!(event, LinkEvent::Failed(_))).await;
        let LinkEvent::Failed(LinkError::Refused(why)) = failed else { panic!("{failed:?}") };
        assert_eq!(why, stop);
        let state = t.webex.link().state();
        assert_eq!((state.phase, state.online), (Phase::Failed, false));
        let failure = state.failure.unwrap();
        assert!(matches!(failure, LinkError::Refused(why) if why == stop));
        assert_eq!(failure.kind(), kind);
        assert_eq!(t.lease.online().await.unwrap_err().kind(), kind);
        assert!(t.sandbox.sockets().is_empty());

        let second = t.webex.link().acquire().await.unwrap();
        second.online().await.unwrap();
        assert_eq!(t.webex.link().state().phase, Phase::Up);
        second.release("done").await.unwrap();
        t.end().await;
    }
}

#[tokio::test]
async fn the_client_waits_as_long_as_retry_after_asks() {
    let sandbox = Sandbox::start().await.unwrap();
    let wait = Duration::from_secs(2);
    sandbox.fail(Mercury::connect()).with(429).header("Retry-After", wait.as_secs()).once();
    let webex = client(&sandbox);
    let started = Instant::now();
    let lease = webex.link().acquire().await.unwrap();
    // A hint does not change what the server asked for.
    sandbox
        .wait_for(|s| s.requests().of(Mercury::connect()).answered(429).count() == 1)
        .await
        .unwrap();
    webex.network_changed();
    lease.online().await.unwrap();
    assert!(started.elapsed() >= wait, "{:?}", started.elapsed());
    assert_eq!(sandbox.requests().of(Mercury::connect()).count(), 2);
    lease.release("done").await.unwrap();
}

#[tokio::test]
async fn row_21_each_attempt_goes_to_the_address_of_the_present_record() {
    let mut t = Linked::start().await;
    let first = t.socket();
    let record = t.webex.link().state().device.unwrap();
    let moved = format!("{}?moved=yes", record.web_socket_url);
    t.sandbox.fail(Wdm::refresh()).merge(json!({"webSocketUrl": moved})).once();
    t.close(4404, "registration not found");
    t.online().await;
    let second = t.socket();
    assert!(second.query.contains("moved=yes"), "{}", second.query);
    let stamp = |query: &str| {
        let at = query.find("clientTimestamp=").expect("a time stamp") + "clientTimestamp=".len();
        query[at..].split('&').next().unwrap().parse::<u64>().unwrap()
    };
    assert!(stamp(&second.query) > stamp(&first.query), "fresh for each attempt");
    assert_eq!(t.sandbox.requests().of(Wdm::refresh()).count(), 1);
    t.end().await;
}

#[tokio::test]
async fn row_19_the_end_of_an_old_socket_does_not_touch_the_new_one() {
    let mut t = Linked::start().await;
    let old = t.socket().id;
    t.sandbox.shutdown_socket(old);
    let mut told = Vec::new();
    while told.len() < 2 {
        match t.events.next().await.unwrap() {
            LinkEvent::Switchover(switchover) => told.push(switchover),
            LinkEvent::Offline => panic!("it was noticed"),
            _ => {}
        }
    }
    assert_eq!(told, [Switchover::Announced, Switchover::Complete]);
    t.sandbox.wait_for(|s| s.sockets().iter().all(|socket| socket.id != old)).await.unwrap();
    // The link uses the new one: an event arrives on it, and the link was never offline.
    t.sandbox.push_event(t.sandbox.user(), &json!({"eventType": "test.after"}));
    let arrived = |event: &LinkEvent| match event {
        LinkEvent::Event(event) => event.event_type == "test.after",
        LinkEvent::Offline => panic!("it was noticed"),
        _ => false,
    };
    t.until(arrived).await;
    assert_eq!((t.sandbox.sockets().len(), t.webex.link().state().phase), (1, Phase::Up));
    t.end().await;
}

#[tokio::test]
async fn row_18_the_frame_that_authorizes_is_found_among_others() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.mutate(Mutation::LateFirstFrame, true);
    let webex = client(&sandbox);
    let mut early = webex.subscribe_to("sandbox.early");
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    assert_eq!(event(early.next().await).event_type, "sandbox.early");
    lease.release("done").await.unwrap();
}

#[tokio::test]
async fn row_25_a_refused_token_is_renewed_once_and_the_socket_comes_back_with_it() {
    let sandbox = Arc::new(Sandbox::start().await.unwrap());
    let (minted, weak) = (Arc::new(AtomicUsize::new(0)), Arc::downgrade(&sandbox));
    let count = Arc::clone(&minted);
    let credentials = Credentials::provider(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let sandbox = weak.upgrade().expect("the test is running");
        let token = sandbox.issue_token(sandbox.user(), None).expect("a user");
        async move { Ok(webex_auth::TokenSet::new(AccessToken::parse(&token).expect("a token"))) }
    });
    let webex = common::client_with(&sandbox, credentials);
    let mut events = webex.link().subscribe();
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    let first = webex.tokens().current().unwrap();

    // A token that ends under a live socket changes nothing by itself.
    sandbox.revoke_token(first.expose());
    sandbox.push_event(sandbox.user(), &json!({"eventType": "test.still"}));
    let still =
        |event: &LinkEvent| matches!(event, LinkEvent::Event(it) if it.event_type == "test.still");
    common::until(&mut events, still).await;
    assert_eq!(minted.load(Ordering::Relaxed), 1);
    // A server that does not accept it closes the socket.
    assert!(sandbox.close_socket(sandbox.sockets()[0].id, 4401, "token expired"));
    common::until(&mut events, |event| matches!(event, LinkEvent::Offline)).await;
    common::until(&mut events, |event| matches!(event, LinkEvent::Online)).await;
    assert_eq!(minted.load(Ordering::Relaxed), 2, "one renewal");
    assert_ne!(webex.tokens().current().unwrap(), first);
    lease.release("done").await.unwrap();
}

/// A token of the sandbox's user, as a new sign-in brings it.
fn another_token(sandbox: &Sandbox) -> webex_auth::TokenSet {
    let token = sandbox.issue_token(sandbox.user(), None).expect("a user");
    webex_auth::TokenSet::new(AccessToken::parse(&token).expect("a token"))
}

#[tokio::test]
async fn a_new_sign_in_brings_back_a_link_that_lost_its_token() {
    let mut t = Linked::start().await;
    t.sandbox.revoke_token(t.sandbox.token());
    t.close(4401, "token revoked");
    let failed = t.until(|event| matches!(event, LinkEvent::Failed(_))).await;
    let LinkEvent::Failed(error) = failed else { unreachable!() };
    assert_eq!((error.kind(), error.will_retry()), (ErrorKind::Unauthorized, true));
    // It comes back without a new acquire.
    t.webex.tokens().supply(another_token(&t.sandbox)).await.unwrap();
    t.until(|event| matches!(event, LinkEvent::TokenAvailable)).await;
    t.online().await;
    let state = t.webex.link().state();
    assert_eq!((state.phase, state.failure.is_none()), (Phase::Up, true));
    t.end().await;
}

#[tokio::test]
async fn a_link_that_never_had_a_good_token_comes_up_with_one() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = common::client_with(&sandbox, Credentials::access_token("unknown_P0A1_org"));
    let mut events = webex.link().subscribe();
    let lease = webex.link().acquire().await.unwrap();
    assert_eq!(lease.online().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    let failed = common::until(&mut events, |event| matches!(event, LinkEvent::Failed(_))).await;
    assert!(matches!(failed, LinkEvent::Failed(error) if error.will_retry()));
    webex.tokens().supply(another_token(&sandbox)).await.unwrap();
    common::until(&mut events, |event| matches!(event, LinkEvent::Online)).await;
    lease.release("done").await.unwrap();
    // A link without leases does not come back.
    webex.tokens().supply(another_token(&sandbox)).await.unwrap();
    common::until(&mut events, |event| matches!(event, LinkEvent::TokenAvailable)).await;
    assert_eq!((webex.link().state().phase, sandbox.counts().devices), (Phase::Down, 0));
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_is_reported_with_its_reason() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.fail(Mercury::connect()).with(400).always();
    let webex = client(&sandbox);
    let mut events = webex.link().subscribe();
    let lease = webex.link().acquire().await.unwrap();
    let told = common::until(&mut events, |event| matches!(event, LinkEvent::Retrying(_))).await;
    let LinkEvent::Retrying(error) = &told else { unreachable!() };
    assert!(matches!(error, LinkError::Socket(SocketFailure::Status(400))), "{error:?}");
    assert!(sandbox.requests().of(Mercury::connect()).count() <= 4, "within a few failures");
    let json = serde_json::Value::Object(told.to_json());
    assert_eq!(json["kind"], "rejected");
    assert_eq!((&json["httpStatus"], &json["willRetry"]), (&json!(400), &json!(true)));
    let failure = webex.link().state().failure;
    assert!(matches!(failure, Some(LinkError::Socket(_))), "{failure:?}");
    sandbox.clear_faults();
    common::until(&mut events, |event| matches!(event, LinkEvent::Online)).await;
    assert!(webex.link().state().failure.is_none());
    lease.release("done").await.unwrap();
}

#[tokio::test]
async fn a_confirmed_address_that_is_refused_leads_to_another_device() {
    let mut t = Linked::start().await;
    let old = t.lease.device().await.unwrap();
    let wrong = format!("wss{}", &t.sandbox.url("/nobody/here").as_str()["https".len()..]);
    t.sandbox.fail(Wdm::refresh()).merge(json!({"webSocketUrl": wrong})).always();
    t.close(4404, "registration not found");
    let told = t.until(|event| matches!(event, LinkEvent::DeviceReplaced(_))).await;
    let LinkEvent::DeviceReplaced(new) = told else { unreachable!() };
    assert_ne!(new.url, old.url);
    t.online().await;
    assert_eq!(t.sandbox.counts().devices, 1, "the old one is deleted");
    t.end().await;
}

#[tokio::test]
async fn the_background_closes_the_socket_and_the_foreground_opens_it_at_once() {
    let mut t = Linked::start().await;
    t.webex.suspend().await;
    t.sandbox.wait_for(|s| s.sockets().is_empty()).await.unwrap();
    assert_eq!(t.webex.link().state().phase, Phase::Suspended);
    assert_eq!(t.sandbox.counts().devices, 1);
    t.until(|event| matches!(event, LinkEvent::Offline)).await;
    t.sandbox.clear_requests();
    // The effects of the first one are visible when the second one is reported.
    for _ in 0..2 {
        t.webex.network_changed();
        t.until(|event| matches!(event, LinkEvent::NetworkChanged)).await;
    }
    assert_eq!(t.webex.link().state().phase, Phase::Suspended);
    assert!(t.sandbox.requests().is_empty(), "nothing goes out in the background");
    t.webex.resumed();
    t.online().await;
    // Only one request: the upgrade itself.
    let requests = || t.sandbox.requests();
    assert_eq!(requests().of(Mercury::connect()).count(), 1);
    assert!(requests().of(Wdm::refresh()).is_empty() && requests().of(Wdm::register()).is_empty());
    t.end().await;
}

#[tokio::test]
async fn dropped_starts_are_waited_for() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    webex.shutdown().await.unwrap();
    // Dropped while the request is in flight, and while the device is registered.
    sandbox.fail(Wdm::register()).delay(Duration::from_millis(200)).always();
    let lease = webex.link().acquire().await.unwrap();
    sandbox.wait_for(|s| !s.requests().of(Wdm::register()).is_empty()).await.unwrap();
    drop(lease);
    webex.shutdown().await.unwrap();
    assert_eq!((sandbox.counts().devices, webex.link().state().phase), (0, Phase::Down));
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    webex.shutdown().await.unwrap();
    assert_eq!(sandbox.counts().devices, 1, "what is held stays");
    drop(lease);
    webex.shutdown().await.unwrap();
    assert_eq!((sandbox.counts().devices, sandbox.counts().sockets), (0, 0));
    // A deletion that the service does not confirm is an error.
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    sandbox.fail(Wdm::unregister()).with(503).once();
    drop(lease);
    assert_eq!(webex.shutdown().await.unwrap_err().kind(), ErrorKind::Server);
    webex.link().give_up("again").await.unwrap();
    assert_eq!(sandbox.counts().devices, 0);
}

#[tokio::test]
async fn a_replaced_device_is_reported() {
    let mut t = Linked::start().await;
    let old = t.lease.device().await.unwrap();
    assert!(t.sandbox.expire_device(&t.sandbox.devices()[0].id));
    t.close(4404, "registration not found");
    let told = t.until(|event| matches!(event, LinkEvent::DeviceReplaced(_))).await;
    let LinkEvent::DeviceReplaced(new) = told else { unreachable!() };
    assert_ne!(new.url, old.url);
    assert_eq!(t.webex.link().state().device, Some(new));
    t.online().await;
    t.end().await;
}

#[tokio::test]
async fn row_22_a_wait_can_be_cancelled() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.fail(Mercury::connect()).with(429).header("Retry-After", 600).always();
    let webex = client(&sandbox);
    let mut events = webex.link().subscribe();
    let lease = webex.link().acquire().await.unwrap();
    sandbox
        .wait_for(|s| s.requests().of(Mercury::connect()).answered(429).count() == 1)
        .await
        .unwrap();
    // A caller that cannot wait sets its own deadline.
    let limit = Duration::from_millis(50);
    assert!(tokio::time::timeout(limit, lease.online()).await.is_err());
    let started = Instant::now();
    lease.release("done").await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(sandbox.devices().is_empty());
    assert!(events.try_next().is_none_or(|event| !matches!(event, LinkEvent::Online)));
}

// --- events ------------------------------------------------------------------------------------

#[tokio::test]
async fn events_come_by_name_and_by_namespace_and_are_shared() {
    let t = Linked::start().await;
    let mut all = t.webex.subscribe_to("event");
    let mut namespace = t.webex.subscribe_to("event:conversation");
    let mut exact = t.webex.subscribe_to("event:conversation.activity");
    let user = t.sandbox.user();
    for event_type in ["mobius.call", "conversation.highlight", "conversation.activity"] {
        t.sandbox.push_event(user, &json!({"eventType": event_type}));
    }
    let activity = event(exact.next().await);
    assert_eq!(activity.event_type, "conversation.activity");
    assert_eq!(event(namespace.next().await).event_type, "conversation.highlight");
    let same = event(namespace.next().await);
    assert!(Arc::ptr_eq(&activity, &same), "one text for all who listen");
    assert_eq!(event(all.next().await).event_type, "mobius.call");
    assert!(namespace.try_next().is_none() && exact.try_next().is_none());
    t.end().await;
}

#[tokio::test]
async fn row_23_frames_without_id_are_delivered_and_overrides_applied() {
    let mut t = Linked::start().await;
    let mut events = t.webex.subscribe_to("test.");
    let acks = t.socket().acks;
    let frame = json!({
        "data": {"eventType": "test.bare", "seen": "no"},
        "headers": {"data.seen": "yes"},
    });
    assert!(t.sandbox.inject_frame(t.socket().id, frame.to_string()));
    assert!(t.sandbox.inject_frame(t.socket().id, "no JSON at all"));
    let bare = event(events.next().await);
    assert_eq!(bare.id, None);
    assert_eq!(bare.data_as::<serde_json::Value>().unwrap()["seen"], "yes");
    // A frame with an id is acknowledged, one without is not.
    t.sandbox.push_event(t.sandbox.user(), &json!({"eventType": "test.named"}));
    assert!(event(events.next().await).id.is_some());
    t.sandbox.wait_for(|s| s.sockets()[0].acks > acks).await.unwrap();
    assert!(t.events.try_next().is_none_or(|event| !matches!(event, LinkEvent::Offline)));
    t.end().await;
}

#[tokio::test]
async fn row_24_a_gap_in_the_numbers_is_reported_to_subscribers() {
    let mut t = Linked::start().await;
    let mut events = t.webex.subscribe_to("test.after");
    // The first pong is the second frame.
    t.sandbox.wait_for(|s| s.sockets()[0].acks >= 2).await.unwrap();
    t.sandbox.skip_sequence(t.socket().id, 5);
    t.sandbox.push_event(t.sandbox.user(), &json!({"eventType": "test.after"}));
    let gap = t.until(|event| matches!(event, LinkEvent::SequenceGap { .. })).await;
    assert!(matches!(gap, LinkEvent::SequenceGap { expected: 3, actual: 8 }), "{gap:?}");
    let told = events.next().await.unwrap();
    assert!(matches!(told, LinkEvent::SequenceGap { expected: 3, actual: 8 }), "{told:?}");
    assert_eq!(event(events.next().await).event_type, "test.after");
    t.end().await;
}

#[tokio::test]
async fn a_repeated_event_is_delivered_once() {
    let t = Linked::start().await;
    let mut events = t.webex.subscribe_to("test");
    t.sandbox.mutate(Mutation::DuplicateEvents, true);
    for number in 0..3 {
        t.sandbox.push_event(t.sandbox.user(), &json!({"eventType": "test.twice", "n": number}));
    }
    for number in 0..3 {
        let data = event(events.next().await).data_as::<serde_json::Value>().unwrap();
        assert_eq!(data["n"], number);
    }
    assert!(events.try_next().is_none());
    t.end().await;
}

#[tokio::test]
async fn the_clock_is_compared_with_the_services() {
    let sandbox = Sandbox::start().await.unwrap();
    assert_eq!(client(&sandbox).clock_offset_ms(), None);
    drop(sandbox);
    let t = Linked::start().await;
    let offset = t.webex.clock_offset_ms().expect("known with the first frame");
    assert!((0..10_000).contains(&offset), "the same clock, and the way: {offset} ms");
    let hour = 3_600_000;
    let ahead = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let written = u64::try_from(ahead.as_millis()).unwrap() + hour;
    let frame = json!({"data": {"eventType": "test.late"}, "wsWriteTimestamp": written});
    let mut events = t.webex.subscribe_to("test");
    t.sandbox.inject_frame(t.socket().id, frame.to_string());
    events.next().await.unwrap();
    let offset = t.webex.clock_offset_ms().unwrap();
    assert!((-3_600_000..-3_500_000).contains(&offset), "{offset} ms");
    t.end().await;
}

fn event(event: Option<LinkEvent>) -> Arc<MercuryEvent> {
    match event {
        Some(LinkEvent::Event(event)) => event,
        other => panic!("{other:?}"),
    }
}
