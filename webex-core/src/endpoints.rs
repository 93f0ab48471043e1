//! The base URLs that are known before discovery.

use thiserror::Error;
use url::{Host, Origin, Url};

/// The URLs where discovery starts. Everything else comes from the service catalog.
///
/// Each field can be replaced; a stand-in cloud needs all of them, see [`Endpoints::at`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoints {
    /// The service catalog (U2C), such as `https://u2c.wbx2.com/u2c/api/v1`.
    pub u2c: Url,
    /// Region discovery, the whole URL: `https://ds.ciscospark.com/v1/region`.
    pub region: Url,
    /// The public REST API (Hydra), such as `https://api.ciscospark.com/v1`.
    pub hydra: Url,
    /// OAuth of public integrations, such as `https://webexapis.com/v1`.
    pub webexapis: Url,
    /// The identity broker, such as `https://idbroker.webex.com`.
    pub idbroker: Url,
    /// Which hosts of the Webex domains belong to this cloud.
    pub domains: WebexDomains,
    /// Further origins that belong to it; see [`trusting`](Self::trusting).
    trusted: Vec<Url>,
}

/// Which hosts of the Webex domains (`webex.com`, `wbx2.com`, `ciscospark.com` and the like) belong
/// to a cloud: may be contacted, and may receive the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WebexDomains {
    /// All but those of Webex for Government.
    Commercial,
    /// Only those of Webex for Government (FedRAMP).
    Government,
    /// None: a stand-in cloud, whose origins are configured.
    #[default]
    None,
}

impl Endpoints {
    /// The production cloud.
    pub fn production() -> Self {
        Self {
            u2c: fixed("https://u2c.wbx2.com/u2c/api/v1"),
            region: fixed("https://ds.ciscospark.com/v1/region"),
            hydra: fixed("https://api.ciscospark.com/v1"),
            webexapis: fixed("https://webexapis.com/v1"),
            idbroker: fixed("https://idbroker.webex.com"),
            domains: WebexDomains::Commercial,
            trusted: Vec::new(),
        }
    }

    /// Webex for Government (FedRAMP). Its region discovery is a host of the commercial cloud,
    /// which is asked without a token; nothing else is shared.
    pub fn fedramp() -> Self {
        Self {
            u2c: fixed("https://u2c.gov.ciscospark.com/u2c/api/v1"),
            hydra: fixed("https://api-usgov.webex.com/v1"),
            webexapis: fixed("https://api-usgov.webex.com/v1"),
            idbroker: fixed("https://idbroker-f.webex.com"),
            domains: WebexDomains::Government,
            ..Self::production()
        }
    }

    /// A cloud that serves everything from one origin, distinguished by path: the sandbox.
    ///
    /// # Errors
    /// [`InvalidOrigin`] unless `origin` is an `http` or `https` URL with a host and no path.
    ///
    /// ```
    /// # use webex_core::Endpoints;
    /// let endpoints = Endpoints::at("https://127.0.0.1:8443")?;
    /// assert_eq!(endpoints.u2c.as_str(), "https://127.0.0.1:8443/u2c/api/v1");
    /// assert!(Endpoints::at("127.0.0.1:8443").is_err());
    /// # Ok::<(), webex_core::InvalidOrigin>(())
    /// ```
    pub fn at(origin: &str) -> Result<Self, InvalidOrigin> {
        let base = parse_origin(origin)?;
        let at = |path| base.join(path).map_err(|_| InvalidOrigin(origin.to_owned()));
        Ok(Self {
            u2c: at("/u2c/api/v1")?,
            region: at("/v1/region")?,
            hydra: at("/v1")?,
            webexapis: at("/v1")?,
            idbroker: base.clone(),
            domains: WebexDomains::None,
            trusted: Vec::new(),
        })
    }

    /// Adds an origin to this cloud: requests may go there, with the token. For a stand-in cloud
    /// whose catalog names more than one host or port. Addresses that are not on the list are never
    /// contacted, whoever names them.
    ///
    /// # Errors
    /// [`InvalidOrigin`] as in [`at`](Self::at).
    pub fn trusting(mut self, origin: &str) -> Result<Self, InvalidOrigin> {
        self.trusted.push(parse_origin(origin)?);
        Ok(self)
    }

    /// The first base address that is not on this machine, if there is one.
    pub(crate) fn beyond_loopback(&self) -> Option<&Url> {
        self.all().find(|url| !is_loopback(url))
    }

    /// The first base address without TLS that is not on this machine, if there is one.
    pub(crate) fn plain_beyond_loopback(&self) -> Option<&Url> {
        self.all().find(|url| url.scheme() == "http" && !is_loopback(url))
    }

