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
//! # State of a line
//! [`Line::info`] has every documented property with its unit and source; its JSON form has the
//! documented names. [`Line::state`] and [`Line::next`] say where the registration stands and what
//! the line does next. All of it can be read at any time, and [`Line::changed`] waits for a change.
//!
//! A [`LineError`] has the documented form ([`LineError::documented`]) beside finer fields. A
//! failure of discovery is a [`CallingClientError`], which [`CallingClient::subscribe`] emits and
//! [`CallingClient::last_error`] returns.
//!
//! # Several lines, several users
//! A client has one line; [`CallingClient::add_line`] adds one for another service of the same user.
//! Any number of clients, for any number of users, can exist in one process. They share nothing but
//! connections.
//!
//! # How it works
//! [`CallingClient::new`] registers the user's device and discovers the Mobius servers of the user's
//! lines: primaries, and backups for when no primary answers. A [`Line`] registers with the first
//! one that accepts it, sends keepalives at regular intervals, and looks for a server again when the
//! registration is lost. The constants are in [`timings`].
//!
//! Inside, each module uses only those before it: `model`, `mobius` (messages and transport),
//! `discovery`, `registration` (the rules, without I/O), `line` (the task that drives them),
//! `client`.

mod client;
mod discovery;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod line;
mod mobius;
mod model;
mod registration;

/// A text that is never printed, such as [`ServiceData::jwe`].
pub use secrecy::SecretString;

pub use self::{
    client::CallingClient,
    line::handle::Line,
    mobius::{timings, wire::MobiusDevice},
    model::{
        client_error::{
            CallingClientError, CallingClientErrorType, CallingError, CallingEvent, DiscoveryStep,
        },
        config::{CallingConfig, ConfigError, Location, ServiceData, ServiceIndicator},
        error::{DocumentedError, LineError, LineErrorType},
        event::{Connecting, LineEvent, Unregistered},
        info::{LineInfo, LineStatus},
        policy::{CallActivity, DeviceLimit, RegistrationPolicy},
        servers::Servers,
        state::{LineState, Upcoming},
    },
};
