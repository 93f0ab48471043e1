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

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let host = |n: usize| {
            format!(r#"{{"host": "mobius-{n}.example", "priority": {n}, "id": "u:t:c:mobius"}}"#)
        };
        let hosts: Vec<_> = (1..=6).map(host).collect();
        let text = format!(
            r#"{{"serviceLinks": {{"wdm": "https://wdm.example/w", "mobius": "https://mobius-1.example/m",
                "mercuryConnectionPartition0": "wss://mercury.example/v1"}},
                "hostCatalog": {{"mobius-1.example": [{}]}}}}"#,
            hosts.join(",")
        );
        serde_json::from_str(&text).unwrap()
    }

    fn names(urls: &[Url]) -> Vec<&str> {
        urls.iter().filter_map(Url::host_str).collect()
    }

    #[test]
    fn each_is_new_once_and_all_of_them_have_their_hosts() {
        let (catalog, mut expected) = (catalog(), Expected::default());
        assert!(expected.hosts(&catalog).is_empty());
        assert!(expected.add("wdm") && !expected.add("wdm"));
        assert_eq!(names(&expected.hosts(&catalog)), ["wdm.example"]);
        assert!(expected.add_socket() && !expected.add_socket());
        assert!(expected.add("unheard"));
        assert_eq!(names(&expected.hosts(&catalog)), ["wdm.example", "mercury.example"]);
    }

    #[test]
    fn only_mobius_is_at_its_clusters_and_not_at_too_many() {
        let catalog = catalog();
        assert_eq!(names(&hosts_of("wdm", &catalog)), ["wdm.example"]);
        let clusters: Vec<_> = (1..=MOST_CLUSTERS).map(|n| format!("mobius-{n}.example")).collect();
        let found = hosts_of("mobius", &catalog);
        assert_eq!(names(&found[..MOST_CLUSTERS]), clusters);
        assert_eq!(names(&found[MOST_CLUSTERS..]), ["mobius-1.example"], "the service itself");
    }
}
