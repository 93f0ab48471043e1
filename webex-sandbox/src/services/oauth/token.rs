//! The token endpoint with its grants, revocation, and logout.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, LOCATION},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{
    form::{Authenticated, Form, authenticate, error},
    meetings,
};
use crate::{
    exchange::{call::Call, reply::Reply},
    seconds,
    state::{
        clients::OAuthClient,
        mutations::Mutation,
        tokens::{Access, Refresh, Tokens},
        users::User,
    },
    world::{Change, World},
};

/// Scope of client credentials when the request names none.
const DEFAULT_CLIENT_SCOPE: &str = "webexsquare:admin";

/// `POST …/access_token`.
pub(crate) async fn token(call: Call) -> Result<Reply, Reply> {
    let form = Form::of(&call)?;
    match form.require("grant_type")? {
        "authorization_code" => by_code(&call, &form),
        "refresh_token" => by_refresh_token(&call, &form),
        "client_credentials" => by_client(&call, &form),
        "urn:cisco:oauth:grant-type:scope-reduction" => reduced(&call, &form),
        _ => Err(error("unsupported_grant_type", "Unknown grant_type.")),
    }
}

/// `POST …/revoke`: answers 200 for unknown tokens too, as RFC 7009 requires.
pub(crate) async fn revoke(call: Call) -> Result<Reply, Reply> {
    let form = Form::of(&call)?;
    let client = authenticate(&call, &form)?.or_public()?;
    let token = form.require("token")?;
    let belongs = call.world.tokens.lock().client_of(token).is_none_or(|id| id == client.id);
    if belongs {
        end(&call.world, token);
    }
    Ok(Reply::status(StatusCode::OK))
}

/// `POST …/logout` with `{token, cisService}`.
pub(crate) async fn logout(call: Call) -> Result<Reply, Reply> {
    let body = call.object()?;
    let token = body.get("token").and_then(Value::as_str);
    end(&call.world, token.ok_or_else(|| Reply::bad_request("token is missing."))?);
    Ok(Reply::status(StatusCode::NO_CONTENT))
}

/// `GET …/logout`: revokes the token and redirects to a registered URI.
pub(crate) async fn browser_logout(call: Call) -> Result<Reply, Reply> {
    if let Some(token) = call.query("token") {
        end(&call.world, &token);
    }
    let Some(goto) = call.query("goto") else { return Ok(Reply::status(StatusCode::OK)) };
    let is_registered =
        call.world.oauth.lock().clients().any(|client| client.redirect_uris.contains(&goto));
    if !is_registered {
        return Err(Reply::bad_request("goto is not registered."));
    }
    Ok(Reply::status(StatusCode::FOUND).header(LOCATION, &goto))
}

/// A freshly issued access token.
pub(super) struct Issued {
    pub(super) access: String,
    pub(super) access_lifetime: Duration,
}

/// Makes an access token. `lifetime` overrides the client's.
pub(super) fn issue(
    world: &World,
    client: &OAuthClient,
    user: Option<&Arc<User>>,
    scopes: Vec<String>,
    lifetime: Option<Duration>,
) -> Issued {
    let policy = world.policies.read().oauth.clone();
    let access_lifetime = lifetime.unwrap_or_else(|| client.token_lifetimes(&policy).0);
    let org_id = user.map_or(&world.default_user.org_id, |user| &user.org_id);
    let token = Tokens::mint(org_id);
    let access = Access {
        user: user.cloned(),
        client_id: Some(client.id.clone()),
        scopes,
        expires: Some(seconds::after(Instant::now(), access_lifetime)),
    };
    world.tokens.lock().insert_access(token.clone(), access, policy.token_cap);
    world.changed(|| Change::TokensChanged);
    Issued { access: token, access_lifetime }
}

