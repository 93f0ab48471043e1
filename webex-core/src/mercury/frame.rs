//! Frames on the wire.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    envelope::{Envelope, read},
    event::MercuryEvent,
};

/// A frame to the server. The authorization frame is not one of them: it holds the token, which the
/// machine never sees, so the driver writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ClientFrame {
    /// Acknowledges a frame; sent for every frame that has an id.
    Ack {
        /// Id of the acknowledged frame.
        #[serde(rename = "messageId")]
        message_id: String,
    },
    /// Asks for a pong.
    Ping {
        /// Id that the pong repeats.
        id: String,
    },
}

impl ClientFrame {
    /// The frame as JSON text.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// The authorization frame as JSON text. A secret: it holds the token.
pub(crate) fn authorization(id: &str, token: &str, tracking_id: &str) -> String {
    serde_json::json!({
        "id": id,
        "type": "authorization",
        "data": {"token": token},
        "trackingId": tracking_id,
    })
    .to_string()
}

/// A frame from the server, with the fields that the machine reads.
#[derive(Debug, Clone)]
pub(crate) struct ServerFrame {
    /// Id to acknowledge.
    pub(crate) id: Option<String>,
    /// Running number on this socket.
    pub(crate) sequence: Option<u64>,
    /// When the server wrote it, by its clock, in milliseconds since 1970.
    pub(crate) written_ms: Option<i64>,
    /// Its content.
    pub(crate) body: FrameBody,
}

/// The content of a server frame.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub(crate) enum FrameBody {
    /// Answer to the ping whose id the frame has.
    Pong,
    /// The server will shut down; a second socket should be opened.
    Shutdown,
    /// An event.
    Event(Arc<MercuryEvent>),
    /// An unknown type.
    Unknown,
}

/// The longest accepted id of a frame; the service's are UUIDs. It is sent back with the
/// acknowledgement, and held with the event.
const LONGEST_ID: usize = 256;

/// The largest accepted overrides of an event; services override a field or two.
const LARGEST_OVERRIDES: usize = 64 * 1024;

/// Why a frame is rejected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    /// It is not a JSON object.
    #[error("it is no JSON object")]
    Json,
    /// Its id is too long.
    #[error("its id has {0} bytes")]
    Id(usize),
    /// Its overrides are too large.
    #[error("its overrides have {0} bytes")]
    Overrides(usize),
}

/// The events that show that a socket is authorized.
const AUTHORIZED: [&str; 2] = ["mercury.buffer_state", "mercury.registration_status"];

impl ServerFrame {
    /// Parses a text frame.
    pub(crate) fn parse(text: impl Into<Utf8Bytes>) -> Result<Self, FrameError> {
        let text = text.into();
        let envelope: Envelope<'_> = serde_json::from_str(&text).map_err(|_| FrameError::Json)?;
        let size = |field: Option<&RawValue>| field.map_or(0, |field| field.get().len());
        let (id, overrides) = (size(envelope.id), size(envelope.headers));
        if id > LONGEST_ID {
            return Err(FrameError::Id(id));
        }
        if overrides > LARGEST_OVERRIDES {
            return Err(FrameError::Overrides(overrides));
        }
        let id: Option<String> = read(envelope.id);
        let body = match read::<String>(envelope.kind).as_deref() {
            Some("pong") => FrameBody::Pong,
            Some("shutdown") => FrameBody::Shutdown,
            Some(_) => FrameBody::Unknown,
            // An envelope without data still has to be acknowledged and counted.
            None => match MercuryEvent::read(id.clone(), &text, &envelope) {
                Some(event) => FrameBody::Event(Arc::new(event)),
                None => FrameBody::Unknown,
            },
        };
        let written_ms = read(envelope.ws_write_timestamp).filter(|ms| *ms > 0);
        Ok(Self { id, sequence: read(envelope.sequence_number), written_ms, body })
    }

