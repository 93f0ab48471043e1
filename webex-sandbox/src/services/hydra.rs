//! The user's own records: person, meeting preferences, conversation user.

use serde_json::json;

use crate::conduct::Call;
use crate::reply::Reply;
use crate::state::users::UserKind;

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
