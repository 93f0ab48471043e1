//! Settings of the registered device.

use std::time::Duration;

use serde::Serialize;

use super::timings::{DURABLE_REFRESH, EPHEMERAL_TTL, MOBILE_TTL};

/// How many devices a user may have, according to the service's owners. The service decides.
pub const DEVICE_LIMIT: usize = 100;

/// Settings of the registered device.
///
/// ```
/// # use webex_core::DeviceConfig;
/// let mut config = DeviceConfig::default();
/// config.name = "reception-desk".to_owned();
/// ```
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DeviceConfig {
    /// The name that administrators see. Default: `webex-native`.
    pub name: String,
    /// Kind of device. Default: `WEB`, as the reference client; services derive the device's
    /// abilities from it.
    pub device_type: String,
    /// Default: `webex-native`.
    pub model: String,
    /// Default: `webex-native`.
    pub localized_model: String,
    /// Default: the operating system's name.
    pub system_name: String,
    /// Default: this SDK's version.
    pub system_version: String,
    /// A stable UUID of this installation, which the application creates once and stores; the
    /// native SDKs send one. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_identifier: Option<String>,
    /// How long the cloud keeps the device without a refresh; a running client refreshes it in
    /// time. Default: [`EPHEMERAL_TTL`]. `None` keeps it until it is deleted or, after days,
    /// expires. Whole seconds. Danger: a program that crashes leaves such a device behind, and a
    /// user may have only [`DEVICE_LIMIT`].
    ///
    /// With a state store ([`WebexBuilder::state_store`](crate::WebexBuilder::state_store)) a TTL
    /// below a day is ignored: the device then has no TTL, and the next start uses it again.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub ttl: Option<Duration>,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        let own = || "webex-native".to_owned();
        Self {
            name: own(),
            device_type: "WEB".to_owned(),
            model: own(),
            localized_model: own(),
            system_name: std::env::consts::OS.to_owned(),
            system_version: env!("CARGO_PKG_VERSION").to_owned(),
            device_identifier: None,
            ttl: Some(EPHEMERAL_TTL),
        }
    }
}

impl DeviceConfig {
    /// The device of an iOS app, as the native SDK registers it: type `TEAMS_SDK_IOS`, a TTL of
    /// [`MOBILE_TTL`]. `identifier` is a UUID that the app creates at its first start and stores.
    pub fn ios(identifier: impl Into<String>) -> Self {
        Self::mobile("TEAMS_SDK_IOS", identifier.into())
    }

    /// The device of an Android app, as [`ios`](Self::ios): type `TEAMS_SDK_ANDROID`.
    pub fn android(identifier: impl Into<String>) -> Self {
        Self::mobile("TEAMS_SDK_ANDROID", identifier.into())
    }

    fn mobile(device_type: &str, identifier: String) -> Self {
        Self {
            device_type: device_type.to_owned(),
            device_identifier: Some(identifier),
            ttl: Some(MOBILE_TTL),
            ..Self::default()
        }
    }

    /// The settings of a device whose record is saved across restarts.
    pub(crate) fn durable(mut self) -> Self {
        self.ttl = self.ttl.filter(|ttl| *ttl >= DURABLE_REFRESH);
        self
    }
}

// serde passes a reference to the field.
#[allow(clippy::ref_option)]
fn seconds<S: serde::Serializer>(ttl: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    ttl.map(|ttl| ttl.as_secs()).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_register_body_is_what_the_service_expects() {
        let config = DeviceConfig { system_name: "linux".to_owned(), ..DeviceConfig::default() };
        insta::assert_json_snapshot!(config, @r#"
        {
          "name": "webex-native",
          "deviceType": "WEB",
          "model": "webex-native",
          "localizedModel": "webex-native",
          "systemName": "linux",
          "systemVersion": "0.1.0",
          "ttl": 1800
        }
        "#);
        let durable = serde_json::to_value(DeviceConfig { ttl: None, ..config }).unwrap();
        assert_eq!(durable.get("ttl"), None);
    }

    #[test]
    fn a_phones_device_is_that_of_the_native_sdks() {
        let ios = serde_json::to_value(DeviceConfig::ios("u-1").durable()).unwrap();
        assert_eq!(
            (&ios["deviceType"], &ios["ttl"]),
            (&"TEAMS_SDK_IOS".into(), &15_552_000.into())
        );
        assert_eq!(ios["deviceIdentifier"], "u-1");
        assert_eq!(DeviceConfig::android("u-1").device_type, "TEAMS_SDK_ANDROID");
        assert_eq!(DeviceConfig::default().durable().ttl, None, "it would end between two starts");
    }
}
