//! The optional steps of a registration, and concurrent callers.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use webex_core::{ErrorKind, Subscription, Webex};
use webex_meetings::{Meetings, MeetingsEvent, MeetingsInfo, MeetingsState, Step, StepState};
use webex_sandbox::{Calliope, Conversation, Hydra, Region, Sandbox, Wdm};
use webex_tests::{user::client, wait::next};

async fn start() -> (Sandbox, Webex, Meetings) {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let meetings = Meetings::new(&webex);
    (sandbox, webex, meetings)
}

/// Waits until every step has ended. Returns the order in which they did.
async fn all_steps(meetings: &Meetings, events: &mut Subscription<MeetingsEvent>) -> Vec<Step> {
    let ended = |step: &Step| meetings.registration_status().of(*step) != StepState::Pending;
    while !Step::ALL.iter().all(ended) {
        next(events).await;
    }
    let status = meetings.registration_status();
    Step::ALL.into_iter().filter(|step| status.of(*step) == StepState::Failed).collect()
}

#[tokio::test]
async fn every_step_reports_and_keeps_its_result() {
    let (sandbox, _webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    meetings.register().await.unwrap();
    let status = meetings.registration_status();
    assert_eq!(status.of(Step::DeviceRegister), StepState::Done);
    assert_eq!(status.of(Step::MercuryConnect), StepState::Done);
    assert_eq!(all_steps(&meetings, &mut events).await, []);

    let info = meetings.info();
    assert_eq!(info.preferred_site.as_deref(), Some(sandbox.user().site.as_str()));
    let hint = info.geo_hint.unwrap();
    assert_eq!((hint.client_region.as_str(), hint.country_code.as_str()), ("US-EAST", "US"));
    assert_eq!(info.join_cookie.as_deref(), Some(r#"{"anycastEntryPoint":"sandbox"}"#));

    let region = sandbox.requests().of(Region::lookup());
    let region = region.first().unwrap();
    assert_eq!(region.header("authorization"), None);
    assert_eq!(region.header("spark-user-agent"), None);
    let clusters = sandbox.requests().of(Calliope::clusters());
    let clusters = clusters.first().unwrap();
    assert_eq!((clusters.method(), clusters.json()["trigger"].as_str()), ("POST", Some("startup")));
    assert!(sandbox.requests().of(Conversation::user()).is_empty(), "the preferences told");

    meetings.unregister().await.unwrap();
    assert_eq!(meetings.info(), MeetingsInfo::default());
    assert_eq!(meetings.registration_status().of(Step::DeviceRegister), StepState::Pending);
}

#[tokio::test]
async fn the_site_is_requested_from_each_service_in_turn() {
    let (sandbox, _webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    sandbox.fail(Hydra::meeting_preferences()).with(404).once();
    meetings.register().await.unwrap();
    assert_eq!(all_steps(&meetings, &mut events).await, []);
    assert_eq!(sandbox.requests().of(Conversation::user()).count(), 1);
    let site = meetings.info().preferred_site;
    assert_eq!(site.as_deref(), Some(sandbox.user().site.as_str()));
    meetings.unregister().await.unwrap();

    // The default is preferred to the first; a guest has none.
    let (one, two) =
        (json!({"siteUrl": "one.example"}), json!({"siteUrl": "two.example", "default": true}));
    let sites = json!({"sites": [one, two]});
    sandbox.fail(Hydra::meeting_preferences()).with(200).body(sites).once();
    meetings.register().await.unwrap();
    all_steps(&meetings, &mut events).await;
    assert_eq!(meetings.info().preferred_site.as_deref(), Some("two.example"));
    meetings.unregister().await.unwrap();

    // The user's record is requested once per client.
    let meetings = Meetings::new(&client(&sandbox));
    let mut events = meetings.subscribe();
    sandbox.fail(Hydra::me()).with(200).body(json!({"type": "appuser"})).once();
    meetings.register().await.unwrap();
    assert_eq!(all_steps(&meetings, &mut events).await, []);
    assert_eq!(meetings.info().preferred_site, None);
    assert_eq!(sandbox.requests().of(Hydra::meeting_preferences()).count(), 2);
}

#[tokio::test]
async fn side_steps_may_fail_or_hang_without_delaying_the_registration() {
    let (sandbox, _webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    sandbox.fail(Hydra::me()).with(503).always();
    sandbox.fail(Calliope::clusters()).with(500).always();
    let hang = sandbox.fail(Region::lookup()).hang().always();
    meetings.register().await.unwrap();
    assert_eq!(meetings.state(), MeetingsState::Registered);
    assert_eq!(meetings.registration_status().of(Step::GetGeoHint), StepState::Pending);
    let tried_twice = |s: &Sandbox| s.requests().of(Calliope::clusters()).count() == 2;
    sandbox.wait_for(tried_twice).await.unwrap();
    // Unregistering does not wait for a step that still hangs, and that step sends no more events.
    assert_eq!(hang.fired(), 1);
    meetings.unregister().await.unwrap();
    let told: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let step = |step| MeetingsEvent::Step { step, succeeded: false };
    assert!(told.contains(&step(Step::FetchWebexSite)), "{told:?}");
    assert!(told.contains(&step(Step::StartReachability)), "{told:?}");
    assert!(!told.contains(&step(Step::GetGeoHint)), "{told:?}");
    assert_eq!(told.last(), Some(&MeetingsEvent::Unregistered));
}

#[tokio::test]
async fn row_27_the_state_is_set_before_the_event() {
    let (_sandbox, _webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    let seen = tokio::spawn({
        let meetings = meetings.clone();
        async move {
            let mut seen = Vec::new();
            loop {
                match next(&mut events).await {
                    MeetingsEvent::Step { .. } | MeetingsEvent::Ready => {}
                    event => seen.push((event, meetings.state())),
                }
                if seen.len() == 2 {
                    return seen;
                }
            }
        }
    });
    meetings.register().await.unwrap();
    // The listener reads the state before this goes on: there is one thread, and it yields only here.
    tokio::task::yield_now().await;
    meetings.unregister().await.unwrap();
    assert_eq!(
        seen.await.unwrap(),
        [
            (MeetingsEvent::Registered, MeetingsState::Registered),
            (MeetingsEvent::Unregistered, MeetingsState::Unregistered)
        ]
    );
}

#[tokio::test]
async fn row_29_registering_again_adds_no_listener_and_takes_none_away() {
    let (sandbox, webex, meetings) = start().await;
    let mut other = webex.link().subscribe();
    for _ in 0..3 {
        meetings.register().await.unwrap();
        meetings.unregister().await.unwrap();
    }
    meetings.register().await.unwrap();
    let mut events = meetings.subscribe();
    while other.try_next().is_some() {}
    let [socket] = &sandbox.sockets()[..] else { panic!("{:?}", sandbox.sockets()) };
    assert!(sandbox.close_socket(socket.id, 1001, "going away"));
    let network = async {
        let mut told = Vec::new();
        while !told.contains(&MeetingsEvent::NetworkConnected) {
            match next(&mut events).await {
                MeetingsEvent::Step { .. } | MeetingsEvent::Ready => {}
                event => told.push(event),
            }
        }
        told
    };
    let told = network.await;
    assert_eq!(told, [MeetingsEvent::NetworkDisconnected, MeetingsEvent::NetworkConnected]);
    assert!(other.try_next().is_some(), "listeners of others hear as before");
}

#[tokio::test]
async fn callers_share_an_outcome_and_the_other_operation_waits() {
    let (sandbox, _webex, meetings) = start().await;
    let mut events = meetings.subscribe();
    // All concurrent callers get the one failure.
    let fault = sandbox.fail(Wdm::register()).delay(Duration::from_millis(50)).with(403).once();
    let (one, two) = tokio::join!(meetings.register(), meetings.register());
    assert_eq!(one.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(two.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(fault.fired(), 1);

    // Register, unregister, register, all at once: in this order.
    let before = sandbox.requests().of(Wdm::register()).count();
    let (one, two, three) =
        tokio::join!(meetings.register(), meetings.unregister(), meetings.unregister());
    for outcome in [one, two, three] {
        outcome.unwrap();
    }
    assert_eq!(meetings.state(), MeetingsState::Unregistered);
    meetings.register().await.unwrap();
    let (one, two) = tokio::join!(meetings.unregister(), meetings.register());
    one.and(two).unwrap();
    assert_eq!(meetings.state(), MeetingsState::Registered);
    assert_eq!(sandbox.requests().of(Wdm::register()).count() - before, 3);
    let told: Vec<_> = std::iter::from_fn(|| events.try_next())
        .filter(|event| !matches!(event, MeetingsEvent::Step { .. } | MeetingsEvent::Ready))
        .map(|event| event.name())
        .collect();
    let (on, off) = ("meetings:registered", "meetings:unregistered");
    assert_eq!(told, [on, off, on, off, on]);
}

#[tokio::test]
async fn a_dropped_unregister_does_not_register() {
    let (sandbox, _webex, meetings) = start().await;
    meetings.register().await.unwrap();
    sandbox.fail(Wdm::unregister()).delay(Duration::from_millis(200)).once();
    let leaving = tokio::spawn({
        let meetings = meetings.clone();
        async move { meetings.unregister().await }
    });
    sandbox.wait_for(|s| !s.requests().of(Wdm::unregister()).is_empty()).await.unwrap();
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    assert_eq!(meetings.state(), MeetingsState::Unconfirmed);
    meetings.register().await.unwrap();
    assert_eq!(meetings.state(), MeetingsState::Registered);
    meetings.unregister().await.unwrap();
    assert_eq!((sandbox.counts().devices, sandbox.counts().sockets), (0, 0));
}

#[tokio::test]
async fn a_device_is_shared_by_many_tasks() {
    let (sandbox, _webex, meetings) = start().await;
    let meetings = Arc::new(meetings);
    let calls: Vec<_> = (0..40)
        .map(|n| {
            let meetings = Arc::clone(&meetings);
            tokio::spawn(async move {
                if n % 2 == 0 { meetings.register().await } else { meetings.unregister().await }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    meetings.unregister().await.unwrap();
    assert_eq!((sandbox.counts().devices, sandbox.counts().sockets), (0, 0));
}
