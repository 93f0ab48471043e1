//! Mobius, the calling service: wire types and the transport they travel on.
//!
//! [`MobiusTransport`] is what a line needs from the network. HTTP for requests and the event
//! socket for what Mobius says by itself carry it today. Mobius also speaks a websocket of its own,
//! which carries both; it will be another implementation, and the line does not know the
//! difference: every request names its server, a connection is made before the first request to a
//! server and given up after the last, and events come from where the transport gets them.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, future, stream};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use url::Url;
use webex_core::{
    ErrorKind, Http, HttpError, Lease, Link, LinkEvent, REQUEST_TIMEOUT, Request, Webex, join,
    mercury::MercuryEvent,
};

use crate::{
    config::ServiceData,
    registration::{
        machine::NetworkHint,
        timings::{KEEPALIVE_TIMEOUT, PING_TIMEOUT},
    },
};

/// User agent of the reference client on all Mobius requests; the service tells its clients apart
/// by it.
const USER_AGENT: &str = "webex-calling/beta";

/// A future that a transport gives out. It ends by itself, in bounded time.
pub type MobiusFuture<T> = Pin<Box<dyn Future<Output = Result<T, HttpError>> + Send>>;

/// What a transport hears, until it is closed.
pub type MobiusEvents = Pin<Box<dyn Stream<Item = MobiusEvent> + Send>>;

/// What a transport hears without having asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MobiusEvent {
    /// The server has dropped a registration: `registration.down`, or close code 4001 of Mobius'
    /// own websocket.
    RegistrationDown {
        /// Id of the Mobius device; without one it is about every line of this transport.
        device_id: Option<String>,
    },
    /// The network, or the way to it, has changed.
    Network(NetworkHint),
}

/// What a line asks of Mobius.
///
/// A server is named by its calling base, as in [`Servers`](crate::Servers). Dropping a future
/// withdraws the request where that is still possible.
pub trait MobiusTransport: fmt::Debug + Send + Sync + 'static {
    /// Makes ready for requests to a server: one attempt, without repeating it, so that the next
    /// server is tried soon. Does nothing when that has been done.
    fn connect(&self, _server: &Url) -> MobiusFuture<()> {
        Box::pin(future::ready(Ok(())))
    }

    /// Registers the user's line with a server.
    fn register(&self, server: &Url) -> MobiusFuture<Registration>;

    /// Tells the server that the line is still there.
    fn keepalive(&self, server: &Url, device: &MobiusDevice) -> MobiusFuture<()>;

    /// Gives up a registration with a server.
    fn unregister(&self, server: &Url, device: &MobiusDevice) -> MobiusFuture<()>;

    /// Asks a server whether it is up. Needs no [`connect`](Self::connect).
    fn ping(&self, server: &Url) -> MobiusFuture<()>;

    /// The server is not needed any more, for now: nothing is registered with it.
    fn disconnect(&self, _server: &Url) {}

    /// The `clientDeviceUri` that the last registration was asked for with.
    fn client_device_uri(&self) -> Option<String>;

    /// What is heard from now on.
    fn events(&self) -> MobiusEvents;
}

/// A registration as the server grants it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Registration {
    /// Id of the user.
    #[serde(default)]
    pub user_id: Option<String>,
    /// The registered device.
    pub device: MobiusDevice,
    /// Time between keepalives.
    #[serde(default, deserialize_with = "seconds")]
    pub keepalive_interval: Option<Duration>,
    /// Time between keepalives of a call.
    #[serde(default, deserialize_with = "seconds")]
    pub call_keepalive_interval: Option<Duration>,
    /// The soonest return from a backup server to a primary. Minutes on the wire.
    #[serde(default, deserialize_with = "minutes")]
    pub rehoming_interval_min: Option<Duration>,
    /// The latest return from a backup server to a primary. Minutes on the wire.
    #[serde(default, deserialize_with = "minutes")]
    pub rehoming_interval_max: Option<Duration>,
    /// Reserved for Webex Contact Center.
    #[serde(default, deserialize_with = "number")]
    pub voice_portal_number: Option<u64>,
    /// Reserved for Webex Contact Center.
    #[serde(default, deserialize_with = "number")]
    pub voice_portal_extension: Option<u64>,
}

