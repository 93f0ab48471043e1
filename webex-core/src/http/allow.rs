//! Which addresses requests may go to, and which may receive the bearer token.
//!
//! Servers name addresses: in the catalog, in redirects, in answers about devices and servers. None
//! is used unless this list allows it. Only the list creates an [`AllowedUrl`], without which
//! nothing is written to the network (ADR 0007).
//!
//! | Cloud | Allowed | A catalog may add |
//! |---|---|---|
//! | commercial | the Webex domains without the government's hosts, TLS on port 443 | another port of such a host |
//! | government | the government's hosts of the Webex domains, TLS on port 443 | another port of such a host |
//! | any other | the configured origins | nothing |
//!
//! The reference client looks for the domain anywhere in the host name, so that
//! `webex.com.evil.example` passes. Here domains are compared on label boundaries.

use std::{collections::HashSet, fmt, sync::Arc};

use url::{Host, Origin, Url};

use super::policy::HostPolicy;
use crate::{
    endpoints::{Endpoints, WebexDomains},
    error::HttpError,
};

/// Domains of the Webex cloud, with everything below them (the reference client's list).
const WEBEX_DOMAINS: [&str; 8] = [
    "wbx2.com",
    "ciscospark.com",
    "webex.com",
    "webexapis.com",
    "broadcloudpbx.com",
    "broadcloud.eu",
    "broadcloud.com.au",
    "broadcloudpbx.net",
];

/// The port of `https` and `wss`.
const TLS_PORT: u16 = 443;

/// An address that requests may go to. Only [`AllowList`] creates one, and everything that opens a
/// connection or writes to one requires it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AllowedUrl {
    url: Url,
    bearer: bool,
}

impl AllowedUrl {
    /// The address.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether the user's token may be sent there.
    pub(crate) fn may_have_token(&self) -> bool {
        self.bearer
    }
}

/// The addresses of one client's cloud.
#[derive(Debug)]
pub(crate) struct AllowList {
    domains: WebexDomains,
    /// Configured origins: these alone may be plain HTTP.
    trusted: HashSet<Origin>,
    /// A configured origin that never gets a token.
    anonymous: Origin,
    policy: Arc<dyn HostPolicy>,
    /// Domains and origins as text.
    cloud: Box<str>,
}

impl AllowList {
    /// The list of this cloud; `policy` is backed by the catalog.
    pub(crate) fn new(endpoints: &Endpoints, policy: Arc<dyn HostPolicy>) -> Self {
        let trusted: HashSet<_> = endpoints.trusted_origins().collect();
        let mut cloud: Vec<_> = trusted.iter().map(Origin::ascii_serialization).collect();
        cloud.sort_unstable();
        cloud.push(format!("{:?}", endpoints.domains));
        Self {
            domains: endpoints.domains,
            trusted,
            anonymous: origin_of(&endpoints.region),
            policy,
            cloud: cloud.join(" ").into(),
        }
    }

    /// A text that is equal for lists that allow the same, apart from what their catalogs add.
    pub(crate) fn cloud(&self) -> &str {
        &self.cloud
    }

    /// The host policy of the catalog.
    pub(crate) fn policy(&self) -> &Arc<dyn HostPolicy> {
        &self.policy
    }

    /// Returns the address, if requests may go there.
    ///
    /// # Errors
    /// [`HttpError::NotAllowed`], which names it.
    pub(crate) fn check(&self, url: &Url) -> Result<AllowedUrl, HttpError> {
        let bearer = self.allows(url);
        if bearer || (is_plain(url) && origin_of(url) == self.anonymous) {
            return Ok(AllowedUrl { url: url.clone(), bearer });
        }
        Err(HttpError::NotAllowed { address: address(url) })
    }

    /// Returns an address that the application itself named, without checking the list. It never
    /// gets the token.
    ///
    /// # Errors
    /// [`HttpError::NotAllowed`] when it is not an HTTP address.
    pub(crate) fn unlisted(url: &Url) -> Result<AllowedUrl, HttpError> {
        if is_plain(url) && matches!(url.scheme(), "http" | "https") {
            return Ok(AllowedUrl { url: url.clone(), bearer: false });
        }
        Err(HttpError::NotAllowed { address: address(url) })
    }

    /// Whether a request to this URL may carry the token.
    pub(crate) fn allows(&self, url: &Url) -> bool {
        let listed = |host: &str, port| port == TLS_PORT || self.policy.lists(host, port);
        self.is_trusted(url) || self.in_domains(url, listed)
    }

