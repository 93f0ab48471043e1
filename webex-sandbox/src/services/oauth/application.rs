//! Tokens of a service app, issued by an administrator.

use http::{StatusCode, header::CACHE_CONTROL};
use serde_json::Value;

use super::token::grant;
use crate::exchange::{call::Call, reply::Reply};

/// `POST /v1/applications/{id}/token` with an administrator's token. Every user of the sandbox is
/// an administrator.
///
/// `id` is the client id of the app. The tokens are those of the caller, with all scopes of the app.
pub(crate) async fn token(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let body = call.object()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let (Some(id), Some(secret), Some(org)) =
        (text("clientId"), text("clientSecret"), text("targetOrgId"))
    else {
        return Err(Reply::bad_request("clientId, clientSecret and targetOrgId are wanted."));
    };
    let client = call.world.oauth.lock().client(id);
    let client = client.filter(|client| client.id == call.param("id"));
    let Some(client) = client.filter(|client| client.secret.as_deref() == Some(secret)) else {
        return Err(Reply::error(StatusCode::BAD_REQUEST, "invalid_client"));
    };
    if org != user.org_id {
        return Err(Reply::error(StatusCode::FORBIDDEN, "The organization did not authorize it."));
    }
    let (reply, _) = grant(&call.world, &client, user, &client.scopes);
    Ok(reply.header(CACHE_CONTROL, "no-store"))
}
