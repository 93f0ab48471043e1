//! The WDM device: how the Webex cloud knows this program as an endpoint of its user.
//!
//! Registering one yields the address of the Mercury socket and the device URL, which every further
//! request names. `machine` decides when to register, refresh and delete; `record` has
//! what an answer says and what is kept of it, `room` deletes what nobody uses when a user has too
//! many, `requests` are the rest of what is asked of the service, and `config` is what the application
//! chooses.
//!
//! Without a state store the device is *ephemeral*: it has a TTL, is refreshed in time, and is
//! deleted when nobody needs it. With one it is *durable*: it has no TTL, its record is kept, and
//! the next start takes it up again. Only an explicit unregistration deletes it; a user may have
//! [`DEVICE_LIMIT`] devices, and a program that registered a new one at each start would use them up.

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