    /// Whether a catalog may list this URL, so that its host and port become trusted.
    pub(crate) fn may_list(&self, url: &Url) -> bool {
        self.is_trusted(url) || self.in_domains(url, |_, _| true)
    }

    fn is_trusted(&self, url: &Url) -> bool {
        is_plain(url) && self.trusted.contains(&origin_of(url))
    }

    fn in_domains(&self, url: &Url, port_is_good: impl FnOnce(&str, u16) -> bool) -> bool {
        let government = match self.domains {
            WebexDomains::Commercial => false,
            WebexDomains::Government => true,
            WebexDomains::None => return false,
        };
        let (Some(Host::Domain(name)), Some(port)) = (url.host(), url.port_or_known_default())
        else {
            return false;
        };
        let host = name.strip_suffix('.').unwrap_or(name);
        is_plain(url)
            && matches!(url.scheme(), "https" | "wss")
            && WEBEX_DOMAINS.iter().any(|domain| is_within(host, domain))
            && is_government(host) == government
            && port_is_good(name, port)
    }
}

/// Whether a URL has a host and no user name or password.
fn is_plain(url: &Url) -> bool {
    url.has_host() && url.username().is_empty() && url.password().is_none()
}

/// The origin with websocket schemes read as the HTTP schemes they upgrade from.
pub(crate) fn origin_of(url: &Url) -> Origin {
    let scheme = match url.scheme() {
        "wss" => "https",
        "ws" => "http",
        other => other,
    };
    match (url.host(), url.port_or_known_default()) {
        (Some(host), Some(port)) => Origin::Tuple(scheme.to_owned(), host.to_owned(), port),
        _ => url.origin(),
    }
}

/// An address as errors show it: scheme, host and port, never path and query.
fn address(url: &Url) -> String {
    struct Address<'a>(&'a Url);

    impl fmt::Display for Address<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
            match self.0.port() {
                Some(port) => write!(f, ":{port}"),
                None => Ok(()),
            }
        }
    }

    Address(url).to_string()
}

