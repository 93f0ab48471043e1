//! Makes room when a user has too many devices, by deleting unused devices of this program.
//!
//! The reference client deletes a third of all devices of its type, whoever owns them, and goes on
//! once the first is gone. Here a device must have this program's name and type and be *stale*: a
//! running program would have refreshed it by now. All deletions are awaited.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::{Timestamp, fmt::rfc2822};
use serde::Deserialize;
use tracing::{debug, info};
use url::Url;

use super::{
    config::DeviceConfig,
    requests::delete,
    timings::{DURABLE_REFRESH, STALE_SLACK, refresh_after},
};
use crate::{
    endpoints::join,
    error::HttpError,
    http::{Http, Request},
    lenient,
};

/// The largest list of devices that is read, in bytes: a hundred records with all features.
const LIST_LIMIT: usize = 4 * 1024 * 1024;

/// Number of parallel deletions: they share one connection, and the service is already busy.
const DELETIONS: usize = 8;

/// The result of making room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Devices that the user had before.
    pub(crate) registered: usize,
    /// How many of them are this program's, by name and type.
    pub(crate) own: usize,
    /// How many were deleted.
    pub(crate) deleted: usize,
}

/// Deletes the oldest third of this program's stale devices, at least one, and waits for all deletions.
///
/// # Errors
/// When the devices cannot be listed, or none of the stale ones could be deleted.
pub(crate) async fn make_room(
    http: &Http,
    wdm: &Url,
    config: &DeviceConfig,
) -> Result<Room, HttpError> {
    let response = http.send(Request::get(join(wdm, "devices")).answer_limit(LIST_LIMIT)).await?;
    // Uses the service's clock if it sends the time, because its times are compared with it.
    let told = response.header("date").and_then(|date| rfc2822::parse(date).ok());
    let now = told.map_or_else(Timestamp::now, |date| date.timestamp());
    let list: List = response.json()?;
    let registered = list.devices.len();
    let own: Vec<_> = list.devices.into_iter().filter(|device| device.is_own(config)).collect();
    let (count, doomed) = (own.len(), stale(own, now));
    let outcomes: Vec<_> = stream::iter(doomed)
        .map(|url| delete(http, url))
        .buffer_unordered(DELETIONS)
        .inspect(|outcome| debug!(failed = outcome.is_err(), "stale device deleted"))
        .collect()
        .await;
    let deleted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    info!(registered, own = count, deleted, "made room for a device");
    match outcomes.into_iter().find_map(Result::err) {
        Some(error) if deleted == 0 => Err(error),
        _ => Ok(Room { registered, own: count, deleted }),
    }
}

/// The oldest third of the stale devices, rounded up, oldest first.
fn stale(mut own: Vec<Listed>, now: Timestamp) -> Vec<Url> {
    own.retain(|device| device.is_stale(now));
    own.sort_by_key(Listed::modified);
    own.truncate(own.len().div_ceil(3));
    own.into_iter().map(|device| device.url).collect()
}

#[derive(Deserialize)]
struct List {
    #[serde(default, deserialize_with = "lenient::list")]
    devices: Vec<Listed>,
}

/// A device of the list, with the fields used here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    url: Url,
    #[serde(default, deserialize_with = "lenient::field")]
    name: Option<String>,
    #[serde(default, deserialize_with = "lenient::field")]
    device_type: Option<String>,
    #[serde(default, deserialize_with = "lenient::field")]
    modification_time: Option<String>,
    #[serde(default, deserialize_with = "lenient::field")]
    ttl: Option<u64>,
}

impl Listed {
    fn is_own(&self, config: &DeviceConfig) -> bool {
        self.name.as_ref() == Some(&config.name)
            && self.device_type.as_ref() == Some(&config.device_type)
    }

    fn modified(&self) -> Option<Timestamp> {
        self.modification_time.as_ref()?.parse().ok()
    }

    /// Whether a running program would have refreshed it. A device without a readable time is not
    /// touched.
    fn is_stale(&self, now: Timestamp) -> bool {
        let due = match self.ttl {
            Some(ttl) => refresh_after(Duration::from_secs(ttl)),
            None => DURABLE_REFRESH,
        };
        let age = |modified| Duration::try_from(now.duration_since(modified)).ok();
        self.modified().and_then(age).is_some_and(|age| age > due + STALE_SLACK)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use webex_tests::mutate::mutations;

    use super::*;

    fn listed(number: u32, time: Option<&str>, ttl: Option<u64>) -> Listed {
        Listed {
            url: format!("https://w/{number}").parse().unwrap(),
            name: Some("webex-native".to_owned()),
            device_type: Some("WEB".to_owned()),
            modification_time: time.map(str::to_owned),
            ttl,
        }
    }

    fn paths(urls: &[Url]) -> Vec<&str> {
        urls.iter().map(Url::path).collect()
    }

    #[test]
    fn the_oldest_third_of_the_stale_goes_and_nothing_that_may_be_in_use() {
        let now = "2026-01-10T12:00:00Z".parse().unwrap();
        let devices = vec![
            listed(1, Some("2026-01-09T11:49:00.000Z"), None), // a day and eleven minutes
            listed(2, Some("2026-01-09T11:51:00.000Z"), None), // a day and nine minutes
            listed(3, Some("2026-01-05T00:00:00Z"), None),
            listed(4, Some("2026-01-10T11:33:00Z"), Some(1800)), // 27 min; refreshed after 16
            listed(5, Some("2026-01-10T11:35:00Z"), Some(1800)),
            listed(6, None, None),
            listed(7, Some("some time ago"), None),
            listed(8, Some("2026-01-11T00:00:00Z"), None), // a clock that is ahead
            listed(9, Some("2026-01-06T00:00:00Z"), None),
        ];
        // 1, 3, 4 and 9 are stale.
        assert_eq!(paths(&stale(devices, now)), ["/3", "/9"]);
        assert!(stale(Vec::new(), now).is_empty());
        let one = vec![listed(1, Some("2026-01-01T00:00:00Z"), None)];
        assert_eq!(paths(&stale(one, now)), ["/1"]);
    }

    #[test]
    fn own_are_those_of_the_same_name_and_type() {
        let config = DeviceConfig::default();
        let other = |change: fn(&mut Listed)| {
            let mut device = listed(1, None, None);
            change(&mut device);
            device.is_own(&config)
        };
        assert!(other(|_| {}));
        assert!(!other(|device| device.name = Some("browser".to_owned())));
        assert!(!other(|device| device.device_type = Some("DESKTOP".to_owned())));
        assert!(!other(|device| device.name = None));
    }

    #[test]
    fn one_odd_device_hides_no_other() {
        let device = json!({
            "url": "https://w/1", "name": "n", "deviceType": "WEB",
            "modificationTime": "2025-01-01T00:00:00Z", "ttl": 60,
        });
        for (path, mutated) in mutations(&device) {
            let list = json!({"devices": [mutated.clone(), device.clone()]});
            let list: List = serde_json::from_value(list).unwrap();
            assert_eq!(list.devices.len(), if path == "/url" { 1 } else { 2 }, "{mutated}");
        }
        for none in [json!({}), json!({"devices": null}), json!({"devices": {"a": 1}})] {
            assert!(serde_json::from_value::<List>(none).unwrap().devices.is_empty());
        }
    }
}
