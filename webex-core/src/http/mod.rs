//! The one way to send a request.
//!
//! Every request of the SDK goes through [`Http::send`]. It adds the tracking id and the headers
//! that Webex services expect, and the bearer token if the host may have it; follows redirects in
//! headers and bodies; replays once after a 401 that a new token may fix; keeps its deadlines; and
//! reports every failure as an [`HttpError`](crate::HttpError). Nothing else in the SDK calls the
//! HTTP library.
//!
//! ```text
//!   send ─ deadline ─► exchange ─► allow list ─► circuit ─► token ─► one attempt ─► 401? renew, once more
//!                         ▲                                                     ├► 451? tell, sign out
//!                         └──────────────────── redirect ◄──────────────────────┘
//! ```
//!
//! Nothing is written to an address that is not an [`AllowedUrl`], which only the allow list
//! creates. The catalog's knowledge of hosts comes in through [`HostPolicy`], so that this folder
//! does not depend on the catalog.

mod ahead;
mod allow;
mod body;
mod circuit;
mod client;
mod dial;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod limits;
mod policy;
pub(crate) mod proxy;
mod remembered;
mod request;
mod response;
mod timings;
mod tls;
mod token;
mod tracking;
mod transport;

pub(crate) use self::{
    allow::{AllowList, AllowedUrl},
    dial::{DialError, Stream},
    policy::HostPolicy,
    remembered::StartHosts,
};
pub use self::{
    client::Http,
    limits::ANSWER_LIMIT,
    proxy::{Proxy, ProxyError},
    request::{Auth, Request},
    response::Response,
    timings::{ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, REQUEST_TIMEOUT},
    tls::RootError,
    tracking::TrackingIds,
    transport::{Transport, TransportBuilder, TransportError},
};
