//! The code samples of the public documentation, in Rust, each in the order in which it is written there.
//!
//! Two pages have samples for the SDK: "Web Meetings SDK | Authorization and Device Registration"
//! (here: the Meetings page) and "Webex Calling | Authorization" (the Calling page). The requests for
//! tokens of the latter, and the page "Webex Meetings Integrations", are in `webex-auth/tests/samples.rs`.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::timeout};
use webex_sandbox::{Mobius, Sandbox, Wdm};
use webex_sdk::{
    CallingClient, CallingConfig, Credentials, Endpoints, Line, LineEvent, Meetings, MeetingsEvent,
    MeetingsState, Webex,
};
use webex_tests::{
    user::{assert_empty, client, trusting},
    wait::{PATIENCE, next},
};

/// The Meetings page, "Initialize the SDK", "Meetings Ready Event", "Meetings Registered Event",
/// "Register a Meeting Device", "Deregister a Meeting Device": one program made of all its samples.
#[tokio::test(flavor = "multi_thread")]
async fn the_meetings_page_runs_as_written() {
    let sandbox = Sandbox::start().await.unwrap();

    // const webex = Webex.init({ credentials: { access_token: `…` } });
    let webex = Webex::builder()
        .credentials(Credentials::access_token(sandbox.token()))
        .endpoints(Endpoints::at(sandbox.origin().as_str()).unwrap())
        .transport(trusting(&sandbox).build().unwrap())
        .build()
        .unwrap();
    // const meetings = webex.meetings;
    let meetings = Meetings::new(&webex);

    // webex.meetings.on('meetings:ready', () => { /* Register a new device... */ });
    let registering = on(&meetings, MeetingsEvent::Ready, {
        let meetings = meetings.clone();
        // "Parameters: none. Returns: Promise<undefined>."
        async move {
            let () = meetings.register().await.unwrap();
        }
    });
    // webex.meetings.on('meetings:registered', () => { /* Perform meeting operations */ });
    let registered = on(&meetings, MeetingsEvent::Registered, async {});
    for handler in [registered, registering] {
        timeout(PATIENCE, handler).await.expect("the event comes").unwrap();
    }
    assert_eq!((sandbox.counts().devices, sandbox.counts().sockets), (1, 1));
    assert_eq!(sandbox.requests().of(Wdm::register()).count(), 1);

    // await webex.meetings.unregister();
    let () = meetings.unregister().await.unwrap();
    assert_empty(&sandbox);
}

/// The Meetings page, "Register a Meeting Device": the sample registers without waiting for `ready`.
/// "Retrieve a Meeting Object": what `webex.meetings` gives is one object, however often it is asked.
#[tokio::test]
async fn registering_right_after_init_works_as_written() {
    let sandbox = Sandbox::start().await.unwrap();

    // const webex = new Webex.init();
    let webex = client(&sandbox);
    // `webex.meetings` lives as long as `webex`; here, as long as somebody holds it.
    let meetings = Meetings::new(&webex);
    // await webex.meetings.register();
    meetings.register().await.unwrap();
    assert_eq!(Meetings::new(&webex).state(), MeetingsState::Registered);
    // await webex.meetings.unregister();
    Meetings::new(&webex).unregister().await.unwrap();
    assert_eq!(meetings.state(), MeetingsState::Unregistered);
    assert_empty(&sandbox);
}

/// The Meetings page, "The ready event returns no payload", and the other event's sample takes none.
#[test]
fn the_events_of_the_meetings_page_have_their_names_and_no_payload() {
    for (event, name) in [
        (MeetingsEvent::Ready, "meetings:ready"),
        (MeetingsEvent::Registered, "meetings:registered"),
    ] {
        assert_eq!((event.name(), event.to_json().len()), (name, 0));
    }
}

