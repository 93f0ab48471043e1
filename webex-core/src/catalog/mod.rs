//! The service catalog (U2C): which services the user's organisation has, and where.
//!
//! One request brings the whole map; after it every other address is known. The answer is parsed
//! straight into what is used: a catalog is tens of kilobytes, and a process with thousands of
//! users cannot keep it as a tree of JSON values.

mod hostmap;

use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;
use url::Url;

use self::hostmap::HostMap;
use crate::{
    endpoints::join,
    error::{ErrorKind, HttpError},
    http::{Http, Request},
};

/// A service catalog as last received. Immutable; a refresh brings a new one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "HostMap")]
pub struct Catalog {
    services: Vec<(String, Url)>,
    hosts: Vec<(String, Vec<CatalogHost>)>,
}

/// One host that serves something, as the catalog lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CatalogHost {
    /// Host name, with a port only where the service's URL has one.
    pub host: String,
    /// Smaller is better; zero and below mean "never use".
    #[serde(default)]
    pub priority: i64,
    /// `urn:{federation}:{cluster}:{service}`.
    #[serde(default)]
    pub id: String,
}

impl CatalogHost {
    /// The service that the host belongs to: the last part of its id.
    pub fn service(&self) -> &str {
        self.id.splitn(4, ':').nth(3).unwrap_or_default()
    }
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
    /// Fetches the catalog of the signed-in user.
    pub(crate) async fn fetch(http: &Http, u2c: &Url) -> Result<Arc<Self>, HttpError> {
        let mut url = join(u2c, "catalog");
        url.set_query(Some("format=hostmap"));
        Ok(Arc::new(http.send(Request::get(url)).await?.json()?))
    }

    /// The URL to use for a service.
    ///
    /// The service's default URL, moved to the best host that the catalog lists for it: the one
    /// with the smallest priority above zero.
    ///
    /// # Errors
    /// [`CatalogError::NoService`] when the catalog does not list it.
    pub fn service_url(&self, service: &str) -> Result<Url, CatalogError> {
        let (_, url) = self
            .services
            .iter()
            .find(|(name, _)| name == service)
            .ok_or_else(|| CatalogError::NoService(service.to_owned()))?;
        let best = self
            .hosts_at(url)
            .iter()
            .filter(|host| host.priority > 0 && host.service() == service)
            .min_by_key(|host| host.priority);
        Ok(best.and_then(|host| with_host(url, &host.host)).unwrap_or_else(|| url.clone()))
    }

    /// The hosts of Mobius clusters, in the catalog's order, each once: whom to ask for the user's
    /// calling servers.
    pub fn mobius_clusters(&self) -> Vec<&str> {
        let mut clusters = Vec::new();
        for (_, hosts) in &self.hosts {
            for host in hosts.iter().filter(|host| host.id.ends_with(":mobius")) {
                if !clusters.contains(&host.host.as_str()) {
                    clusters.push(&host.host);
                }
            }
        }
        clusters
    }

    /// Names of the services listed.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a host belongs to a service of this catalog.
    pub(crate) fn has_host(&self, host: &str) -> bool {
        let is_host = |listed: &str| listed.split(':').next() == Some(host);
        self.services.iter().any(|(_, url)| url.host_str() == Some(host))
            || self.hosts.iter().flat_map(|(_, hosts)| hosts).any(|entry| is_host(&entry.host))
    }

    fn hosts_at(&self, url: &Url) -> &[CatalogHost] {
        let authority = authority(url);
        self.hosts.iter().find(|(key, _)| *key == authority).map_or(&[], |(_, hosts)| hosts)
    }
}

/// `host` or `host:port`, as the catalog writes it.
fn authority(url: &Url) -> String {
    match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{
        "serviceLinks": {
            "wdm": "https://wdm-a.example/wdm/api/v1",
            "mobius": "https://mobius-us.example/api/v1",
            "sandbox": "https://127.0.0.1:8443/s/",
            "broken": "not a url"
        },
        "hostCatalog": {
            "wdm-a.example": [
                {"host": "wdm-a.example", "ttl": -1, "priority": 10, "id": "urn:TEAM:us_a:wdm"},
                {"host": "wdm-b.example", "ttl": -1, "priority": 5, "id": "urn:TEAM:us_a:wdm"},
                {"host": "wdm-never.example", "ttl": -1, "priority": -1, "id": "urn:TEAM:us_a:wdm"},
                {"host": "other.example", "ttl": -1, "priority": 1, "id": "urn:TEAM:us_a:other"}
            ],
            "mobius-us.example": [
                {"host": "mobius-us.example", "ttl": -1, "priority": 15, "id": "urn:TEAM:us_a:mobius"},
                {"host": "mobius-eu.example", "ttl": -1, "priority": 5, "id": "urn:TEAM:eu_a:mobius"}
            ],
            "again.example": [
                {"host": "mobius-us.example", "ttl": -1, "priority": 1, "id": "urn:TEAM:us_a:mobius"}
            ],
            "127.0.0.1:8443": [
                {"host": "127.0.0.1:9443", "priority": 1, "id": "urn:TEAM:us_a:sandbox"}
            ]
        },
        "format": "hostmap"
    }"#;

    fn example() -> Catalog {
        serde_json::from_str(EXAMPLE).unwrap()
    }

    #[test]
    fn a_service_is_on_its_best_host() {
        let catalog = example();
        let url = |name| catalog.service_url(name).unwrap().to_string();
        assert_eq!(url("wdm"), "https://wdm-b.example/wdm/api/v1");
        assert_eq!(url("sandbox"), "https://127.0.0.1:9443/s/");
    }

    #[test]
    fn what_is_not_listed_is_an_error_that_names_it() {
        for name in ["nothing", "broken"] {
            let error = example().service_url(name).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(error.kind(), ErrorKind::Forbidden);
        }
    }

    #[test]
    fn mobius_clusters_keep_the_order_of_the_catalog() {
        assert_eq!(example().mobius_clusters(), ["mobius-us.example", "mobius-eu.example"]);
    }

    #[test]
    fn knows_its_hosts() {
        let catalog = example();
        for host in ["wdm-a.example", "wdm-b.example", "mobius-eu.example", "127.0.0.1"] {
            assert!(catalog.has_host(host), "{host}");
        }
        assert!(!catalog.has_host("example"));
    }
}
