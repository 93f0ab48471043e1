//! Control: everything that can be told to a running sandbox.
//!
//! ```text
//! Sandbox (Rust) ───────────────────────┐
//! /sandbox/… (HTTP) ──► http::change ───┴──► Control ──► apply ──► World
//! ```
//!
//! [`Control`] is the one list of it. Both ways in make a `Control` and have it applied; what a
//! control takes is told by the type itself ([`shape`]), so that no list beside it can be forgotten.

pub(crate) mod apply;
pub(crate) mod http;
pub(crate) mod shape;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    seconds,
    state::{
        clients::OAuthClient,
        fault::Fault,
        instances::InstanceConduct,
        mutations::Mutation,
        policy::Policies,
        sockets::SocketControl,
        users::{NewUser, User},
    },
};

/// Something that can be told to a sandbox; applied by [`Sandbox::control`](crate::Sandbox::control).
///
/// In JSON it is an object with one field: `{"expire_token": {"token": "…", "after_s": 5}}`; one
/// without fields is text: `"clear_faults"`. Durations are seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Control {
    /// Adds a user with a token.
    AddUser(NewUser),
    /// Makes another access token for a user.
    IssueToken {
        /// User id.
        user: String,
        /// How long it is valid; `None` for ever.
        #[serde(default, rename = "lifetime_s", with = "seconds::optional")]
        lifetime: Option<Duration>,
    },
    /// Lets a token expire.
    ExpireToken {
        /// An access or refresh token.
        token: String,
        /// How much longer it is valid.
        #[serde(default, rename = "after_s", with = "seconds")]
        after: Duration,
    },
    /// Lets all access tokens of a user expire.
    ExpireTokens {
        /// User id.
        user: String,
        /// How much longer they are valid.
        #[serde(default, rename = "after_s", with = "seconds")]
        after: Duration,
    },
    /// Revokes a token.
    RevokeToken {
        /// An access or refresh token.
        token: String,
    },
    /// Revokes all access and refresh tokens of a user.
    RevokeTokens {
        /// User id.
        user: String,
    },
    /// Sends an event to all sockets of a user.
    PushEvent {
        /// User id.
        user: String,
        /// The `data` of the envelope.
        data: Value,
    },
    /// Lets somebody write a message to a user.
    WriteMessage {
        /// Id of the user who gets it.
        user: String,
        /// E-mail address of the author.
        from: String,
        /// The message.
        text: String,
    },
    /// Adds an OAuth client, or replaces the one with the same id.
    AddClient(OAuthClient),
    /// Sets who signs in at the authorize page, and whether they agree.
    SetConsent {
        /// User id; `None` leaves who it is.
        #[serde(default)]
        user: Option<String>,
        /// The error code of a refusal; `None` agrees.
        #[serde(default)]
        refusal: Option<String>,
    },
    /// Confirms or denies the user code of a device grant.
    DecideDevice {
        /// The code shown to the user.
        user_code: String,
        /// Whether it is confirmed.
        approve: bool,
        /// Id of the user who confirms; `None` for the default user.
        #[serde(default)]
        user: Option<String>,
    },
    /// Ends a WDM device as if its time were up.
    ExpireDevice {
        /// Last part of the device URL.
        device: String,
    },
    /// Makes a WDM device look as if its client had not refreshed it for so long.
    AgeDevice {
        /// Last part of the device URL.
        device: String,
        /// For how long.
        #[serde(rename = "unused_s", with = "seconds")]
        unused: Duration,
    },
    /// Ends a line as if its keepalives had stopped.
    ExpireLine {
        /// Id of the registration.
        line: String,
    },
    /// Ends a line and tells its client so: `registration.down`.
    DropLine {
        /// Id of the registration.
        line: String,
    },
    /// Tells a Mercury socket what to do.
    Socket {
        /// Number of the socket.
        socket: u64,
        /// What.
        command: SocketControl,
    },
    /// Forgets the requests received so far.
    ClearRequests,
    /// Adds a fault.
    AddFault(Fault),
    /// Ends a fault.
    ClearFault {
        /// Number of the fault.
        fault: u64,
    },
    /// Ends all faults.
    ClearFaults,
    /// Sets how a Mobius instance behaves. Over HTTP, what is not named stays as it is.
    SetInstance {
        /// Name of the instance.
        instance: String,
        /// How.
        conduct: InstanceConduct,
    },
    /// Sets added delays.
    SetLatency {
        /// Before each answer; `None` leaves it.
        #[serde(default, rename = "request_s", with = "seconds::optional")]
        request: Option<Duration>,
        /// Before each new connection is served; `None` leaves it.
        #[serde(default, rename = "connection_s", with = "seconds::optional")]
        connection: Option<Duration>,
    },
    /// Sets how far the clock is off that answers tell (`Date`).
    SetClock {
        /// Seconds; positive is ahead.
        skew_s: i64,
    },
    /// Closes connections that have had no request under way for a while.
    SetConnections {
        /// How long; `None` lets them live.
        #[serde(default, rename = "idle_s", with = "seconds::optional")]
        idle: Option<Duration>,
    },
    /// Switches breaches of the protocol on and off; those not named stay as they are.
    SetMutations(BTreeMap<Mutation, bool>),
    /// Sets the rules of all services. Over HTTP, what is not named stays as it is.
    SetPolicies(Box<Policies>),
    /// Hands out URLs of a service with this authority from now on.
    Place {
        /// A name in the catalog, `mercury`, or the name of a Mobius instance.
        service: String,
        /// `host:port`.
        authority: String,
    },
}

/// What came of a control. In JSON an object, or nothing at all.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing to tell.
    Done,
    /// The user that was added.
    User(User),
    /// A token was made.
    Token {
        /// The token.
        token: String,
    },
    /// A client was added.
    Client,
    /// A fault was added.
    Fault {
        /// Its number.
        id: u64,
    },
    /// An event was sent.
    Sent {
        /// To so many sockets.
        sockets: usize,
    },
    /// Tokens were given a time to expire.
    Expired {
        /// So many.
        expired: usize,
    },
    /// Tokens were revoked.
    Revoked {
        /// So many.
        revoked: usize,
    },
    /// The rules now in force.
    Policies(Box<Policies>),
}

/// Why a control was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is no user, device, line, socket, fault, instance, service or token of that name.
    #[error("Nothing has that name or id.")]
    Unknown,
    /// The JSON is not that of a control.
    #[error("{0}")]
    Malformed(String),
}
