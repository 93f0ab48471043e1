//! The record of a device: the fields of an answer, what is sent back, what is saved.
//!
//! ```text
//!   answer ──► typed fields ───────────► Device
//!          └─► features, by key ───────┘    │
//!          └─► everything else, as text     ├──► body of a refresh: all of it, and the configuration
//!              (only with a state store)    └──► saved state
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use url::Url;

use super::{
    config::DeviceConfig,
    features::{Features, Reported},
};
use crate::lenient;

/// A registered WDM device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Answer")]
#[non_exhaustive]
pub struct Device {
    /// The device's own address; names the device in other requests.
    pub url: Url,
    /// Where its Mercury socket is.
    pub web_socket_url: Url,
    /// Id of the user; empty if the service does not send it.
    pub user_id: String,
    /// Id of the user's organisation.
    pub org_id: Option<String>,
    /// Version of the record, for refreshing it.
    pub etag: Option<String>,
    /// Feature toggles of the user.
    pub features: Features,
    rest: Option<Rest>,
}

/// Fields left out: those the reference client discards, and those with a field of their own.
const NOT_KEPT: [&str; 5] = ["services", "serviceHostMap", "features", "mediaCluster", "etag"];

impl Device {
    /// Reads an answer. With `keep`, also keeps its unknown fields, which a refresh sends back.
    ///
    /// `known` is the record that was refreshed, if this answers a refresh.
    pub(crate) fn read(
        body: &[u8],
        etag: Option<&str>,
        keep: bool,
        known: Option<&Self>,
    ) -> Result<Self, serde_json::Error> {
        let mut answer: Answer = serde_json::from_slice(body)?;
        let same_version = etag.is_some() && known.is_some_and(|it| it.etag.as_deref() == etag);
        let nothing = Features::default();
        let before = known.map_or(&nothing, |device| &device.features);
        let features = before.updated(answer.features.take().unwrap_or_default(), same_version);
        let rest = if keep { Some(Rest::read(body)?) } else { None };
        let etag = etag.map(str::to_owned);
        Ok(Self { etag, features, rest, ..Self::from(answer) })
    }

    /// The whole record as JSON text, without `features`, for fields that this SDK has no type for.
    /// `None` without a state store: with thousands of users, kilobytes per user that nobody reads
    /// would be a waste.
    pub fn record(&self) -> Option<&str> {
        self.rest.as_ref().map(|rest| rest.0.get())
    }

    /// The body of a refresh: everything received, and the configured fields.
    pub(super) fn refresh_body(&self, config: &DeviceConfig) -> Value {
        let mut body: Map<String, Value> = self
            .rest
            .as_ref()
            .and_then(|rest| serde_json::from_str(rest.0.get()).ok())
            .unwrap_or_default();
        // A TTL of an earlier registration does not apply to this one.
        body.remove("ttl");
        if let Ok(Value::Object(configured)) = serde_json::to_value(config) {
            body.extend(configured);
        }
        Value::Object(body)
    }

    /// The saved form; `None` when the record was not kept.
    pub(crate) fn to_saved(&self, environment: &Url) -> Option<Saved> {
        Some(Saved {
            environment: environment.clone(),
            etag: self.etag.clone(),
            features: self.features.clone(),
            record: self.rest.as_ref()?.0.clone(),
        })
    }
}

/// A device in the saved state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// The cloud that it is registered with, as the URL of its catalog.
    environment: Url,
    etag: Option<String>,
    features: Features,
    record: Box<RawValue>,
}

impl Saved {
    /// The device, unless it belongs to another cloud or another organisation than the user's.
    pub(crate) fn into_device(self, environment: &Url, org_id: Option<&str>) -> Option<Device> {
        let mut device = Device::read(self.record.get().as_bytes(), None, true, None).ok()?;
        let other_org = org_id.is_some() && device.org_id.is_some();
        if self.environment != *environment || (other_org && device.org_id.as_deref() != org_id) {
            return None;
        }
        device.etag = self.etag;
        device.features = self.features;
        Some(device)
    }
}

/// The fields of an answer that this SDK uses.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    url: Url,
    web_socket_url: Url,
    #[serde(default, deserialize_with = "lenient::field")]
    user_id: String,
    #[serde(default, deserialize_with = "lenient::field")]
    org_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::field")]
    features: Option<Reported>,
}

impl From<Answer> for Device {
    fn from(answer: Answer) -> Self {
        Self {
            url: answer.url,
            web_socket_url: answer.web_socket_url,
            user_id: answer.user_id,
            org_id: answer.org_id,
            etag: None,
            features: Features::default().updated(answer.features.unwrap_or_default(), false),
            rest: None,
        }
    }
}

/// A whole record as text, without [`NOT_KEPT`]: a tree of values would take ten times the memory.
#[derive(Debug, Clone)]
struct Rest(Box<RawValue>);

