//! A service catalog: its entries, and how a URL is chosen from them.

use std::sync::Arc;

use once_cell::sync::Lazy;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    address::{authority, is_below, with_host},
    error::CatalogError,
};
use crate::{
    endpoints::{join, parse_authority},
    intern::Interner,
};

static CATALOGS: Lazy<Interner<Catalog>> = Lazy::new(Interner::default);

/// Name of the service that registers lines. Its servers are chosen by the line's own machine.
pub(super) const MOBIUS: &str = "mobius";

/// Name of the service whose host is the domain of the contact center.
const CONTACT_CENTER: &str = "wcc-calling-rtms-domain";

/// A service catalog. Immutable; a refresh makes a new one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Catalog {
    services: Vec<Service>,
    /// Alternatives by host, sorted by key; only the hostmap format has them.
    lists: Vec<HostList>,
    clusters: Vec<Box<str>>,
    /// The domain of the contact center. It is passed on as text and never contacted, so it may be
    /// outside the user's cloud.
    contact_center_domain: Option<Box<str>>,
    /// Every host and port that occurs, sorted.
    #[serde(skip)]
    places: Vec<(Box<str>, u16)>,
}

/// A service in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) name: Box<str>,
    /// Id of service and cluster; the name if the format has no id.
    pub(super) id: Box<str>,
    /// Its URLs, best first, without those that must never be used.
    pub(super) urls: Vec<Candidate>,
    /// Whether this is the cluster to use for the service.
    pub(super) active: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Candidate {
    pub(super) url: Box<str>,
    /// Smaller is better.
    pub(super) priority: u16,
}

/// The alternatives of one host, best first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct HostList {
    /// Host, with a port only where URLs have one.
    pub(super) key: Box<str>,
    /// Whether the caller chooses among these hosts, so that requests stay where they are sent.
    pub(super) chooses_itself: bool,
    pub(super) hosts: Vec<Box<str>>,
}

impl Catalog {
    pub(super) fn new(
        services: Vec<Service>,
        lists: Vec<HostList>,
        clusters: Vec<Box<str>>,
    ) -> Self {
        let urls = services.iter().flat_map(|service| &service.urls);
        let urls = urls.filter_map(|candidate| Url::parse(&candidate.url).ok());
        let listed = lists.iter().flat_map(|list| list.hosts.iter().chain([&list.key]));
        let listed = listed.chain(&clusters).filter_map(|host| parse_authority("https", host));
        let mut places: Vec<_> = urls
            .chain(listed)
            .filter_map(|url| Some((url.host_str()?.into(), url.port_or_known_default()?)))
            .collect();
        places.sort_unstable();
        places.dedup();
        let contact_center = services.iter().find(|service| &*service.name == CONTACT_CENTER);
        let contact_center_domain = contact_center
            .and_then(|service| Url::parse(&service.urls.first()?.url).ok())
            .and_then(|url| Some(url.host_str()?.into()));
        Self { services, lists, clusters, contact_center_domain, places }
    }

    /// A copy without the addresses that may not be listed; `self` when there are none. `may_list`
    /// decides about a URL; `scheme` is used for hosts that are listed without one.
    pub(super) fn restricted(
        self: Arc<Self>,
        scheme: &str,
        may_list: impl Fn(&Url) -> bool,
    ) -> Arc<Self> {
        let url_is_good = |text: &str| Url::parse(text).is_ok_and(|url| may_list(&url));
        let host_is_good =
            |host: &str| parse_authority(scheme, host).is_some_and(|url| may_list(&url));
        let services_are_good =
            self.services.iter().flat_map(|service| &service.urls).all(|it| url_is_good(&it.url));
        let lists_are_good =
            self.lists.iter().flat_map(|list| &list.hosts).all(|host| host_is_good(host));
        if services_are_good && lists_are_good && self.clusters.iter().all(|it| host_is_good(it)) {
            return self;
        }
        let Self { mut services, mut lists, mut clusters, contact_center_domain, .. } =
            Arc::unwrap_or_clone(self);
        for service in &mut services {
            service.urls.retain(|candidate| url_is_good(&candidate.url));
        }
        for list in &mut lists {
            list.hosts.retain(|host| host_is_good(host));
        }
        services.retain(|service| !service.urls.is_empty());
        lists.retain(|list| host_is_good(&list.key) && !list.hosts.is_empty());
        clusters.retain(|host| host_is_good(host));
        Self { contact_center_domain, ..Self::new(services, lists, clusters) }.shared()
    }

    /// Returns the equal catalog that is already in use, or this one.
    pub(super) fn shared(self) -> Arc<Self> {
        CATALOGS.intern(self)
    }

    /// The URL to use for a service while all its hosts work. The client knows which have failed
    /// lately: [`Webex::service_url`](crate::Webex::service_url).
    ///
    /// # Errors
    /// [`CatalogError::NoService`] when the catalog does not list it.
    pub fn service_url(&self, service: &str) -> Result<Url, CatalogError> {
        self.candidates(service).next().ok_or_else(|| CatalogError::NoService(service.to_owned()))
    }

