#![doc = include_str!("../docs/sandbox.md")]
//!
//! # How it is built
//!
//! ```text
//! server ──► router ──► conduct ──► services ──► state::World ◄── Sandbox (typed control)
//! (TLS,      (path →    (log,       (one module  (one lock per    control::http (/sandbox)
//!  HTTP)      operation) faults,     each)         concern)
//!                        latency)
//! ```
//!
//! `router` gives each request its [`Operation`]; `conduct` does to every request what is common to all;
//! the service's handler answers it from the `World`. Both control surfaces change that same `World`, and
//! every change wakes [`Sandbox::wait_for`].

mod builder;
mod conduct;
mod control;
mod error;
mod identity;
mod operation;
mod redact;
mod reply;
mod router;
mod sandbox;
mod server;
mod services;
mod state;
mod tasks;
mod tls;
mod urls;

pub use builder::{
    Builder, CatalogHost, MobiusInstance, MobiusPolicy, MobiusRole, OAuthPolicy, U2cPolicy,
    WdmPolicy,
};
pub use error::{StartError, WaitTimeout};
pub use identity::Identity;
pub use operation::{
    Calliope, ClientLogs, Conversation, Hydra, Locus, Mercury, Metrics, Mobius, OAuth, Operation,
    Other, Region, Service, Target, U2c, UnknownTarget, Wdm,
};
pub use sandbox::{Counts, Sandbox};
pub use services::oauth::OAuthClient;
pub use state::devices::Device;
pub use state::faults::{CloseFrame, FaultBuilder, FaultHandle};
pub use state::instances::{InstanceConduct, Outage};
pub use state::lines::Line;
pub use state::log::{Request, Requests};
pub use state::mutations::Mutation;
pub use state::sockets::{Closed, Socket};
pub use state::users::{NewUser, User, UserKind};