    /// Whether the frame shows that the socket is authorized.
    pub(crate) fn authorizes(&self) -> bool {
        matches!(&self.body, FrameBody::Event(event) if AUTHORIZED.contains(&&*event.event_type))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn client_frames_are_what_the_server_expects() {
        let ack = ClientFrame::Ack { message_id: "m".to_owned() };
        assert_eq!(ack.to_json(), r#"{"type":"ack","messageId":"m"}"#);
        let ping = ClientFrame::Ping { id: "p".to_owned() };
        assert_eq!(ping.to_json(), r#"{"type":"ping","id":"p"}"#);
        let sent: serde_json::Value =
            serde_json::from_str(&authorization("i", "Bearer t", "s_1")).unwrap();
        let expected = serde_json::json!({
            "id": "i", "type": "authorization", "data": {"token": "Bearer t"}, "trackingId": "s_1"
        });
        assert_eq!(sent, expected);
    }

    #[test]
    fn an_event_keeps_its_payload_as_received() {
        let frame = ServerFrame::parse(
            r#"{"id":"e","data":{"eventType":"mobius.call","n":1.50},"sequenceNumber":6,
               "timestamp":1700000000000,"trackingId":"R_1","alertType":"full","headers":{}}"#,
        )
        .unwrap();
        assert_eq!((frame.id.as_deref(), frame.sequence), (Some("e"), Some(6)));
        let FrameBody::Event(event) = frame.body else { panic!("{frame:?}") };
        assert_eq!((event.event_type.as_str(), event.namespace()), ("mobius.call", "mobius"));
        assert_eq!(event.data.get(), r#"{"eventType":"mobius.call","n":1.50}"#);
    }

    #[test]
    fn a_large_payload_is_the_same_text_as_a_small_one() {
        for size in [10, 100_000] {
            let data = format!(r#"{{"eventType":"a.b","text":"{}"}}"#, "é".repeat(size));
            let frame = format!(r#"{{"id":"ü","data":{data},"sequenceNumber":1}}"#);
            let FrameBody::Event(event) = ServerFrame::parse(frame).unwrap().body else {
                panic!("no event")
            };
            assert_eq!(event.data.get(), data);
        }
    }

    #[test]
    fn tells_the_kinds_apart() {
        let kind = |text| ServerFrame::parse(text).unwrap().body;
        assert!(matches!(kind(r#"{"id":"p","type":"pong"}"#), FrameBody::Pong));
        assert!(matches!(kind(r#"{"type":"shutdown"}"#), FrameBody::Shutdown));
        assert!(matches!(kind(r#"{"type":"news"}"#), FrameBody::Unknown));
        assert!(matches!(kind(r#"{"id":"x"}"#), FrameBody::Unknown));
        assert!(matches!(kind(r#"{"id":"x","data":7}"#), FrameBody::Unknown));
        assert_eq!(ServerFrame::parse("nonsense").unwrap_err(), FrameError::Json);
        assert_eq!(ServerFrame::parse("[]").unwrap_err(), FrameError::Json);
    }

    #[test]
    fn the_size_of_ids_and_overrides_is_limited() {
        let frame = |id: usize, header: usize| {
            let (id, value) = ("i".repeat(id), "v".repeat(header));
            let text = format!(
                r#"{{"id":"{id}","data":{{"eventType":"a.b"}},"headers":{{"data.x":"{value}"}}}}"#
            );
            ServerFrame::parse(text).map(|frame| frame.id.map(|id| id.len()))
        };
        let (quotes, around) = (2, r#"{"data.x":""}"#.len());
        assert_eq!((LONGEST_ID, LARGEST_OVERRIDES), (256, 65_536));
        assert_eq!(frame(LONGEST_ID - quotes, 1), Ok(Some(LONGEST_ID - quotes)));
        assert_eq!(frame(LONGEST_ID, 1), Err(FrameError::Id(LONGEST_ID + quotes)));
        assert_eq!(frame(3, LARGEST_OVERRIDES - around), Ok(Some(3)));
        let large = LARGEST_OVERRIDES + around;
        assert_eq!(frame(3, LARGEST_OVERRIDES), Err(FrameError::Overrides(large)));
    }

    #[test]
    fn row_23_a_field_that_is_missing_or_of_a_wrong_kind_does_not_cost_the_frame() {
        for text in [
            r#"{"data":{"eventType":"a.b"}}"#,
            r#"{"id":7,"data":{"eventType":"a.b"},"sequenceNumber":"x","wsWriteTimestamp":{}}"#,
            r#"{"id":null,"type":null,"data":{"eventType":"a.b"},"sequenceNumber":-1}"#,
            r#"{"data":{"eventType":"a.b"},"headers":7,"timestamp":"soon","trackingId":[]}"#,
        ] {
            let frame = ServerFrame::parse(text).unwrap();
            assert_eq!(
                (&frame.id, frame.sequence, frame.written_ms),
                (&None, None, None),
                "{text}"
            );
            let FrameBody::Event(event) = frame.body else { panic!("{text}") };
            assert_eq!((event.event_type.as_str(), event.timestamp), ("a.b", None), "{text}");
        }
    }

    proptest! {
        /// Whatever a server sends, there is no panic, and delivered payloads can be parsed again.
        #[test]
        fn no_frame_causes_a_panic(
            id in "[a-z0-9\"\\\\]{0,6}",
            path in "(data|timestamp|x)?(\\.[a-c0-9]{0,2}){0,40}",
            value in "(null|-?[0-9]{1,25}|\"s\"|\\{\\}|\\[1,2\\]|[a-z\\{]{0,4})",
        ) {
            let (id, path) = (serde_json::Value::from(id), serde_json::Value::from(path));
            let text = format!(
                r#"{{"id":{id},"sequenceNumber":{value},"wsWriteTimestamp":{value},
                    "data":{{"eventType":{id},"a":{value},"b":[1]}},"headers":{{{path}:{value}}}}}"#
            );
            if let Ok(ServerFrame { body: FrameBody::Event(event), .. }) = ServerFrame::parse(&text) {
                prop_assert!(event.data_as::<serde_json::Value>().is_ok());
                let _ = event.payload();
            }
        }
    }

    #[test]
    fn tells_when_it_was_written() {
        let written = |text| ServerFrame::parse(text).unwrap().written_ms;
        assert_eq!(
            written(r#"{"type":"pong","wsWriteTimestamp":1700000000001}"#),
            Some(1_700_000_000_001)
        );
        assert_eq!(written(r#"{"type":"pong","wsWriteTimestamp":0}"#), None);
    }

    #[test]
    fn knows_what_authorizes() {
        let authorizes = |text| ServerFrame::parse(text).unwrap().authorizes();
        assert!(authorizes(r#"{"data":{"eventType":"mercury.buffer_state"}}"#));
        assert!(authorizes(r#"{"data":{"eventType":"mercury.registration_status"}}"#));
        assert!(!authorizes(r#"{"data":{"eventType":"mobius.call"}}"#));
        assert!(!authorizes(r#"{"type":"news","data":{"eventType":"mercury.buffer_state"}}"#));
    }
}
