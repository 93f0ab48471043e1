//! The calling client of one user: discovers the servers and owns the lines.
//!
//! ```text
//!   CallingClient ── Discovery ── servers ─┐
//!        │  └─ user's record ──────────────┤
//!        └──── Line, Line, …  ◄────────────┘   each with a task and a registration of its own
//! ```

mod link_watch;
mod user;

use std::sync::Arc;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tracing::warn;
use url::Url;
use uuid::Uuid;
use webex_core::{Lease, Request, Subscription, Webex, events::Hub, join};

use self::{link_watch::LinkWatch, user::UserRequest};
use crate::{
    discovery::Discovery,
    line::{driver::Setup, failover_store::FailoverStore, handle::Line},
    mobius::{
        http::{HttpTransport, mobius},
        wire::{DeviceList, MobiusDevice},
    },
    model::{
        client_error::{CallingClientError, CallingError, CallingEvent},
        config::{CallingConfig, ConfigError, ServiceData, ServiceIndicator},
        policy::RegistrationPolicy,
        servers::Servers,
    },
    registration::machine::Settings,
};

/// The reason in the close frame of the event socket, when calling is the last to use it.
const CLOSE_REASON: &str = "calling deregister";

/// Calling for one user. See the [crate documentation](crate).
///
/// A process may have any number of clients, for any number of users. They share no state.
///
/// Dropping it and its lines deregisters everything in the background;
/// [`deregister`](Self::deregister) waits and reports the result.
#[derive(Debug)]
pub struct CallingClient {
    webex: Webex,
    discovery: Arc<Discovery>,
    registration: RegistrationPolicy,
    unregistered_per_server: bool,
    user: UserRequest,
    link: LinkWatch,
    /// The domain of the contact center, if the catalog has one.
    contact_center_domain: Option<String>,
    lines: Mutex<Vec<(ServiceData, Line)>>,
    lease: Arc<Lease>,
}

impl CallingClient {
    /// Makes the client: registers the user's device and discovers the calling servers. The client
    /// has one line, for the service of the configuration.
    ///
    /// Dropping the future cancels it, and deregisters the device in the background.
    ///
    /// # Errors
    /// [`CallingError`] with the cause, after the device was deregistered, unless Meetings needs it.
    /// Without servers there is no client: when no cluster answers, make the client again later.
    pub async fn new(webex: &Webex, config: CallingConfig) -> Result<Self, CallingError> {
        config.validate()?;
        webex.expect_service("mobius");
        let lease = Arc::new(webex.link().acquire().await?);
        let client = Self::with_lease(webex, config, Arc::clone(&lease)).await;
        if client.is_err()
            && let Err(error) = lease.release(CLOSE_REASON).await
        {
            warn!(%error, "the device may be left behind");
        }
        client
    }

    async fn with_lease(
        webex: &Webex,
        config: CallingConfig,
        lease: Arc<Lease>,
    ) -> Result<Self, CallingError> {
        let discovery = Discovery::new(webex.clone(), config.location);
        let link = LinkWatch::start(webex, discovery.events());
        let catalog = async {
            webex.ready().await?;
            // The token is good. Two requests are still to come, so the record is normally there
            // before the first registration.
            Ok::<_, CallingError>(UserRequest::start(webex))
        };
        let device_and_catalog = async {
            let (device, user) = tokio::join!(lease.device(), catalog);
            device?;
            user
        };
        let user = discovery.first(device_and_catalog).await?;
        let catalog = webex.ready().await?;
        let client = Self {
            webex: webex.clone(),
            discovery: Arc::new(discovery),
            registration: config.registration,
            unregistered_per_server: config.unregistered_per_server,
            user,
            link,
            contact_center_domain: catalog.contact_center_domain().map(str::to_owned),
            lines: Mutex::default(),
            lease,
        };
        client.add_line(config.service)?;
        Ok(client)
    }

