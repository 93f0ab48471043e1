//! The catalog of one client: fetched when first needed, saved across restarts, refreshed when it
//! is out of date.
//!
//! Concurrent callers share one request and its outcome. A failure is not remembered: the next
//! caller tries again.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};
use url::Url;
use webex_auth::timer::now;

use super::{
    answers::Reader,
    error::CatalogError,
    expected::{self, Expected},
    hosts::Hosts,
    limited::{self, CatalogFormat, CatalogSelector},
    model::{Catalog, SerializedCatalog},
    timings::{KEPT_FOR, OLD, REFRESH_PAUSE},
};
use crate::{
    endpoints::join,
    error::HttpError,
    http::{Http, Request, Response},
    saved::SavedState,
};

/// Key of the catalog in the saved state.
const SAVED: &str = "catalog";

/// The catalog of one client.
#[derive(Debug)]
pub(crate) struct Services {
    http: Http,
    u2c: Url,
    format: CatalogFormat,
    saved: SavedState,
    hosts: Arc<Hosts>,
    expected: Mutex<Expected>,
    state: Mutex<State>,
}

type Outcome = Result<Held, CatalogError>;
type Fetching = Shared<BoxFuture<'static, Outcome>>;

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// The request in flight. It is dropped when no caller waits for it.
    fetching: Option<WeakShared<BoxFuture<'static, Outcome>>>,
    /// When the catalog was last refreshed in the background.
    refreshed: Option<Instant>,
    /// Whether an event has scheduled a refresh.
    announced: bool,
}

/// A catalog and its origin.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) catalog: Arc<Catalog>,
    /// When the service made it, in milliseconds since 1970, if the format says so.
    pub(super) timestamp: Option<u64>,
    /// When it was fetched, in seconds since 1970.
    fetched: u64,
    /// Whether it is from the saved state.
    kept: bool,
}

impl Services {
    /// `hosts` is the host policy of `http`.
    pub(crate) fn new(
        http: Http,
        hosts: Arc<Hosts>,
        u2c: Url,
        format: CatalogFormat,
        saved: SavedState,
    ) -> Arc<Self> {
        let (expected, state) = (Mutex::default(), Mutex::default());
        let services = Arc::new(Self { http, u2c, format, saved, hosts, expected, state });
        let weak = Arc::downgrade(&services);
        services.hosts.when_failing(move || {
            if let Some(services) = weak.upgrade() {
                services.refresh_after_failures();
            }
        });
        services
    }

    /// Announces that this service will be needed soon. Its hosts are dialled as soon as the
    /// catalog is known.
    pub(crate) fn expect(&self, service: &'static str) {
        if self.expected.lock().add(service)
            && let Some(catalog) = self.at_hand()
        {
            for url in &expected::hosts_of(service, &catalog) {
                self.http.dial_ahead(url);
            }
        }
    }

    /// Announces that the socket will be opened soon.
    pub(crate) fn expect_socket(&self) {
        if self.expected.lock().add_socket()
            && let Some(catalog) = self.at_hand()
            && let Some(url) = &expected::socket_of(&catalog)
        {
            self.http.dial_ahead(url);
        }
    }

    /// Returns the catalog. A catalog at hand is returned at once, and refreshed in the background
    /// when it is old.
    ///
    /// # Errors
    /// Why it could not be fetched; all waiting callers get the same error.
    pub(crate) async fn catalog(self: &Arc<Self>) -> Result<Arc<Catalog>, CatalogError> {
        self.http.begin();
        let fetching = {
            let mut state = self.state.lock();
            if let Some(held) = &state.held {
                let (catalog, old) =
                    (Arc::clone(&held.catalog), held.age().is_none_or(|it| it >= OLD));
                drop(state);
                if old {
                    self.refresh_beside();
                }
                return Ok(catalog);
            }
            self.fetching(&mut state, false)
        };
        Ok(fetching.await?.catalog)
    }

    /// The URL of a service on the best host that has not failed lately.
    ///
    /// # Errors
    /// [`CatalogError`]: no catalog, or none that has the service.
    pub(crate) async fn service_url(self: &Arc<Self>, service: &str) -> Result<Url, CatalogError> {
        let catalog = self.catalog().await?;
        match self.hosts.service_url(&catalog, service) {
            // The saved catalog may be older than the user's access to the service.
            Err(CatalogError::NoService(_)) if self.is_kept() => {
                let fresh = self.refresh().await?;
                self.hosts.service_url(&fresh.catalog, service)
            }
            outcome => outcome,
        }
    }

    /// Fetches a limited catalog. Only the caller uses it.
    pub(crate) async fn limited(
        &self,
        selector: &CatalogSelector,
    ) -> Result<Arc<Catalog>, CatalogError> {
        let answer = limited::ask(&self.http, &self.u2c, self.format, selector).await?;
        Ok(self.read(&answer)?.0)
    }

    /// Refreshes the catalog, because hosts keep failing.
    fn refresh_after_failures(self: &Arc<Self>) {
        if self.state.lock().held.is_some() {
            self.refresh_beside();
        }
    }