/// The Calling page, "Obtaining a Line Object", "Register a Device", "Deregister a Device", "The
/// Connecting Event": subscriptions first, then the calls, as the page asks for.
#[tokio::test]
async fn the_calling_page_runs_as_written() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);

    // const callingClient = calling.callingClient; const lines = callingClient.getLines();
    let calling = CallingClient::new(&webex, CallingConfig::default()).await.unwrap();
    // "An object where the keys are the lineId of each line and the values are the line objects."
    let lines: HashMap<_, Line> =
        calling.lines().into_iter().map(|line| (line.line_id(), line)).collect();
    assert_eq!(lines.len(), 1, "a single line at the moment");
    let (id, line) = lines.into_iter().next().unwrap();
    assert_eq!(calling.line(&id).unwrap().line_id(), id, "and found by it");
    properties(&line, "inactive");

    // line.on('registered', (line) => …); line.on('connecting', () => …); line.on('error', …);
    let mut events = line.subscribe();
    // line.register();  "Asynchronous: no. Returns: undefined."
    let () = line.register();
    assert_eq!(next(&mut events).await.name(), "connecting");
    let LineEvent::Registered(details) = next(&mut events).await else { panic!("registered") };
    let shown = properties(&line, "active");
    assert_eq!(Value::from(details.to_json()), shown, "the event has the line's details");
    let [in_cloud] = &sandbox.lines()[..] else { panic!("{:?}", sandbox.lines()) };
    assert_eq!(shown["mobiusDeviceId"], in_cloud.device_id);

    // "Once registration is complete, the SDK automatically sends requests at regular intervals."
    // (With the sandbox's interval of 30 s: `keepalives_keep_it_and_their_loss_is_noticed` waits for them.)
    assert_eq!(shown["keepaliveInterval"], 30);

    // line.on('unregistered', () => …); was subscribed to; line.deregister();
    let () = line.deregister();
    assert_eq!(next(&mut events).await.name(), "unregistered");
    properties(&line, "inactive");
    assert_eq!(sandbox.counts().lines, 0);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

/// The Calling page, "The Error Event": each row of its table, and its example as JSON. The handler's
/// comment says "try to re-connect", and that works.
#[tokio::test]
async fn the_errors_of_the_calling_page_come_as_written() {
    let rows = [
        (
            json!({ "errorCode": 101 }),
            403,
            "registrationError",
            "Device limit exceeded. The user already logged in to a different device.",
        ),
        (json!({}), 404, "registrationError", "Device not found."),
        (json!({}), 401, "tokenError", "Token expired. Authentication/Authorization error."),
    ];
    for (body, status, kind, msg) in rows {
        let sandbox = Sandbox::start().await.unwrap();
        let calling =
            CallingClient::new(&client(&sandbox), CallingConfig::default()).await.unwrap();
        let line = calling.lines().remove(0);
        let fault = sandbox.fail(Mobius::register()).with(status).body(body).always();

        // line.on('error', (error) => { // Try to re-connect and/or show error to end user
        let mut events = line.subscribe();
        line.register();
        assert_eq!(next(&mut events).await.name(), "connecting");
        let LineEvent::Error(error) = next(&mut events).await else { panic!("{msg}") };
        let written = json!({ "status": "inactive", "type": kind, "msg": msg });
        assert_eq!(serde_json::to_value(error.documented()).unwrap(), written);

        fault.clear();
        line.register();
        assert_eq!(next(&mut events).await.name(), "connecting", "after {msg}");
        assert_eq!(next(&mut events).await.name(), "registered", "after {msg}");
        calling.deregister().await.unwrap();
        assert_empty(&sandbox);
    }
}

/// Runs what a handler does at the first event that is this one. Subscribes before it returns.
fn on(
    meetings: &Meetings,
    wanted: MeetingsEvent,
    handler: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let mut events = meetings.subscribe();
    tokio::spawn(async move {
        while next(&mut events).await != wanted {}
        handler.await;
    })
}

/// The line's properties as JSON, after checking that they are those of the page's table, with its types.
fn properties(line: &Line, status: &str) -> Value {
    let shown = Value::from(line.info().to_json());
    let texts =
        ["lineId", "mobiusDeviceId", "phoneNumber", "extension", "status", "voicemail", "lastSeen"];
    let numbers = [
        "keepaliveInterval",
        "callKeepaliveInterval",
        "rehomingIntervalMin",
        "rehomingIntervalMax",
        "voicePortalNumber",
        "voicePortalExtension",
    ];
    // What is not known before the registration, or not provisioned, is null.
    for name in texts {
        let value = shown.get(name).unwrap_or_else(|| panic!("no {name}"));
        assert!(value.is_string() || value.is_null(), "{name}: {value}");
    }
    for name in numbers {
        let value = shown.get(name).unwrap_or_else(|| panic!("no {name}"));
        assert!(value.is_u64() || value.is_null(), "{name}: {value}");
    }
    let addresses = shown["sipAddresses"].as_array().expect("string[]");
    assert!(addresses.iter().all(Value::is_string), "{addresses:?}");
    assert_eq!(shown["lineId"].as_str().map(str::len), Some(36), "a UUID");
    assert_eq!(shown["status"], status);
    shown
}
