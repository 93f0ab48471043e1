//! The configuration a sandbox was started with.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::state::{instances::MobiusInstance, policy::Policies};

#[derive(Debug, Clone)]
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
    pub(crate) policies: Policies,
    pub(crate) authorization_timeout: Duration,
}
