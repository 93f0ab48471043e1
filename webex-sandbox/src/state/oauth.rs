//! State of the authorization server: clients, codes, and who signs in. Issued tokens are in
//! [`tokens`](crate::state::tokens).

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::state::{clients::OAuthClient, users::User};

/// State of the authorization server besides tokens.
#[derive(Debug, Default)]
pub(crate) struct OAuthServer {
    clients: HashMap<String, Arc<OAuthClient>>,
    pub(crate) codes: HashMap<String, Code>,
    pub(crate) device_codes: HashMap<String, DeviceCode>,
    pub(crate) consent: Consent,
    /// Start of the current minute and token requests in it, per client id.
    windows: HashMap<String, (Instant, u32)>,
}

/// What the user at the authorize page does.
#[derive(Debug, Default)]
pub(crate) struct Consent {
    /// Who signs in; `None` means the default user.
    pub(crate) user: Option<Arc<User>>,
    /// The error with which they refuse.
    pub(crate) refusal: Option<String>,
}

/// An authorization code.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) user: Arc<User>,
    /// Challenge and whether it is S256.
    pub(crate) challenge: Option<(String, bool)>,
    pub(crate) expires: Instant,
    /// Used codes are kept until they expire, to detect a replay.
    pub(crate) used: bool,
    /// Tokens issued for it; a replay revokes them.
    pub(crate) issued: Vec<String>,
}

/// A device code that waits for the user's decision.
#[derive(Debug)]
pub(crate) struct DeviceCode {
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) user_code: String,
    pub(crate) expires: Instant,
    pub(crate) forget_at: Instant,
    pub(crate) last_poll: Option<Instant>,
    pub(crate) decision: Decision,
}

/// The state of a device code.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    Pending,
    Approved(Arc<User>),
    Denied,
}

impl OAuthServer {
    /// Starts with one confidential client, see [`OAuthClient::sandbox_default`].
    pub(crate) fn new() -> Self {
        let mut server = Self::default();
        server.add_client(OAuthClient::sandbox_default());
        server
    }

    /// Adds a client, or replaces the one with the same id.
    pub(crate) fn add_client(&mut self, client: OAuthClient) {
        self.clients.insert(client.id.clone(), Arc::new(client));
    }

    pub(crate) fn client(&self, id: &str) -> Option<Arc<OAuthClient>> {
        self.clients.get(id).cloned()
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &Arc<OAuthClient>> {
        self.clients.values()
    }

    /// Counts a token request; `Err` is how long to wait when there were too many.
    pub(crate) fn count_request(
        &mut self,
        client_id: &str,
        per_minute: u32,
    ) -> Result<(), Duration> {
        const MINUTE: Duration = Duration::from_mins(1);
        let now = Instant::now();
        let (start, count) = self.windows.entry(client_id.to_owned()).or_insert((now, 0));
        if now.duration_since(*start) >= MINUTE {
            (*start, *count) = (now, 0);
        }
        *count += 1;
        if *count > per_minute { Err(*start + MINUTE - now) } else { Ok(()) }
    }

    /// Drops expired codes.
    pub(crate) fn prune(&mut self, now: Instant) {
        self.codes.retain(|_, code| now < code.expires);
        // An expired device code is still reported as expired; it is dropped later.
        self.device_codes.retain(|_, code| now < code.forget_at);
    }
}
