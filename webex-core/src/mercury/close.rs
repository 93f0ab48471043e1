//! The reactions to close codes and refused upgrades: the whole policy in two tables.
//!
//! The rule of the service's owners: while the client wants to be connected, it keeps trying, with
//! back-off, whatever the code. [`RULES`] lists every known code, whether or not it is an exception
//! to that rule; a code that is not in it reconnects.

use std::fmt;

use webex_auth::{AccessToken, ServerText};

/// How a socket ended.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Close {
    /// The close code; 1005 when the frame had none, 1006 when there was no frame.
    pub(crate) code: u16,
    /// The reason given with it.
    pub(crate) reason: String,
}

impl Close {
    /// A socket that ended without a close frame.
    pub(crate) fn abnormal() -> Self {
        Self { code: ABNORMAL, reason: String::new() }
    }

    /// The reason as it may be logged: a server can put anything into it, the token of the socket
    /// included.
    pub(crate) fn shown(&self, token: Option<&AccessToken>) -> ServerText {
        ServerText::without(&self.reason, token.map(AccessToken::expose))
    }
}

/// Shows no reason, because it may hold anything.
impl fmt::Debug for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Close").field("code", &self.code).finish_non_exhaustive()
    }
}

/// What to do after a close or a refused upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Reaction {
    /// Try again, with back-off.
    Reconnect,
    /// Get another token, then try again.
    RefreshToken,
    /// Refresh the WDM device, whose socket address is gone, then try again.
    RefreshDevice,
    /// Too many requests: try again after the time the server asked for, or after
    /// [`RATE_LIMITED_WAIT`](super::timings::RATE_LIMITED_WAIT) if it gave none.
    SlowDown,
    /// Do not try again.
    Stop(Stop),
}

/// Why there are no further attempts to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The server does not accept this kind of credentials (4400), such as a service account's.
    BadRequest,
    /// The user is not entitled to Mercury (4403).
    NotEntitled,
    /// Another connection of the same registration has taken over (4000, `Replaced`).
    Replaced,
    /// The token was refused and there is no other.
    Unauthorized,
    /// The socket's address is on a host that may not receive the token.
    Untrusted,
}

impl Stop {
    /// A stable name, for logs and for languages without enums.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "badRequest",
            Self::NotEntitled => "notEntitled",
            Self::Replaced => "replaced",
            Self::Unauthorized => "unauthorized",
            Self::Untrusted => "untrusted",
        }
    }
}

/// Our close code for "do not reconnect".
pub(crate) const OWN_CLOSE: u16 = 3050;

/// Normal closure, used when this side detects a dead connection.
pub(crate) const NORMAL: u16 = 1000;

const NO_STATUS: u16 = 1005;
const ABNORMAL: u16 = 1006;

/// The close reasons that a [`Rule`] applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Any reason.
    Any,
    /// This text, ignoring case.
    Is(&'static str),
    /// A text with this in it.
    Contains(&'static str),
}

/// One line of the table of close codes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// The close code.
    pub(crate) code: u16,
    /// The reasons it applies to.
    pub(crate) reason: Reason,
    /// Reaction to a close before the authorization.
    pub(crate) before: Reaction,
    /// Reaction to a close of an authorized socket.
    pub(crate) after: Reaction,
    /// Why.
    pub(crate) why: &'static str,
}

