//! The client of one user: what the products are made with.

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
/// Cheap to clone; clones are the same user. Any number of users live in one process: nothing is
/// global but the connection pool, which carries no user's state.
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
    /// What the objects of each product share, while one of them is there.
    shared: Mutex<Vec<(TypeId, Weak<dyn Any + Send + Sync>)>>,
}

impl Webex {
    /// Begins a client.
    pub fn builder() -> WebexBuilder {
        WebexBuilder::default()
    }

    /// Waits until the service catalog is at hand, which every other operation needs (and fetches
    /// by itself): what the documentation calls `meetings:ready`.
    ///
    /// Any number of tasks may wait; one request is made. After a failure the next call tries again.
    ///
    /// # Errors
    /// [`CatalogError::Fetch`] with the cause.
    pub async fn ready(&self) -> Result<Arc<Catalog>, CatalogError> {
        self.0.core.catalog().await
    }

    /// The URL to use for a service now: on its best host of those that have not failed lately.
    /// Fetches the catalog if need be.
    ///
    /// # Errors
    /// [`CatalogError::Fetch`] without a catalog, [`CatalogError::NoService`] when it does not list
    /// the service.
    pub async fn service_url(&self, service: &str) -> Result<Url, CatalogError> {
        self.0.core.services.service_url(service).await
    }

    /// What the catalog tells without a token, for finding out where a user belongs before anybody
    /// has signed in. Everything else needs the full catalog ([`ready`](Self::ready)) and never
    /// this one.
    ///
    /// # Errors
    /// [`CatalogError::Fetch`] with the cause; a wrong selector is a refused request like any other.
    pub async fn limited_catalog(
        &self,
        selector: &CatalogSelector,
    ) -> Result<Arc<Catalog>, CatalogError> {
        self.0.core.services.limited(selector).await
    }

    /// The user's own record: id, name, e-mail, organisation, numbers. Asked for once, however many
    /// ask; a failure is not kept.
    ///
    /// What the token's scopes do not show is left out, phone numbers and extension above all.
    ///
    /// # Errors
    /// [`HttpError`] with the cause.
    pub async fn user(&self) -> Result<Arc<User>, HttpError> {
        let core = &self.0.core;
        core.user.get(|| User::fetch(&core.http, &core.endpoints)).await
    }

    /// Where the user is, as the service tells from the address of this machine. Asked for once,
    /// and again after [`network_changed`](Self::network_changed) or [`resumed`](Self::resumed);
    /// a failure is not kept.
    ///
    /// # Errors
    /// [`HttpError`] with the cause.
    pub async fn region(&self) -> Result<Arc<Region>, HttpError> {
        let core = &self.0.core;
        core.region.get(|| Region::fetch(&core.http, &core.endpoints)).await
    }

    /// Tells that requests to a service of the catalog will follow soon: its hosts are dialled as
    /// soon as they are known, and remembered for the next start. Does nothing by itself, and
    /// nothing the second time. Products call it for what they use.
    pub fn expect_service(&self, service: &'static str) {
        self.0.core.services.expect(service);
    }

    /// The HTTP client of this user: for services that this SDK does not know.
    pub fn http(&self) -> &Http {
        &self.0.core.http
    }

    /// The tokens of this user: their state, signing in anew, signing out.
    pub fn tokens(&self) -> &Tokens {
        self.0.core.http.tokens()
    }

