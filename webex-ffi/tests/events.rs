//! The contents of events, through the C functions themselves: errors with their details, network
//! losses, time limits; and no secret in any of them.

use std::{
    ffi::{CStr, CString},
    ptr,
};

use serde_json::{Value, json};
use webex_ffi::{
    calling::{
        LinePhase, webex_calling_line, webex_calling_line_by_id, webex_calling_new,
        webex_line_info, webex_line_register, webex_line_state, webex_string_free,
    },
    client::{
        ClientOptions, WEBEX_CLIENT_FEDRAMP, WEBEX_CLIENT_INSECURE, WEBEX_CLIENT_INSECURE_ANYWHERE,
        webex_client_free, webex_client_new, webex_client_next_event, webex_client_shutdown,
    },
    error::{webex_last_error_message, webex_last_error_tracking_id},
    event::{Event, EventKind, Source},
    meetings::{MeetingsPhase, webex_meetings_register, webex_meetings_state},
    status::Status,
};
use webex_sandbox::{Mercury, Mobius, Sandbox, U2c, Wdm};
use webex_tests::leak;

/// Longest wait for anything that should happen at once; generous, because machines may be busy.
const PATIENCE_MS: u32 = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_line_error_has_the_documented_form_and_the_details() {
    let sandbox = Sandbox::start().await.unwrap();
    let body = json!({ "errorCode": 102, "message": "not configured" });
    sandbox.fail(Mobius::register()).with(403).body(body).always();
    let client = Client::of(&sandbox);
    let line = client.line();
    // SAFETY: takes no pointer.
    assert_eq!(unsafe { webex_line_register(line) }, Status::Ok);
    assert_eq!(client.next_of(EventKind::LineConnecting).object, line);

    let error = client.next_of(EventKind::LineError);
    assert_eq!((error.source, error.object, error.status), (Source::Line, line, Status::Forbidden));
    assert_eq!(error.name, "error");
    assert_eq!(error.json["status"], "inactive");
    assert_eq!(error.json["type"], "registrationError");
    assert_eq!(error.json["msg"].as_str(), error.message.as_deref());
    assert_eq!((&error.json["httpStatus"], &error.json["mobiusCode"]), (&json!(403), &json!(102)));
    assert_eq!(error.json["kind"], "forbidden");
    assert!(error.json["trackingId"].is_string(), "{}", error.json);
    let mut phase = LinePhase::Other;
    // SAFETY: a place for the result.
    assert_eq!(unsafe { webex_line_state(line, &raw mut phase) }, Status::Ok);
    assert_eq!(phase, LinePhase::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_server_is_reported_and_the_next_takes_the_line() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.fail(Mobius::register()).on("primary-1").with(503).once();
    let client = Client::of(&sandbox);
    let line = client.line();
    // SAFETY: takes no pointer.
    assert_eq!(unsafe { webex_line_register(line) }, Status::Ok);
    let failed = client.next_of(EventKind::LineServerFailed);
    assert_eq!((failed.name.as_str(), failed.status), ("server_failed", Status::Server));
    assert!(failed.json["server"].as_str().unwrap().contains("primary-1"), "{}", failed.json);
    assert_eq!(failed.json["error"]["httpStatus"], 503);
    let registered = client.next_of(EventKind::LineRegistered);
    assert_eq!((registered.status, &registered.message), (Status::Ok, &None));
    assert_eq!(registered.json["status"], "active");
    assert!(registered.json["server"].as_str().unwrap().contains("primary-2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_has_the_reason_and_the_wait() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.fail(U2c::postauth()).with(429).header("Retry-After", 7).always();
    let client = Client::of(&sandbox);
    let request = client.register_meetings();
    let completed = client.next_of(EventKind::Completed);
    assert_eq!((completed.request_id, completed.status), (request, Status::RateLimited));
    assert_eq!(completed.json["kind"], "rate_limited");
    assert_eq!(completed.json["retryAfterMs"], 7_000);
    assert_eq!(completed.json["message"].as_str(), completed.message.as_deref());
    assert!(completed.json["trackingId"].is_string(), "{}", completed.json);
    assert_eq!(client.meetings_phase(), MeetingsPhase::Unregistered);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_quotes_reaches_no_event() {
    let sandbox = Sandbox::start().await.unwrap();
    // Without the code that is the message otherwise.
    let quoted = || json!({ "error": null });
    sandbox.fail(Wdm::register()).with(403).body(quoted()).quote().once();
    sandbox.fail(Mobius::register()).with(403).body(quoted()).quote().always();
    let client = Client::of(&sandbox);
    // `next` checks every event for the token.
    client.register_meetings();
    let refused = client.next_of(EventKind::Completed);
    assert_eq!(refused.status, Status::Forbidden);
    let line = client.line();
    // SAFETY: takes no pointer.
    assert_eq!(unsafe { webex_line_register(line) }, Status::Ok);
    let failed = client.next_of(EventKind::LineServerFailed);
    let said = refused.message.as_deref().unwrap();
    assert!(said.contains("[redacted]"), "the service is quoted: {said}");
    let base64 = leak::base64(sandbox.token());
    for event in [refused, failed] {
        let said = event.message.as_deref().unwrap();
        assert!(!said.contains(&base64) && !event.json.to_string().contains(&base64));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_hear_says_so() {
    let sandbox = Sandbox::start().await.unwrap();
    let refused = sandbox.fail(Mercury::connect()).with(400).always();
    let client = Client::of(&sandbox);
    let line = client.line();
    // SAFETY: takes no pointer.
    assert_eq!(unsafe { webex_line_register(line) }, Status::Ok);
    let retrying = client.next_of(EventKind::CallingRetrying);
    assert_eq!((retrying.source, retrying.status), (Source::Calling, Status::Rejected));
    assert!(retrying.message.unwrap().contains("HTTP status 400"));
    assert_eq!(retrying.json["willRetry"], true);
    refused.clear();
    assert_eq!(client.next_of(EventKind::CallingConnected).status, Status::Ok);
    client.register_meetings();
    client.next_of(EventKind::MeetingsRegistered);
    assert!(sandbox.close_socket(sandbox.sockets()[0].id, 4403, "not entitled"));
    let (mut calling, mut meetings) = (None, None);
    while calling.is_none() || meetings.is_none() {
        let event = client.any_within(PATIENCE_MS);
        match event.kind {
            EventKind::CallingFailed => calling = Some((event.status, event.message.is_some())),
            EventKind::MeetingsFailed => meetings = Some((event.status, event.message.is_some())),
            _ => {}
        }
    }
    assert_eq!((calling, meetings), (Some((Status::Forbidden, true)), calling));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_call_come_before_its_completion() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::of(&sandbox);
    // With a random order, both orders would occur in this many rounds.
    for _ in 0..20 {
        let request = client.register_meetings();
        assert_eq!(client.next().kind, EventKind::MeetingsRegistered);
        assert_eq!(client.next().request_id, request);
        assert_eq!(client.meetings_phase(), MeetingsPhase::Registered);
        client.shutdown(PATIENCE_MS).unwrap();
        assert_eq!(client.next_at_once().kind, EventKind::MeetingsUnregistered);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_comes_by_itself_and_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::of(&sandbox);
    assert_eq!(client.any_within(PATIENCE_MS).name, "meetings:ready");
    client.register_meetings();
    while client.any_within(PATIENCE_MS).kind != EventKind::Completed {}
    client.shutdown(PATIENCE_MS).unwrap();
    assert_eq!(client.next_at_once().kind, EventKind::MeetingsUnregistered);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_registration_are_reported() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::of(&sandbox);
    client.register_meetings();
    let mut steps = Vec::new();
    while steps.len() < 5 {
        let event = client.any_within(PATIENCE_MS);
        if event.kind == EventKind::MeetingsStep {
            assert_eq!(
                (event.name.as_str(), &event.json["succeeded"]),
                ("meetings:step", &true.into())
            );
            steps.push(event.json["step"].as_str().unwrap().to_owned());
        }
    }
    steps.sort_unstable();
    let expected =
        ["deviceRegister", "fetchWebexSite", "getGeoHint", "mercuryConnect", "startReachability"];
    assert_eq!(steps, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_socket_and_its_return_are_reported() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::of(&sandbox);
    client.register_meetings();
    client.next_of(EventKind::Completed);
    assert!(sandbox.drop_socket(sandbox.sockets()[0].id));
    assert_eq!(client.next_of(EventKind::NetworkDisconnected).name, "network:disconnected");
    assert_eq!(client.next_of(EventKind::NetworkConnected).source, Source::Meetings);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_deregisters_or_reports_the_failure() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::of(&sandbox);
    client.register_meetings();
    client.next_of(EventKind::Completed);

    let held = sandbox.fail(Wdm::unregister()).hang().once();
    let (status, message, _) = client.shutdown(1).unwrap_err();
    assert_eq!(status, Status::Timeout);
    assert!(message.contains("1 ms"), "{message}");
    // The shutdown goes on in the background.
    sandbox.wait_for(|_| held.fired() == 1).await.unwrap();

    let other = Client::of(&sandbox);
    other.register_meetings();
    other.next_of(EventKind::Completed);
    let refused = sandbox.fail(Wdm::unregister()).with(500).always();
    let (status, _, tracking_id) = other.shutdown(PATIENCE_MS).unwrap_err();
    assert_eq!(status, Status::Server);
    assert!(tracking_id.is_some());
    refused.clear();
    assert_eq!(other.shutdown(PATIENCE_MS), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_reported_without_the_token() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::of(&sandbox);
    let line = client.line();
    assert!(sandbox.revoke_token(sandbox.token()));
    // SAFETY: takes no pointer.
    assert_eq!(unsafe { webex_line_register(line) }, Status::Ok);
    // `next` checks for every event that it does not hold the token.
    let error = client.next_of(EventKind::LineError);
    assert_eq!((error.status, &error.json["type"]), (Status::Unauthorized, &json!("tokenError")));
    let (status, message, _) = client.shutdown(PATIENCE_MS).unwrap_err();
    assert_eq!(status, Status::Unauthorized);
    assert!(!message.contains(sandbox.token()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_found_by_its_id() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::of(&sandbox);
    let (calling, line) = client.calling();
    // SAFETY: places for the results; the text was given by the library and is freed once.
    let info: Value = unsafe {
        let mut json = ptr::null_mut();
        assert_eq!(webex_line_info(line, &raw mut json), Status::Ok);
        let info = serde_json::from_str(&text(json.cast()).unwrap()).unwrap();
        webex_string_free(json);
        info
    };
    let find = |id: &str| {
        let (id, mut found) = (CString::new(id).unwrap(), 0);
        // SAFETY: a text and a place for the result that outlive the call.
        let status =
            unsafe { webex_calling_line_by_id(calling, id.as_ptr().cast(), &raw mut found) };
        (status, found)
    };
    assert_eq!(find(info["lineId"].as_str().unwrap()), (Status::Ok, line));
    assert_eq!(find("00000000-0000-4000-8000-000000000000").0, Status::NotFound);
    assert_eq!(find("").0, Status::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_certificate_is_not_the_network() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::with(&sandbox, sandbox.origin().as_str(), 0, false).unwrap();
    client.register_meetings();
    let completed = client.next_of(EventKind::Completed);
    assert_eq!(completed.status, Status::Untrusted);
    assert!(completed.message.unwrap().contains("issued by \""));
    assert_eq!(completed.json["kind"], "untrusted");
}

#[tokio::test(flavor = "multi_thread")]
async fn insecure_is_for_this_machine_unless_given_twice() {
    let sandbox = Sandbox::start().await.unwrap();
    let here = sandbox.origin().as_str();
    let client = Client::with(&sandbox, here, WEBEX_CLIENT_INSECURE, false).unwrap();
    client.register_meetings();
    assert_eq!(client.next_of(EventKind::Completed).status, Status::Ok);
    client.shutdown(PATIENCE_MS).unwrap();

    let anywhere = WEBEX_CLIENT_INSECURE_ANYWHERE;
    for (origin, flags) in [
        ("https://cloud.example.invalid", WEBEX_CLIENT_INSECURE),
        ("http://cloud.example.invalid", 0),
    ] {
        let refused = Client::with(&sandbox, origin, flags, false).unwrap_err();
        assert_eq!(refused, Status::Configuration, "{origin}");
        Client::with(&sandbox, origin, flags | anywhere, false).unwrap();
    }
    let both = Client::with(&sandbox, here, WEBEX_CLIENT_FEDRAMP, false).unwrap_err();
    assert_eq!(both, Status::InvalidArgument);
    assert_eq!(Client::with(&sandbox, here, 8, false).unwrap_err(), Status::InvalidArgument);
}

/// A client, freed at the end of its test.
#[derive(Debug)]
struct Client {
    handle: u64,
    token: String,
}

/// An event that outlives the library's.
#[derive(Debug)]
struct Owned {
    kind: EventKind,
    source: Source,
    status: Status,
    request_id: u64,
    object: u64,
    name: String,
    message: Option<String>,
    json: Value,
}

impl Client {
    fn of(sandbox: &Sandbox) -> Self {
        Self::with(sandbox, sandbox.origin().as_str(), 0, true).unwrap()
    }

    /// A client with flags, for the sandbox's user at an origin; `trusting` adds its root certificate.
    fn with(sandbox: &Sandbox, origin: &str, flags: u32, trusting: bool) -> Result<Self, Status> {
        let text = |text: &str| CString::new(text).unwrap();
        let (token, origin) = (text(sandbox.token()), text(origin));
        let ca = text(sandbox.ca_pem().unwrap());
        let options = ClientOptions {
            struct_size: size_of::<ClientOptions>() as u32,
            flags,
            access_token: token.as_ptr().cast(),
            cloud_origin: origin.as_ptr().cast(),
            ca_file: ptr::null(),
            ca_pem: if trusting { ca.as_ptr().cast() } else { ptr::null() },
            device_name: ptr::null(),
        };
        let mut client = 0;
        // SAFETY: texts and a place for the result that outlive the call.
        let status = unsafe { webex_client_new(&raw const options, &raw mut client) };
        let token = sandbox.token().to_owned();
        if status == Status::Ok { Ok(Self { handle: client, token }) } else { Err(status) }
    }

    /// Starts calling and returns its line.
    fn line(&self) -> u64 {
        self.calling().1
    }

    /// Starts calling and returns it and its line.
    fn calling(&self) -> (u64, u64) {
        let (mut calling, mut line) = (0, 0);
        // SAFETY: no options, and places for the results.
        let status = unsafe {
            webex_calling_new(self.handle, ptr::null(), &raw mut calling, ptr::null_mut())
        };
        assert_eq!(status, Status::Ok);
        let mut completed = self.next_of(EventKind::Completed);
        while completed.source != Source::Calling {
            completed = self.next_of(EventKind::Completed);
        }
        assert_eq!((completed.status, completed.object), (Status::Ok, calling));
        // SAFETY: a place for the result.
        assert_eq!(unsafe { webex_calling_line(calling, 0, &raw mut line) }, Status::Ok);
        (calling, line)
    }

    fn register_meetings(&self) -> u64 {
        let mut request = 0;
        // SAFETY: a place for the result.
        let status = unsafe { webex_meetings_register(self.handle, &raw mut request) };
        assert_eq!(status, Status::Ok);
        request
    }

    fn meetings_phase(&self) -> MeetingsPhase {
        let mut phase = MeetingsPhase::Other;
        // SAFETY: a place for the result.
        assert_eq!(unsafe { webex_meetings_state(self.handle, &raw mut phase) }, Status::Ok);
        phase
    }

    /// Shuts down; the error has message and tracking id.
    fn shutdown(&self, timeout_ms: u32) -> Result<(), (Status, String, Option<String>)> {
        // SAFETY: the texts live until the next failure of this thread.
        unsafe {
            match webex_client_shutdown(self.handle, timeout_ms) {
                Status::Ok => Ok(()),
                status => {
                    let message = text(webex_last_error_message().cast());
                    let tracking_id = text(webex_last_error_tracking_id().cast());
                    Err((status, message.expect("a failure has one"), tracking_id))
                }
            }
        }
    }

    fn next(&self) -> Owned {
        self.next_within(PATIENCE_MS)
    }

    /// An event that is already there.
    fn next_at_once(&self) -> Owned {
        self.next_within(0)
    }

    /// The next event, without the steps of a registration, which come in no fixed order, and
    /// `meetings:ready`, which comes once by itself.
    fn next_within(&self, timeout_ms: u32) -> Owned {
        loop {
            let event = self.any_within(timeout_ms);
            if !matches!(event.kind, EventKind::MeetingsStep | EventKind::MeetingsReady) {
                return event;
            }
        }
    }

    fn any_within(&self, timeout_ms: u32) -> Owned {
        let mut event = std::mem::MaybeUninit::<Event>::zeroed();
        // SAFETY: writable, begins with its size as set here; read after it was written. The texts
        // live until the next call on this thread.
        unsafe {
            event.as_mut_ptr().cast::<u32>().write(size_of::<Event>() as u32);
            let status = webex_client_next_event(self.handle, timeout_ms, event.as_mut_ptr());
            assert_eq!(status, Status::Ok, "{:?}", text(webex_last_error_message().cast()));
            let event = event.assume_init();
            let json = text(event.json.cast()).expect("never NULL");
            assert_eq!(
                (json.len(), event.struct_size),
                (event.json_len, size_of::<Event>() as u32)
            );
            let owned = Owned {
                kind: event.kind,
                source: event.source,
                status: event.status,
                request_id: event.request_id,
                object: event.object,
                name: text(event.name.cast()).expect("never NULL"),
                message: text(event.message.cast()),
                json: serde_json::from_str(&json).expect("JSON"),
            };
            assert!(!format!("{owned:?}").contains(&self.token), "an event holds the token");
            owned
        }
    }

    /// The next event of a kind.
    fn next_of(&self, kind: EventKind) -> Owned {
        loop {
            let event = self.next();
            if event.kind == kind {
                return event;
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: takes no pointer.
        unsafe { webex_client_free(self.handle) };
    }
}

/// # Safety
/// NULL or NUL-terminated.
unsafe fn text(pointer: *const std::ffi::c_char) -> Option<String> {
    // SAFETY: as promised.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned())
}
