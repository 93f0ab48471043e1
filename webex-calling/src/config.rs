//! How to use calling.

use serde::Serialize;
use thiserror::Error;

use crate::registration::RegistrationPolicy;

/// Which calling service the user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ServiceIndicator {
    /// Webex Calling.
    #[default]
    Calling,
    /// Webex Contact Center; needs a domain.
    ContactCenter,
    /// Calling as a guest.
    GuestCalling,
}

/// Which service to register for, as Mobius is told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ServiceData {
    /// The service.
    pub indicator: ServiceIndicator,
    /// Service domain, passed through; a DNS-like name. Default: empty.
    pub domain: String,
}

/// Configuration of a [`CallingClient`](crate::CallingClient).
///
/// ```
/// use webex_calling::{CallingConfig, ServiceIndicator};
///
/// let mut config = CallingConfig::default();
/// config.service.indicator = ServiceIndicator::ContactCenter;
/// config.service.domain = "rtw.prod-us.rtmsprod.net".to_owned();
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CallingConfig {
    /// Which service to register for. Default: Webex Calling.
    pub service: ServiceData,
    /// Region and country, when they are known: saves asking for them. Default: asked for.
    pub location: Option<Location>,
    /// How lines are registered, where there is a choice.
    pub registration: RegistrationPolicy,
}

/// Where the user is, as Mobius wants to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Region code, such as `US-EAST`.
    pub region: String,
    /// Country code, such as `US`.
    pub country: String,
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The service domain is not a domain.
    #[error("the service domain `{0}` is not a domain name")]
    Domain(String),
    /// The contact center needs a domain.
    #[error("the service `contactcenter` needs a service domain")]
    DomainMissing,
}

impl CallingConfig {
    /// Checks the configuration, as [`CallingClient::new`](crate::CallingClient::new) does.
    ///
    /// # Errors
    /// [`ConfigError`] naming what is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ServiceData { indicator, domain } = &self.service;
        match (domain.as_str(), indicator) {
            ("", ServiceIndicator::ContactCenter) => Err(ConfigError::DomainMissing),
            ("", _) => Ok(()),
            (domain, _) if is_domain(domain) => Ok(()),
            (domain, _) => Err(ConfigError::Domain(domain.to_owned())),
        }
    }
}

/// Letters and digits in parts joined by single `-` or `.`, the last part 2 to 6 letters: the
/// reference client's rule.
fn is_domain(domain: &str) -> bool {
    let Some((_, top)) = domain.rsplit_once('.') else { return false };
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    (2..=6).contains(&top.len())
        && top.bytes().all(|b| b.is_ascii_alphabetic())
        && domain.split(['.', '-']).all(is_word)
}

#[cfg(test)]
mod tests {
    use super::{
        ServiceIndicator::{Calling, ContactCenter, GuestCalling},
        *,
    };

    #[test]
    fn checks_the_domain() {
        for good in ["a.bc", "rtw.prod-us.rtmsprod.net", "x-1.example"] {
            let short = good.rsplit('.').next().unwrap().len() <= 6;
            assert_eq!(is_domain(good), short, "{good}");
        }
        for bad in ["", "example", "a..com", "-a.com", "a-.com", "a.c", "a.c0m", "a b.com", "ä.com"]
        {
            assert!(!is_domain(bad), "{bad}");
        }
    }

    #[test]
    fn only_the_contact_center_needs_one() {
        let config = |indicator, domain: &str| CallingConfig {
            service: ServiceData { indicator, domain: domain.to_owned() },
            ..CallingConfig::default()
        };
        assert_eq!(config(Calling, "").validate(), Ok(()));
        assert_eq!(config(GuestCalling, "").validate(), Ok(()));
        assert_eq!(config(ContactCenter, "").validate(), Err(ConfigError::DomainMissing));
        assert_eq!(config(ContactCenter, "a.net").validate(), Ok(()));
        assert!(config(Calling, "no domain").validate().is_err());
    }
}
