//! Where Webex services are, and how to talk to them.
//!
//! In the order in which a program uses it:
//!
//! 1. [`Webex`] is one user's client; it is built from [`Credentials`] without any I/O.
//! 2. [`Webex::ready`] fetches the service [`Catalog`]: every other address comes from it.
//! 3. [`Webex::link`] is the user's presence: a registered WDM [`Device`] and a [`mercury`] socket,
//!    kept up while somebody holds a [`Lease`].
//! 4. [`Http`] sends every request: tracking id, token only to hosts that may have it, one replay
//!    after a refreshed token, deadlines, typed errors.
//!
//! The products (`webex-meetings`, `webex-calling`) are built on these and are independent of each other.
//!
//! Everything with timers or retries is a state machine without I/O, driven by a task.

pub mod catalog;
mod clock;
mod core;
pub mod device;
mod endpoints;
mod error;
pub mod events;
mod fetched;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod intern;
pub mod lenient;
pub mod link;
pub mod mercury;
mod region;
mod saved;
mod user;
mod webex;

pub use webex_auth::{
    AccessToken, Credentials, SecretString, ServerText, Store, TokenError, TokenState, Tokens,
    timer,
};

pub use self::{
    catalog::{Catalog, CatalogError, CatalogFormat, CatalogSelector},
    device::{Device, DeviceConfig},
    endpoints::{Endpoints, InvalidOrigin, WebexDomains, join},
    error::{ErrorKind, HttpError, ServiceError},
    events::Subscription,
    http::{
        ANSWER_LIMIT, ATTEMPT_TIMEOUT, Auth, CONNECT_TIMEOUT, Http, Proxy, ProxyError,
        REQUEST_TIMEOUT, Request, Response, RootError, TrackingIds, Transport, TransportBuilder,
        TransportError,
    },
    link::{Lease, Link, LinkError, LinkEvent, LinkState, Phase},
    region::{REGION_TIMEOUT, Region},
    saved::SavedState,
    user::{PhoneNumber, User},
    webex::{BuildError, Insecurity, Webex, WebexBuilder},
};
