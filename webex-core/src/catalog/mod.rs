//! The service catalog (U2C): which services the user's organisation has, and where.
//!
//! One request brings the whole map; after it every other address is known.
//!
//! ```text
//!   saved state ─┐                         ┌─► service_url, mobius_clusters
//!                ├─► services ─► Catalog ──┤
//!   U2C ─────────┘   (keeps it)            └─► hosts: who may have the token,
//!       ▲                                              where a request goes when its host fails
//!       └── invalidation events, hosts that keep failing
//! ```
//!
//! The answer is parsed straight into what is used, and equal catalogs are held once per process:
//! one is tens of kilobytes, and a process may have thousands of users of one organisation.
//!
//! There is one rule for choosing a host, whoever asks ([`Catalog::service_url`], a request to a URL
//! that a service handed out, the event socket): among the hosts listed for the service, those with
//! a priority above zero that have not failed lately; of these the smallest priority; if all have
//! failed, all are good again.

mod answers;
mod events;
mod hosts;
mod limited;
mod services;
mod wire;

use std::sync::Arc;

use once_cell::sync::Lazy;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use url::Url;

pub use self::limited::CatalogSelector;
use self::wire::Answer;
pub(crate) use self::{hosts::Hosts, services::Services};
use crate::{
    endpoints::join,
    error::{ErrorKind, HttpError},
    intern::Interner,
};

static CATALOGS: Lazy<Interner<Catalog>> = Lazy::new(Interner::default);

/// Name of the service that registers lines. Its servers are chosen by the line's own machine.
const MOBIUS: &str = "mobius";

/// In which form the catalog is asked for. Either is understood whatever was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CatalogFormat {
    /// `hostmap`, the default of the reference client.
    #[default]
    HostMap,
    /// `U2CV2`, the second generation: it tells its age and the clusters of each service.
    U2cV2,
}

impl CatalogFormat {
    fn name(self) -> &'static str {
        match self {
            Self::HostMap => "hostmap",
            Self::U2cV2 => "U2CV2",
        }
    }
}

/// A service catalog as last received. Immutable; a refresh brings a new one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Catalog {
    services: Vec<Service>,
    /// Alternatives by host, sorted by key; only the hostmap form has them.
    lists: Vec<HostList>,
    clusters: Vec<Box<str>>,
    /// Every host that occurs, sorted.
    #[serde(skip)]
    hosts: Vec<Box<str>>,
}

/// A service in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Service {
    name: Box<str>,
    /// Id of service and cluster; the name where the form tells none.
    id: Box<str>,
    /// Where it is, best first; without what must never be used.
    urls: Vec<Candidate>,
    /// Whether this is the cluster to use for the service.
    active: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Candidate {
    url: Box<str>,
    /// Smaller is better.
    priority: u16,
}

/// The alternatives of one host, best first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct HostList {
    /// Host, with a port only where URLs have one.
    key: Box<str>,
    /// Whether others choose among these hosts, and requests stay where they are sent.
    chooses_itself: bool,
    hosts: Vec<Box<str>>,
}

/// Why there is no service catalog, or no such service in it.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The catalog could not be fetched.
    #[error("the service catalog could not be fetched: {0}")]
    Fetch(#[from] HttpError),
    /// The catalog does not list a service that is needed.
    #[error(
        "the service catalog has no `{0}`: the user is not entitled to it, or the token is not for this cloud"
    )]
    NoService(String),
}

impl CatalogError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Fetch(error) => error.kind(),
            Self::NoService(_) => ErrorKind::Forbidden,
        }
    }
}

impl Catalog {
    fn new(services: Vec<Service>, lists: Vec<HostList>, clusters: Vec<Box<str>>) -> Self {
        let of_url = |candidate: &Candidate| {
            Some(Url::parse(&candidate.url).ok()?.host_str()?.to_owned().into_boxed_str())
        };
        let urls = services.iter().flat_map(|service| &service.urls).filter_map(of_url);
        let listed = lists.iter().flat_map(|list| list.hosts.iter().chain([&list.key]));
        let mut hosts: Vec<Box<str>> =
            urls.chain(listed.chain(&clusters).map(|host| without_port(host).into())).collect();
        hosts.sort_unstable();
        hosts.dedup();
        Self { services, lists, clusters, hosts }
    }

    /// Reads an answer of either form; also says when it was made, where the form does.
    fn read(body: &[u8]) -> Result<(Self, Option<u64>), serde_json::Error> {
        Ok(serde_json::from_slice::<Answer>(body)?.into_parts())
    }