    /// Schedules a refresh of the catalog, unless one is scheduled already.
    pub(super) fn refresh_soon(self: &Arc<Self>, wait: Duration) {
        if std::mem::replace(&mut self.state.lock().announced, true) {
            return;
        }
        let services = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let Some(services) = services.upgrade() else { return };
            services.state.lock().announced = false;
            if let Err(error) = services.refresh().await {
                debug!(%error, "the catalog could not be renewed; the one at hand stays in use");
            }
        });
    }

    /// Returns the catalog, if it does not have to be fetched.
    pub(crate) fn at_hand(&self) -> Option<Arc<Catalog>> {
        self.held().map(|held| held.catalog)
    }

    pub(super) fn held(&self) -> Option<Held> {
        self.state.lock().held.clone()
    }

    /// Uses this catalog from now on, and saves it for the next start.
    pub(super) fn replace(self: &Arc<Self>, held: Held) {
        self.accept(held.clone());
        if self.saved.is_kept() {
            let services = Arc::clone(self);
            tokio::spawn(async move { services.keep(&held).await });
        }
    }

    /// Refreshes the catalog in the background, unless it was refreshed a short time ago.
    fn refresh_beside(self: &Arc<Self>) {
        let now = now();
        let mut state = self.state.lock();
        if state.refreshed.is_some_and(|last| now.duration_since(last) < REFRESH_PAUSE) {
            return;
        }
        state.refreshed = Some(now);
        drop(state);
        self.refresh_soon(Duration::ZERO);
    }

    fn refresh(self: &Arc<Self>) -> Fetching {
        self.fetching(&mut self.state.lock(), true)
    }

    /// Returns the request in flight, or a new one. A forced one ignores the saved catalog.
    fn fetching(self: &Arc<Self>, state: &mut State, forced: bool) -> Fetching {
        if let Some(fetching) = state.fetching.as_ref().and_then(WeakShared::upgrade) {
            return fetching;
        }
        let services = Arc::clone(self);
        let fetching = async move {
            let outcome = match services.restore(forced).await {
                Some(held) => {
                    services.accept(held.clone());
                    Ok(held)
                }
                None => services.fetch(forced).await.inspect(|held| services.replace(held.clone())),
            };
            services.state.lock().fetching = None;
            if outcome.as_ref().is_ok_and(Held::is_old) {
                services.refresh_beside();
            }
            outcome
        };
        let fetching = fetching.boxed().shared();
        state.fetching = fetching.downgrade();
        fetching
    }

    async fn fetch(&self, forced: bool) -> Outcome {
        let mut url = join(&self.u2c, "catalog");
        url.query_pairs_mut().append_pair("format", self.format.name());
        if forced {
            // Bypasses any cache on the way, as the reference client does.
            let millis = since_1970().as_millis().to_string();
            url.query_pairs_mut().append_pair("timestamp", &millis);
        }
        let answer = self.http.send(Request::get(url)).await?;
        let (catalog, timestamp) = self.read(&answer)?;
        let fetched = since_1970().as_secs();
        Ok(Held { catalog, timestamp, fetched, kept: false })
    }

    fn read(&self, answer: &Response) -> Result<(Arc<Catalog>, Option<u64>), HttpError> {
        let restrict = |catalog: Arc<Catalog>| self.restricted(&catalog);
        let reader = Reader { cloud: self.http.allow().cloud(), restrict: &restrict };
        answer.read(|body| reader.read(body))
    }

    /// Removes the addresses that the catalog may not name, whatever its origin.
    fn restricted(&self, catalog: &Arc<Catalog>) -> Arc<Catalog> {
        let allow = self.http.allow();
        let restricted =
            Arc::clone(catalog).restricted(self.u2c.scheme(), |url| allow.may_list(url));
        if !Arc::ptr_eq(catalog, &restricted) {
            warn!("the service catalog names addresses that do not belong to this cloud; left out");
        }
        restricted
    }

    fn accept(&self, held: Held) {
        let catalog = Arc::clone(&held.catalog);
        self.hosts.set_catalog(Arc::clone(&catalog));
        self.state.lock().held = Some(held);
        let expected = self.expected.lock().hosts(&catalog);
        for url in &expected {
            self.http.dial_ahead(url);
        }
    }

    fn is_kept(&self) -> bool {
        self.state.lock().held.as_ref().is_some_and(|held| held.kept)
    }

    /// Loads the catalog of an earlier run, if it is recent and of the same cloud and organisation.
    async fn restore(&self, forced: bool) -> Option<Held> {
        if forced || !self.saved.is_kept() {
            return None;
        }
        let org_id = self.org_id().await?;
        let kept = self.saved.load::<SavedCatalog<SerializedCatalog>>(SAVED).await?;
        if kept.org_id != org_id || kept.environment != self.u2c {
            return None;
        }
        let catalog = self.restricted(&Catalog::from(kept.catalog).shared());
        let held = Held { catalog, timestamp: kept.timestamp, fetched: kept.fetched, kept: true };
        held.age().is_some_and(|age| age < KEPT_FOR).then_some(held)
    }

    async fn keep(&self, held: &Held) {
        let Some(org_id) = self.org_id().await else { return };
        let saved = SavedCatalog {
            environment: self.u2c.clone(),
            org_id,
            timestamp: held.timestamp,
            fetched: held.fetched,
            catalog: &*held.catalog,
        };
        self.saved.save(SAVED, &saved).await;
    }

    /// The user's organisation, from the token. Without one a catalog is not saved, because it
    /// could be mistaken for another organisation's.
    async fn org_id(&self) -> Option<String> {
        self.http.tokens().token().await.ok()?.org_id().ok()
    }
}

impl Held {
    /// A copy with another catalog.
    pub(super) fn with(&self, catalog: Catalog) -> Self {
        Self { catalog: catalog.shared(), ..self.clone() }
    }

    fn is_old(&self) -> bool {
        self.age().is_none_or(|age| age >= OLD)
    }

    /// Time since it was fetched; `None` when the clock was set back in between.
    fn age(&self) -> Option<Duration> {
        since_1970().checked_sub(Duration::from_secs(self.fetched))
    }
}

/// A catalog in the saved state.
#[derive(Serialize, Deserialize)]
struct SavedCatalog<C> {
    environment: Url,
    org_id: String,
    timestamp: Option<u64>,
    fetched: u64,
    catalog: C,
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
