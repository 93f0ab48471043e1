//! Mercury: the websocket over which a user's events arrive.
//!
//! [`machine::Machine`] holds the whole policy (when to connect, what to send, how to read a close
//! code, when to try again) and does no I/O; the driver of the [`link`](crate::link) carries out
//! what it asks for. [`frame`] is the wire form, [`event`] what services tell and how one listens to
//! it by name, [`close`] the table of close codes, [`timings`] every duration with its reason.

pub mod close;
pub mod event;
pub mod frame;
pub mod machine;
pub mod timings;

pub use self::event::{EventData, MercuryEvent, Payload, Topic};
