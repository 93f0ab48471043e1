//! The device grant: one device shows a code, the user confirms it on another.

use std::time::Duration;

use http::{StatusCode, header::CACHE_CONTROL};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    form::{Form, authenticate, error},
    token::grant,
};
use crate::{
    exchange::{call::Call, reply::Reply},
    seconds,
    state::{
        oauth::{Decision, DeviceCode},
        tokens::Tokens,
    },
};

/// The grant type of the polling request.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Letters of user codes: no vowels, so that they form no words.
const USER_CODE_LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

/// How long an expired code is reported as expired, before it is unknown.
const REMEMBERED: Duration = Duration::from_mins(5);

/// `POST /v1/device/authorize`: no client authentication.
pub(crate) async fn authorize(call: Call) -> Result<Reply, Reply> {
    let form = Form::of(&call)?;
    let client_id = form.require("client_id")?;
    let Some(client) = call.world.oauth.lock().client(client_id) else {
        return Err(error("invalid_client", "Unknown client_id."));
    };
    let scopes = form.scopes();
    if scopes.is_empty() || !client.may_use(&scopes) {
        return Err(error("invalid_scope", "A scope is unknown or not granted to this client."));
    }
    let policy = call.world.policies.read().oauth.clone();
    let now = Instant::now();
    let expires = seconds::after(now, policy.device_code_lifetime);
    let user_code: String =
        (0..8).map(|_| char::from(USER_CODE_LETTERS[fastrand::usize(..20)])).collect();
    let device_code = Tokens::mint(&Uuid::new_v4().to_string());
    let page = call.base.named("idbroker", "verify");
    let answer = json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?userCode={user_code}"),
        "expires_in": policy.device_code_lifetime.as_secs(),
        "interval": policy.device_poll_interval.as_secs(),
    });
    let mut oauth = call.world.oauth.lock();
    oauth.prune(now);
    let code = DeviceCode {
        client_id: client_id.to_owned(),
        scopes,
        user_code,
        expires,
        forget_at: expires + REMEMBERED,
        last_poll: None,
        decision: Decision::Pending,
    };
    oauth.device_codes.insert(device_code, code);
    Ok(Reply::json(answer).header(CACHE_CONTROL, "no-store"))
}

/// `POST /v1/device/token`: polling, with client authentication.
pub(crate) async fn token(call: Call) -> Result<Reply, Reply> {
    let form = Form::of(&call)?;
    if form.require("grant_type")? != GRANT {
        return Err(error("unsupported_grant_type", "Unknown grant_type."));
    }
    let client = authenticate(&call, &form)?.confidential()?;
    let text = form.require("device_code")?;
    let interval = call.world.policies.read().oauth.device_poll_interval;
    let now = Instant::now();
    let (user, scopes) = {
        let mut oauth = call.world.oauth.lock();
        let Some(code) = oauth.device_codes.get_mut(text).filter(|c| c.client_id == client.id)
        else {
            return Err(problem(StatusCode::BAD_REQUEST, "invalid_grant"));
        };
        if now >= code.expires {
            return Err(problem(StatusCode::BAD_REQUEST, "expired_token"));
        }
        let too_soon = code.last_poll.is_some_and(|last| now.duration_since(last) < interval);
        code.last_poll = Some(now);
        match code.decision.clone() {
            Decision::Denied => return Err(problem(StatusCode::BAD_REQUEST, "access_denied")),
            Decision::Pending if too_soon => {
                return Err(problem(StatusCode::BAD_REQUEST, "slow_down"));
            }
            Decision::Pending => {
                return Err(problem(StatusCode::PRECONDITION_REQUIRED, "authorization_pending"));
            }
            Decision::Approved(user) => {
                let scopes = std::mem::take(&mut code.scopes);
                oauth.device_codes.remove(text);
                (user, scopes)
            }
        }
    };
    Ok(grant(&call.world, &client, &user, &scopes).0)
}

/// `GET /verify?userCode=…`: opening the complete verification URI confirms the code for the user
/// who is currently signing in.
pub(crate) async fn verify(call: Call) -> Result<Reply, Reply> {
    let user = {
        let oauth = call.world.oauth.lock();
        let consent = &oauth.consent;
        let user = consent.user.clone().unwrap_or_else(|| call.world.default_user.clone());
        consent.refusal.is_none().then_some(user)
    };
    let user_code = call.query("userCode").unwrap_or_default();
    if call.world.decide_device(&user_code, user) {
        Ok(Reply::json(json!({"message": "You can go back to your device."})))
    } else {
        Err(Reply::not_found("The code"))
    }
}

/// An error of the device grant: the code is both message and description.
fn problem(status: StatusCode, code: &str) -> Reply {
    Reply::error(status, code).header(CACHE_CONTROL, "no-store")
}