    /// The hosts of Mobius clusters, in the catalog's order and without duplicates: where to ask
    /// for the user's calling servers.
    pub fn mobius_clusters(&self) -> Vec<&str> {
        self.clusters.iter().map(|host| &**host).collect()
    }

    /// The domain of the contact center, for the calling service, if the catalog has one. It is a
    /// name, not an address to send requests to.
    pub fn contact_center_domain(&self) -> Option<&str> {
        self.contact_center_domain.as_deref()
    }

    /// Names of the services listed.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().filter(|service| service.active).map(|service| &*service.name)
    }

    /// The service that a URL belongs to: the one whose URL is its longest prefix.
    ///
    /// ```
    /// # use webex_core::Catalog;
    /// let catalog: Catalog = serde_json::from_str(
    ///     r#"{"serviceLinks": {"wdm": "https://wdm.example/wdm/api/v1"}}"#,
    /// )?;
    /// let url = "https://wdm.example/wdm/api/v1/devices/1".parse()?;
    /// assert_eq!(catalog.service_of(&url), Some("wdm"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn service_of(&self, url: &Url) -> Option<&str> {
        self.find(url).map(|(service, _)| &*service.name)
    }

    /// Whether a service is listed at this host and port.
    pub(super) fn lists(&self, host: &str, port: u16) -> bool {
        let place = |known: &(Box<str>, u16)| (&*known.0, known.1).cmp(&(host, port));
        self.places.binary_search_by(place).is_ok()
    }

    /// The URLs of a service, best first.
    pub(super) fn candidates(&self, service: &str) -> impl Iterator<Item = Url> {
        let active = self.services.iter().find(|it| it.active && &*it.name == service);
        let urls = active.into_iter().flat_map(|service| &service.urls);
        urls.filter_map(|candidate| Url::parse(&candidate.url).ok())
    }

    /// Whether there is nothing to choose for this URL while all hosts work. Fast, because it is
    /// called before every request.
    pub(super) fn is_settled(&self, url: &Url) -> bool {
        let home = || authority(url).into_boxed_str();
        self.list(url).is_none_or(|list| list.chooses_itself || list.hosts.contains(&home()))
    }

    /// The same URL on each host that may serve it, best first. Empty when its host is not in the
    /// catalog, or the caller chooses the host.
    pub(super) fn alternatives(&self, url: &Url) -> Vec<Url> {
        let Some((service, prefix)) = self.find(url) else {
            let list = self.list(url).filter(|list| !list.chooses_itself);
            let hosts = list.into_iter().flat_map(|list| &list.hosts);
            return hosts.filter_map(|host| with_host(url, host)).collect();
        };
        if &*service.name == MOBIUS {
            return Vec::new();
        }
        let rest = url.path()[prefix..].trim_start_matches('/');
        let moved = service.urls.iter().filter_map(|candidate| {
            let base = Url::parse(&candidate.url).ok()?;
            let mut moved = if rest.is_empty() { base } else { join(&base, rest) };
            moved.set_query(url.query());
            Some(moved)
        });
        moved.collect()
    }

    /// The alternatives that the catalog lists for the host of a URL.
    fn list(&self, url: &Url) -> Option<&HostList> {
        let key = authority(url);
        let at = self.lists.binary_search_by(|list| (*list.key).cmp(&key)).ok()?;
        Some(&self.lists[at])
    }

    /// The service whose URL is the longest prefix of this URL, and the length of the prefix.
    fn find(&self, url: &Url) -> Option<(&Service, usize)> {
        let mut found = None;
        for service in &self.services {
            for candidate in &service.urls {
                let Ok(base) = Url::parse(&candidate.url) else { continue };
                let length = base.path().trim_end_matches('/').len();
                let longer = found.is_none_or(|(_, longest)| length > longest);
                if longer && is_below(url, &base) {
                    found = Some((service, length));
                }
            }
        }
        found
    }

    /// Returns the catalog with other active clusters. `None` when one of them is unknown.
    pub(super) fn with_active(&self, active: &[(String, String)]) -> Option<Self> {
        let mut catalog = self.clone();
        for (name, id) in active {
            let is_it = |it: &Service| *it.name == **name && *it.id == **id;
            catalog.services.iter().find(|it| is_it(it))?;
            for service in catalog.services.iter_mut().filter(|it| *it.name == **name) {
                service.active = is_it(service);
            }
        }
        Some(catalog)
    }
}

/// The saved form of a catalog: what [`Serialize`] writes, not the wire format.
#[derive(Deserialize)]
pub(super) struct SerializedCatalog {
    services: Vec<Service>,
    lists: Vec<HostList>,
    clusters: Vec<Box<str>>,
    #[serde(default)]
    contact_center_domain: Option<Box<str>>,
}

impl From<SerializedCatalog> for Catalog {
    fn from(kept: SerializedCatalog) -> Self {
        let SerializedCatalog { services, lists, clusters, contact_center_domain } = kept;
        Self { contact_center_domain, ..Self::new(services, lists, clusters) }
    }
}