impl Rest {
    fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        let mut fields: BTreeMap<String, &RawValue> = serde_json::from_slice(body)?;
        fields.retain(|name, _| !NOT_KEPT.contains(&name.as_str()));
        Ok(Self(serde_json::value::to_raw_value(&fields)?))
    }
}

impl PartialEq for Rest {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Rest {}

#[cfg(test)]
mod tests {
    use webex_tests::mutate::mutations;

    use super::*;

    const ANSWER: &str = r#"{"url":"https://w/d/1","webSocketUrl":"wss://m/1","userId":"u",
        "orgId":"o","ttl":1800,"name":"mine","unheard":{"of":[1, 2]},"services":{"x":1},
        "serviceHostMap":{},"mediaCluster":{},
        "features":{"developer":[{"key":"d","val":"true"}],"entitlement":[],"user":[]}}"#;

    fn device() -> Device {
        Device::read(ANSWER.as_bytes(), Some("\"1\""), true, None).unwrap()
    }

    #[test]
    fn a_record_needs_its_addresses() {
        let minimal = r#"{"url":"https://w/d/1","webSocketUrl":"wss://m/1","userId":"u","x":{}}"#;
        let device = Device::read(minimal.as_bytes(), None, false, None).unwrap();
        assert_eq!((device.org_id.as_deref(), device.record()), (None, None));
        for missing in ["url", "webSocketUrl"] {
            let broken = minimal.replace(missing, "other");
            assert!(Device::read(broken.as_bytes(), None, false, None).is_err(), "{missing}");
        }
    }

    #[test]
    fn a_refresh_sends_back_what_is_not_known() {
        let config = DeviceConfig { name: "new".to_owned(), ttl: None, ..DeviceConfig::default() };
        let body = device().refresh_body(&config);
        assert_eq!(body["unheard"]["of"][1], 2);
        assert_eq!((&body["name"], &body["url"]), (&"new".into(), &"https://w/d/1".into()));
        for gone in ["services", "serviceHostMap", "features", "mediaCluster", "etag", "ttl"] {
            assert_eq!(body.get(gone), None, "{gone}");
        }
    }

    #[test]
    fn a_saved_device_is_loaded_only_for_its_cloud_and_organisation() {
        let [here, there] = ["https://u2c.a/", "https://u2c.b/"].map(|u| Url::parse(u).unwrap());
        let text = || serde_json::to_string(&device().to_saved(&here).unwrap()).unwrap();
        let saved = || serde_json::from_str::<Saved>(&text()).unwrap();
        assert_eq!(saved().into_device(&here, Some("o")), Some(device()));
        assert_eq!(saved().into_device(&here, None), Some(device()));
        assert_eq!(saved().into_device(&there, Some("o")), None, "another cloud");
        assert_eq!(saved().into_device(&here, Some("p")), None, "another organisation");
    }

    #[test]
    fn an_answer_to_a_refresh_may_leave_out_the_developers_features() {
        let answer = ANSWER.replace(r#""developer":[{"key":"d","val":"true"}],"#, "");
        let read = |etag| Device::read(answer.as_bytes(), Some(etag), true, Some(&device()));
        assert!(read("\"1\"").unwrap().features.developer.is_on("d"));
        assert!(!read("\"2\"").unwrap().features.developer.is_on("d"));
    }

    #[test]
    fn only_the_two_addresses_can_invalidate_an_answer() {
        let answer: Map<String, Value> = serde_json::from_str(ANSWER).unwrap();
        let read = |fields: &Map<String, Value>| {
            let body = serde_json::to_vec(fields).unwrap();
            Device::read(&body, Some("\"1\""), true, None)
        };
        let strange = [
            Value::Null,
            Value::Bool(true),
            7.into(),
            "x".into(),
            serde_json::json!([null, 1, "x", {}]),
            serde_json::json!({"developer": [null, 7, {"key": 1}], "entitlement": {}, "user": 3}),
        ];
        for name in answer.keys() {
            let needed = ["url", "webSocketUrl"].contains(&name.as_str());
            let mut fields = answer.clone();
            fields.remove(name);
            assert_eq!(read(&fields).is_ok(), !needed, "without {name}");
            for value in &strange {
                fields.insert(name.clone(), value.clone());
                let device = read(&fields);
                assert_eq!(device.is_ok(), !needed, "{name}: {value}");
                if let Ok(device) = device {
                    assert_eq!(device.url.as_str(), "https://w/d/1", "{name}: {value}");
                }
            }
        }
    }

    #[test]
    fn one_field_that_nobody_needs_destroys_no_record() {
        for (path, mutated) in mutations(&serde_json::from_str(ANSWER).unwrap()) {
            let read = Device::read(mutated.to_string().as_bytes(), None, true, None);
            let needed = matches!(path.as_str(), "/url" | "/webSocketUrl");
            assert_eq!(read.is_err(), needed, "{path}: {mutated}");
        }
    }
}