/// Makes access and refresh token for a user, and the answer with them.
pub(super) fn grant(
    world: &World,
    client: &OAuthClient,
    user: &Arc<User>,
    scopes: &[String],
) -> (Reply, Vec<String>) {
    let policy = world.policies.read().oauth.clone();
    let issued = issue(world, client, Some(user), scopes.to_vec(), None);
    let lifetime = client.token_lifetimes(&policy).1;
    let refresh_token = Tokens::mint(&user.org_id);
    let refresh = Refresh {
        user: Arc::clone(user),
        client_id: client.id.clone(),
        scopes: scopes.to_vec(),
        expires: seconds::after(Instant::now(), lifetime),
        access: issued.access.clone(),
    };
    world.tokens.lock().insert_refresh(refresh_token.clone(), refresh);
    let mut body = access_json(&issued, scopes);
    body["refresh_token"] = refresh_token.clone().into();
    body["refresh_token_expires_in"] = lifetime.as_secs().into();
    let reply = finish(world, client, Some(user), body);
    (reply, vec![issued.access, refresh_token])
}

fn by_code(call: &Call, form: &Form) -> Result<Reply, Reply> {
    let authenticated = authenticate(call, form)?;
    let (code_text, redirect_uri) = (form.require("code")?, form.require("redirect_uri")?);
    let verifier = form.get("code_verifier");
    let client = client_for_code(call, authenticated, verifier.is_some())?;

    let now = Instant::now();
    let code = {
        let mut oauth = call.world.oauth.lock();
        let Some(code) = oauth.codes.get_mut(code_text).filter(|code| code.client_id == client.id)
        else {
            return Err(error("invalid_grant", "Unknown code."));
        };
        if code.used {
            let issued = code.issued.clone();
            drop(oauth);
            for token in &issued {
                end(&call.world, token);
            }
            return Err(error("invalid_grant", "The code was used before."));
        }
        // A code allows one attempt, whatever the outcome.
        code.used = true;
        code.clone()
    };
    if now >= code.expires {
        return Err(error("invalid_grant", "The code has expired."));
    }
    if code.redirect_uri != redirect_uri {
        return Err(error("invalid_grant", "redirect_uri is not the one of the authorization."));
    }
    if !call.world.mutations.has(Mutation::AcceptAnyVerifier) {
        check_verifier(code.challenge.as_ref(), verifier)?;
    }
    let (reply, issued) = grant(&call.world, &client, &code.user, &code.scopes);
    if let Some(code) = call.world.oauth.lock().codes.get_mut(code_text) {
        code.issued = issued;
    }
    Ok(reply)
}

/// Whether the client may exchange a code without its secret.
fn client_for_code(
    call: &Call,
    authenticated: Authenticated,
    has_verifier: bool,
) -> Result<Arc<OAuthClient>, Reply> {
    if has_verifier && call.world.policies.read().oauth.secret_optional_with_pkce {
        return Ok(authenticated.client);
    }
    authenticated.or_public()
}

/// Checks the verifier against the challenge of the authorization and its method (S256 or plain).
fn check_verifier(challenge: Option<&(String, bool)>, verifier: Option<&str>) -> Result<(), Reply> {
    let fits = match (challenge, verifier) {
        (None, None) => true,
        (None, Some(_)) => {
            return Err(error("invalid_grant", "The authorization had no code_challenge."));
        }
        (Some(_), None) => false,
        (Some((challenge, true)), Some(verifier)) => {
            BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) == *challenge
        }
        (Some((challenge, false)), Some(verifier)) => verifier == challenge,
    };
    if fits { Ok(()) } else { Err(error("invalid_grant", "code_verifier does not fit.")) }
}

