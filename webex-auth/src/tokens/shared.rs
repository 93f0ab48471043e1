//! Shared by the handles and the driver: commands in one direction, the token and its state in the
//! other.

use std::{sync::Arc, time::SystemTime};

use parking_lot::RwLock;
use tokio::sync::{oneshot, watch};

use crate::{
    credentials::Source,
    lifecycle::{clock::Clock, machine::Life, state::TokenState},
    token::AccessToken,
    token_error::TokenError,
    token_set::TokenSet,
};

pub(super) type Reply<T> = oneshot::Sender<Result<T, TokenError>>;

/// Commands of the handles to the driver.
pub(super) enum Command {
    Demand(Reply<AccessToken>),
    Refused(AccessToken, Reply<AccessToken>),
    Supply(Box<TokenSet>, Reply<()>),
    SignOut(Reply<()>),
    NetworkChanged,
}

/// The state that the driver publishes.
pub(super) struct Shared {
    pub(super) hot: RwLock<Option<Hot>>,
    pub(super) state: watch::Sender<TokenState>,
    /// Virtual time in tests; `None` means the clocks of the system.
    pub(super) clock: Option<Arc<dyn Clock>>,
}

pub(super) struct Hot {
    pub(super) token: AccessToken,
    pub(super) until: Option<SystemTime>,
}

impl Shared {
    pub(super) fn wall(&self) -> SystemTime {
        self.clock.as_ref().map_or_else(SystemTime::now, |clock| clock.now().wall)
    }
}

/// What the machine needs to know about a set.
pub(super) fn life(set: &TokenSet, source: &Source) -> Life {
    Life {
        issued: set.issued(),
        expires: set.expires(),
        renewable: source.can_renew(set.expose_refresh_token().is_some()),
    }
}
