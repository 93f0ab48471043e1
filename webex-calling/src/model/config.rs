//! Configuration of a calling client and its lines.

use std::{fmt, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use thiserror::Error;

use super::policy::RegistrationPolicy;

/// A calling service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ServiceIndicator {
    /// Webex Calling.
    #[default]
    Calling,
    /// Webex Contact Center. Needs a domain, given or from the catalog.
    ContactCenter,
    /// Calling as a guest.
    GuestCalling,
}

impl ServiceIndicator {
    /// All indicators.
    pub const ALL: [Self; 3] = [Self::Calling, Self::ContactCenter, Self::GuestCalling];

    /// The name on the wire: `calling`, `contactcenter` or `guestcalling`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calling => "calling",
            Self::ContactCenter => "contactcenter",
            Self::GuestCalling => "guestcalling",
        }
    }
}

impl fmt::Display for ServiceIndicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads the name on the wire.
///
/// ```
/// use webex_calling::ServiceIndicator;
///
/// assert_eq!("contactcenter".parse(), Ok(ServiceIndicator::ContactCenter));
/// let error = "video".parse::<ServiceIndicator>().unwrap_err();
/// assert!(error.to_string().contains("calling, contactcenter, guestcalling"));
/// ```
impl FromStr for ServiceIndicator {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        Self::ALL
            .into_iter()
            .find(|indicator| indicator.name() == name)
            .ok_or_else(|| ConfigError::Indicator(name.to_owned()))
    }
}

/// The service that a line is registered for, as sent to Mobius.
///
/// ```
/// use webex_calling::{ServiceData, ServiceIndicator};
///
/// let agent = ServiceData::contact_center("rtw.prod-us.rtmsprod.net");
/// assert_eq!(agent.indicator, ServiceIndicator::ContactCenter);
/// let guest = ServiceData::guest("a token of the guest's".to_owned());
/// assert!(!format!("{guest:?}").contains("a token"));
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ServiceData {
    /// The service.
    pub indicator: ServiceIndicator,
    /// Service domain, a DNS-like name, sent as it is. Default: empty; for the contact center, the
    /// domain that the service catalog names.
    pub domain: String,
    /// An opaque token that identifies a guest to Mobius. Default: none.
    pub jwe: Option<SecretString>,
}

impl ServiceData {
    /// Service data for the contact center of a domain.
    pub fn contact_center(domain: impl Into<String>) -> Self {
        Self {
            indicator: ServiceIndicator::ContactCenter,
            domain: domain.into(),
            ..Self::default()
        }
    }

    /// Service data for the guest that a token identifies.
    pub fn guest(jwe: impl Into<SecretString>) -> Self {
        Self { indicator: ServiceIndicator::GuestCalling, jwe: Some(jwe.into()), ..Self::default() }
    }

    /// Whether both are the same service to Mobius.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.indicator, &self.domain) == (other.indicator, &other.domain)
    }

    /// Checks the domain by the reference client's rule.
    ///
    /// # Errors
    /// [`ConfigError::Domain`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self.domain.as_str() {
            "" => Ok(()),
            domain if is_domain(domain) => Ok(()),
            domain => Err(ConfigError::Domain(domain.to_owned())),
        }
    }

    /// The form on the wire. It holds the secret in clear text: use it in requests only.
    pub(crate) fn on_the_wire(&self) -> impl Serialize + '_ {
        OnTheWire(self)
    }
}

struct OnTheWire<'a>(&'a ServiceData);

impl Serialize for OnTheWire<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ServiceData { indicator, domain, jwe } = self.0;
        let mut fields = to.serialize_struct("serviceData", 2 + usize::from(jwe.is_some()))?;
        fields.serialize_field("indicator", indicator)?;
        fields.serialize_field("domain", domain)?;
        match jwe {
            Some(jwe) => fields.serialize_field("jwe", jwe.expose_secret())?,
            None => fields.skip_field("jwe")?,
        }
        fields.end()
    }
}

