//! Errors of starting a sandbox and of waiting for a condition.

use std::{io, time::Duration};

/// Why a sandbox could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file of the configuration could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The certificates could not be made.
    #[error("cannot make certificates")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused the configuration.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The configuration contradicts itself.
    #[error("invalid configuration: {0}")]
    Config(&'static str),
}

/// A condition did not become true in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the condition did not come true within {after:?}")]
pub struct WaitTimeout {
    /// How long the caller waited.
    pub after: Duration,
}
