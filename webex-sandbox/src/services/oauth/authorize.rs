//! The authorization endpoint, which the user's browser opens.
//!
//! No page is shown: the sandbox's user consents at once, or refuses when configured to.

use http::{
    StatusCode,
    header::{CACHE_CONTROL, LOCATION},
};
use tokio::time::Instant;
use url::Url;

use super::{
    form::{Form, error, scopes},
    token::issue,
};
use crate::{
    exchange::{call::Call, reply::Reply},
    seconds,
    state::{clients::OAuthClient, oauth::Code, tokens::Tokens},
};

/// Longest plain challenge of Meetings integrations.
const SITE_CHALLENGE_LIMIT: usize = 10;

/// `GET …/authorize`.
pub(crate) async fn authorize(call: Call) -> Result<Reply, Reply> {
    let query = url::form_urlencoded::parse(call.raw_query().as_bytes());
    let form = Form::new(query.map(|(k, v)| (k.into_owned(), v.into_owned())).collect())?;

    // Nothing is redirected before the redirect URI is known to belong to the client.
    let client_id = form.require("client_id")?;
    let Some(client) = call.world.oauth.lock().client(client_id) else {
        return Err(error("invalid_client", "Unknown client_id."));
    };
    let redirect_uri = form.require("redirect_uri")?;
    if !client.redirect_uris.iter().any(|known| known == redirect_uri) {
        return Err(error("invalid_request", "redirect_uri is not registered for this client."));
    }
    let Ok(target) = Url::parse(redirect_uri) else {
        return Err(error("invalid_request", "redirect_uri is not a URL."));
    };
    let state = form.get("state");
    match decide(&call, &form, &client, redirect_uri) {
        Ok(mut fields) => {
            let is_fragment = form.get("response_type") == Some("token");
            fields.extend(state.map(|state| ("state", state.to_owned())));
            Ok(redirect(target, &fields, is_fragment))
        }
        Err((code, description)) => {
            let mut fields = vec![("error", code), ("error_description", description.to_owned())];
            fields.extend(state.map(|state| ("state", state.to_owned())));
            Ok(redirect(target, &fields, false))
        }
    }
}

type Fields = Vec<(&'static str, String)>;

/// Returns what to redirect with: a code (or token), or an error.
fn decide(
    call: &Call,
    form: &Form,
    client: &OAuthClient,
    redirect_uri: &str,
) -> Result<Fields, (String, &'static str)> {
    let refuse = |code: &str, description| Err((code.to_owned(), description));
    let policy = call.world.policies.read().oauth.clone();
    let response_type = form.get("response_type");
    match response_type {
        Some("code") => {}
        // The implicit flow of old browser clients, without a secret.
        Some("token") if client.secret.is_none() => {}
        Some("token") => return refuse("unauthorized_client", "This client must use codes."),
        Some(_) => return refuse("unsupported_response_type", "response_type must be code."),
        None => return refuse("invalid_request", "response_type is missing."),
    }
    let scopes = scopes(form.get("scope").unwrap_or_default());
    if scopes.is_empty() || !client.may_use(&scopes) {
        return refuse("invalid_scope", "A scope is unknown or not granted to this client.");
    }
    let challenge = challenge(form, client)?;
    let must_use_pkce = policy.require_pkce || client.secret.is_none();
    if challenge.is_none() && must_use_pkce && response_type == Some("code") {
        return refuse("invalid_request", "code_challenge is missing.");
    }

    let (user, refusal) = {
        let oauth = call.world.oauth.lock();
        (oauth.consent.user.clone(), oauth.consent.refusal.clone())
    };
    if let Some(code) = refusal {
        return Err((code, "The user refused."));
    }
    let user = match form.get("login_hint") {
        Some(email) => match call.world.users.lock().by_email(email) {
            Some(user) => user,
            None => return refuse("access_denied", "Nobody of this login_hint can sign in."),
        },
        None => user.unwrap_or_else(|| call.world.default_user.clone()),
    };

    if response_type == Some("token") {
        let issued = issue(&call.world, client, Some(&user), scopes, None);
        return Ok(vec![
            ("access_token", issued.access),
            ("token_type", "Bearer".to_owned()),
            ("expires_in", issued.access_lifetime.as_secs().to_string()),
        ]);
    }
    let text = Tokens::mint(&user.org_id);
    let now = Instant::now();
    let code = Code {
        client_id: client.id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        scopes,
        user,
        challenge,
        expires: seconds::after(now, policy.code_lifetime),
        used: false,
        issued: Vec::new(),
    };
    let mut oauth = call.world.oauth.lock();
    oauth.prune(now);
    oauth.codes.insert(text.clone(), code);
    Ok(vec![("code", text)])
}

/// Returns the PKCE challenge and whether it is S256.
fn challenge(
    form: &Form,
    client: &OAuthClient,
) -> Result<Option<(String, bool)>, (String, &'static str)> {
    let refuse = |description| Err(("invalid_request".to_owned(), description));
    let Some(challenge) = form.get("code_challenge") else {
        return match form.get("code_challenge_method") {
            Some(_) => refuse("code_challenge_method without code_challenge."),
            None => Ok(None),
        };
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    match form.get("code_challenge_method") {
        Some("S256") if challenge.len() == 43 && challenge.chars().all(allowed) => {
            Ok(Some((challenge.to_owned(), true)))
        }
        Some("S256") => refuse("An S256 challenge has 43 base64url characters."),
        // RFC 7636: a missing method means plain.
        Some("plain") | None => {
            let fits = if client.meetings_site.is_some() {
                challenge.len() <= SITE_CHALLENGE_LIMIT
            } else {
                (43..=128).contains(&challenge.len())
            };
            if fits && challenge.chars().all(allowed) {
                Ok(Some((challenge.to_owned(), false)))
            } else {
                refuse("The challenge is too short, too long or has other characters.")
            }
        }
        Some(_) => refuse("Unknown code_challenge_method."),
    }
}

fn redirect(mut target: Url, fields: &[(&'static str, String)], as_fragment: bool) -> Reply {
    if as_fragment {
        let fragment =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        target.set_fragment(Some(&fragment));
    } else {
        target.query_pairs_mut().extend_pairs(fields);
    }
    Reply::status(StatusCode::FOUND)
        .header(LOCATION, target.as_str())
        .header(CACHE_CONTROL, "no-store")
}
