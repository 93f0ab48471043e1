//! Events of the link.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::error::LinkError;
use crate::{
    device::record::Device,
    events::Lossy,
    mercury::{event::MercuryEvent, switchover::Switchover},
};

/// An event of the link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The socket is online, for the first time or again.
    Online,
    /// The socket is gone; it is reopened while a lease is held.
    Offline,
    /// The link is wanted, but was refused: the device by its service, or the socket with a close
    /// code that forbids to come back, such as 4000 `Replaced`. There are no further attempts until
    /// the link is acquired again, except that a failure for lack of a token
    /// ([`LinkError::will_retry`]) ends by itself when there is a new one.
    Failed(LinkError),
    /// The link is wanted and not up: several attempts have failed, the latest for this reason, and
    /// they go on. Sent once until the link is up.
    Retrying(LinkError),
    /// The server of the socket has announced its end; reports the progress of the change to
    /// another one. Events keep arriving in the meantime, each once.
    Switchover(Switchover),
    /// An event of a Webex service.
    Event(Arc<MercuryEvent>),
    /// Events were lost in transit: state that is derived from events has to be fetched again.
    SequenceGap {
        /// The expected number.
        expected: u64,
        /// The received number.
        actual: u64,
    },
    /// A new device was registered, with another address: services that were given the old address
    /// need the new one.
    DeviceReplaced(Arc<Device>),
    /// There is a new token, by renewal or a new sign-in: what failed for lack of one may be tried
    /// again.
    TokenAvailable,
    /// The network may have changed: [`Webex::network_changed`](crate::Webex::network_changed) was
    /// called. Retries that are waiting may run now, and connections that depend on the network
    /// path may be checked.
    NetworkChanged,
    /// The machine has slept, or may have: detected by the SDK, or reported by
    /// [`Webex::resumed`](crate::Webex::resumed). Timers that should have fired in the meantime
    /// have not.
    Resumed,
    /// This reader was too slow; this many events were dropped.
    Lost(u64),
}

