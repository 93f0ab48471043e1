#![doc = include_str!("../docs/sandbox.md")]
//!
//! # How it is built
//!
//! ```text
//! server ──► exchange ──► services ──► world ◄── control ◄── Sandbox (Rust)
//! (TLS,      (log, faults, (one module   (state,    (Control)     /sandbox (HTTP)
//!  HTTP,      latency)      each, with    one lock
//!  router)                  its routes)   each)
//! ```
//!
//! The router merges the routes of all services. `exchange` does what is common to every request;
//! the service's handler answers it from the `World`. Both entry points make a [`Control`], which
//! changes that same `World`, and every change wakes [`Sandbox::wait_for`]. A folder uses only what
//! is to its right. `state` and the small files beside it are at the bottom.

mod control;
mod error;
mod exchange;
mod operation;
mod redact;
mod sandbox;
mod seconds;
mod server;
mod services;
mod state;
mod tasks;
mod urls;
mod world;

pub use control::{Control, ControlError, Outcome};
pub use error::{StartError, WaitTimeout};
pub use operation::{
    Calliope, ClientLogs, Conversation, Hydra, Locus, Mercury, Metrics, Mobius, OAuth, Operation,
    Other, Region, Service, Target, U2c, UnknownTarget, Wdm,
};
pub use sandbox::{
    Sandbox,
    builder::Builder,
    faults::{FaultBuilder, FaultHandle},
    identity::Identity,
};
pub use state::{
    clients::OAuthClient,
    devices::Device,
    fault::{Breakage, CloseFrame, Entries, Fault, Fill, Redirect},
    instances::{InstanceBehaviour, MobiusInstance, MobiusRole, Outage},
    lines::Line,
    log::{Request, Requests},
    mutations::Mutation,
    policy::{
        CatalogHost, MeetingsQuirk, MobiusPolicy, OAuthPolicy, Policies, U2cPolicy, WdmPolicy,
    },
    sockets::{Closed, Socket, SocketControl},
    users::{NewUser, User, UserKind},
};
pub use world::Counts;