    fn all(&self) -> impl Iterator<Item = &Url> {
        let own = [&self.u2c, &self.region, &self.hydra, &self.webexapis, &self.idbroker];
        own.into_iter().chain(&self.trusted)
    }

    /// The configured origins that may receive the token. Region discovery is not one of them: it
    /// is asked without a token.
    pub(crate) fn trusted_origins(&self) -> impl Iterator<Item = Origin> {
        let own = [&self.u2c, &self.hydra, &self.webexapis, &self.idbroker];
        own.into_iter().chain(&self.trusted).map(Url::origin)
    }
}

/// Whether an address is on this machine, whatever DNS says.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn parse_origin(origin: &str) -> Result<Url, InvalidOrigin> {
    let invalid = || InvalidOrigin(origin.to_owned());
    let base = Url::parse(origin).map_err(|_| invalid())?;
    let plain = matches!(base.scheme(), "http" | "https") && base.has_host();
    let no_path = base.path() == "/" && base.query().is_none() && base.fragment().is_none();
    if !plain || !no_path || !base.username().is_empty() || base.password().is_some() {
        return Err(invalid());
    }
    Ok(base)
}

impl Default for Endpoints {
    fn default() -> Self {
        Self::production()
    }
}

/// The text is not an origin: scheme, host and optional port, such as `https://127.0.0.1:8443`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not an origin such as https://127.0.0.1:8443")]
pub struct InvalidOrigin(String);

fn fixed(url: &str) -> Url {
    Url::parse(url).expect("a constant of this file")
}

/// Appends a path to a base URL with exactly one `/` between them.
///
/// ```
/// let base = "https://mobius.example/api/v1".parse()?;
/// assert_eq!(webex_core::join(&base, "ping").as_str(), "https://mobius.example/api/v1/ping");
/// # Ok::<(), url::ParseError>(())
/// ```
pub fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let path = format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/'));
    url.set_path(&path);
    url
}

/// The same URL at another `host` or `host:port`; without a port, at the default one. `None` when
/// the text is anything else: the setters of [`Url`] would silently cut it off.
pub(crate) fn with_authority(url: &Url, authority: &str) -> Option<Url> {
    let place = parse_authority(url.scheme(), authority)?;
    let mut url = url.clone();
    url.set_host(place.host_str()).ok()?;
    url.set_port(place.port()).ok()?;
    Some(url)
}

/// The root of `host` or `host:port`; `None` when the text is anything else.
pub(crate) fn parse_authority(scheme: &str, authority: &str) -> Option<Url> {
    let inside = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '\\' | '?' | '#' | '@' | '%');
    if authority.is_empty() || !authority.chars().all(inside) {
        return None;
    }
    let place = Url::parse(&format!("{scheme}://{authority}/")).ok()?;
    place.has_host().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_refuses_text_that_is_not_an_origin() {
        for text in ["", "ftp://x", "https://x/path", "https://u:p@x", "https://x?q", "localhost:1"]
        {
            assert!(Endpoints::at(text).is_err(), "{text}");
            assert!(Endpoints::production().trusting(text).is_err(), "{text}");
        }
    }

    #[test]
    fn join_puts_one_slash() {
        for base in ["https://h/a", "https://h/a/"] {
            for path in ["b/c", "/b/c"] {
                assert_eq!(join(&fixed(base), path).as_str(), "https://h/a/b/c");
            }
        }
        assert_eq!(join(&fixed("https://h"), "b").as_str(), "https://h/b");
    }

    #[test]
    fn a_host_is_used_whole_or_not_at_all() {
        let url = fixed("https://a.example:8443/x?y=z");
        let moved = |authority| with_authority(&url, authority).map(String::from);
        for (authority, expected) in [
            ("b.example", "https://b.example/x?y=z"),
            ("b.example:9443", "https://b.example:9443/x?y=z"),
            ("b.example:443", "https://b.example/x?y=z"),
            ("[::1]:8443", "https://[::1]:8443/x?y=z"),
        ] {
            assert_eq!(moved(authority).as_deref(), Some(expected), "{authority}");
        }
        for odd in [
            "",
            "b.example/evil",
            "b.example\\evil",
            "b.example?x",
            "b.example#x",
            "u@b.example",
            "u:p@b.example",
            "b.example%2fevil",
            "b.example evil",
            " b.example",
            "b.example\n",
            "b.example:http",
            "b.example:99999",
            ":8443",
            "[::1",
            "b\u{f6}se.example",
        ] {
            assert_eq!(moved(odd), None, "{odd:?}");
        }
    }
}
