//! The client of one user, which the products are built on.

use std::{
    any::{Any, TypeId},
    sync::{Arc, OnceLock, Weak},
};

use parking_lot::Mutex;
use thiserror::Error;
use tracing::warn;
use url::Url;
use webex_auth::{Credentials, Store, TokenError, Tokens};

use crate::{
    catalog::{Catalog, CatalogError, CatalogFormat, CatalogSelector, Hosts, Services},
    clock::ClockOffset,
    core::Core,
    device::config::DeviceConfig,
    endpoints::Endpoints,
    error::{ErrorKind, HttpError, token_kind},
    events::Subscription,
    fetched::Fetched,
    http::{AllowList, Http, StartHosts, TrackingIds, Transport, TransportError},
    link::{command::Hint, error::LinkError, event::LinkEvent, handle::Link},
    region::Region,
    saved::SavedState,
    user::User,
};

/// One user of the Webex cloud.
///
/// Cheap to clone; clones are the same user. Any number of users can live in one process: only the
/// connection pool is global, and it holds no state of a user.
///
/// ```no_run
/// use webex_core::{Credentials, Webex};
///
/// # async fn example(token: String) -> Result<(), Box<dyn std::error::Error>> {
/// let webex = Webex::builder().credentials(Credentials::access_token(token)).build()?; // no I/O
/// webex.ready().await?; // the service catalog is at hand
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Webex(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    core: Arc<Core>,
    link: OnceLock<Link>,
    /// State that the objects of a product share, while one of them exists.
    shared: Mutex<Vec<(TypeId, Weak<dyn Any + Send + Sync>)>>,
}

impl Webex {
    /// Builds a client.
    pub fn builder() -> WebexBuilder {
        WebexBuilder::default()
    }

    /// Waits for the service catalog, which every other operation needs (and fetches if necessary):
    /// what the documentation calls `meetings:ready`.
    ///
    /// Any number of tasks may wait; one request is made. After a failure the next call tries again.
    ///
    /// # Errors
    /// [`CatalogError::Fetch`] with the cause.
    pub async fn ready(&self) -> Result<Arc<Catalog>, CatalogError> {
        self.0.core.catalog().await
    }

    /// The URL to use for a service now: on the best host that has not failed lately. Fetches the
    /// catalog if necessary.
    ///
    /// # Errors
    /// [`CatalogError::Fetch`] without a catalog, [`CatalogError::NoService`] when it does not list
    /// the service.
    pub async fn service_url(&self, service: &str) -> Result<Url, CatalogError> {
        self.0.core.services.service_url(service).await
    }

    /// Fetches what the catalog shows without a token, to find out where a user belongs before
    /// sign-in. Everything else uses the full catalog ([`ready`](Self::ready)) and never this one.
    ///
    /// # Errors
    /// [`CatalogError::Fetch`] with the cause; a wrong selector gives the error of a refused request.
    pub async fn limited_catalog(
        &self,
        selector: &CatalogSelector,
    ) -> Result<Arc<Catalog>, CatalogError> {
        self.0.core.services.limited(selector).await
    }

    /// The user's own record: id, name, e-mail, organisation, numbers. Requested once and shared by
    /// all callers; a failure is not kept.
    ///
    /// Fields that the token's scopes do not allow are left out, above all phone numbers and
    /// extension.
    ///
    /// # Errors
    /// [`HttpError`] with the cause.
    pub async fn user(&self) -> Result<Arc<User>, HttpError> {
        let core = &self.0.core;
        core.user.get(|| User::fetch(&core.http, &core.endpoints)).await
    }

    /// Where the user is, according to this machine's address. Requested once, and again after
    /// [`network_changed`](Self::network_changed) or [`resumed`](Self::resumed); a failure is not
    /// kept.
    ///
    /// # Errors
    /// [`HttpError`] with the cause.
    pub async fn region(&self) -> Result<Arc<Region>, HttpError> {
        let core = &self.0.core;
        core.region.get(|| Region::fetch(&core.http, &core.endpoints)).await
    }

    /// Announces that requests to a service of the catalog will follow soon: its hosts are dialled
    /// as soon as they are known, and remembered for the next start. Sends no request; repeated
    /// calls do nothing. Products call it for the services they use.
    pub fn expect_service(&self, service: &'static str) {
        self.0.core.services.expect(service);
    }

    /// The HTTP client of this user: for services that this SDK does not cover.
    pub fn http(&self) -> &Http {
        &self.0.core.http
    }

