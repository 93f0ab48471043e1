//! WDM devices.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    seconds,
    state::{timestamps, users::User},
};

/// A registered WDM device, as the sandbox sees it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Device {
    /// Last part of the device URL.
    pub id: String,
    /// Id of the owner.
    pub user_id: String,
    /// The device URL as last sent to the client.
    pub url: String,
    /// `name` of the request.
    pub name: String,
    /// `deviceType` of the request.
    pub device_type: String,
    /// Requested time to live in seconds; `None` for durable devices.
    pub ttl: Option<u64>,
    /// Version of the record.
    pub etag: String,
    /// How often the device was refreshed (PUT).
    pub refreshes: u64,
    /// When it was registered.
    #[serde(serialize_with = "timestamps::as_text")]
    pub created: Timestamp,
    /// When it was last registered or refreshed.
    #[serde(serialize_with = "timestamps::as_text")]
    pub modified: Timestamp,
    /// Everything the client sent.
    pub body: Map<String, Value>,
}

/// One device and its deadlines.
#[derive(Debug)]
pub(crate) struct DeviceEntry {
    pub(crate) device: Device,
    pub(crate) user: Arc<User>,
    pub(crate) expires: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Devices {
    by_id: HashMap<String, DeviceEntry>,
    /// Device ids per user id, oldest first.
    by_user: HashMap<String, Vec<String>>,
}

impl Devices {
    /// Adds a device and returns its id.
    pub(crate) fn insert(
        &mut self,
        user: &Arc<User>,
        body: Map<String, Value>,
        now: Instant,
        lifetime: impl FnOnce(Option<u64>) -> Duration,
        url: impl FnOnce(&str) -> String,
    ) -> &DeviceEntry {
        let id = Uuid::new_v4().to_string();
        let ttl = body.get("ttl").and_then(Value::as_u64);
        let created = Timestamp::now();
        let device = Device {
            url: url(&id),
            id: id.clone(),
            user_id: user.id.clone(),
            name: text(&body, "name"),
            device_type: text(&body, "deviceType"),
            ttl,
            etag: new_etag(),
            refreshes: 0,
            created,
            modified: created,
            body,
        };
        self.by_user.entry(user.id.clone()).or_default().push(id.clone());
        let entry = DeviceEntry {
            device,
            user: Arc::clone(user),
            expires: seconds::after(now, lifetime(ttl)),
        };
        self.by_id.entry(id).or_insert(entry)
    }

    /// Applies the body of a PUT: replaces the fields that it has and restarts the lifetime.
    pub(crate) fn refresh(
        &mut self,
        id: &str,
        body: Map<String, Value>,
        now: Instant,
        lifetime: impl FnOnce(Option<u64>) -> Duration,
        url: String,
    ) -> Option<&DeviceEntry> {
        let entry = self.by_id.get_mut(id)?;
        let device = &mut entry.device;
        device.ttl = body.get("ttl").and_then(Value::as_u64);
        let before = device.body.clone();
        device.body.extend(body);
        if before != device.body {
            device.etag = new_etag();
        }
        device.name = text(&device.body, "name");
        device.device_type = text(&device.body, "deviceType");
        device.url = url;
        device.refreshes += 1;
        device.modified = Timestamp::now();
        entry.expires = seconds::after(now, lifetime(device.ttl));
        Some(entry)
    }

    /// Makes a device look as if it had not been used for a while. Its expiry does not change.
    pub(crate) fn age(&mut self, id: &str, by: Duration) -> bool {
        let Some(entry) = self.by_id.get_mut(id) else { return false };
        let Ok(modified) = entry.device.modified.checked_sub(by) else { return false };
        entry.device.modified = modified;
        true
    }

    pub(crate) fn get(&self, id: &str) -> Option<&DeviceEntry> {
        self.by_id.get(id)
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Device> {
        let entry = self.by_id.remove(id)?;
        if let Some(list) = self.by_user.get_mut(&entry.device.user_id) {
            list.retain(|other| other != id);
        }
        Some(entry.device)
    }

    /// Devices of a user, oldest first.
    pub(crate) fn of_user<'a>(&'a self, user_id: &str) -> impl Iterator<Item = &'a DeviceEntry> {
        self.by_user.get(user_id).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    pub(crate) fn count_of(&self, user_id: &str) -> usize {
        self.by_user.get(user_id).map_or(0, Vec::len)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn all(&self) -> Vec<Device> {
        self.sorted().into_iter().cloned().collect()
    }

    /// Oldest first.
    pub(crate) fn sorted(&self) -> Vec<&Device> {
        let mut all: Vec<_> = self.by_id.values().map(|entry| &entry.device).collect();
        all.sort_by_key(|device| device.created);
        all
    }
}

fn new_etag() -> String {
    format!("\"{}\"", Uuid::new_v4().simple())
}

fn text(body: &Map<String, Value>, name: &str) -> String {
    body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