/// Configuration of a [`CallingClient`](crate::CallingClient).
///
/// ```
/// use webex_calling::{CallingConfig, Location, ServiceData};
///
/// let mut config = CallingConfig::default();
/// config.service = ServiceData::contact_center("rtw.prod-us.rtmsprod.net");
/// config.location = Some(Location { region: "US-EAST".to_owned(), country: "US".to_owned() });
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CallingConfig {
    /// The service to register for. Default: Webex Calling.
    pub service: ServiceData,
    /// Region and country, if known: region discovery is then skipped. Default: discovered.
    pub location: Option<Location>,
    /// Whether a line also emits `unregistered` for each server that refuses it, as the reference
    /// client does. It follows `server_failed`, with the reason
    /// [`Unregistered::Refused`](crate::Unregistered::Refused). Default: no, because the line was
    /// not registered.
    pub unregistered_per_server: bool,
    /// Choices about how lines are registered.
    pub registration: RegistrationPolicy,
}

/// Where the user is, in the terms of Mobius discovery.
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
    /// There is no such service.
    #[error("there is no service `{0}`: it is one of calling, contactcenter, guestcalling")]
    Indicator(String),
    /// The service domain is not a domain name.
    #[error("the service domain `{0}` is not a domain name")]
    Domain(String),
    /// The contact center needs a domain, and the service catalog names none.
    #[error("the service `contactcenter` needs a service domain, and the catalog names none")]
    DomainMissing,
    /// Region or country is empty. Mobius discovery needs both.
    #[error("a location needs a region and a country")]
    Location,
    /// The client already has a line for this service. Mobius cannot tell two apart.
    #[error("this client has a line for the service `{0}` already")]
    ServiceTaken(ServiceIndicator),
}

impl CallingConfig {
    /// Checks the configuration, as [`CallingClient::new`](crate::CallingClient::new) does.
    ///
    /// # Errors
    /// [`ConfigError`] naming what is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let incomplete = |it: &Location| it.region.is_empty() || it.country.is_empty();
        if self.location.as_ref().is_some_and(incomplete) {
            return Err(ConfigError::Location);
        }
        self.service.validate()
    }
}

/// The reference client's rule: labels of letters and digits, joined by single `-` or `.`; the last
/// one has 2 to 6 letters.
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

    fn config(indicator: ServiceIndicator, domain: &str) -> CallingConfig {
        let service = ServiceData { indicator, domain: domain.to_owned(), jwe: None };
        CallingConfig { service, ..CallingConfig::default() }
    }

    #[test]
    fn an_empty_domain_is_allowed() {
        assert_eq!(config(Calling, "").validate(), Ok(()));
        assert_eq!(config(GuestCalling, "").validate(), Ok(()));
        assert_eq!(config(ContactCenter, "").validate(), Ok(()));
        assert_eq!(config(ContactCenter, "a.net").validate(), Ok(()));
        assert!(config(Calling, "no domain").validate().is_err());
    }

    #[test]
    fn half_a_location_is_refused() {
        let at = |region: &str, country: &str| CallingConfig {
            location: Some(Location { region: region.to_owned(), country: country.to_owned() }),
            ..CallingConfig::default()
        };
        assert_eq!(at("US-EAST", "US").validate(), Ok(()));
        assert_eq!(at("US-EAST", "").validate(), Err(ConfigError::Location));
        assert_eq!(at("", "US").validate(), Err(ConfigError::Location));
    }

    #[test]
    fn the_guest_token_is_only_sent_to_mobius() {
        let guest = ServiceData::guest("opaque-guest-token".to_owned());
        let wire = serde_json::to_value(guest.on_the_wire()).unwrap();
        let expected = serde_json::json!({
            "indicator": "guestcalling", "domain": "", "jwe": "opaque-guest-token",
        });
        assert_eq!(wire, expected);
        let config = CallingConfig { service: guest, ..CallingConfig::default() };
        assert!(!format!("{config:?}").contains("opaque-guest-token"));
    }
}
