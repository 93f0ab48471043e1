//! Which proxy, if any, a service is reached through.
//!
//! There is one rule, [`Proxies::for_url`], for both kinds of connection: the HTTP client uses it
//! through [`Proxies::for_http`], the socket through the dialler. It comes from the environment, as
//! in other programs, or from the application ([`Proxy`]), or there is none.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderValue;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use url::{Host, Url};
use webex_auth::pasted::{self, PasteError};

/// An HTTP proxy, for all hosts or all but some.
///
/// Connections to services are tunnelled with `CONNECT`, HTTP and websocket alike. TLS ends at the
/// service, so that the proxy sees host names but no tokens.
///
/// ```
/// use webex_core::{Proxy, Transport};
///
/// let proxy = Proxy::new("http://proxy.example:3128")?
///     .basic_auth("ann", &"secret".to_owned().into())
///     .except("intranet.example, 10.0.0.0/8");
/// let transport = Transport::builder().proxy(proxy).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Proxy {
    /// Scheme, host and port; never the credentials.
    url: Url,
    /// The `Proxy-Authorization` header; marked as sensitive.
    authorization: Option<HeaderValue>,
    except: Exceptions,
}

/// A proxy setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The text is not a URL with a host. It is not shown, because it may hold a password.
    #[error("{0} is not the URL of a proxy, such as http://proxy.example:3128")]
    Url(&'static str),
    /// The same, with the first character that no URL has.
    #[error("{0} is not the URL of a proxy, such as http://proxy.example:3128: {1}")]
    Pasted(&'static str, PasteError),
    /// A proxy that does not speak HTTP.
    #[error("{0} names a proxy of the kind `{1}`; only http and https are supported")]
    Scheme(&'static str, String),
}

impl Proxy {
    /// The proxy at `url`: `http://host:port` (or `host:port`), or `https://…` if the connection to
    /// the proxy itself uses TLS. The URL may hold user name and password.
    ///
    /// # Errors
    /// [`ProxyError`] when it is not an HTTP proxy.
    pub fn new(url: &str) -> Result<Self, ProxyError> {
        Self::named("the given text", url)
    }

    /// Sets user name and password of Basic authentication; replaces those of the URL.
    #[must_use]
    pub fn basic_auth(mut self, user: &str, password: &SecretString) -> Self {
        self.authorization = Some(basic(user, password.expose_secret()));
        self
    }

    /// Hosts to reach directly, separated by commas, in the form of `NO_PROXY`: `example.com` and
    /// `.example.com` (the host and all below it), IP addresses, networks such as `10.0.0.0/8`, and
    /// `*`; each may have a port. Default: none, loopback included.
    #[must_use]
    pub fn except(mut self, hosts: &str) -> Self {
        self.except = Exceptions::parse(hosts);
        self
    }

    /// `source` is where the text comes from.
    fn named(source: &'static str, text: &str) -> Result<Self, ProxyError> {
        let pasted = pasted::secret(text);
        let text = pasted.unwrap_or(text.trim());
        let with_scheme =
            if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&with_scheme).map_err(|_| match pasted {
            Err(error) => ProxyError::Pasted(source, error),
            Ok(_) => ProxyError::Url(source),
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ProxyError::Scheme(source, url.scheme().to_owned()));
        }
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
        let authorization = (!url.username().is_empty() || url.password().is_some())
            .then(|| basic(&decoded(url.username()), &decoded(url.password().unwrap_or_default())));
        let cleared = url.set_username("").and_then(|()| url.set_password(None));
        cleared.map_err(|()| ProxyError::Url(source))?;
        url.set_path("");
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self { url, authorization, except: Exceptions::default() })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// `host:port`, as errors name it.
    pub(super) fn name(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.url.host_str().unwrap_or_default())
    }
}

/// Shows the proxy's name, and whether there are credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("url", &self.url.as_str())
            .field("authorization", &self.authorization.is_some())
            .field("except", &self.except)
            .finish()
    }
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let mut value =
        HeaderValue::try_from(format!("Basic {credentials}")).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

/// Where the proxy settings come from.
#[derive(Debug, Clone, Default)]
pub(super) enum ProxyChoice {
    #[default]
    Environment,
    Given(Proxy),
    Direct,
}

