//! Guests: tokens from a service app, and JWTs from a guest issuer.

use std::{sync::Arc, time::Duration};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use http::{StatusCode, header::AUTHORIZATION};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use tokio::time::Instant;

use super::token::issue;
use crate::{
    exchange::{call::Call, reply::Reply},
    state::{
        clients::OAuthClient,
        users::{NewUser, User},
    },
    world::World,
};

/// Scope that a service app needs to create guests.
const GUEST_SCOPE: &str = "guest-issuer:write";
/// Lifetime of a guest's token, as in the public examples.
const GUEST_LIFETIME: Duration = Duration::from_secs(21_599);
/// Scopes of a guest's token.
const GUEST_SCOPES: [&str; 2] = ["spark:all", "spark:kms"];

/// `POST /v1/guests/token` with a service app's token.
pub(crate) async fn token(call: Call) -> Result<Reply, Reply> {
    let sent = call.token.clone().unwrap_or_default();
    let access = call.world.tokens.lock().access(&sent, Instant::now()).cloned();
    let access = access.ok_or_else(Reply::unauthorized)?;
    if !access.scopes.iter().any(|scope| scope == GUEST_SCOPE) {
        return Err(Reply::error(StatusCode::FORBIDDEN, "The token lacks a scope."));
    }
    let body = call.object()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let (Some(subject), Some(name)) = (text("subject"), text("displayName")) else {
        return Err(Reply::bad_request("subject and displayName are wanted."));
    };
    let client = access.client_id.and_then(|id| call.world.oauth.lock().client(&id));
    let client = client.ok_or_else(Reply::unauthorized)?;
    let access_token = guest_token(&call.world, &client, subject, name);
    Ok(Reply::json(json!({
        "accessToken": access_token,
        "expiresIn": GUEST_LIFETIME.as_secs(),
    })))
}

/// `POST /v1/jwt/login`: the raw JWT in `authorization`, without a token type.
pub(crate) async fn jwt_login(call: Call) -> Result<Reply, Reply> {
    let jwt = call.header(&AUTHORIZATION).unwrap_or_default();
    let (client, claims) = verified(&call.world, jwt).ok_or_else(Reply::unauthorized)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let subject = text("sub").ok_or_else(Reply::unauthorized)?;
    let token = guest_token(&call.world, &client, subject, text("name").unwrap_or("Guest"));
    Ok(Reply::json(json!({"token": token, "expiresIn": GUEST_LIFETIME.as_secs()})))
}

/// Returns a token for the guest of this issuer and subject. A new guest is added.
fn guest_token(world: &World, client: &OAuthClient, subject: &str, name: &str) -> String {
    let email = format!("{subject}@{}.guest.sandbox.example", client.id);
    let known = world.users.lock().by_email(&email);
    let user: Arc<User> = known.unwrap_or_else(|| {
        let mut guest = NewUser::from(email.as_str()).guest();
        guest.display_name = Some(name.to_owned());
        world.add_user(guest)
    });
    let scopes = GUEST_SCOPES.map(str::to_owned).into();
    issue(world, client, Some(&user), scopes, Some(GUEST_LIFETIME)).access
}

/// Returns issuer and claims of a JWT with a valid signature (HS256) and valid times.
fn verified(world: &World, jwt: &str) -> Option<(Arc<OAuthClient>, Map<String, Value>)> {
    let (signed, signature) = jwt.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let object = |part: &str| -> Option<Map<String, Value>> {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    if object(header)?.get("alg")?.as_str()? != "HS256" {
        return None;
    }
    let claims = object(payload)?;
    let client = world.oauth.lock().client(claims.get("iss")?.as_str()?)?;
    let secret = BASE64_STANDARD.decode(client.guest_secret.as_ref()?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).ok()?;
    mac.update(signed.as_bytes());
    mac.verify_slice(&BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    // `exp` is a number; some issuers write it as text.
    let expires = match claims.get("exp")? {
        Value::String(text) => text.parse().ok()?,
        value => value.as_i64()?,
    };
    (Timestamp::now().as_second() < expires).then_some((client, claims))
}
