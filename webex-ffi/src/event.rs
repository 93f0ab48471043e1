//! Events: what C sees, and how the SDK's events are converted.
//!
//! A `Message` owns the text of an event while it waits in the queue of its client; an [`Event`] is
//! the view of it that a callback gets.

use std::{
    ffi::{CStr, CString},
    mem::offset_of,
    ptr,
};

use safer_ffi::{c_char, derive_ReprC};
use serde_json::{Map, Value, json};
use webex_sdk::{
    calling::{CallingEvent, LineEvent},
    meetings::MeetingsEvent,
};

use crate::{
    failure::Failure, guard::c_text, handle::ClientHandle, pointer::Versioned, status::Status,
};

/// The kind of an event. Later versions add numbers: ignore unknown ones.
#[derive_ReprC]
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// An asynchronous call has completed; `request_id` is its id, `status` its result. Never dropped.
    Completed = 1,
    /// Events were dropped because they were not read in time. JSON: `{"lost": number}`. Read the
    /// states again.
    Lost = 2,
    /// An event without a number in this version; see its name.
    Other = 3,
    /// `meetings:ready`: the device can be registered.
    MeetingsReady = 16,
    /// `meetings:registered`: the device is registered and events arrive.
    MeetingsRegistered = 17,
    /// `meetings:unregistered`: the device is unregistered.
    MeetingsUnregistered = 18,
    /// `network:disconnected`: the event socket is gone; it is being reopened.
    NetworkDisconnected = 19,
    /// `network:connected`: the event socket is back.
    NetworkConnected = 20,
    /// `meetings:step`: a step of the registration has ended. JSON: `step`, its documented key, and
    /// `succeeded`; the registration succeeds without the optional steps.
    MeetingsStep = 21,
    /// `meetings:failed`: the device or the event socket was refused, so that no events arrive.
    /// JSON: `kind`, `message`, `willRetry`, and if known `httpStatus`, `trackingId`,
    /// `retryAfterMs`.
    MeetingsFailed = 22,
    /// `meetings:retrying`: several attempts to get device and event socket, or the service
    /// catalog, have failed, and they go on. JSON: as for `meetings:failed`.
    MeetingsRetrying = 23,
    /// `connecting`: registration of the line has begun. JSON: `{"reason": "requested" | "retry" |
    /// "new_token"}`.
    LineConnecting = 32,
    /// `registered`: the line is registered. JSON: the properties of the line.
    LineRegistered = 33,
    /// `unregistered`: the line is no longer registered. JSON: `{"reason": "deleted" |
    /// "already_gone" | "not_reachable" | "lost" | "superseded" | "down" | "moved" | "refused"}`,
    /// `willRetry`: whether the line registers again by itself, and if known `retryInMs`; `server`
    /// if one had the line, `error` as for the event `error` if there is one.
    LineUnregistered = 34,
    /// `error`: registration has failed, or was lost for good. JSON: `status`, `type` and `msg` as
    /// documented for line errors, `kind`, and `willRetry`: whether the line goes on by itself; if
    /// known `retryInMs`, `server`, `httpStatus`, `mobiusCode`, `trackingId`, `retryAfterMs`.
    LineError = 35,
    /// `reconnecting`: a keepalive was not answered. JSON: `missed`, and `of`, how many may be
    /// missed, `server`, and `error` as for the event `error`.
    LineReconnecting = 36,
    /// `reconnected`: keepalives are answered again. JSON: `server`.
    LineReconnected = 37,
    /// `server_failed`: one server did not accept the line; the next one is tried. JSON: `server`,
    /// and `error` as for the event `error`.
    LineServerFailed = 38,
    /// `keepalive_missed`: as `reconnecting`, and also for the keepalive that loses the registration.
    LineKeepaliveMissed = 39,
    /// `callingClient:error`: the user's region, or its calling servers, could not be found out.
    /// JSON: `message`, `type`, `status` and `context`, and as for the event `error` `kind`,
    /// `httpStatus`, `trackingId`.
    CallingError = 40,
    /// `changed`: a property of a registered line has changed, such as the phone number, which may
    /// arrive after `registered`. JSON: the properties of the line.
    LineChanged = 41,
    /// `callingClient:retrying`: several attempts to open the event socket have failed, and they go
    /// on. Lines stay registered, but their calls are not announced. JSON: `kind`, `message`,
    /// `willRetry`; where known `httpStatus`, `retryAfterMs`, `trackingId`.
    CallingRetrying = 42,
    /// `callingClient:failed`: the event socket was refused for good, and no events arrive. JSON: as
    /// for `callingClient:retrying`.
    CallingFailed = 43,
    /// `callingClient:connected`: events arrive again.
    CallingConnected = 44,
}

