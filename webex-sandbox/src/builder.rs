//! How a sandbox is configured before it starts.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::StartError;
use crate::sandbox::Sandbox;

/// Configuration of a [`Sandbox`]; made by [`Sandbox::builder`].
///
/// Every setter states its default. Nothing is bound or written before [`Builder::start`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until start()"]
pub struct Builder {
    pub(crate) config: Config,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) plain: bool,
    pub(crate) host_names: Vec<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) request_log: Option<PathBuf>,
    pub(crate) log_capacity: usize,
    pub(crate) latency: Duration,
    pub(crate) connection_latency: Duration,
    pub(crate) instances: Vec<MobiusInstance>,
    pub(crate) mobius: MobiusPolicy,
    pub(crate) oauth: OAuthPolicy,
    pub(crate) wdm: WdmPolicy,
    pub(crate) u2c: U2cPolicy,
    pub(crate) authorization_timeout: Duration,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: Config {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                plain: false,
                host_names: Vec::new(),
                ca_file: None,
                request_log: None,
                log_capacity: 10_000,
                latency: Duration::ZERO,
                connection_latency: Duration::ZERO,
                instances: MobiusInstance::defaults(),
                mobius: MobiusPolicy::default(),
                oauth: OAuthPolicy::default(),
                wdm: WdmPolicy::default(),
                u2c: U2cPolicy::default(),
                authorization_timeout: Duration::from_secs(30),
            },
        }
    }
}

impl Builder {
    /// Address to listen on. Default: `127.0.0.1`, a free port.
    ///
    /// Danger: the control API has no password. Do not bind to an address that others can reach.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen = address;
        self
    }

    /// Plain HTTP and `ws:` in place of TLS. Default: `false`.
    pub fn plain(mut self, plain: bool) -> Self {
        self.config.plain = plain;
        self
    }

    /// One more host name clients may use. It is covered by the certificate and the control API
    /// answers under it. Default: loopback and the Webex domains (those without the control API).
    pub fn host_name(mut self, name: impl Into<String>) -> Self {
        self.config.host_names.push(name.into());
        self
    }

    /// Writes the certificate of the sandbox's authority (PEM) to a file at start. Default: none.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.ca_file = Some(path.into());
        self
    }

    /// Appends each answered request to a file, one JSON object per line, secrets redacted.
    /// Default: none.
    pub fn request_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.request_log = Some(path.into());
        self
    }

    /// How many requests the log in memory keeps; older ones are forgotten. Default: 10 000.
    pub fn log_capacity(mut self, requests: usize) -> Self {
        self.config.log_capacity = requests.max(1);
        self
    }

    /// Delay added to each answer, see [`Sandbox::set_latency`]. Default: zero.
    pub fn latency(mut self, delay: Duration) -> Self {
        self.config.latency = delay;
        self
    }

    /// Delay before each new connection is served. Default: zero.
    pub fn connection_latency(mut self, delay: Duration) -> Self {
        self.config.connection_latency = delay;
        self
    }

    /// The Mobius servers. Default: `primary-1`, `primary-2`, `backup-1`, `backup-2`.
    pub fn mobius_instances(mut self, all: impl IntoIterator<Item = MobiusInstance>) -> Self {
        self.config.instances = all.into_iter().collect();
        self
    }

    /// Period of the keepalive that Mobius asks for. Default: 30 s.
    ///
    /// Whole seconds are sent as the integer the real service sends; a fraction as a decimal number.
    pub fn keepalive_interval(mut self, interval: Duration) -> Self {
        self.config.mobius.keepalive_interval = interval;
        self
    }

    /// All rules of Mobius.
    pub fn mobius_policy(mut self, policy: MobiusPolicy) -> Self {
        self.config.mobius = policy;
        self
    }

    /// All rules of the authorization server.
    pub fn oauth_policy(mut self, policy: OAuthPolicy) -> Self {
        self.config.oauth = policy;
        self
    }

    /// All rules of WDM.
    pub fn wdm_policy(mut self, policy: WdmPolicy) -> Self {
        self.config.wdm = policy;
        self
    }

    /// All rules of the service catalog.
    pub fn u2c_policy(mut self, policy: U2cPolicy) -> Self {
        self.config.u2c = policy;
        self
    }

    /// How long a Mercury socket may stay without an authorization frame. Default: 30 s.
    pub fn authorization_timeout(mut self, timeout: Duration) -> Self {
        self.config.authorization_timeout = timeout;
        self
    }

    /// Binds the port and starts serving on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when the address is taken, a file cannot be written, or two Mobius instances
    /// share a name.
    pub async fn start(self) -> Result<Sandbox, StartError> {
        let instances = &self.config.instances;
        for (at, instance) in instances.iter().enumerate() {
            if instances[..at].iter().any(|other| other.name == instance.name) {
                return Err(StartError::Config("two Mobius instances have the same name"));
            }
        }
        Sandbox::launch(self.config).await
    }
}

/// What a Mobius server is to the clients that discover it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MobiusRole {
    /// Listed under `primary`.
    Primary,
    /// Listed under `backup`.
    Backup,
}

/// One Mobius server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MobiusInstance {
    /// Name used in paths (`/mobius/{name}/…`), faults and records.
    pub name: String,
    /// Host name under which clients with a resolver override reach it.
    pub host: String,
    /// What discovery says about it.
    pub role: MobiusRole,
    /// Region that discovery reports with it.
    pub region: String,
}