    /// The tokens of this user: their state, signing in again, signing out.
    pub fn tokens(&self) -> &Tokens {
        self.0.core.http.tokens()
    }

    /// The URLs where discovery starts.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.core.endpoints
    }

    /// The state of this user that is saved across restarts.
    pub fn saved_state(&self) -> &SavedState {
        &self.0.core.saved
    }

    /// Subscribes to events of Webex services from now on, by name or namespace, such as
    /// `event:conversation.activity`: see [`Link::subscribe_to`].
    ///
    /// # Panics
    /// As [`link`](Self::link).
    pub fn subscribe_to(&self, name: &str) -> Subscription<LinkEvent> {
        self.link().subscribe_to(name)
    }

    /// By how many milliseconds this machine's clock is ahead of the service's (negative: behind),
    /// according to the latest message on the socket, including its transit time. `None` before the
    /// first message.
    pub fn clock_offset_ms(&self) -> Option<i64> {
        self.0.core.clock.ms()
    }

    /// Reports that the network may have changed: another interface, another address, or back after
    /// an outage. Call it from the operating system's notification; calling it too often does no
    /// harm.
    ///
    /// The socket has to prove that it is alive within
    /// [`CHECK_TIMEOUT`](crate::mercury::timings::CHECK_TIMEOUT), or it is reopened; a wait before
    /// the next attempt ends; a failed renewal of the token is tried again soon. A service's
    /// `Retry-After` still applies. Products are notified by [`LinkEvent::NetworkChanged`].
    ///
    /// [`LinkEvent::NetworkChanged`]: crate::LinkEvent::NetworkChanged
    pub fn network_changed(&self) {
        self.hint(Hint::NetworkChanged);
    }

    /// Reports that the machine has slept, or that the operating system had suspended the program.
    ///
    /// The same as [`network_changed`](Self::network_changed), but reported by
    /// [`LinkEvent::Resumed`]. A running program notices by itself within
    /// [`SLEEP_CHECK_INTERVAL`](crate::link::timings::SLEEP_CHECK_INTERVAL); this call makes it
    /// immediate.
    ///
    /// [`LinkEvent::Resumed`]: crate::LinkEvent::Resumed
    pub fn resumed(&self) {
        self.hint(Hint::Resumed);
    }

    /// Closes the event socket because the application goes to the background. Returns when it is
    /// closed, within two seconds. Device and registrations stay, but a suspended program does not
    /// refresh them: unregister first what should not stay. [`resumed`](Self::resumed) reopens the
    /// socket at once. `docs/mobile.md` describes the whole pattern.
    pub async fn suspend(&self) {
        if let Some(link) = self.0.link.get() {
            link.suspend().await;
        }
    }

    /// Waits until everything that is no longer held has been given up: device and socket of a
    /// failed or dropped start, and of dropped objects. Call it before the program ends. What is
    /// still held, such as a registered Meetings device, is not waited for.
    ///
    /// # Errors
    /// [`LinkError`] when the service did not confirm that the device is gone.
    pub async fn shutdown(&self) -> Result<(), LinkError> {
        match self.0.link.get() {
            Some(link) => link.settled().await,
            None => Ok(()),
        }
    }

    fn hint(&self, hint: Hint) {
        self.tokens().network_changed();
        self.http().hosts().forget_failures();
        self.0.core.region.forget();
        if let Some(link) = self.0.link.get() {
            link.hint(hint);
        }
    }

    /// State of the product's own type `T` that all objects of a product share for this user:
    /// created by the first caller, kept as long as somebody holds it.
    pub fn shared<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.shared.lock();
        shared.retain(|(_, held)| held.strong_count() > 0);
        let known = shared.iter().find(|(id, _)| *id == TypeId::of::<T>());
        let held = known.and_then(|(_, held)| held.upgrade()?.downcast().ok());
        held.unwrap_or_else(|| {
            let object = Arc::new(make());
            let held: Weak<dyn Any + Send + Sync> = Arc::downgrade(&object) as _;
            shared.push((TypeId::of::<T>(), held));
            object
        })
    }

    /// The WDM device and Mercury socket of this user.
    ///
    /// # Panics
    /// When called for the first time outside a tokio runtime.
    pub fn link(&self) -> &Link {
        self.0.link.get_or_init(|| Link::start(Arc::clone(&self.0.core)))
    }
}