impl LinkEvent {
    /// A stable name. Events of a Webex service are named `event:` plus their type in [`to_json`].
    ///
    /// [`to_json`]: Self::to_json
    pub fn name(&self) -> &'static str {
        match self {
            Self::Online => "link:online",
            Self::Offline => "link:offline",
            Self::Failed(_) => "link:failed",
            Self::Retrying(_) => "link:retrying",
            Self::Switchover(_) => "link:switchover",
            Self::Event(_) => "event",
            Self::SequenceGap { .. } => "link:sequenceGap",
            Self::DeviceReplaced(_) => "link:deviceReplaced",
            Self::TokenAvailable => "link:tokenAvailable",
            Self::NetworkChanged => "link:networkChanged",
            Self::Resumed => "link:resumed",
            Self::Lost(_) => "events:lost",
        }
    }

    /// The details, the same in every language: a JSON object. `docs/events.md` lists them.
    pub fn to_json(&self) -> Map<String, Value> {
        let object = match self {
            Self::Online
            | Self::Offline
            | Self::TokenAvailable
            | Self::NetworkChanged
            | Self::Resumed => json!({}),
            Self::Failed(error) => return with_retry(error, error.will_retry()),
            Self::Retrying(error) => return with_retry(error, true),
            Self::Switchover(switchover) => switchover.to_json(),
            Self::Event(event) => return event.to_json(),
            Self::SequenceGap { expected, actual } => {
                json!({"expected": expected, "actual": actual})
            }
            Self::DeviceReplaced(device) => json!({"device": device.url}),
            Self::Lost(count) => json!({"lost": count}),
        };
        match object {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

fn with_retry(error: &LinkError, will_retry: bool) -> Map<String, Value> {
    let mut map = error.to_json();
    map.insert("willRetry".to_owned(), will_retry.into());
    map
}

impl Lossy for LinkEvent {
    fn lost(count: u64) -> Self {
        Self::Lost(count)
    }

    fn size(&self) -> usize {
        match self {
            Self::Event(event) => event.data.get().len(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::{
        error::{HttpError, ServiceError},
        mercury::{
            close::Stop,
            failure::SocketFailure,
            frame::{FrameBody, ServerFrame},
        },
    };

    /// What the device service answers, with all that an answer can tell.
    fn refused(status: u16) -> LinkError {
        let source = HttpError::Status(Arc::new(ServiceError {
            host: "wdm.example".to_owned(),
            status: status.try_into().unwrap(),
            message: None,
            error_code: None,
            tracking_id: Some(webex_auth::ServerText::new("sdk_1")),
            retry_after: Some(Duration::from_millis(1500)),
            body: Bytes::new(),
        }));
        LinkError::Device { action: "registered", source }
    }

    fn event(text: &str) -> LinkEvent {
        let FrameBody::Event(event) = ServerFrame::parse(text).unwrap().body else { panic!() };
        LinkEvent::Event(event)
    }

    fn device() -> Arc<Device> {
        let json = r#"{"url":"https://w/1","webSocketUrl":"wss://m/1","userId":"u"}"#;
        Arc::new(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_event_has_its_name_and_its_details() {
        let socket = |failure| LinkEvent::Retrying(LinkError::Socket(failure));
        let of_socket = |kind: &str, message: &str| {
            json!({"kind": kind, "willRetry": true,
                "message": format!("the event socket cannot be opened: {message}")})
        };
        for (event, name, details) in [
            (LinkEvent::Online, "link:online", json!({})),
            (LinkEvent::Offline, "link:offline", json!({})),
            (LinkEvent::TokenAvailable, "link:tokenAvailable", json!({})),
            (LinkEvent::NetworkChanged, "link:networkChanged", json!({})),
            (LinkEvent::Resumed, "link:resumed", json!({})),
            (
                LinkEvent::SequenceGap { expected: 3, actual: 5 },
                "link:sequenceGap",
                json!({"expected": 3, "actual": 5}),
            ),
            (
                LinkEvent::DeviceReplaced(device()),
                "link:deviceReplaced",
                json!({"device": "https://w/1"}),
            ),
            (LinkEvent::lost(7), "events:lost", json!({"lost": 7})),
            (
                LinkEvent::Switchover(Switchover::Announced),
                "link:switchover",
                json!({"phase": "announced"}),
            ),
            (
                LinkEvent::Switchover(Switchover::Complete),
                "link:switchover",
                json!({"phase": "complete"}),
            ),
            (
                LinkEvent::Switchover(Switchover::Failed(Stop::NotEntitled)),
                "link:switchover",
                json!({"phase": "failed", "reason": "notEntitled"}),
            ),
            (
                event(
                    r#"{"id":"e","timestamp":9,"trackingId":"t","data":{"eventType":"a.b","n":1}}"#,
                ),
                "event",
                json!({"id": "e", "eventType": "a.b", "timestamp": 9, "trackingId": "t",
                    "data": {"eventType": "a.b", "n": 1}}),
            ),
            (
                event(r#"{"data":{"eventType":"a.b"}}"#),
                "event",
                json!({"eventType": "a.b", "data": {"eventType": "a.b"}}),
            ),
            (
                socket(SocketFailure::Status(503)),
                "link:retrying",
                json!({"kind": "server", "willRetry": true, "httpStatus": 503, "message":
                    "the event socket cannot be opened: the upgrade was answered with HTTP status 503"}),
            ),
            (
                socket(SocketFailure::Unanswered),
                "link:retrying",
                of_socket("timeout", "nobody answered in time"),
            ),
            (
                socket(SocketFailure::Closed(1011)),
                "link:retrying",
                of_socket("protocol", "it was closed with code 1011"),
            ),
        ] {
            assert_eq!(event.name(), name, "{event:?}");
            let found = event.to_json();
            assert_eq!(Value::Object(found), details, "{event:?}");
        }
    }

    #[test]
    fn a_failure_tells_what_the_service_said_and_whether_a_token_helps() {
        for (status, kind, will_retry) in [(403, "forbidden", false), (401, "unauthorized", true)] {
            let error = refused(status);
            assert_eq!((error.will_retry(), error.tracking_id()), (will_retry, Some("sdk_1")));
            let event = LinkEvent::Failed(error.clone());
            assert_eq!(event.name(), "link:failed");
            let details = json!({"kind": kind, "message": error.to_string(), "httpStatus": status,
                "retryAfterMs": 1500, "trackingId": "sdk_1", "willRetry": will_retry});
            assert_eq!(Value::Object(event.to_json()), details);
        }
        // A stop of the socket has no answer; its text says why.
        for (stop, name, text) in [
            (Stop::BadRequest, "badRequest", "credentials cannot be used"),
            (Stop::NotEntitled, "notEntitled", "not entitled"),
            (Stop::Replaced, "replaced", "took over"),
            (Stop::Unauthorized, "unauthorized", "sign in again"),
            (Stop::Untrusted, "untrusted", "may not receive"),
        ] {
            let error = LinkError::Refused(stop);
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(stop.name(), name);
            assert_eq!((error.tracking_id(), error.will_retry()), (None, name == "unauthorized"));
            assert!(!error.to_json().contains_key("httpStatus"));
        }
    }

    #[test]
    fn a_failure_of_the_socket_has_a_stable_name() {
        for (failure, name) in [
            (SocketFailure::Unanswered, "unanswered"),
            (SocketFailure::Broken, "broken"),
            (SocketFailure::Status(500), "status"),
            (SocketFailure::NotAuthorized, "notAuthorized"),
            (SocketFailure::Closed(1006), "closed"),
        ] {
            assert_eq!(failure.name(), name);
        }
    }

    #[test]
    fn only_the_payload_of_an_event_counts_for_the_memory_of_a_queue() {
        let large = event(r#"{"id":"e","data":{"eventType":"a.b"}}"#);
        assert_eq!(large.size(), r#"{"eventType":"a.b"}"#.len());
        assert_eq!(LinkEvent::Online.size(), 0);
    }
}
