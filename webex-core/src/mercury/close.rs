//! Close codes, and what each calls for.
//!
//! The rule of the service's owners: as long as the client wants to be connected, it keeps trying,
//! with back-off, whatever the code. The table lists the exceptions; anything else reconnects.

/// How a socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The close code; 1005 where the frame had none, 1006 where there was no frame.
    pub code: u16,
    /// The reason given with it.
    pub reason: String,
}

impl Close {
    /// A socket that ended without a close frame.
    pub fn abnormal() -> Self {
        Self { code: ABNORMAL, reason: String::new() }
    }
}

/// What to do after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Try again, with back-off.
    Reconnect,
    /// Get another token, then try again.
    RefreshToken,
    /// Refresh the WDM device, whose socket address is gone, then try again.
    RefreshDevice,
    /// Do not try again.
    Stop(Stop),
}

/// Why a connection is not tried again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The server does not accept the credentials' kind (4400), such as a service account's.
    BadRequest,
    /// The user is not entitled to Mercury (4403).
    NotEntitled,
    /// Another connection of the same registration took over (4000, `Replaced`).
    Replaced,
    /// The token was refused and no other can be had.
    Unauthorized,
    /// The socket's address is on a host that may not receive the token.
    Untrusted,
}

/// Own close code for "do not reconnect".
pub const OWN_CLOSE: u16 = 3050;

/// Normal closure, used when this side finds the connection dead.
pub const NORMAL: u16 = 1000;

const NO_STATUS: u16 = 1005;
const ABNORMAL: u16 = 1006;
const POLICY: u16 = 1008;

/// What a close calls for. `authorized`: whether the socket had been authorized before.
pub fn reaction(close: &Close, authorized: bool) -> Reaction {
    let reason = close.reason.to_ascii_lowercase();
    // Some proxies lose the code; the reason still tells.
    let code = match close.code {
        NO_STATUS if reason == "replaced" => 4000,
        NO_STATUS if reason == "authentication failed" || reason.contains("30000") => POLICY,
        code => code,
    };
    match code {
        4400 => Reaction::Stop(Stop::BadRequest),
        4403 => Reaction::Stop(Stop::NotEntitled),
        // Other reasons of 4000 are load balancing.
        4000 if reason == "replaced" => Reaction::Stop(Stop::Replaced),
        4401 | POLICY => Reaction::RefreshToken,
        4404 => Reaction::RefreshDevice,
        NO_STATUS if !authorized => Reaction::RefreshDevice,
        _ => Reaction::Reconnect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        use Reaction::{Reconnect, RefreshDevice, RefreshToken};
        let stop = |stop| (Reaction::Stop(stop), Reaction::Stop(stop));
        let same = |reaction| (reaction, reaction);
        // code, reason, (before, after authorization)
        let table = [
            (1000, "", same(Reconnect)),
            (1000, "pong not received", same(Reconnect)),
            (1001, "", same(Reconnect)),
            (1003, "", same(Reconnect)),
            (1005, "", (RefreshDevice, Reconnect)),
            (1005, "replaced", stop(Stop::Replaced)),
            (1005, "authentication failed", same(RefreshToken)),
            (1006, "", same(Reconnect)),
            (1008, "", same(RefreshToken)),
            (1011, "", same(Reconnect)),
            (1012, "", same(Reconnect)),
            (4000, "Replaced", stop(Stop::Replaced)),
            (4000, "rebalancing", same(Reconnect)),
            (4001, "", same(Reconnect)),
            (4400, "", stop(Stop::BadRequest)),
            (4401, "", same(RefreshToken)),
            (4403, "", stop(Stop::NotEntitled)),
            (4404, "", same(RefreshDevice)),
        ];
        for (code, reason, (before, after)) in table {
            let close = Close { code, reason: reason.to_owned() };
            assert_eq!(reaction(&close, false), before, "{close:?} before");
            assert_eq!(reaction(&close, true), after, "{close:?} after");
        }
    }
}