    /// Adds a line for another service of the same user, such as the contact center beside calling.
    /// It has a registration, keepalives and events of its own.
    ///
    /// To Mobius a line is a combination of user, device and service. A second line for the same
    /// service needs another device, that is another [`Webex`] client, which may share the tokens.
    ///
    /// # Errors
    /// [`CallingError::Config`] when the service cannot be used or has a line already,
    /// [`CallingError::Closed`] after [`deregister`](Self::deregister).
    pub fn add_line(&self, service: ServiceData) -> Result<Line, CallingError> {
        service.validate()?;
        let service = self.with_domain(service)?;
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
            settings: Settings {
                service: service.indicator,
                policy: self.registration.clone(),
                unregistered_per_server: self.unregistered_per_server,
            },
            user: self.user.record(),
            failover: FailoverStore::new(self.webex.saved_state(), lines.len()),
            events: Arc::new(Hub::default()),
            lease: Arc::clone(&self.lease),
        });
        lines.push((service, line.clone()));
        Ok(line)
    }

    /// Returns the user's lines: one, plus those of [`add_line`](Self::add_line).
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().iter().map(|(_, line)| line.clone()).collect()
    }

    /// Returns the line of that id, if the client has it.
    pub fn line(&self, id: &Uuid) -> Option<Line> {
        self.lines.lock().iter().map(|(_, line)| line).find(|line| line.line_id() == *id).cloned()
    }

    /// The service data with the domain of the catalog, where it needs one and has none.
    fn with_domain(&self, mut service: ServiceData) -> Result<ServiceData, ConfigError> {
        if service.indicator == ServiceIndicator::ContactCenter && service.domain.is_empty() {
            let known = self.contact_center_domain.clone();
            service.domain = known.ok_or(ConfigError::DomainMissing)?;
            service.validate()?;
        }
        Ok(service)
    }

    /// Returns the servers that lines register with, best first, from the last discovery.
    pub fn servers(&self) -> Arc<Servers> {
        self.discovery.servers()
    }

    /// Discovers the servers again, and returns them. There is no need to call it: lines do it by
    /// themselves when none of the known servers accepts them.
    ///
    /// # Errors
    /// [`CallingError`] when no cluster answered; the known servers remain in use.
    pub async fn rediscover(&self) -> Result<Arc<Servers>, CallingError> {
        self.discovery.rediscover().await
    }

    /// Returns the events from now on. Earlier ones are in [`last_error`](Self::last_error) and
    /// [`unavailable`](Self::unavailable).
    pub fn subscribe(&self) -> Subscription<CallingEvent> {
        self.discovery.subscribe()
    }

    /// Returns [`CallingEvent::Retrying`] or [`CallingEvent::Failed`] while no events arrive, with the
    /// reason. Lines stay registered, but their calls are not announced.
    pub fn unavailable(&self) -> Option<CallingEvent> {
        self.link.unavailable()
    }

    /// Returns the error of the last discovery, if there was one. The client may still work: it needs
    /// the answer of one cluster only.
    pub fn last_error(&self) -> Option<CallingClientError> {
        self.discovery.last_error()
    }

    /// Returns the user's devices as the calling servers know them, including those of other
    /// programs.
    ///
    /// Asks all servers in parallel, and merges the lists of those that answered.
    ///
    /// # Errors
    /// [`CallingError::Devices`] when none answered, [`CallingError::Link`] when the user's device is
    /// not registered.
    pub async fn devices(&self) -> Result<Vec<MobiusDevice>, CallingError> {
        let servers = self.discovery.servers();
        let mut asked: Vec<&Url> = Vec::new();
        for server in servers.all() {
            if !asked.contains(&server) {
                asked.push(server);
            }
        }
        let answers = asked.into_iter().map(|server| self.devices_at(server));
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
            Some(error) if !answered => Err(error),
            _ => Ok(devices),
        }
    }

    /// Returns the user's devices as one of the [`servers`](Self::servers) knows them. It registers
    /// nothing, and so it also shows whether that server serves the user.
    ///
    /// # Errors
    /// [`CallingError::Devices`] when the server does not list them, [`CallingError::Link`] when the
    /// user's device is not registered.
    pub async fn devices_at(&self, server: &Url) -> Result<Vec<MobiusDevice>, CallingError> {
        let user = &self.lease.device().await?.user_id;
        let mut url = join(server, "devices");
        url.query_pairs_mut().append_pair("userid", user);
        let answer = self.webex.http().send(mobius(Request::get(url))).await;
        let list = answer.and_then(|answer| answer.json::<DeviceList>());
        Ok(list.map_err(CallingError::Devices)?.into_devices())
    }

    /// Deregisters all lines, then the user's device, unless Meetings still needs it.
    ///
    /// The client cannot be used afterwards; make a new one to register again.
    ///
    /// # Errors
    /// [`CallingError::Line`] when a server did not confirm that a line is deregistered,
    /// [`CallingError::Link`] when the service did not confirm that the device is deleted. All the
    /// others are deregistered nevertheless.
    pub async fn deregister(&self) -> Result<(), CallingError> {
        let lines = self.lines();
        let ended = join_all(lines.iter().map(Line::deregister_and_wait)).await;
        let lines = ended.into_iter().collect::<Result<(), _>>();
        self.lease.release(CLOSE_REASON).await?;
        Ok(lines?)
    }
}
