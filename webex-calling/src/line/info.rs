//! What is known of a line.

use std::time::Duration;

use serde::{Serialize, Serializer};
use url::Url;
use uuid::Uuid;

use crate::mobius::Registration;

/// The documented `status` of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LineStatus {
    /// Not registered; so is every line at first.
    #[default]
    Inactive,
    /// Registered.
    Active,
}

/// The properties of a line, as documented. Serialises to the documented names; durations become
/// numbers in the documented units (seconds; minutes for rehoming).
///
/// What only a registration tells is `None` before the first one, and kept after the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LineInfo {
    /// Id of the line within this process; drawn when the line is made.
    pub line_id: Uuid,
    /// Id of the line's registration with Mobius.
    pub mobius_device_id: Option<String>,
    /// External phone number.
    pub phone_number: Option<String>,
    /// Internal extension.
    pub extension: Option<String>,
    /// Whether the line is registered.
    pub status: LineStatus,
    /// SIP addresses given by Webex Calling.
    pub sip_addresses: Vec<String>,
    /// Voicemail pilot number.
    pub voicemail: Option<String>,
    /// When Webex Calling last heard of the line, as it writes it (RFC 3339).
    pub last_seen: Option<String>,
    /// Time between keepalives.
    #[serde(serialize_with = "seconds")]
    pub keepalive_interval: Option<Duration>,
    /// Time between keepalives of a call.
    #[serde(serialize_with = "seconds")]
    pub call_keepalive_interval: Option<Duration>,
    /// The soonest return from a backup server to a primary.
    #[serde(serialize_with = "minutes")]
    pub rehoming_interval_min: Option<Duration>,
    /// The latest return from a backup server to a primary.
    #[serde(serialize_with = "minutes")]
    pub rehoming_interval_max: Option<Duration>,
    /// Reserved for Webex Contact Center.
    pub voice_portal_number: Option<u64>,
    /// Reserved for Webex Contact Center.
    pub voice_portal_extension: Option<u64>,
    /// The server that the line is, or was last, registered with: a calling base URL.
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

    /// The same line, registered.
    pub(crate) fn registered(&self, server: &Url, granted: &Registration) -> Self {
        let device = &granted.device;
        Self {
            line_id: self.line_id,
            mobius_device_id: Some(device.device_id.clone()),
            phone_number: self.phone_number.clone(),
            extension: self.extension.clone(),
            status: LineStatus::Active,
            sip_addresses: device.addresses.clone(),
            voicemail: self.voicemail.clone(),
            last_seen: device.last_seen.clone(),
            keepalive_interval: granted.keepalive_interval,
            call_keepalive_interval: granted.call_keepalive_interval,
            rehoming_interval_min: granted.rehoming_interval_min,
            rehoming_interval_max: granted.rehoming_interval_max,
            voice_portal_number: granted.voice_portal_number,
            voice_portal_extension: granted.voice_portal_extension,
            server: Some(server.clone()),
        }
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
