//! The events of a line.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use url::Url;
use webex_core::events::Lossy;

use super::{error::LineError, info::LineInfo, object};

/// An event of a line.
///
/// `connecting`, `registered`, `unregistered` and `error` are the documented ones. The others report
/// what happens in between. Each says why it happened and which server it is about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LineEvent {
    /// `connecting`: registration has begun.
    Connecting {
        /// What started it.
        reason: Connecting,
    },
    /// `registered`: the line is registered, with the server in [`LineInfo::server`].
    Registered(Arc<LineInfo>),
    /// `unregistered`: the line is no longer registered.
    Unregistered {
        /// Why.
        reason: Unregistered,
        /// The server that had the line; `None` when there was none.
        server: Option<Url>,
        /// Whether the line registers again by itself.
        will_retry: bool,
        /// The time until it does, if it is known.
        retry_in: Option<Duration>,
    },
    /// `changed`: a property of a registered line has changed, such as the phone number, which may
    /// arrive after `registered`.
    Changed(Arc<LineInfo>),
    /// `error`: registration has failed, or a registration was lost. [`LineError::server`] is the
    /// server that refused it; [`LineError::will_retry`] says whether the line goes on by itself.
    Error(LineError),
    /// `reconnecting`: a keepalive was not answered. The registration is still valid.
    Reconnecting {
        /// Keepalives missed in a row.
        missed: u32,
        /// Keepalives missed in a row after which the registration is lost.
        of: u32,
        /// The server that the line is registered with.
        server: Url,
        /// Why the keepalive failed.
        error: LineError,
    },
    /// `reconnected`: keepalives are answered again.
    Reconnected {
        /// The server that the line is registered with.
        server: Url,
    },
    /// `keepalive_missed`: a keepalive was not answered. Unlike `reconnecting` it is also emitted for
    /// the last one, which loses the registration.
    KeepaliveMissed {
        /// Keepalives missed in a row.
        missed: u32,
        /// Keepalives missed in a row after which the registration is lost.
        of: u32,
        /// The server that the line is, or was, registered with.
        server: Url,
        /// Why the keepalive failed.
        error: LineError,
    },
    /// `server_failed`: one server refused the line or did not answer. The next one is tried.
    ServerFailed {
        /// The server.
        server: Url,
        /// Why.
        error: LineError,
    },
    /// `events:lost`: this reader was too slow, and this many events were dropped.
    Lost(u64),
}

/// What started a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Connecting {
    /// A call of [`Line::register`](crate::Line::register).
    Requested,
    /// The slow retry: some time ago all servers refused the line. The servers are discovered again.
    Retry,
    /// A new token: the last one was refused, and the line still was to be registered.
    NewToken,
}

impl Connecting {
    /// Returns the stable lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Retry => "retry",
            Self::NewToken => "new_token",
        }
    }
}

/// Why a line is no longer registered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Unregistered {
    /// [`Line::deregister`](crate::Line::deregister) was called, and the server confirmed.
    Deleted,
    /// [`Line::deregister`](crate::Line::deregister) was called, and there was nothing to delete.
    AlreadyGone,
    /// [`Line::deregister`](crate::Line::deregister) was called, and the server did not confirm. The
    /// line sends no more keepalives, so the server drops the registration in time.
    NotReachable(LineError),
    /// Too many keepalives were missed, or the server no longer knows the line, or refused it.
    Lost(LineError),
    /// The user registered elsewhere, and the server dropped this registration in favour of that
    /// one. The line stays unregistered until [`Line::register`](crate::Line::register) is called: if
    /// both clients came back by themselves, they would evict each other for ever.
    Superseded(LineError),
    /// The server dropped the registration and said so. The line stays unregistered until
    /// [`Line::register`](crate::Line::register) is called.
    Down(LineError),
    /// The line moves from a backup to a primary; `registered` follows.
    Moved,
    /// A server refused the line, which was not registered before either. Only emitted with
    /// [`CallingConfig::unregistered_per_server`](crate::CallingConfig::unregistered_per_server).
    Refused(LineError),
}

impl Unregistered {
    /// Returns the stable lower-case name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::AlreadyGone => "already_gone",
            Self::NotReachable(_) => "not_reachable",
            Self::Lost(_) => "lost",
            Self::Superseded(_) => "superseded",
            Self::Down(_) => "down",
            Self::Moved => "moved",
            Self::Refused(_) => "refused",
        }
    }

    /// Returns the error behind it, if there is one.
    pub fn error(&self) -> Option<&LineError> {
        match self {
            Self::NotReachable(error)
            | Self::Lost(error)
            | Self::Superseded(error)
            | Self::Down(error)
            | Self::Refused(error) => Some(error),
            Self::Deleted | Self::AlreadyGone | Self::Moved => None,
        }
    }
}

impl LineEvent {
    /// The names of all events.
    pub const NAMES: [&'static str; 10] = [
        "connecting",
        "registered",
        "unregistered",
        "changed",
        "error",
        "reconnecting",
        "reconnected",
        "keepalive_missed",
        "server_failed",
        "events:lost",
    ];

