//! How to use calling.

use std::{fmt, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use thiserror::Error;

use crate::registration::RegistrationPolicy;

/// Which calling service the user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
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

impl ServiceIndicator {
    /// Every indicator there is.
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

/// Which service a line is registered for, as Mobius is told.
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
    /// Service domain, passed through; a DNS-like name. Default: empty.
    pub domain: String,
    /// An opaque token that Mobius knows a guest by. Default: none.
    pub jwe: Option<SecretString>,
}

impl ServiceData {
    /// The contact center of a domain.
    pub fn contact_center(domain: impl Into<String>) -> Self {
        Self {
            indicator: ServiceIndicator::ContactCenter,
            domain: domain.into(),
            ..Self::default()
        }
    }

    /// Calling as the guest of a token.
    pub fn guest(jwe: impl Into<SecretString>) -> Self {
        Self { indicator: ServiceIndicator::GuestCalling, jwe: Some(jwe.into()), ..Self::default() }
    }

    /// Whether Mobius takes both for the same service of a user.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.indicator, &self.domain) == (other.indicator, &other.domain)
    }

    /// Checks the domain, as the reference client does.
    ///
    /// # Errors
    /// [`ConfigError::Domain`] or [`ConfigError::DomainMissing`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        match (self.domain.as_str(), self.indicator) {
            ("", ServiceIndicator::ContactCenter) => Err(ConfigError::DomainMissing),
            ("", _) => Ok(()),
            (domain, _) if is_domain(domain) => Ok(()),
            (domain, _) => Err(ConfigError::Domain(domain.to_owned())),
        }
    }

    /// The form on the wire. It shows the secret, so that it is for requests only.
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
    /// Which service to register for. Default: Webex Calling.
    pub service: ServiceData,
    /// Region and country, when they are known: saves asking for them. Default: asked for.
    pub location: Option<Location>,
    /// Whether a line also says `unregistered` for each server that did not take it, as the
    /// reference client does: after the `server_failed` of a first registration, with the reason
    /// [`Unregistered::Refused`](crate::Unregistered::Refused). For applications that
    /// count them. Default: no, because a line that was not registered cannot cease to be.
    pub unregistered_per_server: bool,
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
    /// There is no such service.
    #[error("there is no service `{0}`: it is one of calling, contactcenter, guestcalling")]
    Indicator(String),
    /// The service domain is not a domain.
    #[error("the service domain `{0}` is not a domain name")]
    Domain(String),
    /// The contact center needs a domain.
    #[error("the service `contactcenter` needs a service domain")]
    DomainMissing,
    /// One of region and country is empty; only both together tell where the user is.
    #[error("a location needs a region and a country")]
    Location,
    /// The client has a line for this service; Mobius would take two for one.
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

    fn config(indicator: ServiceIndicator, domain: &str) -> CallingConfig {
        let service = ServiceData { indicator, domain: domain.to_owned(), jwe: None };
        CallingConfig { service, ..CallingConfig::default() }
    }

    #[test]
    fn only_the_contact_center_needs_one() {
        assert_eq!(config(Calling, "").validate(), Ok(()));
        assert_eq!(config(GuestCalling, "").validate(), Ok(()));
        assert_eq!(config(ContactCenter, "").validate(), Err(ConfigError::DomainMissing));
        assert_eq!(config(ContactCenter, "a.net").validate(), Ok(()));
        assert!(config(Calling, "no domain").validate().is_err());
    }

    #[test]
    fn half_a_location_is_none() {
        let at = |region: &str, country: &str| CallingConfig {
            location: Some(Location { region: region.to_owned(), country: country.to_owned() }),
            ..CallingConfig::default()
        };
        assert_eq!(at("US-EAST", "US").validate(), Ok(()));
        assert_eq!(at("US-EAST", "").validate(), Err(ConfigError::Location));
        assert_eq!(at("", "US").validate(), Err(ConfigError::Location));
    }

    #[test]
    fn the_guest_token_is_for_mobius_alone() {
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
