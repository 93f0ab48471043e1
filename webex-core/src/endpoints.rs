//! The base URLs that are known before any discovery.

use thiserror::Error;
use url::Url;

/// Where discovery starts. Everything else comes from the service catalog.
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
    /// Whether hosts of the well-known Webex domains may receive the token. False for FedRAMP,
    /// whose hosts come from the catalog alone, and for a stand-in cloud.
    pub webex_domains: bool,
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
            webex_domains: true,
        }
    }

    /// Webex for Government (FedRAMP).
    pub fn fedramp() -> Self {
        Self {
            u2c: fixed("https://u2c.gov.ciscospark.com/u2c/api/v1"),
            hydra: fixed("https://api-usgov.webex.com/v1"),
            webexapis: fixed("https://api-usgov.webex.com/v1"),
            webex_domains: false,
            ..Self::production()
        }
    }

    /// A cloud that serves everything from one origin, told apart by path: the sandbox.
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
        let invalid = || InvalidOrigin(origin.to_owned());
        let base = Url::parse(origin).map_err(|_| invalid())?;
        let plain = matches!(base.scheme(), "http" | "https") && base.has_host();
        let no_path = base.path() == "/" && base.query().is_none() && base.fragment().is_none();
        if !plain || !no_path || !base.username().is_empty() || base.password().is_some() {
            return Err(invalid());
        }
        let at = |path| base.join(path).map_err(|_| invalid());
        Ok(Self {
            u2c: at("/u2c/api/v1")?,
            region: at("/v1/region")?,
            hydra: at("/v1")?,
            webexapis: at("/v1")?,
            idbroker: base.clone(),
            webex_domains: false,
        })
    }

    /// Every configured base, for the list of places that may receive the token.
    pub(crate) fn all(&self) -> [&Url; 5] {
        [&self.u2c, &self.region, &self.hydra, &self.webexapis, &self.idbroker]
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_refuses_what_is_no_origin() {
        for text in ["", "ftp://x", "https://x/path", "https://u:p@x", "https://x?q", "localhost:1"]
        {
            assert!(Endpoints::at(text).is_err(), "{text}");
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
}
