//! Addresses in answers.
//!
//! Every URL the sandbox hands out is built from the authority of the request it answers ([`Base`]), in
//! one of two styles:
//!
//! * **paths**: the client came to an IP address or `localhost`. All services live on that one
//!   authority and are distinguished by path: `https://127.0.0.1:8443/wdm/api/v1`.
//! * **hosts**: the client came to a Webex host name (mapped to the sandbox by its resolver). Each
//!   service gets a host name like the real one: `https://wdm-a.wbx2.com/wdm/api/v1`.
//!
//! A service can also have an authority of its own ([`Places`]), such as a proxy in front of the
//! sandbox.
//!
//! The paths are the same in both styles, but for Mobius and Mercury, whose real paths carry no
//! service name; `host_rewrite` maps those.

use std::{collections::HashMap, sync::Arc};

use http::Request;

use crate::state::instances::MobiusInstance;

/// One entry of the service catalog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CatalogService {
    /// Name in `serviceLinks`.
    pub(crate) name: &'static str,
    /// Its host in the hosts style.
    host: &'static str,
    /// Path of the service URL.
    path: &'static str,
}

/// Services of the catalog that are not Mobius.
pub(crate) const CATALOG: [CatalogService; 12] = [
    service("u2c", "u2c.wbx2.com", "/u2c/api/v1"),
    service("wdm", "wdm-a.wbx2.com", "/wdm/api/v1"),
    service("hydra", "api.ciscospark.com", "/v1/"),
    service("idbroker", "idbroker.webex.com", "/"),
    service("identity", "identity.webex.com", "/"),
    service("conversation", "conv-a.wbx2.com", "/conversation/api/v1"),
    service("calliopeDiscovery", "calliope-a.wbx2.com", "/calliope/api/discovery/v1"),
    service("locus", "locus-a.wbx2.com", "/locus/api/v1"),
    service("metrics", "metrics-a.wbx2.com", "/metrics/api/v1"),
    service("clientLogs", "client-logs-a.wbx2.com", "/clientLogs/api/v1"),
    service("mercuryApi", "mercury-api-a.wbx2.com", "/v1"),
    service("license", "license-a.wbx2.com", "/license/api/v1"),
];

/// Host of the Mercury websocket in the hosts style.
const MERCURY_HOST: &str = "mercury-connection-partition0-a.wbx2.com";

/// Domains whose host names the sandbox's certificate covers and for which it uses the hosts style.
pub(crate) const WEBEX_DOMAINS: [&str; 8] = [
    "wbx2.com",
    "ciscospark.com",
    "webex.com",
    "webexapis.com",
    "prod.infra.webex.com",
    "int.infra.webex.com",
    "gov.ciscospark.com",
    "broadcloudpbx.com",
];

const fn service(name: &'static str, host: &'static str, path: &'static str) -> CatalogService {
    CatalogService { name, host, path }
}

/// Authorities handed out for single services, by the service's host in the hosts style.
pub(crate) type Places = Arc<HashMap<String, String>>;

/// The host of the catalog service, the Mobius instance, or the socket service (`mercury`) of this
/// name.
pub(crate) fn host_named<'a>(name: &str, instances: &'a [MobiusInstance]) -> Option<&'a str> {
    let service = CATALOG.iter().find(|service| service.name == name).map(|service| service.host);
    let instance = || instances.iter().find(|it| it.name == name).map(|it| it.host.as_str());
    service.or_else(|| (name == "mercury").then_some(MERCURY_HOST)).or_else(instance)
}

/// The address of the sandbox, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    tls: bool,
    places: Places,
    /// Host and, unless it is the default one, port.
    authority: String,
    hosts: bool,
}

impl Base {
    pub(crate) fn new(tls: bool, authority: &str) -> Self {
        let host = host_of(authority);
        let places = Places::default();
        Self { tls, places, authority: authority.to_owned(), hosts: is_webex_host(host) }
    }

    /// Reads it from the `:authority` of HTTP/2 or the `Host` header of HTTP/1.
    pub(crate) fn of_request<B>(tls: bool, request: &Request<B>) -> Self {
        let authority = request.uri().authority().map(http::uri::Authority::as_str).or_else(|| {
            request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok())
        });
        Self::new(tls, authority.unwrap_or("localhost"))
    }

    /// Adds the authorities of single services.
    pub(crate) fn with_places(self, places: &Places) -> Self {
        Self { places: Arc::clone(places), ..self }
    }

    /// Host and port as the client wrote them.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Host without port.
    pub(crate) fn host(&self) -> &str {
        host_of(&self.authority)
    }

    /// Scheme and authority, as a browser's `Origin` header has them.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.http(), self.authority)
    }

    /// URL of a catalog service.
    pub(crate) fn service(&self, service: &CatalogService) -> String {
        format!("{}://{}{}", self.http(), self.place(service.host), service.path)
    }

    /// URL of the catalog service called `name`, with `rest` appended to its path.
    pub(crate) fn named(&self, name: &str, rest: &str) -> String {
        CATALOG
            .iter()
            .find(|service| service.name == name)
            .map(|service| format!("{}{rest}", self.service(service)))
            .unwrap_or_default()
    }

    /// Authority of a catalog service, as it appears in `hostCatalog`.
    pub(crate) fn service_authority(&self, service: &CatalogService) -> String {
        self.place(service.host)
    }

    /// `…/api/v1` of a Mobius instance.
    pub(crate) fn mobius(&self, instance: &MobiusInstance) -> String {
        if self.hosts {
            format!("{}://{}/api/v1", self.http(), self.place(&instance.host))
        } else {
            let place = self.place(&instance.host);
            format!("{}://{place}/mobius/{}/api/v1", self.http(), instance.name)
        }
    }

    /// `…/api/v1` of a Mobius instance when it is addressed as a cluster, for discovery.
    pub(crate) fn mobius_cluster(&self, instance: &MobiusInstance) -> String {
        format!("{}://{}/api/v1", self.http(), self.place(&instance.host))
    }

    /// Authority of a Mobius cluster, as it appears in `hostCatalog`.
    pub(crate) fn mobius_authority(&self, instance: &MobiusInstance) -> String {
        self.place(&instance.host)
    }

    /// `wss://…` address below which the registrations of the Mercury service are.
    pub(crate) fn mercury(&self) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        let prefix = if self.hosts { "" } else { "/mercury" };
        format!("{scheme}://{}{prefix}/v1", self.place(MERCURY_HOST))
    }

    /// Authority of the Mercury service, as it appears in `hostCatalog`.
    pub(crate) fn mercury_authority(&self) -> String {
        self.place(MERCURY_HOST)
    }

    fn http(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The authority by which this client reaches `webex_host`.
    fn place(&self, webex_host: &str) -> String {
        if let Some(place) = self.places.get(webex_host) {
            return place.clone();
        }
        match self.authority.rsplit_once(':') {
            _ if !self.hosts => self.authority.clone(),
            Some((_, port)) => format!("{webex_host}:{port}"),
            None => webex_host.to_owned(),
        }
    }
}

