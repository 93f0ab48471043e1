//! The rules that the services follow. All of them can be changed while the sandbox runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::seconds;

/// The rules in force, by service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Policies {
    /// Rules of the Mobius servers.
    pub mobius: MobiusPolicy,
    /// Rules of WDM.
    pub wdm: WdmPolicy,
    /// Rules of the service catalog.
    pub u2c: U2cPolicy,
    /// Rules of the authorization server.
    pub oauth: OAuthPolicy,
}

/// Rules of the Mobius servers. Durations are seconds in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MobiusPolicy {
    /// Keepalive interval sent to clients when they register. Default: 30 s.
    #[serde(with = "seconds")]
    pub keepalive_interval: Duration,
    /// A line expires when no keepalive came for this many intervals, plus half an interval of
    /// grace so that a keepalive right on the limit still counts. Default: 3.
    pub missed_keepalives: u32,
    /// Keepalive interval of calls, sent to clients. Default: 600 s.
    #[serde(with = "seconds")]
    pub call_keepalive_interval: Duration,
    /// Earliest return to a primary, minutes. Default: 60.
    pub rehoming_interval_min: u32,
    /// Latest return to a primary, minutes. Default: 120.
    pub rehoming_interval_max: u32,
    /// How many lines a user may have, over all instances; one more is refused with 403 and error
    /// code 101. A client that registers its own device again does not count twice.
    /// Default: no limit.
    pub line_limit: Option<usize>,
    /// Whether a registration supersedes those of the user's other devices, whose next keepalive is
    /// then answered 409. Default: `false`.
    pub single_session: bool,
}

impl Default for MobiusPolicy {
    fn default() -> Self {
        Self {
            keepalive_interval: Duration::from_secs(30),
            missed_keepalives: 3,
            call_keepalive_interval: Duration::from_mins(10),
            rehoming_interval_min: 60,
            rehoming_interval_max: 120,
            line_limit: None,
            single_session: false,
        }
    }
}

impl MobiusPolicy {
    /// How long a line lives after its last keepalive.
    pub(crate) fn line_lifetime(&self) -> Duration {
        let missed = self.keepalive_interval.saturating_mul(self.missed_keepalives);
        missed.saturating_add(self.keepalive_interval / 2)
    }
}

/// Rules of WDM. Durations are seconds in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WdmPolicy {
    /// How many devices a user may have. Default: 100.
    pub device_limit: usize,
    /// HTTP status of the refusal beyond the limit. Default: 403.
    pub device_limit_status: u16,
    /// Lifetime of a device without `ttl` that is not refreshed. Default: 7 days.
    #[serde(with = "seconds")]
    pub durable_lifetime: Duration,
    /// Origin of `webSocketUrl`, such as `wss://localhost:8443`, for clients that can redirect
    /// their HTTP library to the sandbox but not their websocket library. Default: the origin of
    /// the request.
    pub socket_origin: Option<String>,
    /// Number of meaningless developer features added to every answer. A real answer has hundreds
    /// and is tens of kilobytes long. Default: 0.
    pub extra_features: usize,
}

impl Default for WdmPolicy {
    fn default() -> Self {
        Self {
            device_limit: 100,
            device_limit_status: 403,
            durable_lifetime: Duration::from_hours(7 * 24),
            socket_origin: None,
            extra_features: 0,
        }
    }
}

/// Rules of the service catalog.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct U2cPolicy {
    /// The hosts of services that have several, by the service's name in the catalog. Default: each
    /// service has one, that of the request.
    pub hosts: BTreeMap<String, Vec<CatalogHost>>,
    /// Minimum size of the catalog in bytes; it is filled up with services that no client needs. A
    /// real one has about 50 000. Default: 0.
    pub size: usize,
}

/// One of the hosts of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogHost {
    /// Name or address, with the port unless it is the default one, such as `localhost:8443`. It
    /// does not have to be a sandbox.
    pub host: String,
    /// Smaller is better; zero and below mean "never use".
    pub priority: i64,
}

impl CatalogHost {
    /// A host with its priority.
    pub fn new(host: impl Into<String>, priority: i64) -> Self {
        Self { host: host.into(), priority }
    }
}

/// Ways in which the token answer to a Meetings (XML API) integration can differ from the documented
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MeetingsQuirk {
    /// It also has the expiry of the refresh token, as the answers to other integrations have.
    RefreshTokenExpiresIn,
    /// It has unknown fields.
    UnknownFields,
    /// It has no expiry of the access token.
    NoExpiresIn,
    /// `scope` is a list.
    ScopeList,
    /// `authentication_id` is a number.
    NumericAuthenticationId,
    /// `expires_in`, `siteid` and `userid` are text.
    TextNumbers,
    /// The fields that can be ignored (`iss`, `siteid`, `userid`, `authentication_id`) are objects,
    /// lists and the like.
    OddIgnoredFields,
}

/// Rules of the authorization server. Durations are seconds in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // independent switches, each documented
pub struct OAuthPolicy {
    /// Lifetime of an access token. Default: 14 days less one second, as in the public examples.
    #[serde(with = "seconds")]
    pub access_token_lifetime: Duration,
    /// Lifetime of a refresh token. Default: 90 days less one second.
    #[serde(with = "seconds")]
    pub refresh_token_lifetime: Duration,
    /// Lifetime of an authorization code. Default: 60 s.
    #[serde(with = "seconds")]
    pub code_lifetime: Duration,
    /// Whether a refresh replaces the refresh token and revokes the old one. Default: `false`.
    pub rotate_refresh_tokens: bool,
    /// Whether the answer to a refresh contains the refresh token. Default: `true`.
    pub return_refresh_token: bool,
    /// Whether a refresh returns the same access token again. Default: `false`.
    pub return_same_access_token: bool,
    /// Whether the answer has the expiry of the tokens. Default: `true`.
    pub return_expiry: bool,
    /// Whether a confidential client may omit its secret when it uses PKCE. Default: `false`.
    pub secret_optional_with_pkce: bool,
    /// Whether every authorization must use PKCE. Default: `false`.
    pub require_pkce: bool,
    /// How many live access tokens a user may have; beyond that the oldest is revoked. Default: 750.
    pub token_cap: usize,
    /// Lifetime of a device code. Default: 300 s.
    #[serde(with = "seconds")]
    pub device_code_lifetime: Duration,
    /// Interval that the device grant asks for between polls. Default: 2 s.
    #[serde(with = "seconds")]
    pub device_poll_interval: Duration,
    /// Differences between the answers to Meetings integrations and the documented ones. Default:
    /// none.
    pub meetings_quirks: BTreeSet<MeetingsQuirk>,
    /// Token requests a client may make per minute; more are refused with 429. Default: no limit.
    pub token_requests_per_minute: Option<u32>,
}

impl Default for OAuthPolicy {
    fn default() -> Self {
        Self {
            access_token_lifetime: Duration::from_secs(1_209_599),
            refresh_token_lifetime: Duration::from_secs(7_775_999),
            code_lifetime: Duration::from_mins(1),
            rotate_refresh_tokens: false,
            return_refresh_token: true,
            return_same_access_token: false,
            return_expiry: true,
            secret_optional_with_pkce: false,
            require_pkce: false,
            token_cap: 750,
            device_code_lifetime: Duration::from_mins(5),
            device_poll_interval: Duration::from_secs(2),
            meetings_quirks: BTreeSet::new(),
            token_requests_per_minute: None,
        }
    }
}
