//! The authorization server, as strict as RFC 6749 asks.
//!
//! ```text
//! authorize ──code──► token ──access, refresh──► services
//!    ▲                  ▲ refresh, client credentials, scope reduction
//! consent           device codes, guests
//! ```
//!
//! Two front doors lead to it, as at Webex: the public one (`/v1/authorize`, `/v1/access_token`) and the
//! identity broker's (`/idb/oauth2/v1/…`); a third (`/v1/oauth2/…`) is for Meetings integrations.
//! What it knows is an [`OAuthServer`]; issued tokens live in `state::tokens`.

mod application;
mod authorize;
mod clients;
mod device;
mod form;
mod guest;
mod token;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::MethodFilter;
use tokio::time::Instant;

use crate::operation::OAuth;
use crate::router::route;
use crate::state::World;
use crate::state::users::User;

pub use clients::OAuthClient;
pub(crate) use device::DeviceCode;

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;

/// The routes of all front doors.
pub(crate) fn routes() -> Router<Arc<World>> {
    let authorize = route(GET, OAuth::authorize(), authorize::authorize);
    let token = route(POST, OAuth::token(), token::token);
    Router::new()
        .route("/v1/authorize", authorize.clone())
        .route("/v1/access_token", token.clone())
        .route("/idb/oauth2/v1/authorize", authorize.clone())
        .route("/idb/oauth2/v1/access_token", token.clone())
        .route("/v1/oauth2/authorize", authorize)
        .route("/v1/oauth2/token", token)
        .route("/idb/oauth2/v1/revoke", route(POST, OAuth::revoke(), token::revoke))
        .route(
            "/idb/oauth2/v1/logout",
            route(POST, OAuth::logout(), token::logout).merge(route(
                GET,
                OAuth::logout(),
                token::browser_logout,
            )),
        )
        .route("/v1/device/authorize", route(POST, OAuth::device_authorize(), device::authorize))
        .route("/v1/device/token", route(POST, OAuth::device_token(), device::token))
        .route("/verify", route(GET, OAuth::authorize(), device::verify))
        .route("/v1/guests/token", route(POST, OAuth::guest_token(), guest::token))
        .route(
            "/v1/applications/{id}/token",
            route(POST, OAuth::application_token(), application::token),
        )
        .route("/v1/jwt/login", route(POST, OAuth::jwt_login(), guest::jwt_login))
}

/// What the authorization server remembers besides tokens.
#[derive(Debug, Default)]
pub(crate) struct OAuthServer {
    clients: HashMap<String, Arc<OAuthClient>>,
    codes: HashMap<String, Code>,
    device_codes: HashMap<String, DeviceCode>,
    pub(crate) consent: Consent,
    /// Start of the current minute and token requests in it, per client id.
    windows: HashMap<String, (Instant, u32)>,
}

/// What the person in front of the browser does.
#[derive(Debug, Default)]
pub(crate) struct Consent {
    /// Who signs in; `None` for the default user.
    pub(crate) user: Option<Arc<User>>,
    /// The error with which they refuse.
    pub(crate) refusal: Option<String>,
}

/// An authorization code.
#[derive(Clone, Debug)]
struct Code {
    client_id: String,
    redirect_uri: String,
    scopes: Vec<String>,
    user: Arc<User>,
    /// Challenge and whether it is S256.
    challenge: Option<(String, bool)>,
    expires: Instant,
    /// Used codes are kept for their life, to notice a replay.
    used: bool,
    /// Tokens issued for it; a replay revokes them.
    issued: Vec<String>,
}

impl OAuthServer {
    /// With one confidential client, see [`OAuthClient::sandbox_default`].
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

    /// Counts a token request; `Err` says how long to wait when there were too many.
    fn count_request(&mut self, client_id: &str, per_minute: u32) -> Result<(), Duration> {
        const MINUTE: Duration = Duration::from_mins(1);
        let now = Instant::now();
        let (start, count) = self.windows.entry(client_id.to_owned()).or_insert((now, 0));
        if now.duration_since(*start) >= MINUTE {
            (*start, *count) = (now, 0);
        }
        *count += 1;
        if *count > per_minute { Err(*start + MINUTE - now) } else { Ok(()) }
    }

    /// Forgets codes whose time is up.
    fn prune(&mut self, now: Instant) {
        self.codes.retain(|_, code| now < code.expires);
        // An expired device code still has to be told so; it is forgotten later.
        self.device_codes.retain(|_, code| now < code.forget_at);
    }
}