impl MobiusInstance {
    /// A server listed under `primary`.
    pub fn primary(name: impl Into<String>) -> Self {
        Self::new(name.into(), MobiusRole::Primary, "US-EAST")
    }

    /// A server listed under `backup`.
    pub fn backup(name: impl Into<String>) -> Self {
        Self::new(name.into(), MobiusRole::Backup, "US-WEST")
    }

    /// Sets the host name. Default: `mobius-{name}.prod.infra.webex.com`.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// Sets the region. Default: `US-EAST` for primaries, `US-WEST` for backups.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    fn new(name: String, role: MobiusRole, region: &str) -> Self {
        let host = format!("mobius-{name}.prod.infra.webex.com");
        Self { name, host, role, region: region.to_owned() }
    }

    /// Two primaries and two backups under host names known from production.
    fn defaults() -> Vec<Self> {
        let host = |place: &str| format!("mobius-{place}.prod.infra.webex.com");
        vec![
            Self::primary("primary-1").with_host(host("us-east-1")),
            Self::primary("primary-2").with_host(host("ca-central-1")),
            Self::backup("backup-1").with_host(host("eu-central-1")),
            Self::backup("backup-2").with_host(host("ap-southeast-2")),
        ]
    }
}

/// Rules of the Mobius servers. Durations are seconds in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MobiusPolicy {
    /// Period of the keepalive, told to clients when they register. Default: 30 s.
    #[serde(with = "seconds")]
    pub keepalive_interval: Duration,
    /// A line expires when no keepalive came for this many intervals (and half an interval of grace,
    /// so that a keepalive on the edge still counts). Default: 3.
    pub missed_keepalives: u32,
    /// Period of the keepalive of calls, told to clients. Default: 600 s.
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
        self.keepalive_interval * self.missed_keepalives + self.keepalive_interval / 2
    }
}

/// Rules of WDM. Durations are seconds in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WdmPolicy {
    /// How many devices a user may have. Default: 100.
    pub device_limit: usize,
    /// HTTP status of the refusal beyond the limit. Default: 403.
    pub device_limit_status: u16,
    /// Life of a device without `ttl` that is not refreshed. Default: 7 days.
    #[serde(with = "seconds")]
    pub durable_lifetime: Duration,
    /// Origin of `webSocketUrl`, such as `wss://localhost:8443`, for clients whose HTTP library can be
    /// led to the sandbox but whose websocket library cannot. Default: that of the request.
    pub socket_origin: Option<String>,
    /// So many developer features that mean nothing are in every answer. A real one has hundreds, and
    /// is tens of kilobytes long. Default: 0.
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct U2cPolicy {
    /// The hosts of services that have several, by the service's name in the catalog. Default: each
    /// service has one, that of the request.
    pub hosts: BTreeMap<String, Vec<CatalogHost>>,
    /// Bytes that the catalog has at least; services that nobody needs fill it up. A real one has
    /// about 50 000. Default: 0.
    pub size: usize,
}

/// One of a service's hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogHost {
    /// Name or address, with the port unless it is the default one, such as `localhost:8443`. Nothing
    /// checks that it is a sandbox.
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

/// Rules of the authorization server. Durations are seconds in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // independent switches, each documented
pub struct OAuthPolicy {
    /// Life of an access token. Default: 14 days less one second, as in the public examples.
    #[serde(with = "seconds")]
    pub access_token_lifetime: Duration,
    /// Life of a refresh token. Default: 90 days less one second.
    #[serde(with = "seconds")]
    pub refresh_token_lifetime: Duration,
    /// Life of an authorization code. Default: 60 s.
    #[serde(with = "seconds")]
    pub code_lifetime: Duration,
    /// Whether a refresh replaces the refresh token and ends the old one. Default: `false`.
    pub rotate_refresh_tokens: bool,
    /// Whether the answer to a refresh contains the refresh token. Default: `true`.
    pub return_refresh_token: bool,
    /// Whether a refresh returns the access token it is meant to replace. Default: `false`.
    pub return_same_access_token: bool,
    /// Whether the answer says when the tokens expire. Default: `true`.
    pub return_expiry: bool,
    /// Whether a confidential client may leave out its secret when it uses PKCE. Default: `false`.
    pub secret_optional_with_pkce: bool,
    /// Whether every authorization must use PKCE. Default: `false`.
    pub require_pkce: bool,
    /// How many live access tokens a user may have; the oldest makes room. Default: 750.
    pub token_cap: usize,
    /// Life of a device code. Default: 300 s.
    #[serde(with = "seconds")]
    pub device_code_lifetime: Duration,
    /// Pause that the device grant asks for between polls. Default: 2 s.
    #[serde(with = "seconds")]
    pub device_poll_interval: Duration,
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
            token_requests_per_minute: None,
        }
    }
}

/// Durations as a number of seconds, whole ones as integers.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use serde_json::Number;

    /// The number that stands for `duration` on the wire.
    pub(crate) fn number(duration: Duration) -> Number {
        if duration.subsec_nanos() == 0 {
            duration.as_secs().into()
        } else {
            Number::from_f64(duration.as_secs_f64()).unwrap_or_else(|| 0.into())
        }
    }

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        number(*value).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}
