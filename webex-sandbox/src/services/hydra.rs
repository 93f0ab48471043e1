//! The user's own records: person, meeting preferences, conversation user.

use std::sync::Arc;

use axum::Router;
use serde_json::json;

use crate::{
    exchange::{
        call::Call,
        reply::Reply,
        route::{GET, route},
    },
    operation::{Conversation, Hydra},
    state::users::UserKind,
    world::World,
};

/// The paths of the service.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/v1/people/me", route(GET, Hydra::me(), me))
        .route(
            "/v1/meetingPreferences",
            route(GET, Hydra::meeting_preferences(), meeting_preferences),
        )
        .route("/conversation/api/v1/users", route(GET, Conversation::user(), conversation_user))
}

/// `GET /v1/people/me`.
pub(crate) async fn me(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let kind = match user.kind {
        UserKind::Person => "person",
        UserKind::AppUser => "appuser",
    };
    Ok(Reply::json(json!({
        "id": user.id,
        "emails": [user.email],
        "displayName": user.display_name,
        "orgId": user.org_id,
        "type": kind,
        "phoneNumbers": [{"type": "work", "value": user.phone_number}],
        "sipAddresses": [{"type": "cloud-calling", "value": user.sip_address, "primary": true}],
        "extension": user.extension,
        "status": "active",
        "created": "2025-01-01T00:00:00.000Z",
    })))
}

/// `GET /v1/meetingPreferences`.
pub(crate) async fn meeting_preferences(call: Call) -> Result<Reply, Reply> {
    let site = &call.user()?.site;
    Ok(Reply::json(json!({"sites": [{"siteUrl": site, "default": true}]})))
}

/// `GET …/conversation/api/v1/users`.
pub(crate) async fn conversation_user(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    Ok(Reply::json(json!({
        "id": user.id,
        "orgId": user.org_id,
        "email": user.email,
        "displayName": user.display_name,
        "userPreferences": {"userPreferencesItems": {"preferredWebExSite": user.site}},
    })))
}
