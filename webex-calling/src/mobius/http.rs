//! Mobius over HTTP, with the user's event socket for what it sends unasked.

use std::sync::Arc;

use futures_util::stream;
use parking_lot::Mutex;
use serde::Deserialize;
use url::Url;
use webex_core::{
    ErrorKind, Http, HttpError, Lease, Link, LinkEvent, REQUEST_TIMEOUT, Request, Webex, join,
    lenient, mercury::MercuryEvent,
};

use super::{
    timings::{KEEPALIVE_TIMEOUT, PING_TIMEOUT},
    transport::{
        MobiusEvent, MobiusEvents, MobiusFuture, MobiusTransport, NetworkHint, RegisterError,
    },
    wire::{Made, MobiusDevice, RegisterRequest, Registration},
};
use crate::model::config::ServiceData;

/// The reference client's user agent on all Mobius requests. The service tells clients apart by it.
const USER_AGENT: &str = "webex-calling/beta";

/// The largest answer of Mobius that is read, in bytes; a registration takes about one kilobyte, a
/// list of servers a few.
pub(crate) const ANSWER_LIMIT: usize = 256 * 1024;

/// The path of calling below a Mobius base URL.
const CALLING: &str = "calling/web/";

/// The transport of one line.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    http: Http,
    link: Link,
    lease: Arc<Lease>,
    service_data: Arc<ServiceData>,
    /// The WDM devices of the last registration requests, newest first.
    client_devices: Arc<Mutex<Vec<String>>>,
}

impl HttpTransport {
    pub(crate) fn new(webex: &Webex, lease: Arc<Lease>, service_data: ServiceData) -> Self {
        let (http, link) = (webex.http().clone(), webex.link().clone());
        let (service_data, client_devices) = (Arc::new(service_data), Arc::default());
        Self { http, link, lease, service_data, client_devices }
    }
}

impl MobiusTransport for HttpTransport {
    fn register(&self, server: &Url) -> MobiusFuture<Registration, RegisterError> {
        let (server, url) = (server.clone(), join(server, "device"));
        let (http, lease) = (self.http.clone(), Arc::clone(&self.lease));
        let service_data = Arc::clone(&self.service_data);
        let client_devices = Arc::clone(&self.client_devices);
        Box::pin(async move {
            // The present device: it may have been registered again since the line was made. Without
            // one no server can accept the line; the wait must still end.
            let device = match tokio::time::timeout(REQUEST_TIMEOUT, lease.device()).await {
                Ok(device) => device.map_err(|e| no_device(e.kind(), e.to_string()))?,
                Err(_) => {
                    return Err(no_device(ErrorKind::Timeout, "not in time".to_owned()).into());
                }
            };
            let client_device = device.url.to_string();
            remember(&mut client_devices.lock(), &client_device);
            let body = RegisterRequest {
                user_id: &device.user_id,
                client_device_uri: device.url.as_str(),
                service_data: service_data.on_the_wire(),
            };
            let mut request = mobius(Request::post(url).json(&body)).answer_limit(ANSWER_LIMIT);
            if let Some(jwe) = &service_data.jwe {
                request = request.secret(jwe);
            }
            let answer = http.send(request).await?;
            // A registration at an address that is not this cloud's cannot be kept alive.
            let granted = answer.json::<Registration>().and_then(|granted| {
                http.check(&granted.device.uri)?;
                Ok(granted)
            });
            match granted {
                Ok(granted) => Ok(Registration { requested_for: Some(client_device), ..granted }),
                Err(error) => {
                    let made = answer.json::<Made>().ok();
                    let unusable = made.map(|made| made.device(&server, client_device));
                    Err(RegisterError { error, unusable })
                }
            }
        })
    }

    fn keepalive(&self, _server: &Url, device: &MobiusDevice) -> MobiusFuture<()> {
        let request = Request::post(join(&device.uri, "status")).timeout(KEEPALIVE_TIMEOUT);
        self.send(request)
    }

    fn unregister(&self, server: &Url, device: &MobiusDevice) -> MobiusFuture<()> {
        let mut request = Request::delete(join(server, &format!("devices/{}", device.device_id)));
        // The server's own word: what is no URL is left out.
        let uri = device.client_device_uri.as_deref().and_then(|uri| Url::parse(uri).ok());
        if let Some(uri) = uri {
            request = request.header("cisco-device-url", uri.as_str());
        }
        self.send(request)
    }

    fn ping(&self, server: &Url) -> MobiusFuture<()> {
        let base = server.as_str().strip_suffix(CALLING).and_then(|base| base.parse().ok());
        let url = join(base.as_ref().unwrap_or(server), "ping");
        self.send(Request::get(url).timeout(PING_TIMEOUT))
    }

