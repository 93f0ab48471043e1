//! Events of Webex services over Mercury.
//!
//! An event keeps its payload as received JSON text, shared by all listeners. It is parsed on
//! demand, into one of the known payloads ([`MercuryEvent::payload`]) or a type of the caller's
//! ([`MercuryEvent::data_as`]).

use std::{fmt, ops::Range};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tracing::debug;

use super::{
    envelope::{Envelope, read},
    payload::Payload,
};

/// An event of a Webex service, as it came over Mercury.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MercuryEvent {
    /// Id of the envelope.
    pub id: Option<String>,
    /// `namespace.name`, such as `mobius.call`. Empty if the service sent none.
    pub event_type: String,
    /// When the server sent it, in milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// The tracking id to quote to Webex support.
    pub tracking_id: Option<String>,
    /// The payload, as received apart from overrides in the envelope's `headers`.
    pub data: EventData,
}

/// The payload of an event: the text of a JSON value.
///
/// A large payload is not copied but shared with its frame, so that an event of a hundred kilobytes
/// is held once, however many clients receive it.
#[derive(Clone)]
pub struct EventData(Text);

#[derive(Clone)]
enum Text {
    Own(Box<str>),
    Part { frame: Utf8Bytes, range: Range<usize> },
}

/// The largest payload that is copied. Sharing part of a frame keeps the whole read buffer, which
/// would waste memory for a small payload.
const LARGEST_COPIED: usize = 4 * 1024;

impl EventData {
    /// The JSON text.
    pub fn get(&self) -> &str {
        match &self.0 {
            Text::Own(text) => text,
            Text::Part { frame, range } => &frame[range.clone()],
        }
    }

    /// `data` is part of `frame`.
    fn of(frame: &Utf8Bytes, data: &RawValue) -> Self {
        let data = data.get();
        if data.len() <= LARGEST_COPIED {
            return Self::from(data);
        }
        let start = data.as_ptr() as usize - frame.as_str().as_ptr() as usize;
        Self(Text::Part { frame: frame.clone(), range: start..start + data.len() })
    }
}

/// Makes a payload without a frame. The text should be JSON.
impl From<&str> for EventData {
    fn from(text: &str) -> Self {
        Self(Text::Own(text.into()))
    }
}

impl fmt::Debug for EventData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl MercuryEvent {
    /// The part of the event type before the dot: the service.
    pub fn namespace(&self) -> &str {
        self.event_type.split('.').next().unwrap_or_default()
    }

    /// The whole event, the same in every language: `id`, `eventType`, `timestamp`, `trackingId`
    /// and `data`, the payload. Missing fields are left out. Parses on every call.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        };
        put("id", self.id.clone().map(Value::from));
        put("eventType", Some(self.event_type.clone().into()));
        put("timestamp", self.timestamp.map(Value::from));
        put("trackingId", self.tracking_id.clone().map(Value::from));
        put("data", self.data_as().ok());
        map
    }

    /// The payload, parsed into `T`.
    ///
    /// # Errors
    /// Those of `serde_json` when the payload is not a `T`.
    pub fn data_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.get())
    }

    /// The payload, for the events that this SDK knows. Parses on every call.
    pub fn payload(&self) -> Payload {
        let known = match self.event_type.as_str() {
            "mercury.buffer_state" => Some(Payload::BufferState),
            "mercury.registration_status" => self.data_as().map(Payload::RegistrationStatus).ok(),
            "u2c.cache-invalidation" => self.data_as().map(Payload::CacheInvalidation).ok(),
            "ActiveClusterStatusEvent" => self.data_as().map(Payload::ActiveClusters).ok(),
            _ if self.namespace() == "mobius" => self.data_as().map(Payload::Mobius).ok(),
            _ => None,
        };
        known.unwrap_or(Payload::Other)
    }

    /// The event of an envelope; `None` when it has no payload.
    pub(super) fn read(
        id: Option<String>,
        frame: &Utf8Bytes,
        envelope: &Envelope<'_>,
    ) -> Option<Self> {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(borrow, rename = "eventType")]
            event_type: Option<&'a RawValue>,
        }
        let data = envelope.data?;
        let mut event = Self {
            id,
            event_type: String::new(),
            timestamp: read(envelope.timestamp),
            tracking_id: read(envelope.tracking_id),
            data: EventData::of(frame, data),
        };
        if let Some(overrides) = read::<Map<String, Value>>(envelope.headers)
            && !overrides.is_empty()
        {
            event.apply(overrides);
        }
        event.event_type =
            read(serde_json::from_str::<Typed<'_>>(event.data.get()).ok()?.event_type)
                .unwrap_or_default();
        Some(event)
    }

    /// Applies the envelope's overrides: dotted paths that start at the envelope. They may change
    /// what listeners see, but not the id, which is acknowledged.
    fn apply(&mut self, overrides: Map<String, Value>) {
        let Ok(data) = serde_json::from_str(self.data.get()) else { return };
        let mut envelope = Value::Object(Map::from_iter([("data".to_owned(), data)]));
        for (path, value) in overrides.into_iter().take(MOST_OVERRIDES) {
            match (path.as_str(), &value) {
                ("timestamp", Value::Number(number)) => self.timestamp = number.as_i64(),
                ("trackingId", Value::String(id)) => self.tracking_id = Some(id.clone()),
                _ if path.starts_with("data.") => set(&mut envelope, &path, value),
                _ => debug!(path, "an override of something that is not there"),
            }
        }
        let data = envelope.get_mut("data").map(Value::take);
        if let Some(data) = data {
            self.data = EventData::from(data.to_string().as_str());
        }
    }
}

