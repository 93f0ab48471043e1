//! What the handles and the driver have between them: commands one way, the token and its state the
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

/// What handles ask of the driver.
pub(super) enum Command {
    Demand(Reply<AccessToken>),
    Refused(AccessToken, Reply<AccessToken>),
    Supply(Box<TokenSet>, Reply<()>),
    SignOut(Reply<()>),
    NetworkChanged,
}

/// What the driver publishes.
pub(super) struct Shared {
    pub(super) hot: RwLock<Option<Hot>>,
    pub(super) state: watch::Sender<TokenState>,
    /// Virtual time of tests; `None` for the clocks of the system.
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

/// What the machine needs to know of a set.
pub(super) fn life(set: &TokenSet, source: &Source) -> Life {
    Life {
        issued: set.issued(),
        expires: set.expires(),
        renewable: source.can_renew(set.expose_refresh_token().is_some()),
    }
}
