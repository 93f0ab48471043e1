//! The properties of a line.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;
use webex_core::User;

use super::object;

/// The documented `status` of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LineStatus {
    /// Not registered. Every line starts so.
    #[default]
    Inactive,
    /// Registered.
    Active,
}

/// The properties of a line, as documented. Serialises to the documented names; durations become
/// numbers in the documented units (seconds; minutes for rehoming).
///
/// # Where each property comes from, and when
/// | Properties | Source |
/// |---|---|
/// | [`line_id`](Self::line_id), [`status`](Self::status) | the line itself, from the start |
/// | [`phone_number`](Self::phone_number) | the SIP addresses of the registration if one holds an E.164 number; otherwise the user's record |
/// | [`extension`](Self::extension) | the user's record |
/// | [`voicemail`](Self::voicemail) | the voice portal of the registration, if it has one |
/// | all others | the registration |
///
/// Properties from a registration are `None` before the first one, are replaced by each, and remain
/// after the last. The user's record (`people/me`, scope `spark:people_read`) is requested once,
/// beside the first registration, which does not wait for it. It normally arrives before
/// `registered`; [`Line::changed`](crate::Line::changed) wakes when it does. Without the scope these
/// properties stay `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LineInfo {
    /// Id of the line within this process, created with the line.
    pub line_id: Uuid,
    /// Id of the line's registration with Mobius.
    pub mobius_device_id: Option<String>,
    /// External phone number in the service's format, normally E.164.
    pub phone_number: Option<String>,
    /// Internal extension.
    pub extension: Option<String>,
    /// Whether the line is registered.
    pub status: LineStatus,
    /// SIP addresses that Webex Calling assigned.
    pub sip_addresses: Vec<String>,
    /// Voicemail pilot number: the number to dial to hear messages. The service sends only that of
    /// the voice portal, and for most users none.
    pub voicemail: Option<String>,
    /// When the service last heard from the line, in the service's own format (RFC 3339).
    pub last_seen: Option<String>,
    /// Time between keepalives.
    #[serde(serialize_with = "seconds")]
    pub keepalive_interval: Option<Duration>,
    /// Time between keepalives of a call.
    #[serde(serialize_with = "seconds")]
    pub call_keepalive_interval: Option<Duration>,
    /// Shortest time until the return from a backup to a primary.
    #[serde(serialize_with = "minutes")]
    pub rehoming_interval_min: Option<Duration>,
    /// Longest time until the return from a backup to a primary.
    #[serde(serialize_with = "minutes")]
    pub rehoming_interval_max: Option<Duration>,
    /// Reserved for Webex Contact Center.
    pub voice_portal_number: Option<u64>,
    /// Reserved for Webex Contact Center.
    pub voice_portal_extension: Option<u64>,
    /// The server of the present or last registration: a calling base URL.
    pub server: Option<Url>,
}

impl LineInfo {
    /// A line that has never been registered.
    pub(crate) fn new() -> Self {
        Self {
            line_id: Uuid::new_v4(),
            mobius_device_id: None,
            phone_number: None,
            extension: None,
            status: LineStatus::Inactive,
            sip_addresses: Vec::new(),
            voicemail: None,
            last_seen: None,
            keepalive_interval: None,
            call_keepalive_interval: None,
            rehoming_interval_min: None,
            rehoming_interval_max: None,
            voice_portal_number: None,
            voice_portal_extension: None,
            server: None,
        }
    }

    /// Returns the properties as a JSON object with the documented names and units.
    pub fn to_json(&self) -> Map<String, Value> {
        object(self)
    }

    /// The same line with number and extension of the user's record, where it has none.
    pub(crate) fn with_user(self: &Arc<Self>, user: &User) -> Arc<Self> {
        let number = self.phone_number.as_deref().or(user.work_number());
        let extension = self.extension.as_deref().or(user.extension.as_deref());
        if (number, extension) == (self.phone_number.as_deref(), self.extension.as_deref()) {
            return Arc::clone(self);
        }
        let (phone_number, extension) = (number.map(str::to_owned), extension.map(str::to_owned));
        Arc::new(Self { phone_number, extension, ..Self::clone(self) })
    }
}

// serde hands references to the fields.
#[allow(clippy::ref_option)]
fn seconds<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs()).serialize(to)
}

#[allow(clippy::ref_option)]
fn minutes<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs() / 60).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_is_there_before_registration_too() {
        let json = serde_json::to_value(LineInfo::new()).unwrap();
        for name in [
            "lineId",
            "mobiusDeviceId",
            "phoneNumber",
            "extension",
            "status",
            "sipAddresses",
            "voicemail",
            "lastSeen",
            "keepaliveInterval",
            "callKeepaliveInterval",
            "rehomingIntervalMin",
            "rehomingIntervalMax",
            "voicePortalNumber",
            "voicePortalExtension",
        ] {
            assert!(json.get(name).is_some(), "{name}");
        }
        assert_eq!(json["status"], "inactive");
    }
}