/// A line as Mobius knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MobiusDevice {
    /// Id of the registration.
    pub device_id: String,
    /// Its address, for keepalives.
    pub uri: Url,
    /// When the server last heard of it, as the server writes it (RFC 3339).
    #[serde(default)]
    pub last_seen: Option<String>,
    /// SIP addresses of the line.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The WDM device it belongs to.
    #[serde(default)]
    pub client_device_uri: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegisterRequest<'a, S> {
    user_id: &'a str,
    client_device_uri: &'a str,
    service_data: S,
}

/// Mobius over HTTP, and its events over the user's event socket.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    http: Http,
    link: Link,
    lease: Arc<Lease>,
    service_data: Arc<ServiceData>,
    client_device_uri: Arc<Mutex<Option<String>>>,
}

impl HttpTransport {
    pub(crate) fn new(webex: &Webex, lease: Arc<Lease>, service_data: ServiceData) -> Self {
        let (http, link) = (webex.http().clone(), webex.link().clone());
        let (service_data, client_device_uri) = (Arc::new(service_data), Arc::default());
        Self { http, link, lease, service_data, client_device_uri }
    }
}

/// The path of calling below a Mobius base URL.
const CALLING: &str = "calling/web/";

impl MobiusTransport for HttpTransport {
    fn register(&self, server: &Url) -> MobiusFuture<Registration> {
        let url = join(server, "device");
        let (http, lease) = (self.http.clone(), Arc::clone(&self.lease));
        let service_data = Arc::clone(&self.service_data);
        let client_device_uri = Arc::clone(&self.client_device_uri);
        Box::pin(async move {
            // The device of this moment: it may have been registered anew since the line was made.
            // While there is none, no server can take the line; the wait must end all the same.
            let device = match tokio::time::timeout(REQUEST_TIMEOUT, lease.device()).await {
                Ok(device) => device.map_err(|e| no_device(e.kind(), e.to_string()))?,
                Err(_) => return Err(no_device(ErrorKind::Timeout, "not in time".to_owned())),
            };
            *client_device_uri.lock() = Some(device.url.to_string());
            let body = RegisterRequest {
                user_id: &device.user_id,
                client_device_uri: device.url.as_str(),
                service_data: service_data.on_the_wire(),
            };
            http.send(mobius(Request::post(url).json(&body))).await?.json()
        })
    }

    fn keepalive(&self, _server: &Url, device: &MobiusDevice) -> MobiusFuture<()> {
        let request = Request::post(join(&device.uri, "status")).timeout(KEEPALIVE_TIMEOUT);
        self.send(request)
    }

    fn unregister(&self, server: &Url, device: &MobiusDevice) -> MobiusFuture<()> {
        let mut request = Request::delete(join(server, &format!("devices/{}", device.device_id)));
        if let Some(uri) = &device.client_device_uri {
            request = request.header("cisco-device-url", uri);
        }
        self.send(request)
    }

    fn ping(&self, server: &Url) -> MobiusFuture<()> {
        let base = server.as_str().strip_suffix(CALLING).and_then(|base| base.parse().ok());
        let url = join(base.as_ref().unwrap_or(server), "ping");
        self.send(Request::get(url).timeout(PING_TIMEOUT))
    }

    fn client_device_uri(&self) -> Option<String> {
        self.client_device_uri.lock().clone()
    }

    fn events(&self) -> MobiusEvents {
        Box::pin(stream::unfold(self.link.subscribe(), |mut link| async move {
            loop {
                let heard = match link.next().await? {
                    LinkEvent::Online => Some(MobiusEvent::Network(NetworkHint::Online)),
                    LinkEvent::Offline => Some(MobiusEvent::Network(NetworkHint::Offline)),
                    LinkEvent::NetworkChanged => Some(MobiusEvent::Network(NetworkHint::Changed)),
                    LinkEvent::Resumed => Some(MobiusEvent::Network(NetworkHint::Resumed)),
                    LinkEvent::Event(event) => registration_down(&event),
                    _ => None,
                };
                if let Some(heard) = heard {
                    return Some((heard, link));
                }
            }
        }))
    }
}

fn no_device(kind: ErrorKind, reason: String) -> HttpError {
    HttpError::NoDevice { kind, reason }
}

impl HttpTransport {
    /// Sends a request of whose answer only the status matters.
    fn send(&self, request: Request) -> MobiusFuture<()> {
        let http = self.http.clone();
        Box::pin(async move { http.send(mobius(request)).await.map(drop) })
    }
}

