//! The WDM device: the registration of this program as an endpoint of its user.
//!
//! Registering a device returns the address of the Mercury socket and the device URL, which every
//! further request names. `machine` decides when to register, refresh and delete; `record` has the
//! fields of an answer and what is saved of them; `room` deletes unused devices when a user has too
//! many; `requests` has the remaining requests; `config` is what the application chooses.
//!
//! Without a state store the device is *ephemeral*: it has a TTL, is refreshed in time, and is
//! deleted when it is no longer needed. With one it is *durable*: it has no TTL, its record is
//! saved, and the next start uses it again. Only an explicit unregistration deletes it. A user may
//! have [`DEVICE_LIMIT`] devices, which a program that registered a new one at each start would use
//! up.

pub(crate) mod config;
mod features;
pub(crate) mod machine;
pub(crate) mod record;
pub(crate) mod requests;
pub(crate) mod room;
pub(crate) mod timings;

pub use self::{
    config::{DEVICE_LIMIT, DeviceConfig},
    features::{FeatureSet, FeatureValue, Features},
    record::Device,
    timings::{EPHEMERAL_TTL, MOBILE_TTL},
};
