//! Mobius, the calling service: wire types and the transport they travel on.
//!
//! [`MobiusTransport`] is what a line needs from the network; HTTP carries it today.
//! Mobius also speaks a websocket, which will be a second implementation: the line
//! does not know the difference.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use url::Url;
use webex_core::{Http, HttpError, Lease, Request, join};

use crate::config::ServiceData;

/// User agent of the reference client on all Mobius requests; the service tells its clients apart
/// by it.
const USER_AGENT: &str = "webex-calling/beta";

/// A future that a transport gives out.
pub type MobiusFuture<T> = Pin<Box<dyn Future<Output = Result<T, HttpError>> + Send>>;

/// What a line asks of Mobius.
pub trait MobiusTransport: fmt::Debug + Send + Sync + 'static {
    /// Registers the user's line with a server.
    fn register(&self, server: &Url) -> MobiusFuture<Registration>;

    /// Tells the server that the line is still there.
    fn keepalive(&self, device: &MobiusDevice) -> MobiusFuture<()>;

    /// Gives up the line's registration with a server.
    fn unregister(&self, server: &Url, device: &MobiusDevice) -> MobiusFuture<()>;
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

/// Mobius over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct HttpTransport {
    http: Http,
    lease: Arc<Lease>,
    service_data: Arc<ServiceData>,
}

impl HttpTransport {
    pub(crate) fn new(http: Http, lease: Arc<Lease>, service_data: ServiceData) -> Self {
        Self { http, lease, service_data: Arc::new(service_data) }
    }
}

/// The path of calling below a Mobius base URL.
const CALLING: &str = "calling/web/";

impl MobiusTransport for HttpTransport {
    fn register(&self, server: &Url) -> MobiusFuture<Registration> {
        let url = join(server, "device");
        let (http, lease) = (self.http.clone(), Arc::clone(&self.lease));
        let service_data = Arc::clone(&self.service_data);
        Box::pin(async move {
            // The device of this moment: it may have been registered anew since the line was made.
            let device = lease.device().await.map_err(|error| HttpError::NoDevice {
                kind: error.kind(),
                reason: error.to_string(),
            })?;
            let body = RegisterRequest {
                user_id: &device.user_id,
                client_device_uri: device.url.as_str(),
                service_data: service_data.on_the_wire(),
            };
            http.send(mobius(Request::post(url).json(&body))).await?.json()
        })
    }

    fn keepalive(&self, device: &MobiusDevice) -> MobiusFuture<()> {
        let (http, url) = (self.http.clone(), join(&device.uri, "status"));
        Box::pin(async move { http.send(mobius(Request::post(url))).await.map(drop) })
    }

    fn unregister(&self, server: &Url, device: &MobiusDevice) -> MobiusFuture<()> {
        let url = join(server, &format!("devices/{}", device.device_id));
        let mut request = mobius(Request::delete(url));
        if let Some(uri) = &device.client_device_uri {
            request = request.header("cisco-device-url", uri);
        }
        let http = self.http.clone();
        Box::pin(async move { http.send(request).await.map(drop) })
    }
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
    Ok(number(from)?.map(|minutes| Duration::from_secs(minutes.saturating_mul(60))))
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