    fn is_ours(&self, device: &MobiusDevice) -> bool {
        let sent = self.client_devices.lock();
        device.client_device_uri.as_ref().is_some_and(|uri| sent.contains(uri))
    }

    fn events(&self) -> MobiusEvents {
        Box::pin(stream::unfold(self.link.subscribe(), |mut link| async move {
            loop {
                let event = match link.next().await? {
                    LinkEvent::Online => Some(MobiusEvent::Network(NetworkHint::Online)),
                    LinkEvent::Offline => Some(MobiusEvent::Network(NetworkHint::Offline)),
                    LinkEvent::NetworkChanged => Some(MobiusEvent::Network(NetworkHint::Changed)),
                    LinkEvent::Resumed => Some(MobiusEvent::Network(NetworkHint::Resumed)),
                    LinkEvent::Event(event) => registration_down(&event),
                    LinkEvent::TokenAvailable => Some(MobiusEvent::TokenAvailable),
                    LinkEvent::DeviceReplaced(device) => {
                        Some(MobiusEvent::DeviceReplaced(device.url.to_string()))
                    }
                    _ => None,
                };
                if let Some(event) = event {
                    return Some((event, link));
                }
            }
        }))
    }
}

/// The number of WDM devices that are remembered: a device that is replaced again and again must not
/// cost memory.
const MAX_CLIENT_DEVICES: usize = 8;

fn remember(client_devices: &mut Vec<String>, client_device: &str) {
    client_devices.retain(|known| known != client_device);
    client_devices.truncate(MAX_CLIENT_DEVICES - 1);
    client_devices.insert(0, client_device.to_owned());
}

fn no_device(kind: ErrorKind, reason: String) -> HttpError {
    HttpError::NoDevice { kind, reason }
}

impl HttpTransport {
    /// Sends a request whose answer matters only by its status.
    fn send(&self, request: Request) -> MobiusFuture<()> {
        let http = self.http.clone();
        Box::pin(async move { http.send(mobius(request.ignore_body())).await.map(drop) })
    }
}

/// The events that report a dropped registration. On Mobius' websocket the name has no namespace.
const REGISTRATION_DOWN: [&str; 2] = ["registration.down", "mobius.registration.down"];

/// The fields that tell which registration was dropped.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Down {
    #[serde(deserialize_with = "lenient::field")]
    device_id: Option<String>,
    #[serde(deserialize_with = "lenient::field")]
    device: DownDevice,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DownDevice {
    #[serde(deserialize_with = "lenient::field")]
    device_id: Option<String>,
}

impl Down {
    fn names(self) -> Option<String> {
        self.device_id.or(self.device.device_id)
    }
}

/// Reads an event of the event socket; `None` for all that do not concern registrations.
fn registration_down(event: &MercuryEvent) -> Option<MobiusEvent> {
    if !REGISTRATION_DOWN.contains(&event.event_type.as_str()) {
        return None;
    }
    let down: Down = event.data_as().unwrap_or_default();
    Some(MobiusEvent::RegistrationDown { device_id: down.names() })
}

/// Adds the headers of a Mobius request.
pub(crate) fn mobius(request: Request) -> Request {
    request.header("spark-user-agent", USER_AGENT)
}

/// The calling base URL below a Mobius URL: `https://host/api/v1` gives
/// `https://host/api/v1/calling/web/`.
pub(crate) fn calling_base(mobius: &Url) -> Url {
    join(mobius, CALLING)
}

#[cfg(test)]
mod tests {
    use webex_tests::mutate::mutations;

    use super::*;

    #[test]
    fn addresses_have_one_slash() {
        for base in ["https://m/api/v1", "https://m/api/v1/"] {
            let base = calling_base(&Url::parse(base).unwrap());
            assert_eq!(base.as_str(), "https://m/api/v1/calling/web/");
            assert_eq!(join(&base, "device").as_str(), "https://m/api/v1/calling/web/device");
        }
    }

    #[test]
    fn an_odd_field_does_not_hide_which_line_is_down() {
        let data = serde_json::json!({
            "eventType": "mobius.registration.down", "deviceId": "d", "device": {"deviceId": "d"},
        });
        for (path, mutated) in mutations(&data) {
            // Another id is another registration.
            if path != "/eventType" && mutated["deviceId"] != "x" {
                let down: Down = serde_json::from_value(mutated.clone()).unwrap();
                assert_eq!(down.names().as_deref(), Some("d"), "{mutated}");
            }
        }
    }
}
