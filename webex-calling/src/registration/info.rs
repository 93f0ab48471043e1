//! The properties that a registration gives a line.

use url::Url;

use crate::{
    mobius::wire::Registration,
    model::info::{LineInfo, LineStatus},
};

/// Returns the properties of the same line, registered.
pub(super) fn registered(line: &LineInfo, server: &Url, granted: &Registration) -> LineInfo {
    let device = &granted.device;
    let number = device.addresses.iter().find_map(|address| e164(address));
    let portal = [granted.voice_portal_number, granted.voice_portal_extension];
    // Zero means none.
    let portal = portal.into_iter().flatten().find(|number| *number != 0);
    LineInfo {
        line_id: line.line_id,
        mobius_device_id: Some(device.device_id.clone()),
        phone_number: number.map(str::to_owned),
        extension: line.extension.clone(),
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

/// Returns the number in a SIP address such as `sip:+14155550100@host`.
fn e164(address: &str) -> Option<&str> {
    let (user, _) = address.split_once(':').map_or(address, |(_, rest)| rest).split_once('@')?;
    // Without parameters of the user part, as in `+1415;phone-context=…`.
    let number = user.split(';').next()?;
    let digits = number.strip_prefix('+')?;
    // E.164: up to 15 digits.
    let plain = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then_some(number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;

    fn line(more: &str) -> LineInfo {
        let answer = format!(
            r#"{{"device":{{"deviceId":"d1c0ffee-0000-4000-8000-000000000001",
                "uri":"https://m/api/v1/calling/web/devices/d","lastSeen":"2025-01-01T00:00:00Z",
                "addresses":["sip:abc@host","sip:+14155550100@host;transport=tls"]}},
                "keepaliveInterval":30,"callKeepaliveInterval":600,
                "rehomingIntervalMin":60,"rehomingIntervalMax":120{more}}}"#
        );
        let granted = serde_json::from_str(&answer).unwrap();
        let info = LineInfo { line_id: Uuid::nil(), ..LineInfo::new() };
        registered(&info, &Url::parse("https://m/api/v1/calling/web/").unwrap(), &granted)
    }

    #[test]
    fn the_json_has_the_documented_names_and_units() {
        let info = Arc::new(line(r#","voicePortalNumber":14155550199"#));
        let person = serde_json::from_str(
            r#"{"extension":"5001","phoneNumbers":[{"type":"work","value":"+15550000"}]}"#,
        );
        insta::assert_json_snapshot!(info.with_user(&person.unwrap()), @r#"
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
    fn missing_properties_are_none() {
        let person = |json| serde_json::from_str(json).unwrap();
        let info = Arc::new(line(r#","voicePortalNumber":0,"voicePortalExtension":0"#));
        assert_eq!((&info.voicemail, &info.extension), (&None, &None));
        assert!(Arc::ptr_eq(&info, &info.with_user(&person("{}"))));
        let extension = line(r#","voicePortalNumber":0,"voicePortalExtension":8000"#);
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
