//! Registers Webex Calling lines.
//!
//! ```no_run
//! use webex_calling::{CallingClient, CallingConfig, LineEvent};
//! use webex_core::{Credentials, Webex};
//!
//! # async fn example(token: String) -> Result<(), Box<dyn std::error::Error>> {
//! let webex = Webex::builder().credentials(Credentials::access_token(token)).build()?;
//! let calling = CallingClient::new(&webex, CallingConfig::default()).await?;
//! let line = calling.lines().remove(0);
//! let mut events = line.subscribe();
//! line.register(); // begins; returns at once
//! while let Some(event) = events.next().await {
//!     match event {
//!         LineEvent::Registered(info) => println!("{:?}", info.sip_addresses),
//!         LineEvent::Error(error) => return Err(error.into()),
//!         other => println!("{}", other.name()),
//!     }
//!     # break;
//! }
//! calling.deregister().await?;
//! # Ok(()) }
//! ```
//!
//! # How it works
//! [`CallingClient::new`] brings up the user's device and asks which Mobius servers the user's
//! lines belong to: primaries, and backups for when no primary answers. A [`Line`] registers with
//! the first that takes it, tells it at regular intervals that it is still there (keepalives), and
//! looks for a server again when the registration is lost. The rules are in
//! [`registration`]; the wire in [`mobius`].

mod client;
mod config;
mod discovery;
mod line;
pub mod mobius;
pub mod registration;

/// A text that cannot be printed, such as [`ServiceData::jwe`].
pub use secrecy::SecretString;

pub use self::{
    client::{
        CallingClient, CallingClientError, CallingClientErrorType, CallingError, CallingEvent,
        DiscoveryStep,
    },
    config::{CallingConfig, ConfigError, Location, ServiceData, ServiceIndicator},
    discovery::{REGION_TIMEOUT, Servers},
    line::{
        Connecting, DocumentedError, Line, LineError, LineErrorType, LineEvent, LineInfo,
        LineStatus, Unregistered,
    },
    registration::{
        CallActivity, DeviceLimit, RegistrationPolicy,
        machine::{LineState, Upcoming},
    },
};