    /// Returns the documented name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Registered(_) => "registered",
            Self::Unregistered { .. } => "unregistered",
            Self::Changed(_) => "changed",
            Self::Error(_) => "error",
            Self::Reconnecting { .. } => "reconnecting",
            Self::Reconnected { .. } => "reconnected",
            Self::KeepaliveMissed { .. } => "keepalive_missed",
            Self::ServerFailed { .. } => "server_failed",
            Self::Lost(_) => "events:lost",
        }
    }

    /// Returns the details as a JSON object: what the C interface and the command line show. The
    /// keys are in `docs/events.md`.
    pub fn to_json(&self) -> Map<String, Value> {
        match self {
            Self::Connecting { reason } => object(json!({ "reason": reason.name() })),
            Self::Registered(info) | Self::Changed(info) => info.to_json(),
            Self::Unregistered { reason, server, will_retry, retry_in } => {
                let mut json = object(json!({ "reason": reason.name(), "willRetry": will_retry }));
                if let Some(wait) = retry_in {
                    json.insert("retryInMs".to_owned(), (wait.as_millis() as u64).into());
                }
                if let Some(server) = server {
                    json.insert("server".to_owned(), server.as_str().into());
                }
                if let Some(error) = reason.error() {
                    json.insert("error".to_owned(), error.to_json().into());
                }
                json
            }
            Self::Error(error) => error.to_json(),
            Self::Reconnecting { missed, of, server, error }
            | Self::KeepaliveMissed { missed, of, server, error } => object(json!({
                "missed": missed, "of": of, "server": server, "error": error.to_json(),
            })),
            Self::Reconnected { server } => object(json!({ "server": server })),
            Self::ServerFailed { server, error } => {
                object(json!({ "server": server, "error": error.to_json() }))
            }
            Self::Lost(count) => object(json!({ "lost": count })),
        }
    }
}

impl Lossy for LineEvent {
    fn lost(count: u64) -> Self {
        Self::Lost(count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use webex_core::HttpError;

    use super::*;

    fn error() -> LineError {
        let timeout = HttpError::Timeout { host: "m".to_owned(), after: Duration::from_secs(10) };
        LineError::from(timeout).at(&server())
    }

    fn server() -> Url {
        Url::parse("https://m/api/v1/calling/web/").unwrap()
    }

    /// Every event, one after the other. A new variant does not compile until it is in the chain.
    fn next(event: &LineEvent) -> Option<LineEvent> {
        let (missed, of) = (2, 5);
        Some(match event {
            LineEvent::Connecting { .. } => LineEvent::Registered(Arc::new(LineInfo::new())),
            LineEvent::Registered(_) => LineEvent::Unregistered {
                reason: Unregistered::Moved,
                server: Some(server()),
                will_retry: true,
                retry_in: Some(Duration::ZERO),
            },
            LineEvent::Unregistered { .. } => LineEvent::Changed(Arc::new(LineInfo::new())),
            LineEvent::Changed(_) => LineEvent::Error(error()),
            LineEvent::Error(_) => {
                LineEvent::Reconnecting { missed, of, server: server(), error: error() }
            }
            LineEvent::Reconnecting { .. } => LineEvent::Reconnected { server: server() },
            LineEvent::Reconnected { .. } => {
                LineEvent::KeepaliveMissed { missed, of, server: server(), error: error() }
            }
            LineEvent::KeepaliveMissed { .. } => {
                LineEvent::ServerFailed { server: server(), error: error() }
            }
            LineEvent::ServerFailed { .. } => LineEvent::Lost(7),
            LineEvent::Lost(_) => return None,
        })
    }

    #[test]
    fn every_event_has_its_name_and_its_keys() {
        let first = LineEvent::Connecting { reason: Connecting::Requested };
        let all: Vec<_> = std::iter::successors(Some(first), next).collect();
        let names: HashSet<_> = all.iter().map(LineEvent::name).collect();
        assert_eq!(names, HashSet::from(LineEvent::NAMES));
        let rows =
            all.iter().filter(|event| !event.to_json().contains_key("lineId")).map(|event| {
                let keys: Vec<_> = event.to_json().keys().cloned().collect();
                format!("{}: {}", event.name(), keys.join(" "))
            });
        insta::assert_snapshot!(rows.collect::<Vec<_>>().join("\n"), @r"
        connecting: reason
        unregistered: reason retryInMs server willRetry
        error: kind msg server status type willRetry
        reconnecting: error missed of server
        reconnected: server
        keepalive_missed: error missed of server
        server_failed: error server
        events:lost: lost
        ");
        let registered = next(&all[0]).unwrap().to_json();
        assert_eq!(registered["status"], "inactive");
    }

    #[test]
    fn every_reason_has_its_name_and_its_error() {
        for (reason, name, has_error) in [
            (Unregistered::Deleted, "deleted", false),
            (Unregistered::AlreadyGone, "already_gone", false),
            (Unregistered::NotReachable(error()), "not_reachable", true),
            (Unregistered::Lost(error()), "lost", true),
            (Unregistered::Superseded(error()), "superseded", true),
            (Unregistered::Down(error()), "down", true),
            (Unregistered::Moved, "moved", false),
            (Unregistered::Refused(error()), "refused", true),
        ] {
            let (will_retry, retry_in) = (false, None);
            let event = LineEvent::Unregistered { reason, server: None, will_retry, retry_in };
            let json = event.to_json();
            assert_eq!((&json["reason"], json.contains_key("error")), (&json!(name), has_error));
            assert!(!json.contains_key("server"), "{name}");
        }
    }
}
