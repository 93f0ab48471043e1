//! The calling client of one user: finds the servers and has the lines.
//!
//! ```text
//!   CallingClient ── Discovery ── servers ─┐
//!        │  └─ user's record ──────────────┤
//!        └──── Line, Line, …  ◄────────────┘   each with a task and a registration of its own
//! ```

mod error;
mod user;

use std::sync::Arc;

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::Deserialize;
use url::Url;
use webex_core::{HttpError, Lease, Request, Subscription, Webex, join};

pub use self::error::{
    CallingClientError, CallingClientErrorType, CallingError, CallingEvent, DiscoveryStep,
};
pub(crate) use self::user::{Person, UserRecord};
use crate::{
    config::{CallingConfig, ConfigError, ServiceData},
    discovery::{Discovery, Servers},
    line::{Kept, Line, Setup, Voice},
    mobius::{HttpTransport, MobiusDevice, mobius},
    registration::RegistrationPolicy,
};

/// Reason in the close frame of the event socket when calling is the last to need it.
const CLOSE_REASON: &str = "calling deregister";

/// Calling for one user. See the [crate documentation](crate).
///
/// A process may have any number, for any number of users: all state is the client's own.
///
/// Dropping it, and its lines, gives everything up in the background;
/// [`deregister`](Self::deregister) waits and tells.
#[derive(Debug)]
pub struct CallingClient {
    webex: Webex,
    discovery: Arc<Discovery>,
    registration: RegistrationPolicy,
    unregistered_per_server: bool,
    user: UserRecord,
    /// The question for the user's record ends with the client.
    _asking: user::Asking,
    lines: Mutex<Vec<(ServiceData, Line)>>,
    lease: Arc<Lease>,
}

impl CallingClient {
    /// Makes the client: brings up the user's device and finds the calling servers. It has one
    /// line then, for the service of the configuration.
    ///
    /// Dropping the future withdraws it.
    ///
    /// # Errors
    /// [`CallingError`] with the cause; then nothing is left registered. There is never a client
    /// without servers: when no cluster tells any, that is the error, and making the client again
    /// asks again.
    pub async fn new(webex: &Webex, config: CallingConfig) -> Result<Self, CallingError> {
        config.validate()?;
        webex.expect_service("mobius");
        let lease = webex.link().acquire().await?;
        let discovery = Discovery::new(webex.clone(), config.location);
        let user = UserRecord::default();
        let catalog = async {
            webex.ready().await?;
            // The token is good. With two requests still to come the answer is in time for the
            // first registration, as a rule.
            Ok::<_, CallingError>(user.fetch(webex))
        };
        let device_and_catalog = async {
            let (device, asking) = tokio::join!(lease.device(), catalog);
            device?;
            asking
        };
        let asking = discovery.first(device_and_catalog).await?;
        let client = Self {
            webex: webex.clone(),
            discovery: Arc::new(discovery),
            registration: config.registration,
            unregistered_per_server: config.unregistered_per_server,
            user,
            _asking: asking,
            lines: Mutex::default(),
            lease: Arc::new(lease),
        };
        client.add_line(config.service)?;
        Ok(client)
    }

    /// Adds a line for another service of the same user, such as the contact center beside
    /// calling. It has a registration, keepalives and events of its own.
    ///
    /// Mobius tells lines apart by user, device and service: a second line for the same service
    /// needs another device, that is another [`Webex`] client (which may share the tokens).
    ///
    /// # Errors
    /// [`CallingError::Config`] when the service cannot be used or has a line already,
    /// [`CallingError::Closed`] after [`deregister`](Self::deregister).
    pub fn add_line(&self, service: ServiceData) -> Result<Line, CallingError> {
        service.validate()?;
        if !self.lease.is_held() {
            return Err(CallingError::Closed);
        }
        let mut lines = self.lines.lock();
        if lines.iter().any(|(taken, _)| taken.is_same(&service)) {
            return Err(ConfigError::ServiceTaken(service.indicator).into());
        }
        let transport = HttpTransport::new(&self.webex, Arc::clone(&self.lease), service.clone());
        let line = Line::start(Setup {
            transport: Arc::new(transport),
            discovery: Arc::clone(&self.discovery),
            service: service.indicator,
            policy: self.registration.clone(),
            kept: Kept::new(self.webex.saved_state(), lines.len()),
            voice: Arc::new(Voice::new(self.user.clone(), self.unregistered_per_server)),
            lease: Arc::clone(&self.lease),
        });
        lines.push((service, line.clone()));
        Ok(line)
    }