    /// Where discovery starts.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.core.endpoints
    }

    /// What this user keeps across restarts.
    pub fn saved_state(&self) -> &SavedState {
        &self.0.core.saved
    }

    /// Events of Webex services from now on, by name or namespace, such as
    /// `event:conversation.activity`: see [`Link::subscribe_to`].
    ///
    /// # Panics
    /// As [`link`](Self::link).
    pub fn subscribe_to(&self, name: &str) -> Subscription<LinkEvent> {
        self.link().subscribe_to(name)
    }

    /// By how many milliseconds this machine's clock is ahead of the service's (negative: behind),
    /// as the latest message on the socket shows; the time that message took is in it. `None` before
    /// the first one.
    pub fn clock_offset_ms(&self) -> Option<i64> {
        self.0.core.clock.ms()
    }

    /// Tells that the network may have changed: another interface, another address, back after it was
    /// away. Call it from the operating system's notification; calling it too often does no harm.
    ///
    /// The socket is asked for a sign of life within
    /// [`CHECK_TIMEOUT`](crate::mercury::timings::CHECK_TIMEOUT) and opened anew without one; a wait
    /// before the next attempt ends; a failed renewal of the token is tried again soon. A service's
    /// `Retry-After` is kept. Products hear of it by [`LinkEvent::NetworkChanged`].
    ///
    /// [`LinkEvent::NetworkChanged`]: crate::LinkEvent::NetworkChanged
    pub fn network_changed(&self) {
        self.hint(Hint::NetworkChanged);
    }

    /// Tells that the machine has slept, or that the operating system had suspended the program.
    ///
    /// The same as [`network_changed`](Self::network_changed), but [`LinkEvent::Resumed`] tells of
    /// it. A program that runs again notices by itself within
    /// [`SLEEP_CHECK_INTERVAL`](crate::link::timings::SLEEP_CHECK_INTERVAL); this makes it at once.
    ///
    /// [`LinkEvent::Resumed`]: crate::LinkEvent::Resumed
    pub fn resumed(&self) {
        self.hint(Hint::Resumed);
    }

    /// Closes the event socket, because the application goes to the background; returns when it is
    /// closed, within two seconds. Device and registrations stay, and are not refreshed by a program
    /// that does not run: what should not stay is given up before. [`resumed`](Self::resumed) opens
    /// the socket again at once. `docs/mobile.md` has the whole pattern.
    pub async fn suspend(&self) {
        if let Some(link) = self.0.link.get() {
            link.suspend().await;
        }
    }

    /// Waits until everything that nobody holds any more is given up: device and socket of a start
    /// that failed or was dropped, and of objects that were. Call it before the program ends. What
    /// is still held, such as a registered Meetings device, is not waited for.
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
        self.http().hosts().forgive();
        self.0.core.region.forget();
        if let Some(link) = self.0.link.get() {
            link.hint(hint);
        }
    }

    /// What all objects of a product share about this user, of the product's own type `T`: made by
    /// the first who asks, kept as long as somebody holds it.
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

/// Makes a [`Webex`].
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
    /// Credentials that can be renewed are, over the same connections as everything else.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.identity = Some(Identity::Credentials(credentials));
        self
    }

    /// Tokens made elsewhere, which several clients may share.
    #[must_use]
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.identity = Some(Identity::Tokens(tokens));
        self
    }

    /// Where renewed tokens are kept, and under which name. Default: in memory only. Has no effect
    /// on [`tokens`](Self::tokens) made elsewhere.
    #[must_use]
    pub fn token_store(mut self, store: Arc<dyn Store>, name: impl Into<String>) -> Self {
        self.store = Some((store, name.into()));
        self
    }

    /// Where everything but tokens is kept across restarts, and under which name: the device, the
    /// catalog, the servers of a line. Default: nowhere. It may be the store of the tokens.
    ///
    /// With it the device is durable: it has no [`DeviceConfig::ttl`], stays registered when the
    /// program ends without unregistering, and is taken up again by the next start.
    ///
    /// Two clients that run at once need different names: they would share one device.
    #[must_use]
    pub fn state_store(mut self, store: Arc<dyn Store>, name: &str) -> Self {
        self.saved = SavedState::new(store, name);
        self
    }

    /// Which cloud. Default: [`Endpoints::production`].
    #[must_use]
    pub fn endpoints(mut self, endpoints: Endpoints) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// Whose connections to use. Default: [`Transport::shared`].
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// What to register as. Default: [`DeviceConfig::default`].
    #[must_use]
    pub fn device(mut self, device: DeviceConfig) -> Self {
        self.device = device;
        self
    }

    /// In which form to ask for the service catalog. Default: [`CatalogFormat::HostMap`].
    #[must_use]
    pub fn catalog_format(mut self, format: CatalogFormat) -> Self {
        self.catalog_format = format;
        self
    }

    /// Allows a transport that checks no certificates, and plain HTTP, also for hosts that are not
    /// this machine. Default: no. Danger: anyone on the network path can read the token.
    #[must_use]
    pub fn danger_insecure_anywhere(mut self, allow: bool) -> Self {
        self.insecure_anywhere = allow;
        self
    }

    /// Makes the client. No I/O.
    ///
    /// # Errors
    /// [`BuildError`] when credentials are missing or cannot be ones;
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
        let device = if saved.is_kept() { self.device.kept() } else { self.device };
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

/// Why a client cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No credentials were given.
    #[error("no credentials were given to the builder")]
    NoCredentials,
    /// The credentials cannot be ones.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is no transport.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Others could read the token on its way, and nobody has said
    /// [`danger_insecure_anywhere`](WebexBuilder::danger_insecure_anywhere).
    #[error(transparent)]
    Insecure(Insecurity),
}

/// How the token of a client could be read on its way.
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
    /// What is wrong with these connections to that cloud, if anything. Clients of a cloud on this
    /// machine may do without TLS, or without checking it: a sandbox.
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
