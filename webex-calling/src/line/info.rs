//! What is known of a line.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, Serializer};
use url::Url;
use uuid::Uuid;

use crate::{client::Person, mobius::Registration};

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
/// # Who tells what, and when
/// | Properties | Source |
/// |---|---|
/// | [`line_id`](Self::line_id), [`status`](Self::status) | the line itself, from the start |
/// | [`phone_number`](Self::phone_number) | the SIP addresses of the registration when one is an E.164 number; otherwise the user's record |
/// | [`extension`](Self::extension) | the user's record |
/// | [`voicemail`](Self::voicemail) | the voice portal of the registration, where it has one |
/// | all others | the registration |
///
/// What only a registration tells is `None` before the first one, is renewed by each, and kept after
/// the last. The user's record (`people/me`, scope `spark:people_read`) is asked for once, beside
/// the first registration, which does not wait for it: normally it is there before `registered`;
/// [`Line::info`](crate::Line::info) has it as soon as it comes. A user who may not read it has
/// `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LineInfo {
    /// Id of the line within this process; drawn when the line is made.
    pub line_id: Uuid,
    /// Id of the line's registration with Mobius.
    pub mobius_device_id: Option<String>,
    /// External phone number, as the service writes it; normally E.164.
    pub phone_number: Option<String>,
    /// Internal extension.
    pub extension: Option<String>,
    /// Whether the line is registered.
    pub status: LineStatus,
    /// SIP addresses given by Webex Calling.
    pub sip_addresses: Vec<String>,
    /// Voicemail pilot number: what to dial to hear one's messages. The service tells no other
    /// number for it than that of the voice portal, and for most users not that either.
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
        let number = device.addresses.iter().find_map(|address| e164(address));
        let portal = [granted.voice_portal_number, granted.voice_portal_extension];
        // Zero stands for none.
        let portal = portal.into_iter().flatten().find(|number| *number != 0);
        Self {
            line_id: self.line_id,
            mobius_device_id: Some(device.device_id.clone()),
            phone_number: number.map(str::to_owned),
            extension: self.extension.clone(),
            status: LineStatus::Active,
            sip_addresses: device.addresses.clone(),
            voicemail: portal.map(|number| number.to_string()),
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

    /// The same line, with what the user's record tells.
    pub(crate) fn with_person(self: &Arc<Self>, person: &Person) -> Arc<Self> {
        let number = self.phone_number.as_deref().or(person.phone_number());
        let extension = self.extension.as_deref().or(person.extension.as_deref());
        if (number, extension) == (self.phone_number.as_deref(), self.extension.as_deref()) {
            return Arc::clone(self);
        }
        let (phone_number, extension) = (number.map(str::to_owned), extension.map(str::to_owned));
        Arc::new(Self { phone_number, extension, ..Self::clone(self) })
    }
}

/// The number in a SIP address such as `sip:+14155550100@host`.
fn e164(address: &str) -> Option<&str> {
    let (user, _) = address.split_once(':').map_or(address, |(_, rest)| rest).split_once('@')?;
    // Parameters of the user part, as in `+1415;phone-context=…`.
    let number = user.split(';').next()?;
    let digits = number.strip_prefix('+')?;
    // E.164: up to 15 digits.
    let plain = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then_some(number)
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

    fn registered(more: &str) -> LineInfo {
        let answer = format!(
            r#"{{"device":{{"deviceId":"d1c0ffee-0000-4000-8000-000000000001",
                "uri":"https://m/api/v1/calling/web/devices/d","lastSeen":"2025-01-01T00:00:00Z",
                "addresses":["sip:abc@host","sip:+14155550100@host;transport=tls"]}},
                "keepaliveInterval":30,"callKeepaliveInterval":600,
                "rehomingIntervalMin":60,"rehomingIntervalMax":120{more}}}"#
        );
        let granted = serde_json::from_str(&answer).unwrap();
        let info = LineInfo { line_id: Uuid::nil(), ..LineInfo::new() };
        info.registered(&Url::parse("https://m/api/v1/calling/web/").unwrap(), &granted)
    }

    #[test]
    fn the_json_has_the_documented_names_and_units() {
        let info = Arc::new(registered(r#","voicePortalNumber":14155550199"#));
        let person = serde_json::from_str(
            r#"{"extension":"5001","phoneNumbers":[{"type":"work","value":"+15550000"}]}"#,
        );
        insta::assert_json_snapshot!(info.with_person(&person.unwrap()), @r#"
        {
          "lineId": "00000000-0000-0000-0000-000000000000",
          "mobiusDeviceId": "d1c0ffee-0000-4000-8000-000000000001",
          "phoneNumber": "+14155550100",
          "extension": "5001",
          "status": "active",
          "sipAddresses": [
            "sip:abc@host",
            "sip:+14155550100@host;transport=tls"
          ],
          "voicemail": "14155550199",
          "lastSeen": "2025-01-01T00:00:00Z",
          "keepaliveInterval": 30,
          "callKeepaliveInterval": 600,
          "rehomingIntervalMin": 60,
          "rehomingIntervalMax": 120,
          "voicePortalNumber": 14155550199,
          "voicePortalExtension": null,
          "server": "https://m/api/v1/calling/web/"
        }
        "#);
    }

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

    #[test]
    fn what_nobody_tells_is_none() {
        let person = |json| serde_json::from_str(json).unwrap();
        let info = Arc::new(registered(r#","voicePortalNumber":0,"voicePortalExtension":0"#));
        assert_eq!((&info.voicemail, &info.extension), (&None, &None));
        assert!(Arc::ptr_eq(&info, &info.with_person(&person("{}"))));
        let extension = registered(r#","voicePortalNumber":0,"voicePortalExtension":8000"#);
        assert_eq!(extension.voicemail.as_deref(), Some("8000"));
    }

    #[test]
    fn a_number_is_read_from_a_sip_address() {
        for (address, number) in [
            ("sip:+14155550100@host", Some("+14155550100")),
            ("sips:+14155550100;ext=5@host", Some("+14155550100")),
            ("+1@host", Some("+1")),
            ("sip:abc123@host", None),
            ("sip:5001@host", None),
            ("sip:+@host", None),
            ("sip:+1234567890123456@host", None),
            ("sip:+1415x@host", None),
            ("+14155550100", None),
            ("", None),
        ] {
            assert_eq!(e164(address), number, "{address}");
        }
    }
}
