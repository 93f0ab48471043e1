//! Which hosts may receive the bearer token.
//!
//! The reference client looks for the domain anywhere in the host name, so that
//! `webex.com.evil.example` passes. Here domains are compared on label boundaries, over TLS only.

use std::{collections::HashSet, sync::Arc};

use url::Url;

use crate::catalog::Hosts;

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

/// The places that may receive the token: configured origins, Webex domains, catalog hosts.
#[derive(Debug)]
pub(crate) struct AllowList {
    webex_domains: bool,
    /// Origins the application configured; these alone may be plain HTTP.
    origins: HashSet<url::Origin>,
    hosts: Arc<Hosts>,
}

impl AllowList {
    pub(crate) fn new<'a>(configured: impl IntoIterator<Item = &'a Url>, webex: bool) -> Self {
        let origins = configured.into_iter().map(Url::origin).collect();
        Self { webex_domains: webex, origins, hosts: Arc::default() }
    }

    /// The hosts of the service catalog, which came over an already trusted connection.
    pub(crate) fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }

    /// Whether a request to this URL may carry the token.
    pub(crate) fn allows(&self, url: &Url) -> bool {
        // A socket's origin is that of the page it belongs to: compare ws as http, wss as https.
        if self.origins.contains(&http_origin(url)) {
            return true;
        }
        let (Some(host), "https" | "wss") = (url.host_str(), url.scheme()) else {
            return false;
        };
        let host = host.trim_end_matches('.');
        (self.webex_domains && WEBEX_DOMAINS.iter().any(|domain| is_within(host, domain)))
            || self.hosts.has(host)
    }

    /// Whether a host may be dialled before anything is to be sent to it: over TLS, and as the
    /// token may go there. What an earlier start used (`remembered`) was on this list then; without
    /// the Webex domains only the catalog tells, which may not be here yet, so that is enough.
    /// Nothing is sent, and whatever is sent later is asked about anew.
    pub(crate) fn may_dial(&self, url: &Url, remembered: bool) -> bool {
        let secured = matches!(url.scheme(), "https" | "wss");
        secured && (self.allows(url) || (remembered && !self.webex_domains))
    }
}

/// The origin with websocket schemes read as the HTTP schemes they upgrade from.
fn http_origin(url: &Url) -> url::Origin {
    let scheme = match url.scheme() {
        "wss" => "https",
        "ws" => "http",
        other => other,
    };
    match (url.host(), url.port_or_known_default()) {
        (Some(host), Some(port)) => url::Origin::Tuple(scheme.to_owned(), host.to_owned(), port),
        _ => url.origin(),
    }
}

/// `host` is `domain` or below it. `Url` has lower-cased both.
fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &AllowList, url: &str) -> bool {
        list.allows(&Url::parse(url).unwrap())
    }

    #[test]
    fn compares_domains_on_label_boundaries() {
        let list = AllowList::new([], true);
        for good in ["https://webex.com/x", "https://a.b.wbx2.com", "wss://mercury.WBX2.com./v1"] {
            assert!(allows(&list, good), "{good}");
        }
        for bad in [
            "https://webex.com.evil.example",
            "https://evilwebex.com",
            "http://u2c.wbx2.com",
            "ws://mercury.wbx2.com",
            "https://webexapis.com@evil.example/",
        ] {
            assert!(!allows(&list, bad), "{bad}");
        }
    }

    #[test]
    fn a_configured_origin_is_exact() {
        let origin = Url::parse("http://127.0.0.1:8080/u2c").unwrap();
        let list = AllowList::new([&origin], false);
        assert!(allows(&list, "http://127.0.0.1:8080/wdm"));
        assert!(allows(&list, "ws://127.0.0.1:8080/mercury"));
        assert!(!allows(&list, "http://127.0.0.1:8081/wdm"));
        assert!(!allows(&list, "https://127.0.0.1:8080/wdm"));
        assert!(!allows(&list, "https://u2c.wbx2.com"), "webex domains are off");
    }

    #[test]
    fn only_what_may_have_the_token_is_dialled_ahead() {
        let origin = Url::parse("http://127.0.0.1:8080").unwrap();
        let (webex, other) = (AllowList::new([&origin], true), AllowList::new([&origin], false));
        let dials = |list: &AllowList, url| list.may_dial(&Url::parse(url).unwrap(), true);
        assert!(dials(&webex, "wss://mercury.wbx2.com"));
        assert!(!dials(&webex, "https://evil.example"));
        assert!(dials(&other, "https://wdm.gov.example"), "its catalog said so");
        assert!(!other.may_dial(&Url::parse("https://wdm.gov.example").unwrap(), false));
        for list in [&webex, &other] {
            for plain in ["http://127.0.0.1:8080", "ws://mercury.wbx2.com", "ftp://wbx2.com"] {
                assert!(!dials(list, plain), "{plain}");
            }
        }
    }

    #[test]
    fn catalog_hosts_need_tls() {
        let list = AllowList::new([], false);
        assert!(!allows(&list, "https://wdm.gov.example"));
        let catalog = r#"{"serviceLinks":{"wdm":"https://wdm.gov.example/wdm/api/v1"}}"#;
        list.hosts().set_catalog(Arc::new(serde_json::from_str(catalog).unwrap()));
        assert!(allows(&list, "https://wdm.gov.example/x"));
        assert!(!allows(&list, "http://wdm.gov.example/x"));
        assert!(!allows(&list, "https://x.wdm.gov.example/"));
    }
}
