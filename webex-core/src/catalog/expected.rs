//! The services that will be needed soon: their hosts are dialled when the catalog arrives.

use url::Url;

use super::model::{Catalog, MOBIUS};
use crate::endpoints::parse_authority;

/// Limit of Mobius clusters to dial; production has four.
const MOST_CLUSTERS: usize = 4;

/// The services that products have announced.
#[derive(Debug, Default)]
pub(super) struct Expected {
    services: Vec<&'static str>,
    socket: bool,
}

impl Expected {
    /// Adds a service; returns true when it is new.
    pub(super) fn add(&mut self, service: &'static str) -> bool {
        let new = !self.services.contains(&service);
        if new {
            self.services.push(service);
        }
        new
    }

    /// Adds the socket; returns true when it is new.
    pub(super) fn add_socket(&mut self) -> bool {
        !std::mem::replace(&mut self.socket, true)
    }

    /// The hosts of everything that was added.
    pub(super) fn hosts(&self, catalog: &Catalog) -> Vec<Url> {
        let services = self.services.iter().flat_map(|service| hosts_of(service, catalog));
        services.chain(self.socket.then(|| socket_of(catalog)).flatten()).collect()
    }
}

/// The hosts of a service. Mobius has several, one per cluster.
pub(super) fn hosts_of(service: &str, catalog: &Catalog) -> Vec<Url> {
    let Ok(url) = catalog.service_url(service) else { return Vec::new() };
    let clusters = if service == MOBIUS { catalog.mobius_clusters() } else { Vec::new() };
    let clusters = clusters.into_iter().take(MOST_CLUSTERS);
    let mut hosts: Vec<_> =
        clusters.filter_map(|cluster| parse_authority(url.scheme(), cluster)).collect();
    hosts.push(url);
    hosts
}

/// The host of the socket, if the catalog has it.
pub(super) fn socket_of(catalog: &Catalog) -> Option<Url> {
    let mut urls = catalog.services().filter_map(|name| catalog.service_url(name).ok());
    urls.find(|url| url.scheme() == "wss")
}
