//! Events of a Meetings device.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use webex_core::events::Lossy;

use crate::{error::MeetingsError, progress::Step};

/// An event of the Meetings device. The documented ones have no payload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MeetingsEvent {
    /// `meetings:ready`: the device can be registered. Sent once per object, by itself.
    Ready,
    /// `meetings:registered`: the device is registered and events arrive. Also sent when it comes
    /// back after [`Failed`](Self::Failed).
    Registered,
    /// `meetings:unregistered`: the device is unregistered.
    Unregistered,
    /// `meetings:step`: a step of the registration has ended.
    Step {
        /// The step.
        step: Step,
        /// Whether it had a result. The registration does not need one.
        succeeded: bool,
    },
    /// `meetings:failed`: the device or the event socket was refused, so that no events arrive.
    /// [`MeetingsError::will_retry`] says whether the registration comes back by itself.
    Failed(Arc<MeetingsError>),
    /// `meetings:retrying`: several attempts to get device and event socket, or the service
    /// catalog, have failed, and they go on. Sent once until one succeeds.
    Retrying(Arc<MeetingsError>),
    /// `network:disconnected`: the event socket is gone; it is being reopened.
    NetworkDisconnected,
    /// `network:connected`: the event socket is back.
    NetworkConnected,
    /// This reader was too slow; this many events were dropped.
    Lost(u64),
}

impl MeetingsEvent {
    /// The names of all events.
    pub const NAMES: [&'static str; 9] = [
        "meetings:ready",
        "meetings:registered",
        "meetings:unregistered",
        "meetings:step",
        "meetings:failed",
        "meetings:retrying",
        "network:disconnected",
        "network:connected",
        "events:lost",
    ];

    /// Returns the documented name.
    ///
    /// ```
    /// # use webex_meetings::MeetingsEvent;
    /// assert_eq!(MeetingsEvent::Registered.name(), "meetings:registered");
    /// ```
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ready => "meetings:ready",
            Self::Registered => "meetings:registered",
            Self::Unregistered => "meetings:unregistered",
            Self::Step { .. } => "meetings:step",
            Self::Failed(_) => "meetings:failed",
            Self::Retrying(_) => "meetings:retrying",
            Self::NetworkDisconnected => "network:disconnected",
            Self::NetworkConnected => "network:connected",
            Self::Lost(_) => "events:lost",
        }
    }

    /// Returns the details as a JSON object, as in the C interface and on the command line. The
    /// keys are in `docs/events.md`.
    pub fn to_json(&self) -> Map<String, Value> {
        let details = match self {
            Self::Ready
            | Self::Registered
            | Self::Unregistered
            | Self::NetworkDisconnected
            | Self::NetworkConnected => json!({}),
            Self::Failed(error) => return with_retry(error, error.will_retry()),
            Self::Retrying(error) => return with_retry(error, true),
            Self::Step { step, succeeded } => {
                json!({ "step": step.name(), "succeeded": succeeded })
            }
            Self::Lost(count) => json!({ "lost": count }),
        };
        match details {
            Value::Object(details) => details,
            _ => Map::new(),
        }
    }
}

fn with_retry(error: &MeetingsError, will_retry: bool) -> Map<String, Value> {
    let mut details = error.to_json();
    details.insert("willRetry".to_owned(), will_retry.into());
    details
}

impl Lossy for MeetingsEvent {
    fn lost(count: u64) -> Self {
        Self::Lost(count)
    }
}
