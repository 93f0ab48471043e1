//! What those who follow the link are told.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::error::LinkError;
use crate::{
    device::record::Device,
    events::Lossy,
    mercury::{event::MercuryEvent, switchover::Switchover},
};

/// What happens on the link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The socket is online (again).
    Online,
    /// The socket is gone; it is being opened anew unless nobody wants it.
    Offline,
    /// The link is wanted, but was refused: the device by its service, or the socket with a close
    /// code that forbids to come back, such as 4000 `Replaced`. Nothing is tried any more until the
    /// link is acquired anew; what failed for want of a token ([`LinkError::will_retry`]) comes back
    /// by itself when there is another one.
    Failed(LinkError),
    /// The link is wanted and not up: several attempts have failed, the latest for this reason, and
    /// they go on. Told once until it is up.
    Retrying(LinkError),
    /// The server of the socket announced its end; tells how the change to another one goes. Events
    /// keep arriving meanwhile, each once.
    Switchover(Switchover),
    /// An event of a Webex service.
    Event(Arc<MercuryEvent>),
    /// Events were lost on the way here: whoever follows a state has to fetch it anew.
    SequenceGap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        actual: u64,
    },
    /// The device was made anew, and has another address: whoever has named the old one to a
    /// service has to name this one.
    DeviceReplaced(Arc<Device>),
    /// There is another token, by renewal or a new sign-in: whoever failed for want of one may try
    /// again.
    TokenAvailable,
    /// The network may have changed: [`Webex::network_changed`](crate::Webex::network_changed) was
    /// called. Whoever waits to try something again may try now, and whoever holds something that
    /// depends on a path may check it.
    NetworkChanged,
    /// The machine has slept, or may have: found by itself, or told by
    /// [`Webex::resumed`](crate::Webex::resumed). Timers that should have fired meanwhile have not.
    Resumed,
    /// This reader was too slow; so many events were dropped.
    Lost(u64),
}

impl LinkEvent {
    /// A stable name. That of an event of a Webex service is `event:` and its type, in [`to_json`].
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

    /// The details, as every language gets them: a JSON object. `docs/events.md` lists them.
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
