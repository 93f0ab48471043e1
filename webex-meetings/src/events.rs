//! What a Meetings device tells.

use serde_json::{Map, Value, json};
use webex_core::events::Lossy;

use crate::progress::Step;

/// An event of the Meetings device. The documented ones have no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MeetingsEvent {
    /// `meetings:ready`: the device can be registered.
    Ready,
    /// `meetings:registered`: the device is registered and events arrive.
    Registered,
    /// `meetings:unregistered`: the device is unregistered.
    Unregistered,
    /// `meetings:step`: a step of the registration has ended.
    Step {
        /// Which one.
        step: Step,
        /// Whether it had a result. The registration does without one.
        succeeded: bool,
    },
    /// `meetings:failed`: the event socket was refused for good, so that no events arrive.
    Failed,
    /// `network:disconnected`: the event socket is gone; it is being opened anew.
    NetworkDisconnected,
    /// `network:connected`: the event socket is back.
    NetworkConnected,
    /// This reader was too slow; so many events were dropped.
    Lost(u64),
}

impl MeetingsEvent {
    /// The names of all events.
    pub const NAMES: [&'static str; 8] = [
        "meetings:ready",
        "meetings:registered",
        "meetings:unregistered",
        "meetings:step",
        "meetings:failed",
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
            Self::Failed => "meetings:failed",
            Self::NetworkDisconnected => "network:disconnected",
            Self::NetworkConnected => "network:connected",
            Self::Lost(_) => "events:lost",
        }
    }

    /// Returns the details as a JSON object: what the C interface and the command line show. The
    /// keys are in `docs/events.md`.
    pub fn to_json(&self) -> Map<String, Value> {
        let details = match self {
            Self::Ready
            | Self::Registered
            | Self::Unregistered
            | Self::Failed
            | Self::NetworkDisconnected
            | Self::NetworkConnected => json!({}),
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

impl Lossy for MeetingsEvent {
    fn lost(count: u64) -> Self {
        Self::Lost(count)
    }
}
