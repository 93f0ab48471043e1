//! The Mobius servers, and how each of them behaves.

use std::time::Duration;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{seconds, state::policy::MobiusPolicy};

/// The role of a Mobius server in discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MobiusRole {
    /// Listed under `primary`.
    Primary,
    /// Listed under `backup`.
    Backup,
}

/// One Mobius server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MobiusInstance {
    /// Name used in paths (`/mobius/{name}/…`), faults and records.
    pub name: String,
    /// Host name by which clients with a resolver override reach it.
    pub host: String,
    /// Its role in discovery.
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
    pub(crate) fn defaults() -> Vec<Self> {
        let host = |place: &str| format!("mobius-{place}.prod.infra.webex.com");
        vec![
            Self::primary("primary-1").with_host(host("us-east-1")),
            Self::primary("primary-2").with_host(host("ca-central-1")),
            Self::backup("backup-1").with_host(host("eu-central-1")),
            Self::backup("backup-2").with_host(host("ap-southeast-2")),
        ]
    }
}

/// How one Mobius instance behaves. Durations are seconds in JSON.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use webex_sandbox::{Outage, Sandbox};
///
/// let sandbox = Sandbox::start().await?;
/// sandbox.instance("primary-1", |it| {
///     it.down = true;
///     it.outage = Outage::Hang;
/// });
/// sandbox.instance("primary-2", |it| it.line_limit = Some(0)); // full
/// sandbox.instance("backup-1", |it| it.forgetful = true);
/// assert!(!sandbox.instance("nowhere", |it| it.down = true));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct InstanceBehaviour {
    /// Whether it is down. Default: no.
    pub down: bool,
    /// What happens to requests while it is down. Default: [`Outage::Refuse`].
    pub outage: Outage,
    /// Delay of each answer, in addition to the general latency. Default: none.
    #[serde(with = "seconds")]
    pub delay: Duration,
    /// How many lines of a user's other devices it holds before it is full for that user: one more
    /// is refused with 403, error code 101 and those lines. 0 refuses every line. Default: only the
    /// limit of [`MobiusPolicy::line_limit`].
    pub line_limit: Option<usize>,
    /// Whether it forgets lines: the next keepalive is answered 404. Default: no.
    pub forgetful: bool,
    /// Keepalive interval that it sends to clients. Default: that of the policy.
    #[serde(with = "seconds::optional")]
    pub keepalive_interval: Option<Duration>,
    /// Earliest return from here to a primary, minutes. Default: that of the policy.
    pub rehoming_interval_min: Option<u32>,
    /// Latest return from here to a primary, minutes. Default: that of the policy.
    pub rehoming_interval_max: Option<u32>,
}

/// What happens to a request at a server that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Outage {
    /// No answer: the connection (HTTP/1) or stream (HTTP/2) is closed.
    #[default]
    Refuse,
    /// The TCP connection is reset, with every request on it.
    Reset,
    /// No answer; the connection stays open.
    Hang,
}

/// A Mobius server and its behaviour.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) info: MobiusInstance,
    behaviour: RwLock<InstanceBehaviour>,
}

impl Instance {
    pub(crate) fn new(info: MobiusInstance) -> Self {
        Self { info, behaviour: RwLock::default() }
    }

    pub(crate) fn behaviour(&self) -> InstanceBehaviour {
        self.behaviour.read().clone()
    }

    pub(crate) fn set_behaviour(&self, behaviour: InstanceBehaviour) {
        *self.behaviour.write() = behaviour;
    }

    /// What happens to requests, while the server is down.
    pub(crate) fn outage(&self) -> Option<Outage> {
        let behaviour = self.behaviour.read();
        behaviour.down.then_some(behaviour.outage)
    }

    pub(crate) fn delay(&self) -> Duration {
        self.behaviour.read().delay
    }

    /// The general rules with this server's overrides.
    pub(crate) fn policy(&self, general: &MobiusPolicy) -> MobiusPolicy {
        let behaviour = self.behaviour.read();
        let mut policy = general.clone();
        if let Some(interval) = behaviour.keepalive_interval {
            policy.keepalive_interval = interval;
        }
        if let Some(minutes) = behaviour.rehoming_interval_min {
            policy.rehoming_interval_min = minutes;
        }
        if let Some(minutes) = behaviour.rehoming_interval_max {
            policy.rehoming_interval_max = minutes;
        }
        policy
    }
}