fn by_refresh_token(call: &Call, form: &Form) -> Result<Reply, Reply> {
    let client = authenticate(call, form)?.or_public()?;
    let sent = form.require("refresh_token")?;
    let refresh_token = match &client.meetings_site {
        None => sent,
        Some(site) => match sent.strip_prefix(&format!("{site}_")) {
            Some(token) => token,
            None => return Err(error("invalid_grant", "The site name is missing in front.")),
        },
    };
    let world = &call.world;
    let known = world.tokens.lock().refresh(refresh_token, Instant::now()).cloned();
    let Some(known) = known.filter(|known| known.client_id == client.id) else {
        return Err(error("invalid_grant", "The refresh token is unknown, expired or revoked."));
    };
    let asked = form.scopes();
    if !asked.iter().all(|scope| known.scopes.contains(scope)) {
        return Err(error("invalid_scope", "A scope was not granted before."));
    }
    let scopes = if asked.is_empty() { known.scopes.clone() } else { asked };
    let policy = world.policies.read().oauth.clone();
    let lifetime = client.token_lifetimes(&policy).1;

    let is_live = world.tokens.lock().access(&known.access, Instant::now()).is_some();
    let issued = if policy.return_same_access_token && is_live {
        let access_lifetime = client.token_lifetimes(&policy).0;
        Issued { access: known.access.clone(), access_lifetime }
    } else {
        issue(world, &client, Some(&known.user), scopes.clone(), None)
    };
    let mut body = access_json(&issued, &scopes);
    let returned = if policy.rotate_refresh_tokens {
        let next = Tokens::mint(&known.user.org_id);
        let expires = seconds::after(Instant::now(), lifetime);
        let refresh = Refresh { access: issued.access.clone(), expires, ..known.clone() };
        let mut tokens = world.tokens.lock();
        tokens.revoke(refresh_token);
        tokens.insert_refresh(next.clone(), refresh);
        next
    } else {
        // A refresh token that is used lives on.
        if let Some(refresh) = world.tokens.lock().refresh_mut(refresh_token) {
            refresh.expires = seconds::after(Instant::now(), lifetime);
            refresh.access.clone_from(&issued.access);
        }
        refresh_token.to_owned()
    };
    if policy.return_refresh_token || policy.rotate_refresh_tokens {
        body["refresh_token"] = returned.into();
        body["refresh_token_expires_in"] = lifetime.as_secs().into();
    }
    Ok(finish(world, &client, Some(&known.user), body))
}

fn by_client(call: &Call, form: &Form) -> Result<Reply, Reply> {
    let client = authenticate(call, form)?.confidential()?;
    let mut scopes = form.scopes();
    if scopes.is_empty() {
        scopes = vec![DEFAULT_CLIENT_SCOPE.to_owned()];
    }
    if !client.may_use(&scopes) {
        return Err(error("invalid_scope", "A scope is unknown or not granted to this client."));
    }
    let issued = issue(&call.world, &client, None, scopes.clone(), None);
    Ok(finish(&call.world, &client, None, access_json(&issued, &scopes)))
}

/// Returns a token with fewer scopes in exchange for an access token, without client
/// authentication.
fn reduced(call: &Call, form: &Form) -> Result<Reply, Reply> {
    let client_id = form.require("client_id")?;
    let Some(client) = call.world.oauth.lock().client(client_id) else {
        return Err(error("invalid_client", "Unknown client_id."));
    };
    let token = form.require("token")?;
    let now = Instant::now();
    let known = call.world.tokens.lock().access(token, now).cloned();
    let Some(known) = known else {
        return Err(error("invalid_grant", "The token is unknown, expired or revoked."));
    };
    let scopes = form.scopes();
    if scopes.is_empty() || !scopes.iter().all(|scope| known.scopes.contains(scope)) {
        return Err(error("invalid_scope", "Not a subset of the token's scopes."));
    }
    let left = known.expires.map(|expires| expires - now);
    let issued = issue(&call.world, &client, known.user.as_ref(), scopes.clone(), left);
    let body = access_json(&issued, &scopes);
    Ok(finish(&call.world, &client, known.user.as_ref(), body))
}

fn access_json(issued: &Issued, scopes: &[String]) -> Value {
    json!({
        "access_token": issued.access,
        "token_type": "Bearer",
        "expires_in": issued.access_lifetime.as_secs(),
        "scope": scopes.join(" "),
    })
}

/// Applies what the policy and the kind of client change about an answer.
fn finish(world: &World, client: &OAuthClient, user: Option<&Arc<User>>, mut body: Value) -> Reply {
    if !world.policies.read().oauth.return_expiry
        && let Some(fields) = body.as_object_mut()
    {
        fields.remove("expires_in");
        fields.remove("refresh_token_expires_in");
    }
    if let (Some(site), Some(user)) = (&client.meetings_site, user) {
        meetings::complete(&mut body, site, user, &world.policies.read().oauth.meetings_quirks);
    }
    Reply::json(body).header(CACHE_CONTROL, "no-store")
}

/// Revokes a token; with a refresh token also the access token issued with it.
fn end(world: &World, token: &str) {
    {
        let mut tokens = world.tokens.lock();
        let access = tokens.refresh(token, Instant::now()).map(|refresh| refresh.access.clone());
        tokens.revoke(token);
        if let Some(access) = access {
            tokens.revoke(&access);
        }
    }
    world.changed(|| Change::TokensChanged);
}
