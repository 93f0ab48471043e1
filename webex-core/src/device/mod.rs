//! The WDM device: how the Webex cloud knows this program as an endpoint of its user.
//!
//! Registering one yields the address of the Mercury socket and the device URL, which every further
//! request names. [`machine::Machine`] decides when to register, refresh and delete; this module
//! has the record, the configuration and the three requests.

pub mod machine;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    endpoints::join,
    error::{ErrorKind, HttpError},
    http::{Http, Request},
};

/// How long the cloud keeps a device that is not refreshed. Reference client: 1,800 s.
pub const EPHEMERAL_TTL: Duration = Duration::from_secs(1800);

/// A registered WDM device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Device {
    /// The device's own address; names the device in other requests.
    pub url: Url,
    /// Where its Mercury socket is.
    pub web_socket_url: Url,
    /// Id of the user.
    pub user_id: String,
    /// Id of the user's organisation.
    #[serde(default)]
    pub org_id: Option<String>,
    /// Version of the record, for refreshing it.
    #[serde(skip)]
    pub etag: Option<String>,
}

/// What a device is registered as.
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
    /// What administrators see. Default: `webex-native`.
    pub name: String,
    /// Kind of device. Default: `WEB`, the reference client's; services decide by it what a
    /// device can do.
    pub device_type: String,
    /// Default: `webex-native`.
    pub model: String,
    /// Default: `webex-native`.
    pub localized_model: String,
    /// Default: the operating system's name.
    pub system_name: String,
    /// Default: this SDK's version.
    pub system_version: String,
    /// How long the cloud keeps the device without a refresh; while running it is refreshed in
    /// time. Default: [`EPHEMERAL_TTL`]. `None` keeps it until it is deleted or, after days,
    /// expires. Whole seconds. Danger: a program that crashes leaves such a device behind, and a
    /// user may have 100.
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
            ttl: Some(EPHEMERAL_TTL),
        }
    }
}

// serde hands a reference to the field.
#[allow(clippy::ref_option)]
fn seconds<S: serde::Serializer>(ttl: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    ttl.map(|ttl| ttl.as_secs()).serialize(to)
}

impl Device {
    /// Registers a device.
    pub(crate) async fn register(
        http: &Http,
        wdm: &Url,
        config: &DeviceConfig,
    ) -> Result<Arc<Self>, HttpError> {
        Self::send(http, Request::post(with_details(join(wdm, "devices"))).json(config)).await
    }

    /// Refreshes the device, so that it is kept for another [`DeviceConfig::ttl`].
    pub(crate) async fn refresh(
        &self,
        http: &Http,
        config: &DeviceConfig,
    ) -> Result<Arc<Self>, HttpError> {
        let mut request = Request::put(with_details(self.url.clone())).json(config);
        if let Some(etag) = &self.etag {
            request = request.header("if-none-match", etag);
        }
        Self::send(http, request).await
    }

    /// Deletes the device. One that is gone already is as good as deleted.
    pub(crate) async fn delete(&self, http: &Http) -> Result<(), HttpError> {
        match http.send(Request::delete(self.url.clone())).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn send(http: &Http, request: Request) -> Result<Arc<Self>, HttpError> {
        let response = http.send(request).await?;
        let mut device: Self = response.json()?;
        device.etag = response.header("etag").map(str::to_owned);
        Ok(Arc::new(device))
    }
}

/// Asks for the whole record, features included.
fn with_details(mut url: Url) -> Url {
    url.query_pairs_mut().append_pair("includeUpstreamServices", "all");
    url
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
    fn a_record_needs_its_addresses_and_its_user() {
        let minimal = r#"{"url":"https://w/d/1","webSocketUrl":"wss://m/1","userId":"u","x":{}}"#;
        let device: Device = serde_json::from_str(minimal).unwrap();
        assert_eq!(device.org_id, None);
        for missing in ["url", "webSocketUrl", "userId"] {
            let broken = minimal.replace(missing, "other");
            assert!(serde_json::from_str::<Device>(&broken).is_err(), "{missing}");
        }
    }
}