/// Whether `host` is `domain` or below it. `Url` has lower-cased both.
fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether a host of the Webex domains belongs to Webex for Government: everything below
/// `gov.ciscospark.com`, names such as `api-usgov.webex.com`, clusters such as `us-gov-west-1`, and
/// the identity services of that cloud, which end in `-f`.
fn is_government(host: &str) -> bool {
    let mut labels = host.split('.');
    labels.any(|label| {
        matches!(label, "idbroker-f" | "identity-f")
            || label.split('-').any(|word| matches!(word, "gov" | "usgov"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A catalog that lists these hosts and ports, and does nothing else.
    #[derive(Debug, Default)]
    struct Listed(Vec<(&'static str, u16)>);

    impl HostPolicy for Listed {
        fn lists(&self, host: &str, port: u16) -> bool {
            self.0.contains(&(host, port))
        }
        fn place(&self, url: &Url) -> Url {
            url.clone()
        }
        fn observe(&self, _: &Url, _: Option<&HttpError>) {}
        fn mark_failed(&self, _: &Url) {}
        fn forget_failures(&self) {}
    }

    fn list(endpoints: &Endpoints, ports: &[(&'static str, u16)]) -> AllowList {
        AllowList::new(endpoints, Arc::new(Listed(ports.to_vec())))
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn allows(list: &AllowList, text: &str) -> bool {
        let allowed = list.allows(&url(text));
        assert_eq!(list.check(&url(text)).is_ok_and(|it| it.may_have_token()), allowed, "{text}");
        allowed
    }

    #[test]
    fn lists_that_allow_the_same_have_one_text() {
        let text =
            |endpoints: &Endpoints| list(endpoints, &[("a.example", 443)]).cloud().to_owned();
        let production = text(&Endpoints::production());
        assert_eq!(production, list(&Endpoints::production(), &[]).cloud());
        assert_ne!(production, text(&Endpoints::fedramp()));
        let origin = "https://added.example";
        assert_ne!(production, text(&Endpoints::production().trusting(origin).unwrap()));
    }

    #[test]
    fn compares_domains_on_label_boundaries() {
        let list = list(&Endpoints::production(), &[]);
        for good in ["https://webex.com/x", "https://a.b.wbx2.com", "wss://mercury.WBX2.com./v1"] {
            assert!(allows(&list, good), "{good}");
        }
        for bad in [
            "https://webex.com.evil.example",
            "https://evilwebex.com",
            "https://webex.co",
            "https://webex.com..",
            "http://u2c.wbx2.com",
            "ws://mercury.wbx2.com",
            "ftp://wbx2.com",
            "https://webexapis.com@evil.example/",
            "https://user@webexapis.com/",
            "https://:word@webexapis.com/",
            "https://192.0.2.1/webex.com",
            "data:text/plain,webex.com",
        ] {
            assert!(!allows(&list, bad), "{bad}");
            assert!(!list.may_list(&url(bad)), "{bad}");
        }
    }

    #[test]
    fn every_domain_of_the_cloud_is_on_the_list() {
        let list = list(&Endpoints::production(), &[]);
        for domain in WEBEX_DOMAINS {
            assert!(allows(&list, &format!("https://{domain}")), "{domain}");
            assert!(allows(&list, &format!("https://any.host.{domain}/x")), "{domain}");
            assert!(!allows(&list, &format!("https://{domain}.example")), "{domain}");
        }
    }

    #[test]
    fn a_port_counts_when_it_was_listed_with_its_host() {
        let list = list(&Endpoints::production(), &[("wdm.wbx2.com", 8443), ("evil.example", 443)]);
        assert!(allows(&list, "https://wdm.wbx2.com:8443/x"));
        assert!(allows(&list, "https://wdm.wbx2.com/x"));
        assert!(!allows(&list, "https://wdm.wbx2.com:8444/x"));
        assert!(!allows(&list, "https://other.wbx2.com:8443/x"));
        assert!(!allows(&list, "http://wdm.wbx2.com:8443/x"));
        assert!(!allows(&list, "https://evil.example/"), "a catalog adds no host");
        assert!(list.may_list(&url("https://any.wbx2.com:8444/")));
        assert!(!list.may_list(&url("https://evil.example/")));
    }

    #[test]
    fn the_two_clouds_of_webex_are_kept_apart() {
        let (commercial, government) =
            (list(&Endpoints::production(), &[]), list(&Endpoints::fedramp(), &[]));
        for theirs in [
            "https://u2c.gov.ciscospark.com/u2c",
            "https://api-usgov.webex.com/v1",
            "https://idbroker-f.webex.com/idb",
            "wss://mercury-us-gov-west-1.wbx2.com/v1",
        ] {
            assert!(allows(&government, theirs) && !allows(&commercial, theirs), "{theirs}");
        }
        for theirs in [
            "https://u2c.wbx2.com",
            "https://api.ciscospark.com/v1",
            "https://webexapis.com/v1",
            "https://idbroker.webex.com",
            "https://ds.ciscospark.com/v1/region",
            "https://governor.wbx2.com",
        ] {
            assert!(!allows(&government, theirs) && allows(&commercial, theirs), "{theirs}");
        }
    }

    #[test]
    fn the_region_is_asked_without_a_token() {
        let list = list(&Endpoints::fedramp(), &[]);
        let region = list.check(&Endpoints::fedramp().region).unwrap();
        assert!(!region.may_have_token());
        assert!(list.check(&url("https://user@ds.ciscospark.com/v1/region")).is_err());
    }

    #[test]
    fn a_configured_origin_is_exact() {
        let endpoints = Endpoints::at("http://127.0.0.1:8080").unwrap();
        let list = list(&endpoints, &[("127.0.0.1", 8081)]);
        assert!(allows(&list, "http://127.0.0.1:8080/wdm"));
        assert!(allows(&list, "ws://127.0.0.1:8080/mercury"));
        for bad in [
            "http://127.0.0.1:8081/wdm",
            "https://127.0.0.1:8080/wdm",
            "http://user@127.0.0.1:8080/wdm",
            "http://localhost:8080/wdm",
            "https://u2c.wbx2.com",
        ] {
            assert!(!allows(&list, bad) && !list.may_list(&url(bad)), "{bad}");
        }
        let more = self::list(&endpoints.trusting("https://localhost:9443").unwrap(), &[]);
        assert!(allows(&more, "wss://localhost:9443/x") && allows(&more, "http://127.0.0.1:8080"));
    }

    #[test]
    fn a_refused_address_is_named_without_path_and_query() {
        let list = list(&Endpoints::production(), &[]);
        let refused = list.check(&url("https://u:hidden@evil.example:8443/p?token=hidden"));
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("https://evil.example:8443") && !text.contains("hidden"), "{text}");
    }

    #[test]
    fn an_address_of_the_application_is_for_http_and_never_gets_the_token() {
        for good in ["https://any.example/x", "http://127.0.0.1:1"] {
            assert!(!AllowList::unlisted(&url(good)).unwrap().may_have_token(), "{good}");
        }
        for bad in ["ftp://any.example", "https://user@any.example", "wss://any.example", "data:x"]
        {
            assert!(AllowList::unlisted(&url(bad)).is_err(), "{bad}");
        }
    }
}
