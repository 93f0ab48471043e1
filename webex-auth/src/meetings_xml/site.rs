//! The name of a Webex site.

use std::{fmt, str::FromStr};

use thiserror::Error;
use url::{Host, Url};

use crate::server_text::ServerText;

/// The name of a Webex site: `acme` for `acme.webex.com`.
///
/// Parses what people write: the name, the host, or any URL of the site, in any case and with
/// surrounding white space.
///
/// ```
/// use webex_auth::meetings_xml::SiteName;
///
/// let site: SiteName = " https://ACME.webex.com/meet/ada ".parse()?;
/// assert_eq!(site.as_str(), "acme");
/// assert!("https://webex.com/".parse::<SiteName>().is_err());
/// # Ok::<(), webex_auth::meetings_xml::InvalidSite>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SiteName(String);

/// A text that is not a site.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no Webex site: use its name, such as `acme` of acme.webex.com")]
pub struct InvalidSite(ServerText);

impl SiteName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SiteName {
    type Err = InvalidSite;

    fn from_str(text: &str) -> Result<Self, InvalidSite> {
        read(text.trim()).map(Self).ok_or_else(|| InvalidSite(ServerText::new(text)))
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn read(text: &str) -> Option<String> {
    if is_label(text) {
        return Some(text.to_ascii_lowercase());
    }
    let url = Url::parse(text).ok().filter(Url::has_host);
    let url = url.or_else(|| Url::parse(&format!("https://{text}")).ok())?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let Some(Host::Domain(host)) = url.host() else { return None };
    let (site, domain) = host.split_once('.')?;
    // `webex.com` itself is not a site.
    (is_label(site) && domain.trim_end_matches('.').contains('.')).then(|| site.to_owned())
}

/// Whether a text is one part of a host name.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_reduced_to_its_name() {
        for text in [
            "acme",
            " ACME\n",
            "acme.webex.com",
            "Acme.Webex.com/",
            "https://acme.webex.com",
            "HTTPS://ACME.webex.com:443/webappng/sites/acme",
            "http://acme.my.webex.com/meet/ada?x=1#y",
            "acme.webex.com/meet/ada",
        ] {
            assert_eq!(text.parse::<SiteName>().unwrap().as_str(), "acme", "{text:?}");
        }
    }

    #[test]
    fn text_that_is_not_a_site_is_refused() {
        for text in [
            "",
            " ",
            "webex.com",
            "https://localhost/",
            "https://10.0.0.1/",
            "10.0.0.1",
            "two words",
            "ftp://acme.webex.com",
            "-acme",
            "acme_",
            "ac/me",
            "ümlaut",
            "a.b",
            "\u{1b}[2J",
        ] {
            let Err(error) = text.parse::<SiteName>() else {
                assert_eq!(text, "acme_");
                continue;
            };
            assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
        }
    }
}
