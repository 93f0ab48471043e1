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
    /// `mercury.buffer_state`: the socket is authorized. Its contents are not known.
    BufferState,
    /// `mercury.registration_status`: the same, where sockets are shared.
    RegistrationStatus(RegistrationStatus),
    /// `u2c.cache-invalidation`: the service catalog is out of date.
    CacheInvalidation(CacheInvalidation),
    /// `ActiveClusterStatusEvent`: services have moved between clusters.
    ActiveClusters(ActiveClusters),
    /// `mobius.*`: something about a call or a line.
    Mobius(MobiusEvent),
    /// Any other event, or a known one whose payload is not what it should be.
    Other,
}

/// Payload of `mercury.registration_status`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RegistrationStatus {
    /// Where the services of this socket's cluster are.
    #[serde(default, deserialize_with = "lenient::field")]
    pub local_cluster_service_urls: LocalCluster,
}

/// Where the services of a socket's cluster are.
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
    /// When the catalog changed: a number or a text that grows, as the service sends it.
    #[serde(default)]
    pub timestamp: Value,
}

/// Payload of `ActiveClusterStatusEvent`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ActiveClusters {
    /// The cluster that serves now, by the name of the service.
    #[serde(default, deserialize_with = "lenient::map")]
    pub active_clusters: BTreeMap<String, String>,
}

/// Payload of the `mobius.*` events: which call and line it is about. The rest, which differs from
/// event to event, is in [`MercuryEvent::data`](crate::mercury::MercuryEvent::data).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MobiusEvent {
    /// Which of them.
    pub event_type: String,
    /// The call.
    #[serde(default, deserialize_with = "lenient::field")]
    pub call_id: Option<String>,
    /// Where the call is.
    #[serde(default, deserialize_with = "lenient::field")]
    pub call_url: Option<Url>,
    /// The Mobius device: the line.
    #[serde(default, deserialize_with = "lenient::field")]
    pub device_id: Option<String>,
    /// The client's own id of the call; may be empty for one that comes in.
    #[serde(default, deserialize_with = "lenient::field")]
    pub correlation_id: Option<String>,
}