/// Where an event comes from. Later versions add numbers.
#[derive_ReprC]
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The client itself.
    Client = 1,
    /// The client's Meetings device.
    Meetings = 2,
    /// A calling object; `object` is its handle.
    Calling = 3,
    /// A line; `object` is its handle.
    Line = 4,
}

/// An event. Everything in it is borrowed: copy what you need later.
///
/// An event passed to a callback lives until the callback returns. `struct_size` is then the size
/// of the library's version of the struct: read a field of a later version only when it is within
/// that size.
#[derive_ReprC]
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Size of the struct in bytes.
    pub struct_size: u32,
    /// Its kind: one of `webex_event_kind`.
    pub kind: EventKind,
    /// Its source: one of `webex_source`.
    pub source: Source,
    /// The result, for events that end something; the failure, for events that report one; otherwise
    /// `WEBEX_STATUS_OK`.
    pub status: Status,
    /// The asynchronous call that has completed; 0 for other events.
    pub request_id: u64,
    /// The client.
    pub client: ClientHandle,
    /// The handle of the line or calling object; otherwise that of the client.
    pub object: u64,
    /// The documented name of the event, such as `meetings:registered`; `completed` for the
    /// completion of an asynchronous call. Never NULL.
    pub name: *const c_char,
    /// The error message, in English, for a log; NULL unless `status` is a failure.
    pub message: *const c_char,
    /// The details: a JSON object, NUL-terminated UTF-8, `{}` when there are none. A failed call
    /// has `kind` and `message` in it, and if known `trackingId` and `retryAfterMs`. Never NULL.
    pub json: *const c_char,
    /// Length of `json` in bytes, without the NUL.
    pub json_len: usize,
}

// SAFETY: `repr(C)` and begins with a `u32`. It is only written to C, never read, so that the enums
// need no zero value.
unsafe impl Versioned for Event {
    const FIRST_SIZE: usize = offset_of!(Event, json_len) + size_of::<usize>();
}

/// An event that owns its text.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: EventKind,
    source: Source,
    status: Status,
    request_id: u64,
    client: u64,
    object: u64,
    name: CString,
    problem: Option<CString>,
    json: CString,
}

impl Message {
    fn new(
        kind: EventKind,
        source: Source,
        client: u64,
        name: &str,
        json: Map<String, Value>,
    ) -> Self {
        Self {
            kind,
            source,
            status: Status::Ok,
            request_id: 0,
            client,
            object: client,
            name: c_text(name),
            problem: None,
            json: c_text(Value::Object(json).to_string()),
        }
    }

    /// The completion of an asynchronous call.
    pub(crate) fn completed(
        client: u64,
        request_id: u64,
        (source, object): (Source, u64),
        outcome: &Result<(), Failure>,
    ) -> Self {
        let json = outcome.as_ref().err().map(Failure::to_json).unwrap_or_default();
        let message = Self::new(EventKind::Completed, source, client, "completed", json);
        let message = Self { request_id, object, ..message };
        match outcome {
            Ok(()) => message,
            Err(failure) => message.failed(failure),
        }
    }

    /// Reports dropped events of the queue.
    pub(crate) fn lost(client: u64, count: u64) -> Self {
        let json = object(json!({ "lost": count }));
        Self::new(EventKind::Lost, Source::Client, client, "events:lost", json)
    }