/// The events that say that a registration is gone. Mobius' websocket names it without the
/// namespace that the event socket needs.
const REGISTRATION_DOWN: [&str; 2] = ["registration.down", "mobius.registration.down"];

fn registration_down(event: &MercuryEvent) -> Option<MobiusEvent> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Down {
        device_id: Option<String>,
        device: Option<Device>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Device {
        device_id: Option<String>,
    }
    if !REGISTRATION_DOWN.contains(&event.event_type.as_str()) {
        return None;
    }
    let down: Down = event.data_as().unwrap_or_default();
    let device_id = down.device_id.or_else(|| down.device?.device_id);
    Some(MobiusEvent::RegistrationDown { device_id })
}

/// The devices that an answer 403 with code 101 lists. What is no device is left out.
pub(crate) fn listed_devices(error: &HttpError) -> Vec<MobiusDevice> {
    #[derive(Deserialize)]
    struct Body {
        devices: Vec<Value>,
    }
    let body = error.service().and_then(|answer| serde_json::from_slice(&answer.body).ok());
    let listed = body.map_or_else(Vec::new, |Body { devices }| devices);
    listed.into_iter().filter_map(|device| serde_json::from_value(device).ok()).collect()
}

/// Marks a request as one of calling.
pub(crate) fn mobius(request: Request) -> Request {
    request.header("spark-user-agent", USER_AGENT)
}

/// The calling base of a Mobius URL: `https://host/api/v1` gives `https://host/api/v1/calling/web/`.
pub(crate) fn calling_base(mobius: &Url) -> Url {
    join(mobius, CALLING)
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    // Some services write numbers as text; what is no number at all is as good as missing.
    Ok(match Value::deserialize(from)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let seconds = match Value::deserialize(from)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
}

fn minutes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    Ok(seconds(from)?.map(|minutes| minutes.saturating_mul(60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_full_answer_in_its_units() {
        let answer: Registration = serde_json::from_str(
            r#"{"userId":"u","device":{"deviceId":"d","uri":"https://m/api/v1/calling/web/devices/d",
               "status":"active","lastSeen":"2025-01-01T00:00:00Z","addresses":["sip:a@b"]},
               "keepaliveInterval":30,"callKeepaliveInterval":600,"rehomingIntervalMin":60,
               "rehomingIntervalMax":"120","voicePortalNumber":0,"voicePortalExtension":null}"#,
        )
        .unwrap();
        assert_eq!(answer.keepalive_interval, Some(Duration::from_secs(30)));
        assert_eq!(answer.rehoming_interval_min, Some(Duration::from_secs(3600)));
        assert_eq!(answer.rehoming_interval_max, Some(Duration::from_secs(7200)));
        assert_eq!(answer.voice_portal_number, Some(0));
        assert_eq!(answer.voice_portal_extension, None);
        assert_eq!(answer.device.addresses, ["sip:a@b"]);
    }

    #[test]
    fn reads_a_minimal_answer() {
        let minimal = r#"{"device":{"deviceId":"d","uri":"https://m/d"}}"#;
        let answer: Registration = serde_json::from_str(minimal).unwrap();
        assert_eq!(answer.keepalive_interval, None);
        assert_eq!(answer.device.addresses, Vec::<String>::new());
        assert!(serde_json::from_str::<Registration>(r#"{"device":{}}"#).is_err());
    }

    #[test]
    fn the_register_body_is_what_mobius_expects() {
        let service_data = ServiceData::default();
        let body = RegisterRequest {
            user_id: "u",
            client_device_uri: "https://wdm/devices/1",
            service_data: service_data.on_the_wire(),
        };
        insta::assert_json_snapshot!(body, @r#"
        {
          "userId": "u",
          "clientDeviceUri": "https://wdm/devices/1",
          "serviceData": {
            "indicator": "calling",
            "domain": ""
          }
        }
        "#);
    }

    #[test]
    fn addresses_have_one_slash() {
        for base in ["https://m/api/v1", "https://m/api/v1/"] {
            let base = calling_base(&Url::parse(base).unwrap());
            assert_eq!(base.as_str(), "https://m/api/v1/calling/web/");
            assert_eq!(join(&base, "device").as_str(), "https://m/api/v1/calling/web/device");
        }
    }
}
