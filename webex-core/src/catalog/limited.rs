//! Requests to U2C: the catalog formats, and the limited catalog, which needs no token.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use url::Url;

use super::error::CatalogError;
use crate::{
    endpoints::join,
    http::{Auth, Http, Request, Response},
};

/// The format to request the catalog in. Answers in either format are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CatalogFormat {
    /// `hostmap`, the default of the reference client.
    #[default]
    HostMap,
    /// `U2CV2`, the second generation, with a timestamp and the clusters of each service.
    U2cV2,
}

impl CatalogFormat {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HostMap => "hostmap",
            Self::U2cV2 => "U2CV2",
        }
    }
}

/// Whom a limited catalog is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatalogSelector {
    /// An organisation, by its id.
    Org(String),
    /// A user, by e-mail address. Only its hash is sent: SHA-256 of the address in lower case.
    Email(String),
    /// A user, by id.
    User(String),
    /// Nobody in particular: the nearest data centre answers for itself.
    Nearest,
}

impl CatalogSelector {
    fn parameter(&self) -> (&'static str, String) {
        match self {
            Self::Org(id) => ("orgId", id.clone()),
            Self::Email(address) => {
                let mut hex = String::with_capacity(64);
                for byte in Sha256::digest(address.trim().to_lowercase()) {
                    let _ = write!(hex, "{byte:02x}");
                }
                ("emailhash", hex)
            }
            Self::User(id) => ("userId", id.clone()),
            Self::Nearest => ("mode", "DEFAULT_BY_PROXIMITY".to_owned()),
        }
    }
}

/// Requests a limited catalog, without a token.
pub(super) async fn ask(
    http: &Http,
    u2c: &Url,
    format: CatalogFormat,
    selector: &CatalogSelector,
) -> Result<Response, CatalogError> {
    let mut url = join(u2c, "limited/catalog");
    let (name, value) = selector.parameter();
    url.query_pairs_mut().append_pair(name, &value).append_pair("format", format.name());
    Ok(http.send(Request::get(url).auth(Auth::None)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hash_of_an_address_is_sent() {
        let parameter = |address: &str| CatalogSelector::Email(address.to_owned()).parameter();
        let (name, hash) = parameter("Ann@Example.com ");
        assert_eq!((name, &hash), ("emailhash", &parameter("ann@example.com").1));
        // echo -n ann@example.com | sha256sum
        assert_eq!(hash, "71d4f55f72fa128dfb468a1a3901507c804b74316488744d769d7f4b16696476");
    }
}