impl ProxyChoice {
    pub(super) fn resolve(self) -> Proxies {
        match self {
            Self::Environment => Proxies::from_variables(|name| std::env::var(name).ok()),
            Self::Given(proxy) => {
                let proxy = Some(Named { proxy: Ok(proxy.clone()), except: proxy.except });
                Proxies { secured: proxy.clone(), plain: proxy, loopback: true }
            }
            Self::Direct => Proxies::default(),
        }
    }
}

/// The rule that chooses the proxy of a URL.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    /// For `https` and `wss`.
    secured: Option<Named>,
    /// For `http` and `ws`.
    plain: Option<Named>,
    /// Whether loopback goes through the proxy too.
    loopback: bool,
}

/// A configured proxy. One whose URL cannot be used stops the requests that would go through it, and
/// no others.
#[derive(Debug, Clone)]
struct Named {
    proxy: Result<Proxy, ProxyError>,
    /// Hosts that are reached directly.
    except: Exceptions,
}

impl Proxies {
    /// Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. The lower-case names win.
    /// Empty ones count as absent.
    ///
    /// Loopback is always reached directly: a proxy elsewhere has a loopback of its own, and a
    /// sandbox on this machine has to work whatever the environment says.
    pub(super) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| {
            let present = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
            present(&name.to_lowercase()).or_else(|| {
                // In a CGI program, HTTP_PROXY comes from a request header of a stranger (httpoxy).
                let by_stranger = name == "HTTP_PROXY" && variable("REQUEST_METHOD").is_some();
                if by_stranger { None } else { present(name) }
            })
        };
        let except = Exceptions::parse(&value("NO_PROXY").unwrap_or_default());
        let proxy = |name: &'static str| {
            let by_name = value(name).map(|text| (name, text));
            let (name, text) = by_name.or_else(|| Some(("ALL_PROXY", value("ALL_PROXY")?)))?;
            Some(Named { proxy: Proxy::named(name, &text), except: except.clone() })
        };
        Self { secured: proxy("HTTPS_PROXY"), plain: proxy("HTTP_PROXY"), loopback: false }
    }

    /// The proxy for `url`; `None` means a direct connection.
    ///
    /// # Errors
    /// Why the text that names the proxy for this URL cannot be used.
    pub(super) fn for_url(&self, url: &Url) -> Result<Option<&Proxy>, &ProxyError> {
        let named = match url.scheme() {
            "https" | "wss" => &self.secured,
            "http" | "ws" => &self.plain,
            _ => &None,
        };
        let (Some(named), Some(host)) = (named, url.host()) else { return Ok(None) };
        let direct = (!self.loopback && is_loopback(&host))
            || named.except.contains(&host, url.port_or_known_default().unwrap_or_default());
        if direct { Ok(None) } else { named.proxy.as_ref().map(Some) }
    }

    /// The rule in the form that the HTTP client needs, which has no errors: callers check
    /// [`for_url`](Self::for_url) before they send.
    pub(super) fn for_http(self: &Arc<Self>) -> Vec<reqwest::Proxy> {
        let rule = |scheme: &'static str, proxy: &Proxy| {
            let proxies = Arc::clone(self);
            let rule = reqwest::Proxy::custom(move |url| {
                let own = (url.scheme() == scheme).then_some(url)?;
                proxies.for_url(own).ok()?.map(|proxy| proxy.url.clone())
            });
            match &proxy.authorization {
                Some(authorization) => rule.custom_http_auth(authorization.clone()),
                None => rule,
            }
        };
        let usable = |named: &'_ Option<Named>| named.as_ref()?.proxy.clone().ok();
        let secured = usable(&self.secured).map(|proxy| rule("https", &proxy));
        let plain = usable(&self.plain).map(|proxy| rule("http", &proxy));
        secured.into_iter().chain(plain).collect()
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

/// What `NO_PROXY` lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Exceptions(Vec<(Hosts, Option<u16>)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    Network(IpNet),
    /// The host of this name, and all below it.
    Domain(String),
}

