//! Webex Calling lines: registrations at the Mobius instances.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::state::{timestamps, users::User};

/// A line registered at a Mobius instance.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Line {
    /// Id of the registration, last part of `device.uri`.
    pub device_id: String,
    /// Name of the Mobius instance that holds it.
    pub instance: String,
    /// Id of the owner.
    pub user_id: String,
    /// WDM device URL the client registered with.
    pub client_device_uri: String,
    /// SIP addresses of the line.
    pub addresses: Vec<String>,
    /// `serviceData.indicator` of the request.
    pub indicator: String,
    /// `serviceData.domain` of the request.
    pub domain: String,
    /// When it was registered.
    #[serde(serialize_with = "timestamps::as_text")]
    pub registered: Timestamp,
    /// When it was registered or last kept alive.
    #[serde(serialize_with = "timestamps::as_text")]
    pub last_seen: Timestamp,
    /// How many keepalives were accepted.
    pub keepalives: u64,
    /// Whether a newer registration has replaced it; keepalives are then answered 409.
    pub superseded: bool,
}

#[derive(Debug)]
pub(crate) struct LineEntry {
    pub(crate) line: Line,
    pub(crate) user: Arc<User>,
    /// When the client's next keepalive is due, by the interval it was given.
    pub(crate) keepalive_due: Instant,
    /// The interval the client was given.
    pub(crate) interval: Duration,
    pub(crate) expires: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Lines {
    by_id: HashMap<String, LineEntry>,
    /// Device ids per user id, oldest first.
    by_user: HashMap<String, Vec<String>>,
}

impl Lines {
    pub(crate) fn insert(&mut self, entry: LineEntry) {
        let id = entry.line.device_id.clone();
        self.by_user.entry(entry.line.user_id.clone()).or_default().push(id.clone());
        self.by_id.insert(id, entry);
    }

    pub(crate) fn get(&self, id: &str) -> Option<&LineEntry> {
        self.by_id.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut LineEntry> {
        self.by_id.get_mut(id)
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Line> {
        let entry = self.by_id.remove(id)?;
        if let Some(list) = self.by_user.get_mut(&entry.line.user_id) {
            list.retain(|other| other != id);
        }
        Some(entry.line)
    }

    /// Lines of a user over all instances, oldest first.
    pub(crate) fn of_user<'a>(&'a self, user_id: &str) -> impl Iterator<Item = &'a LineEntry> {
        self.by_user.get(user_id).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    /// Marks the user's lines of other client devices as superseded.
    pub(crate) fn supersede_others(&mut self, user_id: &str, client_device_uri: &str) {
        for id in self.by_user.get(user_id).into_iter().flatten() {
            if let Some(entry) = self.by_id.get_mut(id)
                && entry.line.client_device_uri != client_device_uri
            {
                entry.line.superseded = true;
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn all(&self) -> Vec<Line> {
        self.entries().into_iter().map(|entry| entry.line.clone()).collect()
    }

    /// Lines with their deadlines, oldest first.
    pub(crate) fn entries(&self) -> Vec<&LineEntry> {
        let mut all: Vec<_> = self.by_id.values().collect();
        all.sort_by_key(|entry| entry.line.registered);
        all
    }
}
