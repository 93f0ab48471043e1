//! How a sandbox is configured before it starts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use crate::state::{
    config::Config,
    instances::MobiusInstance,
    policy::{MobiusPolicy, OAuthPolicy, Policies, U2cPolicy, WdmPolicy},
};

/// Configuration of a [`Sandbox`](crate::Sandbox); made by
/// [`Sandbox::builder`](crate::Sandbox::builder).
///
/// Every setter states its default. [`Builder::start`] binds the port and writes the files.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until start()"]
pub struct Builder {
    pub(crate) config: Config,
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
                policies: Policies::default(),
                authorization_timeout: Duration::from_secs(30),
            },
        }
    }
}

impl Builder {
    /// Address to listen on. Default: `127.0.0.1`, a free port.
    ///
    /// Danger: the control API has no password. Do not bind to an address that other people can reach.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen = address;
        self
    }

    /// Plain HTTP and `ws:` instead of TLS. Default: `false`.
    pub fn plain(mut self, plain: bool) -> Self {
        self.config.plain = plain;
        self
    }

    /// Adds a host name that clients may use. The certificate covers it, and the control API
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

    /// How many requests the log in memory keeps; older ones are dropped. Default: 10 000.
    pub fn log_capacity(mut self, requests: usize) -> Self {
        self.config.log_capacity = requests.max(1);
        self
    }

    /// Delay added to each answer, see [`Sandbox::set_latency`](crate::Sandbox::set_latency). Default: zero.
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
        self.config.policies.mobius.keepalive_interval = interval;
        self
    }

    /// All rules of Mobius.
    pub fn mobius_policy(mut self, policy: MobiusPolicy) -> Self {
        self.config.policies.mobius = policy;
        self
    }

    /// All rules of the authorization server.
    pub fn oauth_policy(mut self, policy: OAuthPolicy) -> Self {
        self.config.policies.oauth = policy;
        self
    }

    /// All rules of WDM.
    pub fn wdm_policy(mut self, policy: WdmPolicy) -> Self {
        self.config.policies.wdm = policy;
        self
    }

    /// All rules of the service catalog.
    pub fn u2c_policy(mut self, policy: U2cPolicy) -> Self {
        self.config.policies.u2c = policy;
        self
    }

    /// How long a Mercury socket may stay open without an authorization frame. Default: 30 s.
    pub fn authorization_timeout(mut self, timeout: Duration) -> Self {
        self.config.authorization_timeout = timeout;
        self
    }
}
