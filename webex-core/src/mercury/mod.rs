//! Mercury: the websocket that carries a user's events.
//!
//! `machine` holds the whole policy (when to connect, what to send, how to read a close code, when
//! to try again) and does no I/O; the driver of the [`link`](crate::link) performs its actions.
//! `frame` and `envelope` are the wire format; `event`, `payload` and `topic` are the events of
//! services and subscriptions by name; `close` is the table of close codes; [`timings`] has every
//! duration with its reason.

pub(crate) mod close;
mod envelope;
pub(crate) mod event;
pub(crate) mod failure;
pub(crate) mod frame;
pub(crate) mod machine;
mod payload;
pub(crate) mod switchover;
pub mod timings;
pub(crate) mod topic;

pub use self::{
    close::Stop,
    event::{EventData, MercuryEvent},
    failure::SocketFailure,
    payload::{
        ActiveClusters, CacheInvalidation, LocalCluster, MobiusEvent, Payload, RegistrationStatus,
    },
    switchover::Switchover,
    topic::Topic,
};