/// Builds a [`Webex`].
#[derive(Debug, Clone, Default)]
pub struct WebexBuilder {
    identity: Option<Identity>,
    store: Option<(Arc<dyn Store>, String)>,
    saved: SavedState,
    endpoints: Endpoints,
    transport: Option<Transport>,
    device: DeviceConfig,
    catalog_format: CatalogFormat,
    insecure_anywhere: bool,
}

impl WebexBuilder {
    /// Who the user is. This or [`tokens`](Self::tokens) is required.
    ///
    /// Renewable credentials are renewed, over the same connections as everything else.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.identity = Some(Identity::Credentials(credentials));
        self
    }

    /// Existing tokens, which several clients may share.
    #[must_use]
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.identity = Some(Identity::Tokens(tokens));
        self
    }

    /// Where renewed tokens are stored, and under which name. Default: in memory only. Has no
    /// effect on existing [`tokens`](Self::tokens).
    #[must_use]
    pub fn token_store(mut self, store: Arc<dyn Store>, name: impl Into<String>) -> Self {
        self.store = Some((store, name.into()));
        self
    }

    /// Where everything but tokens is saved across restarts, and under which name: the device, the
    /// catalog, the servers of a line. Default: nowhere. It may be the same store as for tokens.
    ///
    /// With it the device is durable: it has no [`DeviceConfig::ttl`], stays registered when the
    /// program ends without unregistering, and is used again at the next start.
    ///
    /// Two clients that run at the same time need different names; otherwise they would share one device.
    #[must_use]
    pub fn state_store(mut self, store: Arc<dyn Store>, name: &str) -> Self {
        self.saved = SavedState::new(store, name);
        self
    }

    /// The cloud to use. Default: [`Endpoints::production`].
    #[must_use]
    pub fn endpoints(mut self, endpoints: Endpoints) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// The connections to use. Default: [`Transport::shared`].
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The settings of the registered device. Default: [`DeviceConfig::default`].
    #[must_use]
    pub fn device(mut self, device: DeviceConfig) -> Self {
        self.device = device;
        self
    }

    /// The format to request the service catalog in. Default: [`CatalogFormat::HostMap`].
    #[must_use]
    pub fn catalog_format(mut self, format: CatalogFormat) -> Self {
        self.catalog_format = format;
        self
    }

    /// Allows a transport that checks no certificates, and plain HTTP, also for hosts other than
    /// this machine. Default: no. Danger: anyone on the network path can read the token.
    #[must_use]
    pub fn danger_insecure_anywhere(mut self, allow: bool) -> Self {
        self.insecure_anywhere = allow;
        self
    }

    /// Builds the client. No I/O.
    ///
    /// # Errors
    /// [`BuildError`] when credentials are missing or malformed;
    /// [`BuildError::Insecure`] when others could read the token on its way.
    pub fn build(self) -> Result<Webex, BuildError> {
        let identity = self.identity.ok_or(BuildError::NoCredentials)?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => Transport::shared()?,
        };
        let insecure = Insecurity::of(&transport, &self.endpoints);
        if let Some(insecure) = insecure {
            if !self.insecure_anywhere {
                return Err(BuildError::Insecure(insecure));
            }
            warn!("{insecure}");
        } else if transport.accepts_invalid_certs() {
            warn!("certificates are not checked");
        }
        let tokens = match identity {
            Identity::Tokens(tokens) => tokens,
            Identity::Credentials(credentials) => {
                let mut builder = Tokens::builder(credentials).http(transport.token_http());
                if let Some((store, name)) = self.store {
                    builder = builder.store(store, name);
                }
                builder.build()?
            }
        };
        let hosts = Arc::new(Hosts::default());
        let allow = AllowList::new(&self.endpoints, Arc::clone(&hosts) as _);
        let remembered = StartHosts::new(self.saved.clone(), &self.endpoints.u2c);
        let http = Http::new(transport, tokens, allow, TrackingIds::new(), remembered);
        let (endpoints, saved) = (self.endpoints, self.saved);
        let device = if saved.is_kept() { self.device.durable() } else { self.device };
        let u2c = endpoints.u2c.clone();
        let services = Services::new(http.clone(), hosts, u2c, self.catalog_format, saved.clone());
        let clock = ClockOffset::default();
        let (user, region) = (Fetched::default(), Fetched::default());
        let core = Core { http, endpoints, device, saved, services, clock, user, region };
        Ok(Webex(Arc::new(Inner {
            core: Arc::new(core),
            link: OnceLock::new(),
            shared: Mutex::default(),
        })))
    }
}