/// Limit of overrides of one event; services send one or two.
const MOST_OVERRIDES: usize = 64;

/// Limit of a path's depth. Deeper ones would make a value that cannot be parsed again.
const DEEPEST: usize = 32;

/// Sets the value at a dotted path, and adds missing objects on the way.
fn set(root: &mut Value, path: &str, new: Value) {
    let segments = || path.split('.');
    if segments().count() > DEEPEST || segments().any(str::is_empty) {
        debug!(path, "an override with a path that cannot be followed");
        return;
    }
    let mut target = root;
    for segment in segments() {
        target = match target {
            Value::Array(items) => {
                let item = segment.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                let Some(item) = item else { return };
                item
            }
            Value::Object(map) => map.entry(segment).or_insert(Value::Null),
            other => {
                *other = Value::Object(Map::new());
                let Value::Object(map) = other else { return };
                map.entry(segment).or_insert(Value::Null)
            }
        };
    }
    *target = new;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> MercuryEvent {
        let frame = Utf8Bytes::from(text);
        let envelope: Envelope<'_> = serde_json::from_str(&frame).unwrap();
        MercuryEvent::read(read(envelope.id), &frame, &envelope).unwrap()
    }

    fn overridden(headers: &str, data: &str) -> String {
        let event = event(&format!(r#"{{"id":"e","data":{data},"headers":{headers}}}"#));
        event.data.get().to_owned()
    }

    #[test]
    fn row_23_overrides_replace_and_create_what_their_path_leads_to() {
        let data = r#"{"eventType":"a.b","x":{"y":1},"list":[{"n":1},2]}"#;
        for (headers, expected) in [
            ("{}", data),
            (r#"{"data.x.y":2}"#, r#"{"eventType":"a.b","list":[{"n":1},2],"x":{"y":2}}"#),
            (
                r#"{"data.x.z":null}"#,
                r#"{"eventType":"a.b","list":[{"n":1},2],"x":{"y":1,"z":null}}"#,
            ),
            (
                r#"{"data.new.deep":[3]}"#,
                r#"{"eventType":"a.b","list":[{"n":1},2],"new":{"deep":[3]},"x":{"y":1}}"#,
            ),
            (r#"{"data.x.y.z":4}"#, r#"{"eventType":"a.b","list":[{"n":1},2],"x":{"y":{"z":4}}}"#),
            (r#"{"data.list.0.n":5}"#, r#"{"eventType":"a.b","list":[{"n":5},2],"x":{"y":1}}"#),
            // What leads nowhere changes nothing, nor does one for the whole.
            (r#"{"data":7}"#, data),
            (r#"{"data.list.9":5}"#, r#"{"eventType":"a.b","list":[{"n":1},2],"x":{"y":1}}"#),
            (
                r#"{"data..x":5,"data.":6,"other":7}"#,
                r#"{"eventType":"a.b","list":[{"n":1},2],"x":{"y":1}}"#,
            ),
        ] {
            let found: Value = serde_json::from_str(&overridden(headers, data)).unwrap();
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(found, expected, "{headers}");
        }
        assert_eq!(overridden("{}", data), data, "untouched, to the letter");
    }

    #[test]
    fn overrides_reach_the_envelope_and_the_name_but_not_the_id() {
        let event = event(
            r#"{"id":"e","data":{"eventType":"a.b"},"timestamp":1,
               "headers":{"data.eventType":"c.d","timestamp":2,"trackingId":"t","id":"other"}}"#,
        );
        assert_eq!((event.id.as_deref(), event.event_type.as_str()), (Some("e"), "c.d"));
        assert_eq!((event.timestamp, event.tracking_id.as_deref()), (Some(2), Some("t")));
    }

    #[test]
    fn a_small_payload_is_copied_and_a_large_one_is_a_part_of_its_frame() {
        assert_eq!(LARGEST_COPIED, 4_096);
        for (size, is_copied) in [(LARGEST_COPIED, true), (LARGEST_COPIED + 1, false)] {
            let text = "x".repeat(size - r#"{"t":""}"#.len());
            let event = event(&format!(r#"{{"data":{{"t":"{text}"}}}}"#));
            assert_eq!(event.data.get().len(), size);
            assert_eq!(matches!(event.data.0, Text::Own(_)), is_copied, "{size}");
        }
    }

    #[test]
    fn a_path_is_followed_to_a_limited_depth() {
        for (segments, is_followed) in [(DEEPEST, true), (DEEPEST + 1, false)] {
            let path = "data".to_owned() + &".a".repeat(segments - 1);
            let found = overridden(&format!(r#"{{"{path}":7}}"#), r#"{"eventType":"a.b"}"#);
            assert_eq!(found.contains(":7"), is_followed, "{segments}");
        }
    }

    #[test]
    fn a_path_without_end_is_not_followed() {
        let path = "data".to_owned() + &".a".repeat(10_000);
        let data = r#"{"eventType":"a.b"}"#;
        assert_eq!(overridden(&format!(r#"{{"{path}":1}}"#), data), data);
    }

    #[test]
    fn known_payloads_are_typed() {
        let payload = |data: &str| event(&format!(r#"{{"data":{data}}}"#)).payload();
        assert_eq!(
            payload(r#"{"eventType":"mercury.buffer_state","bufferState":{}}"#),
            Payload::BufferState
        );
        let status = payload(
            r#"{"eventType":"mercury.registration_status","localClusterServiceUrls":
               {"mercuryApiServiceUrl":"https://m/v1"},"bufferStates":{}}"#,
        );
        let Payload::RegistrationStatus(status) = status else { panic!("{status:?}") };
        let urls = status.local_cluster_service_urls;
        assert_eq!(urls.mercury_api_service_url.unwrap().as_str(), "https://m/v1");
        assert_eq!(urls.mercury_connection_service_url, None);
        let stale = payload(r#"{"eventType":"u2c.cache-invalidation","timestamp":1700000000000}"#);
        let Payload::CacheInvalidation(stale) = stale else { panic!("{stale:?}") };
        assert_eq!(stale.timestamp, 1_700_000_000_000_i64);
        let moved =
            payload(r#"{"eventType":"ActiveClusterStatusEvent","activeClusters":{"wdm":"c2"}}"#);
        let Payload::ActiveClusters(moved) = moved else { panic!("{moved:?}") };
        assert_eq!(moved.active_clusters["wdm"], "c2");
        let call = payload(
            r#"{"eventType":"mobius.call","callId":"c","deviceId":"d","correlationId":""}"#,
        );
        let Payload::Mobius(call) = call else { panic!("{call:?}") };
        assert_eq!(
            (call.event_type.as_str(), call.device_id.as_deref()),
            ("mobius.call", Some("d"))
        );
        // Other events stay JSON, and so do malformed payloads.
        assert_eq!(payload(r#"{"eventType":"locus.difference","n":1}"#), Payload::Other);
        // A field of a wrong kind only affects itself.
        let odd = payload(r#"{"eventType":"mobius.call","callId":7,"deviceId":"d"}"#);
        let Payload::Mobius(odd) = odd else { panic!("{odd:?}") };
        assert_eq!((odd.call_id, odd.device_id.as_deref()), (None, Some("d")));
        assert_eq!(payload(r"{}"), Payload::Other);
    }
}