    /// An event of the Meetings device.
    pub(crate) fn meetings(client: u64, event: &MeetingsEvent) -> Self {
        let kind = EventKind::of(Source::Meetings, event.name());
        let message = Self::new(kind, Source::Meetings, client, event.name(), event.to_json());
        match event {
            MeetingsEvent::Failed(error) | MeetingsEvent::Retrying(error) => {
                message.failed(&Failure::from(&**error))
            }
            _ => message,
        }
    }

    /// An event of a calling object.
    pub(crate) fn calling(client: u64, calling: u64, event: &CallingEvent) -> Self {
        let kind = EventKind::of(Source::Calling, event.name());
        let message = Self::new(kind, Source::Calling, client, event.name(), event.to_json());
        let message = Self { object: calling, ..message };
        match event {
            CallingEvent::Error(error) => message.failed(&Failure::from(error)),
            CallingEvent::Failed(error) | CallingEvent::Retrying(error) => {
                message.failed(&Failure::from(error))
            }
            _ => message,
        }
    }

    /// An event of a line.
    pub(crate) fn line(client: u64, line: u64, event: &LineEvent) -> Self {
        let failure = match event {
            LineEvent::Error(error) | LineEvent::ServerFailed { error, .. } => {
                Some(Failure::from(error))
            }
            LineEvent::Unregistered { reason, .. } => reason.error().map(Failure::from),
            _ => None,
        };
        let kind = EventKind::of(Source::Line, event.name());
        let message = Self::new(kind, Source::Line, client, event.name(), event.to_json());
        let message = Self { object: line, ..message };
        match failure {
            Some(failure) => message.failed(&failure),
            None => message,
        }
    }

    fn failed(self, failure: &Failure) -> Self {
        let problem = Some(c_text(failure.message.as_str()));
        Self { status: failure.status, problem, ..self }
    }

    /// The view for C; borrows from this message.
    pub(crate) fn view(&self) -> Event {
        let pointer = |text: &CStr| text.as_ptr().cast::<c_char>();
        Event {
            struct_size: size_of::<Event>() as u32,
            kind: self.kind,
            source: self.source,
            status: self.status,
            request_id: self.request_id,
            client: self.client,
            object: self.object,
            name: pointer(&self.name),
            message: self.problem.as_deref().map_or(ptr::null(), pointer),
            json: pointer(&self.json),
            json_len: self.json.as_bytes().len(),
        }
    }
}

impl EventKind {
    /// The number of an event of the SDK, by its documented name. The tests check every name of the
    /// SDK's types, so that none becomes [`Other`](Self::Other) by mistake.
    fn of(source: Source, name: &str) -> Self {
        let numbers: &[(&str, Self)] = match source {
            Source::Client => &[],
            Source::Meetings => &[
                ("meetings:ready", Self::MeetingsReady),
                ("meetings:registered", Self::MeetingsRegistered),
                ("meetings:unregistered", Self::MeetingsUnregistered),
                ("meetings:step", Self::MeetingsStep),
                ("meetings:failed", Self::MeetingsFailed),
                ("meetings:retrying", Self::MeetingsRetrying),
                ("network:disconnected", Self::NetworkDisconnected),
                ("network:connected", Self::NetworkConnected),
            ],
            Source::Calling => &[
                ("callingClient:error", Self::CallingError),
                ("callingClient:retrying", Self::CallingRetrying),
                ("callingClient:failed", Self::CallingFailed),
                ("callingClient:connected", Self::CallingConnected),
            ],
            Source::Line => &[
                ("connecting", Self::LineConnecting),
                ("registered", Self::LineRegistered),
                ("unregistered", Self::LineUnregistered),
                ("error", Self::LineError),
                ("reconnecting", Self::LineReconnecting),
                ("reconnected", Self::LineReconnected),
                ("server_failed", Self::LineServerFailed),
                ("keepalive_missed", Self::LineKeepaliveMissed),
                ("changed", Self::LineChanged),
            ],
        };
        let known = [("events:lost", Self::Lost)];
        let mut all = numbers.iter().chain(&known);
        all.find(|(known, _)| *known == name).map_or(Self::Other, |(_, kind)| *kind)
    }
}

