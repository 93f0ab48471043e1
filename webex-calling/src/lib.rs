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
//! # What is known of a line
//! [`Line::info`] has every documented property with its unit, and says who told it; as JSON it has
//! the documented names. [`Line::state`] and [`Line::next`] say what the line is at and what it will
//! do next: all of it can be read at any time, and waited for ([`Line::changed`]).
//!
//! A [`LineError`] has the documented form too ([`LineError::documented`]) beside finer fields. What
//! goes wrong while the servers are looked for is a [`CallingClientError`], told by
//! [`CallingClient::subscribe`] and kept in [`CallingClient::last_error`] for those who come later.
//!
//! # Several lines, several users
//! A client has one line; [`CallingClient::add_line`] adds one for another service of the same user.
//! Any number of clients, for any number of users, live in one process and share nothing but
//! connections.
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
