//! Events of the link.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::error::LinkError;
use crate::{
    device::record::Device,
    events::Lossy,
    mercury::{event::MercuryEvent, switchover::Switchover},
};

/// An event of the link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The socket is online, for the first time or again.
    Online,
    /// The socket is gone; it is reopened while a lease is held.
    Offline,
    /// The link is wanted, but was refused: the device by its service, or the socket with a close
    /// code that forbids to come back, such as 4000 `Replaced`. There are no further attempts until
    /// the link is acquired again, except that a failure for lack of a token
    /// ([`LinkError::will_retry`]) ends by itself when there is a new one.
    Failed(LinkError),
    /// The link is wanted and not up: several attempts have failed, the latest for this reason, and
    /// they go on. Sent once until the link is up.
    Retrying(LinkError),
    /// The server of the socket has announced its end; reports the progress of the change to
    /// another one. Events keep arriving in the meantime, each once.
    Switchover(Switchover),
    /// An event of a Webex service.
    Event(Arc<MercuryEvent>),
    /// Events were lost in transit: state that is derived from events has to be fetched again.
    SequenceGap {
        /// The expected number.
        expected: u64,
        /// The received number.
        actual: u64,
    },
    /// A new device was registered, with another address: services that were given the old address
    /// need the new one.
    DeviceReplaced(Arc<Device>),
    /// There is a new token, by renewal or a new sign-in: what failed for lack of one may be tried
    /// again.
    TokenAvailable,
    /// The network may have changed: [`Webex::network_changed`](crate::Webex::network_changed) was
    /// called. Retries that are waiting may run now, and connections that depend on the network
    /// path may be checked.
    NetworkChanged,
    /// The machine has slept, or may have: detected by the SDK, or reported by
    /// [`Webex::resumed`](crate::Webex::resumed). Timers that should have fired in the meantime
    /// have not.
    Resumed,
    /// This reader was too slow; this many events were dropped.
    Lost(u64),
}

impl LinkEvent {
    /// A stable name. Events of a Webex service are named `event:` plus their type in [`to_json`].
    ///
    /// [`to_json`]: Self::to_json
    pub fn name(&self) -> &'static str {
        match self {
            Self::Online => "link:online",
            Self::Offline => "link:offline",
            Self::Failed(_) => "link:failed",
            Self::Retrying(_) => "link:retrying",
            Self::Switchover(_) => "link:switchover",
            Self::Event(_) => "event",
            Self::SequenceGap { .. } => "link:sequenceGap",
            Self::DeviceReplaced(_) => "link:deviceReplaced",
            Self::TokenAvailable => "link:tokenAvailable",
            Self::NetworkChanged => "link:networkChanged",
            Self::Resumed => "link:resumed",
            Self::Lost(_) => "events:lost",
        }
    }

    /// The details, the same in every language: a JSON object. `docs/events.md` lists them.
    pub fn to_json(&self) -> Map<String, Value> {
        let object = match self {
            Self::Online
            | Self::Offline
            | Self::TokenAvailable
            | Self::NetworkChanged
            | Self::Resumed => json!({}),
            Self::Failed(error) => return with_retry(error, error.will_retry()),
            Self::Retrying(error) => return with_retry(error, true),
            Self::Switchover(switchover) => switchover.to_json(),
            Self::Event(event) => return event.to_json(),
            Self::SequenceGap { expected, actual } => {
                json!({"expected": expected, "actual": actual})
            }
            Self::DeviceReplaced(device) => json!({"device": device.url}),
            Self::Lost(count) => json!({"lost": count}),
        };
        match object {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

fn with_retry(error: &LinkError, will_retry: bool) -> Map<String, Value> {
    let mut map = error.to_json();
    map.insert("willRetry".to_owned(), will_retry.into());
    map
}

impl Lossy for LinkEvent {
    fn lost(count: u64) -> Self {
        Self::Lost(count)
    }

    fn size(&self) -> usize {
        match self {
            Self::Event(event) => event.data.get().len(),
            _ => 0,
        }
    }
}
