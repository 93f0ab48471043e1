//! Two users in one process, independent of each other.

use serde_json::json;
use webex_calling::{CallingClient, CallingConfig, LineEvent};
use webex_core::{Credentials, LinkEvent, Subscription, Transport, Webex};
use webex_meetings::{Meetings, MeetingsEvent};
use webex_sandbox::{Mobius, Sandbox, U2c, User, Wdm};
use webex_tests::{
    user::{assert_empty, builder, trusting},
    wait::until,
};

struct Endpoint {
    webex: Webex,
    meetings: Meetings,
    calling: CallingClient,
    line_events: Subscription<LineEvent>,
    user_events: Subscription<LinkEvent>,
}

async fn register(sandbox: &Sandbox, transport: &Transport, user: &User) -> Endpoint {
    let credentials = Credentials::access_token(user.token());
    let webex = builder(sandbox).credentials(credentials).transport(transport.clone());
    let webex = webex.build().unwrap();
    let meetings = Meetings::new(&webex);
    let mut events = meetings.subscribe();
    let user_events = webex.link().subscribe();
    let (registered, calling) =
        tokio::join!(meetings.register(), CallingClient::new(&webex, CallingConfig::default()));
    registered.unwrap();
    until(&mut events, |event| *event == MeetingsEvent::Registered).await;
    let calling = calling.unwrap();
    let line = calling.lines().remove(0);
    let mut line_events = line.subscribe();
    line.register();
    until(&mut line_events, |event| matches!(event, LineEvent::Registered(_))).await;
    Endpoint { webex, meetings, calling, line_events, user_events }
}

#[tokio::test]
async fn two_users_register_at_once_and_do_not_see_each_other() {
    let sandbox = Sandbox::start().await.unwrap();
    let (ann, bob) = (sandbox.user().clone(), sandbox.add_user("Bob"));
    let transport = trusting(&sandbox).build().unwrap();
    let (mut first, mut second) =
        tokio::join!(register(&sandbox, &transport, &ann), register(&sandbox, &transport, &bob));

    // Each has its own device, socket and line, under its own user.
    let counts = sandbox.counts();
    assert_eq!((counts.devices, counts.sockets, counts.lines), (2, 2, 2));
    for (endpoint, user) in [(&first, &ann), (&second, &bob)] {
        let device = endpoint.webex.link().state().device.unwrap();
        assert_eq!(device.user_id, user.id);
        let owner = sandbox.devices().into_iter().find(|d| device.url.path().ends_with(&d.id));
        assert_eq!(owner.unwrap().user_id, user.id);
        for operation in [U2c::postauth(), Wdm::register(), Mobius::register()] {
            assert_eq!(sandbox.requests().of(operation).by(user).count(), 1, "{operation:?}");
        }
    }
    let lines: Vec<_> = [&first, &second].map(|e| e.calling.lines()[0].info()).into();
    assert_ne!(lines[0].line_id, lines[1].line_id);
    assert_ne!(lines[0].sip_addresses, lines[1].sip_addresses);

    // An event for one reaches one.
    sandbox.push_event(&ann, &json!({"eventType": "test.first"}));
    sandbox.push_event(&bob, &json!({"eventType": "test.second"}));
    for (events, expected) in
        [(&mut first.user_events, "test.first"), (&mut second.user_events, "test.second")]
    {
        let event = until(
            events,
            |event| matches!(event, LinkEvent::Event(event) if event.namespace() == "test"),
        )
        .await;
        let LinkEvent::Event(event) = event else { unreachable!() };
        assert_eq!(event.event_type, expected);
    }

    // One leaves; the other is not affected.
    first.calling.deregister().await.unwrap();
    first.meetings.unregister().await.unwrap();
    let counts = sandbox.counts();
    assert_eq!((counts.devices, counts.sockets, counts.lines), (1, 1, 1));
    assert!(second.line_events.try_next().is_none());
    second.calling.deregister().await.unwrap();
    second.meetings.unregister().await.unwrap();
    assert_empty(&sandbox);
}