    /// The user's lines: one, unless [`add_line`](Self::add_line) has added others.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().iter().map(|(_, line)| line.clone()).collect()
    }

    /// The servers that lines register with, best first, as last told.
    pub fn servers(&self) -> Arc<Servers> {
        self.discovery.servers()
    }

    /// Asks again which servers to use, and tells. There is no need to: lines ask by themselves when
    /// none of the known servers takes them.
    ///
    /// # Errors
    /// [`CallingError`] when no cluster told any; those known before remain in use.
    pub async fn rediscover(&self) -> Result<Arc<Servers>, CallingError> {
        self.discovery.rediscover().await
    }

    /// What the client tells from now on: `callingClient:error`. What went wrong before is in
    /// [`last_error`](Self::last_error).
    pub fn subscribe(&self) -> Subscription<CallingEvent> {
        self.discovery.subscribe()
    }

    /// What went wrong when the servers were last asked for; `None` when nothing did. The client
    /// may work all the same: one cluster that fails is no harm when another answers.
    pub fn last_error(&self) -> Option<CallingClientError> {
        self.discovery.last_error()
    }

    /// The user's devices as the calling servers know them, those of other programs included.
    ///
    /// All servers are asked, side by side; the answer holds what those that answered told, each
    /// device once.
    ///
    /// # Errors
    /// [`CallingError::Devices`] when none answered, [`CallingError::Link`] when there is no device
    /// to ask with.
    pub async fn devices(&self) -> Result<Vec<MobiusDevice>, CallingError> {
        let user = self.lease.device().await?.user_id.clone();
        let servers = self.discovery.servers();
        let mut asked: Vec<&Url> = Vec::new();
        for server in servers.primary.iter().chain(&servers.backup) {
            if !asked.contains(&server) {
                asked.push(server);
            }
        }
        let answers = asked.into_iter().map(|server| self.devices_at(server, &user));
        let (mut devices, mut failure, mut answered) = (Vec::<MobiusDevice>::new(), None, false);
        for answer in join_all(answers).await {
            match answer {
                Ok(list) => {
                    answered = true;
                    for device in list {
                        if devices.iter().all(|known| known.device_id != device.device_id) {
                            devices.push(device);
                        }
                    }
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            Some(error) if !answered => Err(CallingError::Devices(error)),
            _ => Ok(devices),
        }
    }

    async fn devices_at(&self, server: &Url, user: &str) -> Result<Vec<MobiusDevice>, HttpError> {
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            devices: Vec<MobiusDevice>,
        }
        let mut url = join(server, "devices");
        url.query_pairs_mut().append_pair("userid", user);
        let list: List = self.webex.http().send(mobius(Request::get(url))).await?.json()?;
        Ok(list.devices)
    }

    /// Deregisters all lines, then gives up the user's device, unless Meetings still needs it.
    ///
    /// The client is of no use afterwards; make a new one to register again.
    ///
    /// # Errors
    /// [`CallingError::Link`] when the service did not confirm that the device is gone. A line
    /// whose server did not confirm is told by its `unregistered` event, not here.
    pub async fn deregister(&self) -> Result<(), CallingError> {
        let lines = self.lines();
        for line in &lines {
            line.deregister();
        }
        for line in &lines {
            line.idle().await;
        }
        Ok(self.lease.release(CLOSE_REASON).await?)
    }
}
