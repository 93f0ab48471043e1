//! The payloads of the events that this SDK knows.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::lenient;

/// The payloads of the events that this SDK knows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Payload {
    /// `mercury.buffer_state`: the socket is authorized. Its fields are not documented.
    BufferState,
    /// `mercury.registration_status`: the same, for shared sockets.
    RegistrationStatus(RegistrationStatus),
    /// `u2c.cache-invalidation`: the service catalog is out of date.
    CacheInvalidation(CacheInvalidation),
    /// `ActiveClusterStatusEvent`: services have moved between clusters.
    ActiveClusters(ActiveClusters),
    /// `mobius.*`: something about a call or a line.
    Mobius(MobiusEvent),
    /// Any other event, or a known one with a malformed payload.
    Other,
}

/// Payload of `mercury.registration_status`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RegistrationStatus {
    /// The URLs of the services in this socket's cluster.
    #[serde(default, deserialize_with = "lenient::field")]
    pub local_cluster_service_urls: LocalCluster,
}

/// The URLs of the services in a socket's cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LocalCluster {
    /// Mercury's requests.
    #[serde(default, deserialize_with = "lenient::field")]
    pub mercury_api_service_url: Option<Url>,
    /// Mercury's sockets.
    #[serde(default, deserialize_with = "lenient::field")]
    pub mercury_connection_service_url: Option<Url>,
}

/// Payload of `u2c.cache-invalidation`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct CacheInvalidation {
    /// When the catalog changed, as the service sends it: an increasing number, or its text.
    #[serde(default)]
    pub timestamp: Value,
}

/// Payload of `ActiveClusterStatusEvent`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ActiveClusters {
    /// The active cluster, by the name of the service.
    #[serde(default, deserialize_with = "lenient::map")]
    pub active_clusters: BTreeMap<String, String>,
}

/// Payload of the `mobius.*` events: the call and line they refer to. The other fields, which
/// differ from event to event, are in [`MercuryEvent::data`](crate::mercury::MercuryEvent::data).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MobiusEvent {
    /// The type of the event.
    pub event_type: String,
    /// The call.
    #[serde(default, deserialize_with = "lenient::field")]
    pub call_id: Option<String>,
    /// The URL of the call.
    #[serde(default, deserialize_with = "lenient::field")]
    pub call_url: Option<Url>,
    /// The Mobius device: the line.
    #[serde(default, deserialize_with = "lenient::field")]
    pub device_id: Option<String>,
    /// The client's own id of the call; may be empty for an incoming call.
    #[serde(default, deserialize_with = "lenient::field")]
    pub correlation_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use webex_tests::mutate::mutations;

    use super::*;

    #[test]
    fn one_field_never_destroys_a_payload() {
        let status = json!({"localClusterServiceUrls": {
            "mercuryApiServiceUrl": "https://a/", "mercuryConnectionServiceUrl": "wss://b/",
        }});
        for (_, mutated) in mutations(&status) {
            assert!(serde_json::from_value::<RegistrationStatus>(mutated).is_ok());
        }
        for (_, mutated) in mutations(&json!({"timestamp": "1"})) {
            assert!(serde_json::from_value::<CacheInvalidation>(mutated).is_ok());
        }
        for (path, mutated) in mutations(&json!({"activeClusters": {"wdm": "c", "u2c": "d"}})) {
            let read: ActiveClusters = serde_json::from_value(mutated.clone()).unwrap();
            let other = read.active_clusters.get("u2c").map(String::as_str);
            assert!(path != "/activeClusters/wdm" || other == Some("d"), "{mutated}");
        }
        let call = json!({
            "eventType": "mobius.call", "callId": "c", "callUrl": "https://m/c", "deviceId": "d",
            "correlationId": "",
        });
        for (path, mutated) in mutations(&call) {
            let read = serde_json::from_value::<MobiusEvent>(mutated.clone());
            assert!(read.is_ok() || path == "/eventType", "{mutated}");
        }
    }
}
