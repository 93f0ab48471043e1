//! The documented form of every line error, as caused by the sandbox's answers.

mod common;

use std::time::Duration;

use serde_json::json;
use webex_calling::{
    CallingConfig, DeviceLimit, LineError, LineErrorType, LineEvent, LineState, Unregistered,
};
use webex_core::Subscription;
use webex_sandbox::{Mobius, Sandbox};
use webex_tests::{user::assert_empty, wait::next};

use common::{calling, configured, names};

/// The error of the first server's answer: of the line, or of the server alone.
async fn first_error(events: &mut Subscription<LineEvent>) -> (&'static str, LineError) {
    loop {
        let event = next(events).await;
        let name = event.name();
        match event {
            LineEvent::Error(error) | LineEvent::ServerFailed { error, .. } => {
                return (name, error);
            }
            _ => {}
        }
    }
}

/// A row of the table: the case, the event, the reference client's type, the documented form.
fn row(case: &str, event: &str, error: &LineError) -> String {
    let kind = serde_json::to_value(error.kind).unwrap();
    let documented = serde_json::to_string(&error.documented()).unwrap();
    format!("{case:<9}  {event:<13}  {:<19}  {documented}", kind.as_str().unwrap())
}

#[tokio::test]
async fn every_answer_has_its_documented_form() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut config = CallingConfig::default();
    config.registration.device_limit = DeviceLimit::Fail;
    let (calling, line, mut events) = configured(&sandbox, config).await;
    let mut table = Vec::new();
    sandbox.down("primary-1");
    line.register();
    let (event, error) = first_error(&mut events).await;
    assert_eq!((error.http_status, error.tracking_id.is_some()), (None, false));
    sandbox.up("primary-1");
    line.deregister();
    while next(&mut events).await.name() != "unregistered" {}
    table.push(row("no answer", event, &error));
    for (status, code) in [
        (400, None),
        (401, None),
        (403, None),
        (403, Some(101)),
        (403, Some(102)),
        (403, Some(103)),
        (403, Some(199)),
        (404, None),
        (409, None),
        (500, None),
        (502, None),
        (503, None),
        // Last, because the server is paused from then on.
        (429, None),
    ] {
        let mut fault = sandbox.fail(Mobius::register()).on("primary-1").with(status);
        if let Some(code) = code {
            fault = fault.body(json!({"errorCode": code}));
        }
        let fault = fault.always();
        line.register();
        let (event, error) = first_error(&mut events).await;
        assert_eq!((error.http_status, error.mobius_code), (Some(status), code));
        assert!(error.tracking_id.is_some());
        let case = code.map_or_else(|| status.to_string(), |code| format!("{status} {code}"));
        table.push(row(&case, event, &error));
        fault.clear();
        line.deregister();
        while next(&mut events).await.name() != "unregistered" {}
    }
    insta::assert_snapshot!(table.join("\n"), @r#"
    no answer  server_failed  default_error        {"status":"inactive","type":"registrationError","msg":"The calling server cannot be reached."}
    400        error          bad_request          {"status":"inactive","type":"registrationError","msg":"The calling service finds the request invalid. Sign out and in again."}
    401        error          token_error          {"status":"inactive","type":"tokenError","msg":"Token expired. Authentication/Authorization error."}
    403        server_failed  forbidden            {"status":"inactive","type":"registrationError","msg":"The calling service refused the registration. Contact your administrator."}
    403 101    error          forbidden            {"status":"inactive","type":"registrationError","msg":"Device limit exceeded. The user already logged in to a different device."}
    403 102    error          forbidden            {"status":"inactive","type":"registrationError","msg":"The user is not configured for Webex Calling. Contact your administrator."}
    403 103    server_failed  forbidden            {"status":"inactive","type":"registrationError","msg":"The calling service could not provision the device. Try again later."}
    403 199    server_failed  forbidden            {"status":"inactive","type":"registrationError","msg":"The calling service refused the registration. Contact your administrator."}
    404        error          not_found            {"status":"inactive","type":"registrationError","msg":"Device not found."}
    409        server_failed  default_error        {"status":"inactive","type":"registrationError","msg":"The calling server gave an unknown answer."}
    500        server_failed  server_error         {"status":"inactive","type":"registrationError","msg":"The calling server failed."}
    502        server_failed  default_error        {"status":"inactive","type":"registrationError","msg":"The calling server gave an unknown answer."}
    503        server_failed  service_unavailable  {"status":"inactive","type":"registrationError","msg":"The calling server is not available."}
    429        server_failed  too_many_requests    {"status":"inactive","type":"registrationError","msg":"Too many requests to the calling service."}
    "#);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn a_superseded_session_says_so_and_stays_away() {
    let second = Duration::from_secs(1);
    let sandbox = Sandbox::builder().keepalive_interval(second).start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    sandbox.fail(Mobius::status()).with(409).once();
    let reason = loop {
        match next(&mut events).await {
            LineEvent::Unregistered { reason, .. } => break reason,
            LineEvent::KeepaliveMissed { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    let Unregistered::Superseded(error) = reason else { panic!("{reason:?}") };
    assert_eq!((error.kind, error.http_status), (LineErrorType::SessionSuperseded, Some(409)));
    insta::assert_snapshot!(row("409", "unregistered", &error), @r#"409        unregistered   session_superseded   {"status":"inactive","type":"registrationError","msg":"The user registered on another device, which took this registration's place."}"#);
    assert!(line.state() != LineState::Registered && line.next().is_none());
    assert_eq!(sandbox.requests().of(Mobius::register()).count(), 1);
    calling.deregister().await.unwrap();
}