    /// The same, shared. An answer that somebody else has had is not even parsed: a fleet of
    /// thousands that starts would make and drop as many catalogs, which leaves memory in pieces.
    fn read_shared(body: &[u8]) -> Result<(Arc<Self>, Option<u64>), serde_json::Error> {
        if let Some(known) = answers::known(body) {
            return Ok(known);
        }
        let (catalog, timestamp) = Self::read(body)?;
        let catalog = catalog.shared();
        answers::remember(body, &catalog, timestamp);
        Ok((catalog, timestamp))
    }

    /// The catalog in use that equals this one, or this one.
    fn shared(self) -> Arc<Self> {
        CATALOGS.intern(self)
    }

    /// The URL to use for a service while all its hosts are well. What has failed lately is known
    /// to the client: [`Webex::service_url`](crate::Webex::service_url).
    ///
    /// # Errors
    /// [`CatalogError::NoService`] when the catalog does not list it.
    pub fn service_url(&self, service: &str) -> Result<Url, CatalogError> {
        self.candidates(service).next().ok_or_else(|| CatalogError::NoService(service.to_owned()))
    }

    /// The hosts of Mobius clusters, in the catalog's order, each once: whom to ask for the user's
    /// calling servers.
    pub fn mobius_clusters(&self) -> Vec<&str> {
        self.clusters.iter().map(|host| &**host).collect()
    }

    /// Names of the services listed.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().filter(|service| service.active).map(|service| &*service.name)
    }

    /// The service that a URL belongs to: the one whose address is the longest beginning of it.
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

    /// Whether a host belongs to a service of this catalog.
    pub(crate) fn has_host(&self, host: &str) -> bool {
        self.hosts.binary_search_by(|known| (**known).cmp(host)).is_ok()
    }

    /// The URLs of a service, best first.
    fn candidates(&self, service: &str) -> impl Iterator<Item = Url> {
        let active = self.services.iter().find(|it| it.active && &*it.name == service);
        let urls = active.into_iter().flat_map(|service| &service.urls);
        urls.filter_map(|candidate| Url::parse(&candidate.url).ok())
    }

    /// Whether nothing has to be chosen for this URL while all hosts are well. Quick: it is asked
    /// before every request.
    fn is_settled(&self, url: &Url) -> bool {
        let home = || authority(url).into_boxed_str();
        self.list(url).is_none_or(|list| list.chooses_itself || list.hosts.contains(&home()))
    }

    /// The same place on each host that may serve it, best first: empty when the catalog says
    /// nothing about its host, or others choose it.
    fn alternatives(&self, url: &Url) -> Vec<Url> {
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

    /// The service whose address is the longest beginning of the URL, and how much of its path.
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

    /// The catalog with other clusters in use: `None` when one of them is not known.
    fn with_active(&self, active: &[(String, String)]) -> Option<Self> {
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

/// Reads the wire form, either of them.
impl<'de> Deserialize<'de> for Catalog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Answer::deserialize(deserializer)?.into_parts().0)
    }
}

/// A catalog as it is kept: what [`Serialize`] writes, not the wire form.
#[derive(Deserialize)]
struct KeptCatalog {
    services: Vec<Service>,
    lists: Vec<HostList>,
    clusters: Vec<Box<str>>,
}

impl From<KeptCatalog> for Catalog {
    fn from(kept: KeptCatalog) -> Self {
        Self::new(kept.services, kept.lists, kept.clusters)
    }
}

/// `host` or `host:port`, as the catalog writes it.
fn authority(url: &Url) -> String {
    match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The URL on another host; keeps the port unless the new host names one.
fn with_host(url: &Url, host: &str) -> Option<Url> {
    let mut url = url.clone();
    match host.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?))) {
        Some((name, port)) => {
            url.set_host(Some(name)).ok()?;
            url.set_port(Some(port)).ok()?;
        }
        None => url.set_host(Some(host)).ok()?,
    }
    Some(url)
}

/// Whether the URL is the base or below it, segment by segment.
fn is_below(url: &Url, base: &Url) -> bool {
    let same = url.scheme() == base.scheme()
        && url.host_str() == base.host_str()
        && url.port_or_known_default() == base.port_or_known_default();
    let path = base.path().trim_end_matches('/');
    same && url.path().strip_prefix(path).is_some_and(|it| it.is_empty() || it.starts_with('/'))
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
