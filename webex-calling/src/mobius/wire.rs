//! The messages of Mobius.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use url::Url;
use webex_core::{HttpError, join, lenient};

/// The answer to a registration request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registration {
    /// The registered device.
    pub(crate) device: MobiusDevice,
    /// The address of the WDM device that was sent in the request.
    #[serde(skip)]
    pub(crate) requested_for: Option<String>,
    /// Time between keepalives.
    #[serde(default, deserialize_with = "seconds")]
    pub(crate) keepalive_interval: Option<Duration>,
    /// Time between keepalives of a call.
    #[serde(default, deserialize_with = "seconds")]
    pub(crate) call_keepalive_interval: Option<Duration>,
    /// Shortest time until the return from a backup to a primary. Minutes on the wire.
    #[serde(default, deserialize_with = "minutes")]
    pub(crate) rehoming_interval_min: Option<Duration>,
    /// Longest time until the return from a backup to a primary. Minutes on the wire.
    #[serde(default, deserialize_with = "minutes")]
    pub(crate) rehoming_interval_max: Option<Duration>,
    /// Reserved for Webex Contact Center.
    #[serde(default, deserialize_with = "number")]
    pub(crate) voice_portal_number: Option<u64>,
    /// Reserved for Webex Contact Center.
    #[serde(default, deserialize_with = "number")]
    pub(crate) voice_portal_extension: Option<u64>,
}

/// What an answer to a registration request says of the registration, when the rest cannot be used.
#[derive(Debug, Deserialize)]
pub(crate) struct Made {
    device: MadeDevice,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MadeDevice {
    device_id: String,
}

impl Made {
    /// The registration, for its deletion.
    pub(crate) fn device(self, server: &Url, client_device: String) -> MobiusDevice {
        let device_id = self.device.device_id;
        MobiusDevice {
            uri: join(server, &format!("devices/{device_id}")),
            device_id,
            last_seen: None,
            addresses: Vec::new(),
            client_device_uri: Some(client_device),
        }
    }
}

/// A registered line, as Mobius lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MobiusDevice {
    /// Id of the registration.
    pub device_id: String,
    /// Its URL, for keepalives.
    pub uri: Url,
    /// When the server last heard from it, in the server's own format (RFC 3339).
    #[serde(default, deserialize_with = "lenient::field")]
    pub last_seen: Option<String>,
    /// SIP addresses of the line.
    #[serde(default, deserialize_with = "lenient::list")]
    pub addresses: Vec<String>,
    /// The URL of the WDM device that it belongs to.
    #[serde(default, deserialize_with = "lenient::field")]
    pub client_device_uri: Option<String>,
}

/// The body of a registration request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegisterRequest<'a, S> {
    pub(crate) user_id: &'a str,
    pub(crate) client_device_uri: &'a str,
    pub(crate) service_data: S,
}

/// The most devices that are read from a list. Real users have a handful.
const MAX_DEVICES: usize = 256;

/// A list of devices: the answer to a request for it, and the body of a 403 with code 101. Entries
/// that cannot be read are left out.
#[derive(Debug, Deserialize)]
pub(crate) struct DeviceList {
    #[serde(default, deserialize_with = "lenient::list")]
    devices: Vec<MobiusDevice>,
}

impl DeviceList {
    pub(crate) fn into_devices(mut self) -> Vec<MobiusDevice> {
        self.devices.truncate(MAX_DEVICES);
        self.devices
    }
}

/// The devices listed in an answer 403 with code 101.
pub(crate) fn listed_devices(error: &HttpError) -> Vec<MobiusDevice> {
    let body = error.service().and_then(|answer| serde_json::from_slice(&answer.body).ok());
    body.map_or_else(Vec::new, DeviceList::into_devices)
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    // Some services write numbers as text. Anything else counts as missing.
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
    use serde_json::json;
    use webex_tests::mutate::mutations;

    use super::*;
    use crate::model::config::ServiceData;

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
    fn one_odd_optional_field_does_not_invalidate_an_answer() {
        let answer = json!({
            "userId": "u",
            "device": {"deviceId": "d", "uri": "https://m/api/v1/calling/web/devices/d",
                "status": "active", "lastSeen": "2025-01-01T00:00:00Z", "addresses": ["sip:a@b"],
                "clientDeviceUri": "https://wdm/devices/1"},
            "keepaliveInterval": 30, "callKeepaliveInterval": 600, "rehomingIntervalMin": 60,
            "rehomingIntervalMax": 120, "voicePortalNumber": 0, "voicePortalExtension": 0,
        });
        for (path, mutated) in mutations(&answer) {
            let read = serde_json::from_value::<Registration>(mutated.clone());
            let needed = match path.as_str() {
                "/device" | "/device/uri" => false,
                "/device/deviceId" => mutated["device"]["deviceId"].is_string(),
                _ => true,
            };
            assert_eq!(read.is_ok(), needed, "{path}: {mutated}");
            // What it names can be deleted.
            let made = serde_json::from_value::<Made>(mutated.clone());
            assert_eq!(made.is_ok(), mutated["device"]["deviceId"].is_string(), "{mutated}");
        }
    }

    #[test]
    fn one_odd_device_hides_no_other() {
        let device = json!({"deviceId": "d", "uri": "https://m/d", "addresses": ["sip:a@b"]});
        for (path, mutated) in mutations(&device) {
            let list = json!({"devices": [mutated.clone(), device.clone()]});
            let list = serde_json::from_value::<DeviceList>(list).unwrap().into_devices();
            let kept = !matches!(path.as_str(), "/uri" | "/deviceId") || mutated["deviceId"] == "x";
            assert_eq!(list.len(), 1 + usize::from(kept), "{path}: {mutated}");
        }
        for none in [json!({}), json!({"devices": null}), json!({"devices": {"a": 1}})] {
            assert!(serde_json::from_value::<DeviceList>(none).unwrap().into_devices().is_empty());
        }
    }
}