/// Every known close code. The first rule that matches applies.
#[rustfmt::skip] // a table: one line, one rule
pub(crate) const RULES: &[Rule] = &[
    same(1000, Reason::Any, Reaction::Reconnect, "the server is done with this socket, not the client"),
    same(1001, Reason::Any, Reaction::Reconnect, "the server is going away"),
    same(1002, Reason::Any, Reaction::Reconnect, "a protocol error: a new socket starts clean"),
    same(1003, Reason::Any, Reaction::Reconnect, "a message was rejected: a new socket starts clean"),
    // Some proxies lose the code; the reason is still there.
    same(NO_STATUS, Reason::Is("replaced"), Reaction::Stop(Stop::Replaced), "4000 that lost its code"),
    same(NO_STATUS, Reason::Is("authentication failed"), Reaction::RefreshToken, "1008 that lost its code"),
    same(NO_STATUS, Reason::Contains("30000"), Reaction::RefreshToken, "1008 that lost its code: not authorized in time"),
    Rule { code: NO_STATUS, reason: Reason::Any, before: Reaction::RefreshDevice, after: Reaction::Reconnect,
        why: "before authorization it is how a socket address that is gone shows itself" },
    same(ABNORMAL, Reason::Any, Reaction::Reconnect, "the connection broke"),
    same(1008, Reason::Any, Reaction::RefreshToken, "not authorized in time, or with a token that is not accepted"),
    same(1011, Reason::Any, Reaction::Reconnect, "the server failed"),
    same(1012, Reason::Any, Reaction::Reconnect, "the server restarts"),
    same(OWN_CLOSE, Reason::Any, Reaction::Reconnect, "this client's own code; from a server it decides nothing"),
    same(4000, Reason::Is("replaced"), Reaction::Stop(Stop::Replaced), "another client has taken over: coming back would throw it out"),
    same(4000, Reason::Any, Reaction::Reconnect, "load balancing"),
    same(4001, Reason::Any, Reaction::Reconnect, "the end of a switchover; without a successor, reason to make one"),
    same(4400, Reason::Any, Reaction::Stop(Stop::BadRequest), "this kind of credentials is never accepted"),
    same(4401, Reason::Any, Reaction::RefreshToken, "the token is expired or revoked"),
    same(4403, Reason::Any, Reaction::Stop(Stop::NotEntitled), "the user is not entitled; an administrator can change that, a retry cannot"),
    same(4404, Reason::Any, Reaction::RefreshDevice, "the registration is gone"),
    same(4429, Reason::Any, Reaction::SlowDown, "HTTP 429 as a close code"),
];

const fn same(code: u16, reason: Reason, reaction: Reaction, why: &'static str) -> Rule {
    Rule { code, reason, before: reaction, after: reaction, why }
}

/// Returns the reaction to a close. `authorized` is whether the socket had been authorized.
pub(crate) fn reaction(close: &Close, authorized: bool) -> Reaction {
    match rule(close) {
        Some(rule) if authorized => rule.after,
        Some(rule) => rule.before,
        None => Reaction::Reconnect,
    }
}

/// The explanation for a log; `None` for an unknown code.
pub(crate) fn why(close: &Close) -> Option<&'static str> {
    rule(close).map(|rule| rule.why)
}

fn rule(close: &Close) -> Option<&'static Rule> {
    RULES.iter().find(|rule| {
        rule.code == close.code
            && match rule.reason {
                Reason::Any => true,
                Reason::Is(text) => close.reason.eq_ignore_ascii_case(text),
                Reason::Contains(text) => close.reason.contains(text),
            }
    })
}

/// Returns the reaction to an HTTP status in answer to the upgrade. `repeated` is whether the
/// previous attempt got the same status.
///
/// The reference client requests statuses as close codes, so most of these come from a proxy in
/// front of the service.
pub(crate) fn upgrade_reaction(status: u16, repeated: bool) -> Reaction {
    match status {
        401 => Reaction::RefreshToken,
        403 => Reaction::Stop(Stop::NotEntitled),
        // One may come from a server that is being replaced; a second means that the registration is gone.
        404 if repeated => Reaction::RefreshDevice,
        410 => Reaction::RefreshDevice,
        429 => Reaction::SlowDown,
        // 5xx, a first 404, and unknown statuses. A `Retry-After` is followed with any of them.
        _ => Reaction::Reconnect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_shown_without_the_token_and_without_control_characters() {
        let token = AccessToken::parse("secret-token-value_P0A1_org").unwrap();
        let reason = format!("\u{1b}[2Jno {}\u{202e}\u{7}", token.expose());
        let close = Close { code: 4401, reason };
        let shown = close.shown(Some(&token)).to_string();
        assert_eq!(shown.replace(char::REPLACEMENT_CHARACTER, ""), "[2Jno [redacted]");
        assert_eq!(format!("{close:?}"), "Close { code: 4401, .. }");
    }
}