/// Whether `host` is, or lies below, one of [`WEBEX_DOMAINS`].
pub(crate) fn is_webex_host(host: &str) -> bool {
    WEBEX_DOMAINS.iter().any(|domain| {
        host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// The path to route a request by, when it differs from the path on the wire.
///
/// Requests to a Mobius host name their instance by host; requests to `/api/v1/…` of any other host
/// reach the first instance, as a cluster address does. Cluster discovery then belongs to no
/// instance, so that it works while instances are down.
pub(crate) fn host_rewrite(host: &str, path: &str, instances: &[MobiusInstance]) -> Option<String> {
    let rest = path.strip_prefix("/api/v1/")?;
    if let Some(instance) = instances.iter().find(|instance| instance.host == host) {
        return Some(format!("/mobius/{}/api/v1/{rest}", instance.name));
    }
    if matches!(rest, "calling/web" | "calling/web/") {
        return None;
    }
    instances.first().map(|instance| format!("/mobius/{}/api/v1/{rest}", instance.name))
}

fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> MobiusInstance {
        MobiusInstance::primary("p1").with_host("mobius-x.prod.infra.webex.com")
    }

    #[test]
    fn an_ip_address_gets_the_paths_style() {
        let base = Base::new(true, "127.0.0.1:8443");
        assert_eq!(base.named("wdm", "/devices"), "https://127.0.0.1:8443/wdm/api/v1/devices");
        assert_eq!(base.mobius(&instance()), "https://127.0.0.1:8443/mobius/p1/api/v1");
        assert_eq!(base.mercury(), "wss://127.0.0.1:8443/mercury/v1");
        assert_eq!(base.host(), "127.0.0.1");
        assert_eq!(Base::new(false, "[::1]:80").host(), "::1");
        assert_eq!(Base::new(false, "localhost:80").mercury(), "ws://localhost:80/mercury/v1");
    }

    #[test]
    fn a_service_can_have_an_authority_of_its_own() {
        let all = [instance()];
        let host = |name| host_named(name, &all).unwrap().to_owned();
        let place = |name, port| (host(name), format!("127.0.0.1:{port}"));
        let places = HashMap::from([place("wdm", 1), place("mercury", 2), place("p1", 3)]);
        let base = Base::new(true, "127.0.0.1:8443").with_places(&Arc::new(places));
        assert_eq!(base.named("wdm", ""), "https://127.0.0.1:1/wdm/api/v1");
        assert_eq!(base.mercury(), "wss://127.0.0.1:2/mercury/v1");
        assert_eq!(base.mobius(&instance()), "https://127.0.0.1:3/mobius/p1/api/v1");
        assert_eq!(base.named("u2c", ""), "https://127.0.0.1:8443/u2c/api/v1");
        assert_eq!(host_named("no-such", &all), None);
    }

    #[test]
    fn a_webex_host_gets_the_hosts_style_and_keeps_its_port() {
        let base = Base::new(true, "u2c.wbx2.com");
        assert_eq!(base.named("wdm", ""), "https://wdm-a.wbx2.com/wdm/api/v1");
        assert_eq!(base.mobius(&instance()), "https://mobius-x.prod.infra.webex.com/api/v1");
        let base = Base::new(true, "u2c.wbx2.com:8443");
        assert_eq!(base.named("wdm", ""), "https://wdm-a.wbx2.com:8443/wdm/api/v1");
        assert!(!is_webex_host("notwebex.com") && !is_webex_host("webex.com.example.org"));
    }

    #[test]
    fn mobius_hosts_name_their_instance() {
        let all = [instance(), MobiusInstance::backup("b1")];
        let rewrite = |host, path| host_rewrite(host, path, &all);
        assert_eq!(
            rewrite("mobius-x.prod.infra.webex.com", "/api/v1/calling/web/").as_deref(),
            Some("/mobius/p1/api/v1/calling/web/")
        );
        assert_eq!(rewrite("127.0.0.1", "/api/v1/calling/web/"), None);
        assert_eq!(
            rewrite("127.0.0.1", "/api/v1/calling/web/device").as_deref(),
            Some("/mobius/p1/api/v1/calling/web/device")
        );
        assert_eq!(rewrite("127.0.0.1", "/wdm/api/v1/devices"), None);
    }
}
