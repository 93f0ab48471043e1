//! Control: everything that a running sandbox can be made to do.
//!
//! ```text
//! Sandbox (Rust) ───────────────────────┐
//! /sandbox/… (HTTP) ──► http::change ───┴──► Control ──► apply ──► World
//! ```
//!
//! [`Control`] is the only list. Both entry points build a `Control` and have it applied. [`shape`]
//! derives the fields of each control from the type itself, so that no second list can fall behind.

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
        instances::InstanceBehaviour,
        mutations::Mutation,
        policy::Policies,
        sockets::SocketControl,
        users::{NewUser, User},
    },
};

/// A command to a running sandbox; applied by [`Sandbox::control`](crate::Sandbox::control).
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
        /// How long it is valid; `None` means for ever.
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
    /// Writes a message to a user.
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
    /// Sets who signs in at the authorize page, and whether they consent.
    SetConsent {
        /// User id; `None` keeps the current one.
        #[serde(default)]
        user: Option<String>,
        /// The error code of a refusal; `None` consents.
        #[serde(default)]
        refusal: Option<String>,
    },
    /// Confirms or denies the user code of a device grant.
    DecideDevice {
        /// The code shown to the user.
        user_code: String,
        /// Whether it is confirmed.
        approve: bool,
        /// Id of the user who confirms; `None` means the default user.
        #[serde(default)]
        user: Option<String>,
    },
    /// Ends a WDM device as if its lifetime were over.
    ExpireDevice {
        /// Last part of the device URL.
        device: String,
    },
    /// Makes a WDM device look as if its client had not refreshed it for a while.
    AgeDevice {
        /// Last part of the device URL.
        device: String,
        /// For how long it was not refreshed.
        #[serde(rename = "unused_s", with = "seconds")]
        unused: Duration,
    },
    /// Ends a line as if its keepalives had stopped.
    ExpireLine {
        /// Id of the registration.
        line: String,
    },
    /// Ends a line and sends its client `registration.down`.
    DropLine {
        /// Id of the registration.
        line: String,
    },
    /// Sends a command to a Mercury socket.
    Socket {
        /// Number of the socket.
        socket: u64,
        /// The command.
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
    /// Sets how a Mobius instance behaves. Over HTTP, fields that are left out keep their values.
    SetInstance {
        /// Name of the instance.
        instance: String,
        /// Its behaviour.
        behaviour: InstanceBehaviour,
    },
    /// Sets the added delays.
    SetLatency {
        /// Before each answer; `None` keeps the current delay.
        #[serde(default, rename = "request_s", with = "seconds::optional")]
        request: Option<Duration>,
        /// Before each new connection is served; `None` keeps the current delay.
        #[serde(default, rename = "connection_s", with = "seconds::optional")]
        connection: Option<Duration>,
    },
    /// Sets the error of the clock that answers report (`Date`).
    SetClock {
        /// Seconds; positive means ahead.
        skew_s: i64,
    },
    /// Closes connections that have had no request under way for a while.
    SetConnections {
        /// How long; `None` keeps them open.
        #[serde(default, rename = "idle_s", with = "seconds::optional")]
        idle: Option<Duration>,
    },
    /// Switches breaches of the protocol on and off; those left out do not change.
    SetMutations(BTreeMap<Mutation, bool>),
    /// Sets the rules of all services. Over HTTP, fields that are left out keep their values.
    SetPolicies(Box<Policies>),
    /// Hands out URLs of a service with this authority from now on.
    Place {
        /// A name in the catalog, `mercury`, or the name of a Mobius instance.
        service: String,
        /// `host:port`.
        authority: String,
    },
}

/// The result of a control. In JSON an object, or no body at all.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Outcome {
    /// Done; there is nothing to return.
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
        /// Number of sockets that it was sent to.
        sockets: usize,
    },
    /// Tokens were given an expiry time.
    Expired {
        /// Number of tokens.
        expired: usize,
    },
    /// Tokens were revoked.
    Revoked {
        /// Number of tokens.
        revoked: usize,
    },
    /// The rules now in force.
    Policies(Box<Policies>),
}

/// Why a control was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No user, device, line, socket, fault, instance, service or token has that name.
    #[error("Nothing has that name or id.")]
    Unknown,
    /// The JSON is not a control.
    #[error("{0}")]
    Malformed(String),
}