/// An event of the SDK as C gets it: kind, name and JSON. For the test that compares the C
/// interface with the command line.
#[doc(hidden)]
#[derive(Debug)]
pub struct Shown {
    pub kind: EventKind,
    pub name: String,
    pub json: String,
}

impl From<Message> for Shown {
    fn from(message: Message) -> Self {
        let text = |text: &CStr| text.to_string_lossy().into_owned();
        Self { kind: message.kind, name: text(&message.name), json: text(&message.json) }
    }
}

impl From<&MeetingsEvent> for Shown {
    fn from(event: &MeetingsEvent) -> Self {
        Message::meetings(0, event).into()
    }
}

impl From<&CallingEvent> for Shown {
    fn from(event: &CallingEvent) -> Self {
        Message::calling(0, 0, event).into()
    }
}

impl From<&LineEvent> for Shown {
    fn from(event: &LineEvent) -> Self {
        Message::line(0, 0, event).into()
    }
}

fn object(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use webex_sdk::{calling::Connecting, core::HttpError};

    use super::*;

    const CLIENT: u64 = 7;

    fn json_of(message: &Message) -> Value {
        serde_json::from_slice(message.json.as_bytes()).unwrap()
    }

    #[test]
    fn a_completion_has_the_id_and_result_of_its_call() {
        let place = (Source::Calling, 9);
        let ended = Message::completed(CLIENT, 3, place, &Ok(()));
        let event = ended.view();
        assert_eq!((event.request_id, event.object, event.status), (3, 9, Status::Ok));
        assert!(event.message.is_null());
        assert_eq!((json_of(&ended), event.json_len), (json!({}), 2));

        let ended = Message::completed(CLIENT, 4, place, &Err(Failure::freed()));
        assert_eq!(ended.view().status, Status::Cancelled);
        assert_eq!(ended.problem.as_deref(), Some(c"the client was freed"));
        assert_eq!(json_of(&ended)["kind"], "cancelled");
    }

    #[test]
    fn events_keep_their_documented_names() {
        let ready = Message::meetings(CLIENT, &MeetingsEvent::Ready);
        assert_eq!(
            (ready.kind, ready.name.as_c_str()),
            (EventKind::MeetingsReady, c"meetings:ready")
        );
        let begun = LineEvent::Connecting { reason: Connecting::Requested };
        let connecting = Message::line(CLIENT, 9, &begun);
        assert_eq!(connecting.name.as_c_str(), c"connecting");
        assert_eq!((connecting.client, connecting.object), (CLIENT, 9));
        let lost = Message::line(CLIENT, 9, &LineEvent::Lost(5));
        assert_eq!((lost.kind, json_of(&lost)), (EventKind::Lost, json!({ "lost": 5 })));
    }

    #[test]
    fn every_event_has_a_number_of_its_own() {
        let names = [
            (Source::Meetings, MeetingsEvent::NAMES.as_slice()),
            (Source::Calling, CallingEvent::NAMES.as_slice()),
            (Source::Line, LineEvent::NAMES.as_slice()),
        ];
        let mut kinds = HashSet::new();
        for (source, names) in names {
            for name in names {
                let kind = EventKind::of(source, name);
                assert_ne!(kind, EventKind::Other, "{name}");
                assert!(kinds.insert(kind) || kind == EventKind::Lost, "{name}");
            }
        }
    }

    #[test]
    fn a_keepalive_that_was_missed_is_counted() {
        let (host, after) = ("m.example".to_owned(), Duration::from_secs(10));
        let event = LineEvent::Reconnecting {
            missed: 2,
            of: 5,
            server: "https://m.example/".parse().unwrap(),
            error: HttpError::Timeout { host, after }.into(),
        };
        let message = Message::line(CLIENT, 9, &event);
        let json = json_of(&message);
        assert_eq!(message.kind, EventKind::LineReconnecting);
        assert_eq!((&json["missed"], &json["of"]), (&json!(2), &json!(5)));
        assert_eq!(json["server"], "https://m.example/");
        assert_eq!(json["error"]["kind"], "timeout", "{json}");
    }
}
