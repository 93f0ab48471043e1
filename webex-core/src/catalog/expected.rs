//! Which hosts of the catalog will be needed soon: they are dialled when it arrives.

use url::Url;

use super::model::{Catalog, MOBIUS};
use crate::endpoints::parse_authority;

/// Clusters of Mobius dialled at most; production has four.
const MOST_CLUSTERS: usize = 4;

/// What products have said that they will need.
#[derive(Debug, Default)]
pub(super) struct Expected {
    services: Vec<&'static str>,
    socket: bool,
}

impl Expected {
    /// Adds a service; true when it is new.
    pub(super) fn add(&mut self, service: &'static str) -> bool {
        let new = !self.services.contains(&service);
        if new {
            self.services.push(service);
        }
        new
    }

    /// Adds the socket; true when it is new.
    pub(super) fn add_socket(&mut self) -> bool {
        !std::mem::replace(&mut self.socket, true)
    }

    /// Where all of it is.
    pub(super) fn hosts(&self, catalog: &Catalog) -> Vec<Url> {
        let services = self.services.iter().flat_map(|service| hosts_of(service, catalog));
        services.chain(self.socket.then(|| socket_of(catalog)).flatten()).collect()
    }
}

/// Where a service is. The service whose clusters are listed by host is at several.
pub(super) fn hosts_of(service: &str, catalog: &Catalog) -> Vec<Url> {
    let Ok(url) = catalog.service_url(service) else { return Vec::new() };
    let clusters = if service == MOBIUS { catalog.mobius_clusters() } else { Vec::new() };
    let clusters = clusters.into_iter().take(MOST_CLUSTERS);
    let mut hosts: Vec<_> =
        clusters.filter_map(|cluster| parse_authority(url.scheme(), cluster)).collect();
    hosts.push(url);
    hosts
}

/// Where the socket is, as far as the catalog tells.
pub(super) fn socket_of(catalog: &Catalog) -> Option<Url> {
    let mut urls = catalog.services().filter_map(|name| catalog.service_url(name).ok());
    urls.find(|url| url.scheme() == "wss")
}