#[derive(Debug, Clone)]
enum Identity {
    Credentials(Credentials),
    Tokens(Tokens),
}

/// Why a client cannot be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No credentials were given.
    #[error("no credentials were given to the builder")]
    NoCredentials,
    /// The credentials are malformed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is no transport.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Others could read the token in transit, and
    /// [`danger_insecure_anywhere`](WebexBuilder::danger_insecure_anywhere) was not set.
    #[error(transparent)]
    Insecure(Insecurity),
}

/// How the token of a client could be read in transit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Insecurity {
    /// Certificates are not checked.
    #[error(
        "certificates are not checked, and {0} is not this machine: anyone on the network path can read the token"
    )]
    Unchecked(String),
    /// There is no TLS.
    #[error(
        "{0} is asked without TLS, and is not this machine: anyone on the network path can read the token"
    )]
    Plain(String),
}

impl Insecurity {
    /// What is insecure about these connections to that cloud, if anything. Clients of a cloud on
    /// this machine, such as a sandbox, may work without TLS or without checking it.
    pub fn of(transport: &Transport, endpoints: &Endpoints) -> Option<Self> {
        let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
        if let Some(url) = endpoints.plain_beyond_loopback() {
            return Some(Self::Plain(host(url)));
        }
        let unchecked = endpoints.beyond_loopback().filter(|_| transport.accepts_invalid_certs());
        unchecked.map(|url| Self::Unchecked(host(url)))
    }
}

impl BuildError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoCredentials | Self::Transport(_) | Self::Insecure(_) => {
                ErrorKind::Configuration
            }
            Self::Token(error) => token_kind(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn building_needs_well_formed_credentials_and_no_runtime() {
        assert!(matches!(Webex::builder().build(), Err(BuildError::NoCredentials)));
        let bad = Webex::builder().credentials(Credentials::access_token("two words")).build();
        assert_eq!(bad.unwrap_err().kind(), ErrorKind::Configuration);
        assert!(Webex::builder().credentials(Credentials::access_token("good")).build().is_ok());
    }

    #[test]
    fn nothing_about_a_client_prints_its_token() {
        let credentials = Credentials::access_token("very-secret-value");
        let webex = Webex::builder().credentials(credentials).build().unwrap();
        assert!(!format!("{webex:?}").contains("secret-value"));
    }

    fn build(origin: &str, unchecked: bool, anywhere: bool) -> Result<Webex, BuildError> {
        let transport = Transport::builder().danger_accept_invalid_certs(unchecked);
        Webex::builder()
            .credentials(Credentials::access_token("a-token"))
            .endpoints(Endpoints::at(origin).unwrap())
            .transport(transport.build().unwrap())
            .danger_insecure_anywhere(anywhere)
            .build()
    }

    #[test]
    fn without_tls_or_certificates_only_this_machine_is_asked() {
        for origin in ["127.0.0.1:1", "127.8.9.1", "[::1]:2", "localhost:3", "a.localhost"] {
            assert!(build(&format!("https://{origin}"), true, false).is_ok(), "{origin}");
            assert!(build(&format!("http://{origin}"), false, false).is_ok(), "{origin}");
        }
        for origin in ["192.168.0.1", "cloud.example", "localhost.example", "[::2]", "0.0.0.0"] {
            let (tls, plain) = (format!("https://{origin}"), format!("http://{origin}"));
            for refused in [build(&tls, true, false), build(&plain, false, false)] {
                let error = refused.unwrap_err();
                assert!(matches!(error, BuildError::Insecure(_)), "{origin}: {error}");
                assert_eq!(error.kind(), ErrorKind::Configuration);
            }
            assert!(build(&tls, false, false).is_ok(), "{origin}");
            assert!(build(&tls, true, true).is_ok() && build(&plain, false, true).is_ok());
        }
    }

    #[test]
    fn one_address_elsewhere_is_enough() {
        let mut endpoints = Endpoints::at("http://127.0.0.1:1").unwrap();
        let transport = Transport::builder().build().unwrap();
        assert_eq!(Insecurity::of(&transport, &endpoints), None);
        endpoints = endpoints.trusting("http://cloud.example").unwrap();
        let insecurity = Insecurity::of(&transport, &endpoints);
        assert_eq!(insecurity, Some(Insecurity::Plain("cloud.example".to_owned())));
    }
}
