//! The calling client of one user: finds the servers and has the lines.

use std::sync::Arc;

use thiserror::Error;
use tracing::debug;
use webex_core::{CatalogError, ErrorKind, HttpError, Lease, LinkError, Webex};

use crate::{
    config::{CallingConfig, ConfigError, ServiceIndicator},
    discovery::{self, Servers},
    line::{Line, Setup},
    mobius::{HttpTransport, MobiusTransport},
    registration::timings::{KEEPALIVE_THRESHOLD, KEEPALIVE_THRESHOLD_CONTACT_CENTER},
};

/// Reason in the close frame of the event socket when calling is the last to need it.
const CLOSE_REASON: &str = "calling deregister";

/// Calling for one user. See the [crate documentation](crate).
///
/// Dropping it, and its lines, gives everything up in the background;
/// [`deregister`](Self::deregister) waits and tells.
#[derive(Debug)]
pub struct CallingClient {
    lines: Vec<Line>,
    servers: Arc<Servers>,
    lease: Arc<Lease>,
}

/// Why there is no calling client.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum CallingError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The service catalog is missing.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The device could not be had, or not be given up.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The catalog names no calling servers: the user does not have Webex Calling.
    #[error("the service catalog names no calling servers: the user has no Webex Calling")]
    NoClusters,
    /// No cluster told which servers to use.
    #[error("no calling cluster told which servers to use: {0}")]
    Discovery(#[source] HttpError),
}

impl CallingError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) => ErrorKind::Configuration,
            Self::Catalog(error) => error.kind(),
            Self::Link(error) => error.kind(),
            Self::NoClusters => ErrorKind::Forbidden,
            Self::Discovery(error) => error.kind(),
        }
    }
}

impl CallingClient {
    /// Makes the client: brings up the user's device and finds the calling servers.
    ///
    /// Dropping the future withdraws it.
    ///
    /// # Errors
    /// [`CallingError`] with the cause; then nothing is left registered.
    pub async fn new(webex: &Webex, config: CallingConfig) -> Result<Self, CallingError> {
        config.validate()?;
        let lease = webex.link().acquire().await?;
        let device_and_catalog = async {
            let (device, catalog) = tokio::join!(lease.device(), webex.ready());
            device?;
            Ok::<_, CallingError>(catalog?)
        };
        let location = async {
            match config.location.clone() {
                Some(location) => Some(location),
                None => discovery::location(webex).await,
            }
        };
        // Side by side: where the user is does not depend on who the user is.
        let (catalog, location) = tokio::join!(device_and_catalog, location);
        let servers = discovery::servers(webex, &*catalog?, location.as_ref()).await?;
        debug!(primary = servers.primary.len(), backup = servers.backup.len(), "calling servers");

        let threshold = match config.service.indicator {
            ServiceIndicator::ContactCenter => KEEPALIVE_THRESHOLD_CONTACT_CENTER,
            _ => KEEPALIVE_THRESHOLD,
        };
        let http = webex.http().clone();
        let (servers, lease) = (Arc::new(servers), Arc::new(lease));
        let transport: Arc<dyn MobiusTransport> =
            Arc::new(HttpTransport::new(http, Arc::clone(&lease), config.service));
        let line = Line::start(Setup {
            transport,
            servers: Arc::clone(&servers),
            threshold,
            lease: Arc::clone(&lease),
        });
        Ok(Self { lines: vec![line], servers, lease })
    }

    /// The user's lines. The service gives each user one.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.clone()
    }

    /// The servers that lines register with, best first.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Deregisters all lines, then gives up the user's device, unless Meetings still needs it.
    ///
    /// The client is of no use afterwards; make a new one to register again.
    ///
    /// # Errors
    /// [`CallingError::Link`] when the service did not confirm that the device is gone. A line
    /// whose server did not confirm is told by its `unregistered` event, not here.
    pub async fn deregister(&self) -> Result<(), CallingError> {
        for line in &self.lines {
            line.deregister();
        }
        for line in &self.lines {
            line.idle().await;
        }
        Ok(self.lease.release(CLOSE_REASON).await?)
    }
}