impl Exceptions {
    /// An unreadable entry becomes a name that no host has.
    fn parse(list: &str) -> Self {
        let entries = list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
        Self(entries.map(entry).collect())
    }

    fn contains(&self, host: &Host<&str>, port: u16) -> bool {
        self.0
            .iter()
            .any(|(hosts, only)| only.is_none_or(|only| only == port) && hosts.matches(host))
    }
}

impl Hosts {
    fn matches(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Network(network), Host::Ipv4(ip)) => network.contains(&IpAddr::V4(*ip)),
            (Self::Network(network), Host::Ipv6(ip)) => network.contains(&IpAddr::V6(*ip)),
            (Self::Domain(domain), Host::Domain(name)) => name
                .trim_end_matches('.')
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            _ => false,
        }
    }
}

fn entry(text: &str) -> (Hosts, Option<u16>) {
    // `::1` looks as if it ended in a port; a port needs brackets, as in `[::1]:443`.
    let bare = IpNet::from_str(text).is_ok() || text.parse::<IpAddr>().is_ok();
    let (hosts, port) = match text.rsplit_once(':') {
        Some((hosts, port)) if !bare => match port.parse() {
            Ok(port) => (hosts, Some(port)),
            Err(_) => (text, None),
        },
        _ => (text, None),
    };
    let hosts = hosts.trim_start_matches('[').trim_end_matches(']');
    let hosts = if hosts == "*" {
        Hosts::All
    } else if let Ok(network) = hosts.parse::<IpNet>() {
        Hosts::Network(network)
    } else if let Ok(ip) = hosts.parse::<IpAddr>() {
        Hosts::Network(ip.into())
    } else {
        let domain = hosts.strip_prefix("*.").unwrap_or(hosts);
        Hosts::Domain(domain.trim_matches('.').to_lowercase())
    };
    (hosts, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(variables: &[(&str, &str)]) -> Proxies {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Proxies::from_variables(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    fn through(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.for_url(&Url::parse(url).unwrap()).unwrap().map(Proxy::name)
    }

    #[test]
    fn the_environment_chooses_the_proxy() {
        let named = |name: &str| Some(name.to_owned());
        let all = rule(&[("ALL_PROXY", "all.example:1080")]);
        for url in ["http://a.example", "https://a.example", "ws://a.example", "wss://a.example"] {
            assert_eq!(through(&all, url), named("all.example:1080"), "{url}");
        }
        let each = [
            ("HTTPS_PROXY", "https://upper.example"),
            ("https_proxy", "http://lower.example:3128/path"),
            ("HTTP_PROXY", "http://plain.example"),
            ("ALL_PROXY", ""),
        ];
        let each = rule(&each);
        assert_eq!(through(&each, "https://a.example"), named("lower.example:3128"));
        assert_eq!(through(&each, "wss://a.example"), named("lower.example:3128"));
        assert_eq!(through(&each, "http://a.example"), named("plain.example:80"));
        assert_eq!(through(&rule(&[]), "https://a.example"), None);
    }

    #[test]
    fn a_request_header_does_not_set_a_proxy() {
        let cgi = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil.example")];
        assert_eq!(through(&rule(&cgi), "http://a.example"), None);
    }

    #[test]
    fn no_proxy_takes_hosts_suffixes_networks_and_ports() {
        let list = "exact.example, .below.example,*.star.example ported.example:8443,\
                    10.0.0.0/8,192.0.2.7,2001:db8::/32,[2001:db9::1]:443,bad:entry:,::2";
        let rule = rule(&[("HTTPS_PROXY", "p:1"), ("NO_PROXY", list)]);
        for direct in [
            "https://exact.example",
            "https://www.EXACT.example",
            "wss://below.example",
            "https://a.below.example.",
            "https://a.star.example",
            "https://ported.example:8443",
            "https://10.1.2.3",
            "https://192.0.2.7:8443",
            "https://[2001:db8::5]",
            "https://[2001:db9::1]",
            "https://[::2]",
        ] {
            assert_eq!(through(&rule, direct), None, "{direct}");
        }
        for proxied in [
            "https://notexact.example",
            "https://exact.example.org",
            "https://ported.example",
            "https://11.0.0.1",
            "https://192.0.2.70",
            "https://[2001:db9::1]:8443",
            "https://[2001:db9::2]",
        ] {
            assert_eq!(through(&rule, proxied).as_deref(), Some("p:1"), "{proxied}");
        }
    }

    #[test]
    fn a_star_is_everything_addresses_included() {
        let rule = rule(&[("ALL_PROXY", "p:1"), ("no_proxy", "*")]);
        for url in ["https://a.example", "https://192.0.2.1", "ws://[2001:db8::1]"] {
            assert_eq!(through(&rule, url), None, "{url}");
        }
    }

    #[test]
    fn loopback_is_direct_unless_the_application_says_otherwise() {
        let environment = rule(&[("ALL_PROXY", "p:1")]);
        let given = ProxyChoice::Given(Proxy::new("p:1").unwrap()).resolve();
        let direct = ProxyChoice::Direct.resolve();
        for url in
            ["https://127.0.0.1:8443", "wss://[::1]", "http://LOCALHOST.", "ws://a.localhost"]
        {
            assert_eq!(through(&environment, url), None, "{url}");
            assert_eq!(through(&given, url).as_deref(), Some("p:1"), "{url}");
            assert_eq!(through(&direct, url), None, "{url}");
        }
    }

    #[test]
    fn credentials_are_read_and_never_shown() {
        let proxy = Proxy::new("http://ann%40x:p%3Ass-word@proxy.example:3128/x?y").unwrap();
        let expected = BASE64_STANDARD.encode("ann@x:p:ss-word");
        assert_eq!(proxy.authorization().unwrap(), format!("Basic {expected}").as_str());
        assert_eq!(proxy.url().as_str(), "http://proxy.example:3128/");
        let password = SecretString::from("other-word");
        let other = proxy.clone().basic_auth("bob", &password);
        assert_ne!(other.authorization(), proxy.authorization());
        assert!([&proxy, &other].iter().all(|it| it.authorization().unwrap().is_sensitive()));
        let shown = format!("{proxy:?} {other:?} {:?}", other.authorization());
        for secret in ["ss-word", "other-word", expected.as_str()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn an_invalid_proxy_is_refused_without_being_quoted() {
        let refused = |text| Proxy::new(text).unwrap_err();
        assert_eq!(refused("http://"), ProxyError::Url("the given text"));
        assert!(!refused("http://u:hidden@[").to_string().contains("hidden"));
        assert!(matches!(refused("socks5://p:1"), ProxyError::Scheme(_, kind) if kind == "socks5"));
    }

    #[test]
    fn what_is_pasted_around_a_proxy_is_dropped_or_named() {
        for text in ["\u{feff}http://p:1\r\n", "'p:1'", "HTTPS_PROXY=\"http://p:1\"", " p:1 "] {
            let rule = rule(&[("HTTPS_PROXY", text)]);
            assert_eq!(through(&rule, "https://a.example").as_deref(), Some("p:1"), "{text:?}");
        }
        let refused = Proxy::new("http://my proxy:1").unwrap_err();
        assert!(refused.to_string().contains("a space at character 10"), "{refused}");
    }

    #[test]
    fn a_variable_that_names_no_proxy_stops_only_what_would_go_through_it() {
        let bad = [("HTTPS_PROXY", "socks5://p:1"), ("NO_PROXY", "a.example")];
        let bad = rule(&bad);
        let stopped = bad.for_url(&Url::parse("wss://b.example").unwrap()).unwrap_err();
        assert!(stopped.to_string().contains("HTTPS_PROXY"), "{stopped}");
        for url in ["https://a.example", "http://b.example", "https://127.0.0.1", "ws://b.example"]
        {
            assert_eq!(through(&bad, url), None, "{url}");
        }
        let all = rule(&[("ALL_PROXY", "socks5://p:1"), ("http_proxy", "q:2")]);
        assert_eq!(through(&all, "http://b.example").as_deref(), Some("q:2"));
        let stopped = all.for_url(&Url::parse("https://b.example").unwrap()).unwrap_err();
        assert!(stopped.to_string().contains("ALL_PROXY"), "{stopped}");
    }
}
