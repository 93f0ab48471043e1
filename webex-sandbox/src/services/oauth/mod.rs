//! The authorization server, as strict as RFC 6749 requires.
//!
//! ```text
//! authorize ──code──► token ──access, refresh──► services
//!    ▲                  ▲ refresh, client credentials, scope reduction
//! consent           device codes, guests
//! ```
//!
//! It has two sets of endpoints, as Webex has: the public one (`/v1/authorize`, `/v1/access_token`)
//! and the identity broker's (`/idb/oauth2/v1/…`); a third (`/v1/oauth2/…`) is for Meetings
//! integrations. Its state is an [`OAuthServer`](crate::state::oauth::OAuthServer); issued tokens
//! are in `state::tokens`.

mod application;
mod authorize;
mod device;
mod form;
mod guest;
mod meetings;
mod token;

use std::sync::Arc;

use axum::Router;

use crate::{
    exchange::route::{GET, POST, route},
    operation::OAuth,
    world::World,
};

/// The routes of all three sets.
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
