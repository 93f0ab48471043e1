//! Mercury: the websocket over which a user's events arrive.
//!
//! `machine` holds the whole policy (when to connect, what to send, how to read a close code, when to
//! try again) and does no I/O; the driver of the [`link`](crate::link) carries out what it asks for.
//! `frame` and `envelope` are the wire form, `event`, `payload` and `topic` what services tell and how
//! one listens to it by name, `close` the table of close codes, [`timings`] every duration with its
//! reason.

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
