//! Faults: scripted misbehaviour.

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{operation::Target, seconds};

/// Base of the close codes by which Mercury reports an HTTP status.
const ALIAS_BASE: u16 = 4000;

/// Scripted misbehaviour: what it applies to, how often, and what happens.
///
/// In Rust a fault is built with [`Sandbox::fail`](crate::Sandbox::fail); this is its JSON form.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// What it applies to.
    #[serde(deserialize_with = "target_from_text")]
    pub target: Target,
    /// Only at this Mobius instance.
    pub instance: Option<String>,
    /// Only for requests that carry a live token of this user (id).
    pub user: Option<String>,
    /// Number of matching requests to skip first.
    pub skip: u64,
    /// How often it still takes effect; `None` means without end.
    pub times: Option<u64>,
    /// Waits before anything else happens.
    #[serde(rename = "delay_s", with = "seconds")]
    pub delay: Duration,
    /// Lets the request take effect before the fault replaces or drops the answer.
    pub carried_out: bool,
    /// Answers with this status.
    pub status: Option<u16>,
    /// Headers of the answer, replaced or not.
    pub headers: BTreeMap<String, String>,
    /// Body of the answer with `status`; text is sent as plain text.
    pub body: Option<Value>,
    /// Redirects the client.
    pub redirect: Option<Redirect>,
    /// Answers with an error that repeats what the client sent, secrets included, in several encodings.
    pub quote: bool,
    /// Answers with the page of a captive portal.
    pub portal: bool,
    /// Merge patch (RFC 7386) of a successful answer.
    pub merge: Option<Value>,
    /// Values set in the answer, by JSON pointer; `*` stands for every item or field.
    pub set: BTreeMap<String, Value>,
    /// Authority (`host:port`, or with `http://` in front) that replaces each one in the answer.
    pub foreign: Option<String>,
    /// A list or object in the answer that is made long.
    pub entries: Option<Entries>,
    /// Makes the body oversized.
    pub fill: Option<Fill>,
    /// Does not answer.
    #[serde(rename = "break")]
    pub breakage: Option<Breakage>,
    /// Closes the Mercury socket.
    pub close: Option<CloseFrame>,
}

impl Fault {
    /// A fault without end that changes nothing.
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            instance: None,
            user: None,
            skip: 0,
            times: None,
            delay: Duration::ZERO,
            carried_out: false,
            status: None,
            headers: BTreeMap::new(),
            body: None,
            redirect: None,
            quote: false,
            portal: false,
            merge: None,
            set: BTreeMap::new(),
            foreign: None,
            entries: None,
            fill: None,
            breakage: None,
            close: None,
        }
    }
}

impl Default for Fault {
    fn default() -> Self {
        Self::new(Target::Everything)
    }
}

/// Ways to redirect a client, each with the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Redirect {
    /// With a status (307, or the fault's own) and `Location`.
    Status(String),
    /// With the header `cisco-location` of a success.
    Header(String),
    /// With the body of a 404: `errorCode` 2000002 and `location`.
    Locus(String),
    /// With the body of a 404: `code` 404100 and `data.siteFullUrl`.
    Site(String),
}

/// Oversized bodies. The answer is otherwise correct: the filler is in a field `filler`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fill {
    /// A text without end.
    Endless,
    /// A list of `{"":0}` of this size in MiB.
    WideMib(u64),
    /// Nested lists of this depth.
    Deep(u64),
}

/// A list or object of the answer to fill up with copies of its entries, each different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    /// JSON pointer to it.
    pub at: String,
    /// How many entries it gets; at most a million.
    pub count: usize,
}

/// Ways not to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Breakage {
    /// Close without an answer: HTTP/1 the connection, HTTP/2 the stream, Mercury the socket.
    Refuse,
    /// Reset the whole TCP connection (RST).
    Reset,
    /// Never answer.
    Hang,
}

/// Code and reason of a websocket close frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseFrame {
    /// Close code.
    pub code: u16,
    /// Reason, at most 123 bytes.
    #[serde(default)]
    pub reason: String,
}

impl CloseFrame {
    /// The close frame for an HTTP status: 401 becomes 4401.
    pub(crate) fn alias(status: StatusCode, reason: &str) -> Self {
        Self { code: ALIAS_BASE + status.as_u16(), reason: reason.to_owned() }
    }
}

fn target_from_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Target, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}
