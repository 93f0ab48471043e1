//! The WDM device: how the Webex cloud knows this program as an endpoint of its user.
//!
//! Registering one yields the address of the Mercury socket and the device URL, which every further
//! request names. [`machine::Machine`] decides when to register, refresh and delete; `record` has
//! what an answer says and what is kept of it, `room` deletes what nobody uses when a user has too
//! many, and this module has the configuration and the three requests.
//!
//! Without a state store the device is *ephemeral*: it has a TTL, is refreshed in time, and is
//! deleted when nobody needs it. With one it is *durable*: it has no TTL, its record is kept, and
//! the next start takes it up again. Only an explicit unregistration deletes it; a user may have
//! [`DEVICE_LIMIT`] devices, and a program that registered a new one at each start would use them up.

mod features;
pub mod machine;
mod record;
mod room;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use url::Url;

pub use self::{
    features::{FeatureSet, FeatureValue, Features},
    record::Device,
};
pub(crate) use self::{
    record::Saved,
    room::{Room, make_room},
};
use crate::{
    endpoints::join,
    error::{ErrorKind, HttpError},
    http::{Http, Request},
    saved::SavedState,
};

/// How many devices a user may have, as the service's owners say. The service decides.
pub const DEVICE_LIMIT: usize = 100;

/// What a refusal says when the user has too many devices. Clients know it by this text alone; the
/// status that goes with it is not told by any source.
const EXCESSIVE: &str = "User has excessive device registrations";

/// Where the device is in the saved state.
const SAVED: &str = "device";

/// How long the cloud keeps a device that is not refreshed. Reference client: 1,800 s.
pub const EPHEMERAL_TTL: Duration = Duration::from_secs(1800);

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
    /// user may have [`DEVICE_LIMIT`].
    ///
    /// Not used with a state store ([`WebexBuilder::state_store`](crate::WebexBuilder::state_store)):
    /// then the device has no TTL, and the next start takes it up again.
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
    /// Registers a device. With `keep`, its whole record is held.
    pub(crate) async fn register(
        http: &Http,
        wdm: &Url,
        config: &DeviceConfig,
        keep: bool,
    ) -> Result<Arc<Self>, HttpError> {
        let request = Request::post(with_details(join(wdm, "devices"))).json(config);
        Self::send(http, request, keep, None).await
    }

    /// Refreshes the device, so that it is kept for another [`DeviceConfig::ttl`].
    pub(crate) async fn refresh(
        &self,
        http: &Http,
        config: &DeviceConfig,
        keep: bool,
    ) -> Result<Arc<Self>, HttpError> {
        let body = self.refresh_body(config);
        let mut request = Request::put(with_details(self.url.clone())).json(&body);
        if let Some(etag) = &self.etag {
            request = request.header("if-none-match", etag);
        }
        Self::send(http, request, keep, Some(self)).await
    }

    /// Deletes the device. One that is gone already is as good as deleted.
    pub(crate) async fn delete(&self, http: &Http) -> Result<(), HttpError> {
        delete(http, self.url.clone()).await
    }

    /// The device of an earlier run, if one is kept for this cloud and organisation.
    pub(crate) async fn restore(
        saved: &SavedState,
        environment: &Url,
        org_id: Option<&str>,
    ) -> Option<Arc<Self>> {
        let saved = saved.load::<Saved>(SAVED).await?;
        Some(Arc::new(saved.into_device(environment, org_id)?))
    }

    /// Keeps the device for the next start. Does nothing without a store.
    pub(crate) async fn save(&self, saved: &SavedState, environment: &Url) {
        if let Some(value) = self.to_saved(environment) {
            saved.save(SAVED, &value).await;
        }
    }

    /// Forgets the device that is kept for the next start.
    pub(crate) async fn forget(saved: &SavedState) {
        saved.forget(SAVED).await;
    }

    async fn send(
        http: &Http,
        request: Request,
        keep: bool,
        known: Option<&Self>,
    ) -> Result<Arc<Self>, HttpError> {
        let response = http.send(request).await?;
        let read = |body: &_| Self::read(body, response.header("etag"), keep, known);
        Ok(Arc::new(response.read(read)?))
    }
}

/// Whether a refusal says that the user has too many devices.
pub(crate) fn is_excessive(error: &HttpError) -> bool {
    error.service().is_some_and(|error| error.message.as_deref() == Some(EXCESSIVE))
}

async fn delete(http: &Http, device: Url) -> Result<(), HttpError> {
    match http.send(Request::delete(device)).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
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
}
