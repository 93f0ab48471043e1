//! Frames on the wire.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// A frame to the server. The authorization frame is not among them: it holds the token, which the
/// machine never sees; the driver writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ClientFrame {
    /// "I have this frame": sent for every frame that has an id.
    Ack {
        /// Id of the acknowledged frame.
        #[serde(rename = "messageId")]
        message_id: String,
    },
    /// "Are you there?"
    Ping {
        /// Id that the pong repeats.
        id: String,
    },
}

impl ClientFrame {
    /// The frame as JSON text.
    pub fn to_json(&self) -> String {
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

/// An event of a Webex service, as it came over Mercury.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MercuryEvent {
    /// Id of the envelope.
    pub id: Option<String>,
    /// `namespace.name`, such as `mobius.call`. Empty where the service gave none.
    #[serde(skip)]
    pub event_type: String,
    /// When the server sent it, in milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// The tracking id to quote to Webex support.
    pub tracking_id: Option<String>,
    /// The payload as received: a JSON object.
    pub data: Box<RawValue>,
}

impl MercuryEvent {
    /// The part of the event type before the dot: the service that speaks.
    pub fn namespace(&self) -> &str {
        self.event_type.split('.').next().unwrap_or_default()
    }

    /// The payload, parsed into `T`.
    ///
    /// # Errors
    /// Those of `serde_json` when the payload is not a `T`.
    pub fn data_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.get())
    }
}

/// A frame from the server, as far as the machine reads it.
#[derive(Debug, Clone)]
pub struct ServerFrame {
    /// Id to acknowledge.
    pub id: Option<String>,
    /// Running number on this socket.
    pub sequence: Option<u64>,
    /// What it says.
    pub body: FrameBody,
}

/// What a server frame says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FrameBody {
    /// Answer to the ping whose id the frame has.
    Pong,
    /// The server will go away; a second socket should be opened.
    Shutdown,
    /// An event.
    Event(Arc<MercuryEvent>),
    /// A type that is not known.
    Unknown,
}

/// The events that tell that a socket is authorized.
const AUTHORIZED: [&str; 2] = ["mercury.buffer_state", "mercury.registration_status"];

impl ServerFrame {
    /// Parses a text frame.
    ///
    /// # Errors
    /// Those of `serde_json` when the text is no JSON object.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let head: Head<'_> = serde_json::from_str(text)?;
        let body = match head.kind.as_deref() {
            Some("pong") => FrameBody::Pong,
            Some("shutdown") => FrameBody::Shutdown,
            Some(_) => FrameBody::Unknown,
            None => match serde_json::from_str::<MercuryEvent>(text) {
                Ok(mut event) => {
                    event.event_type = event_type(&event.data);
                    FrameBody::Event(Arc::new(event))
                }
                // An envelope without data: still to be acknowledged and counted.
                Err(_) => FrameBody::Unknown,
            },
        };
        let id = head.id.map(Cow::into_owned);
        Ok(Self { id, sequence: head.sequence_number, body })
    }

    /// Whether the frame tells that the socket is authorized.
    pub fn authorizes(&self) -> bool {
        matches!(&self.body, FrameBody::Event(event) if AUTHORIZED.contains(&&*event.event_type))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    sequence_number: Option<u64>,
}

fn event_type(data: &RawValue) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        event_type: Option<String>,
    }
    serde_json::from_str::<Typed>(data.get()).ok().and_then(|d| d.event_type).unwrap_or_default()
}

#[cfg(test)]
mod tests {
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
    fn tells_the_kinds_apart() {
        let kind = |text| ServerFrame::parse(text).unwrap().body;
        assert!(matches!(kind(r#"{"id":"p","type":"pong"}"#), FrameBody::Pong));
        assert!(matches!(kind(r#"{"type":"shutdown"}"#), FrameBody::Shutdown));
        assert!(matches!(kind(r#"{"type":"news"}"#), FrameBody::Unknown));
        assert!(matches!(kind(r#"{"id":"x"}"#), FrameBody::Unknown));
        assert!(ServerFrame::parse("nonsense").is_err());
        assert!(ServerFrame::parse("[]").is_err());
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
