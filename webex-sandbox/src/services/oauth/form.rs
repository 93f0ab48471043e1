//! Form parameters, client authentication, and the errors of the token endpoint.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;

use crate::{
    exchange::{call::Call, reply::Reply},
    state::clients::OAuthClient,
};

/// Parameters, each of which occurs at most once.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// The form in the body of a call.
    pub(super) fn of(call: &Call) -> Result<Self, Reply> {
        let content_type = call.header(&CONTENT_TYPE).unwrap_or_default();
        if !content_type.starts_with("application/x-www-form-urlencoded") {
            return Err(error("invalid_request", "The parameters must be sent as a form."));
        }
        Self::new(call.form())
    }

    pub(super) fn new(fields: Vec<(String, String)>) -> Result<Self, Reply> {
        let repeated = fields
            .iter()
            .enumerate()
            .any(|(at, (name, _))| fields[..at].iter().any(|(other, _)| other == name));
        if repeated {
            return Err(error("invalid_request", "A parameter is repeated."));
        }
        Ok(Self(fields))
    }

    /// A parameter; an empty one counts as missing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn require(&self, name: &str) -> Result<&str, Reply> {
        self.get(name).ok_or_else(|| error("invalid_request", &format!("{name} is missing.")))
    }

    /// The `scope` parameter as a list; empty when it is missing.
    pub(super) fn scopes(&self) -> Vec<String> {
        scopes(self.get("scope").unwrap_or_default())
    }
}

/// Splits a scope parameter.
pub(super) fn scopes(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// An error of the token endpoint: 400 with `error`.
pub(super) fn error(code: &str, description: &str) -> Reply {
    Reply::json(json!({"error": code, "error_description": description}))
        .with_status(StatusCode::BAD_REQUEST)
        .header(CACHE_CONTROL, "no-store")
}

/// A client and how it authenticated.
pub(super) struct Authenticated {
    pub(super) client: Arc<OAuthClient>,
    /// Whether it sent its secret, and not only its id.
    pub(super) with_secret: bool,
}

/// Finds the client of a request by HTTP Basic or form fields, and counts the request.
///
/// A secret that is sent must be right. Whether one is needed depends on the grant.
pub(super) fn authenticate(call: &Call, form: &Form) -> Result<Authenticated, Reply> {
    let basic = basic_credentials(call)?;
    let uses_basic = basic.is_some();
    let refused = || {
        let reply = error("invalid_client", "Unknown client or wrong secret.");
        if uses_basic {
            reply.with_status(StatusCode::UNAUTHORIZED).header(WWW_AUTHENTICATE, "Basic")
        } else {
            reply
        }
    };
    if basic.is_some() && form.get("client_secret").is_some() {
        return Err(error("invalid_request", "Two ways of client authentication."));
    }
    let (id, secrets) = match &basic {
        Some(candidates) => (candidates[0].0.clone(), Some(candidates)),
        None => (form.require("client_id")?.to_owned(), None),
    };
    let mut oauth = call.world.oauth.lock();
    // RFC 6749 wants Basic credentials form-encoded, and many clients send them raw; both are accepted.
    let client = match secrets {
        Some(candidates) => candidates.iter().find_map(|(id, _)| oauth.client(id)),
        None => oauth.client(&id),
    }
    .ok_or_else(refused)?;
    let given: Vec<&str> = match &basic {
        Some(candidates) => candidates.iter().map(|(_, secret)| secret.as_str()).collect(),
        None => form.get("client_secret").into_iter().collect(),
    };
    let with_secret = match &client.secret {
        Some(secret) if given.contains(&secret.as_str()) => true,
        Some(_) if given.is_empty() => false,
        // A public client sends its id with an empty password, if it uses Basic at all.
        None if given.iter().all(|secret| secret.is_empty()) => false,
        _ => return Err(refused()),
    };
    let per_minute = call.world.policies.read().oauth.token_requests_per_minute;
    if let Some(per_minute) = per_minute
        && let Err(wait) = oauth.count_request(&client.id, per_minute)
    {
        let seconds = wait.as_secs() + 1;
        return Err(Reply::error(StatusCode::TOO_MANY_REQUESTS, "Too many token requests.")
            .header(RETRY_AFTER, &seconds.to_string()));
    }
    Ok(Authenticated { client, with_secret })
}

impl Authenticated {
    /// The client, if it sent its secret or has none.
    pub(super) fn or_public(self) -> Result<Arc<OAuthClient>, Reply> {
        if self.with_secret || self.client.secret.is_none() {
            Ok(self.client)
        } else {
            Err(error("invalid_client", "client_secret is missing."))
        }
    }

    /// The client, if it sent its secret.
    pub(super) fn confidential(self) -> Result<Arc<OAuthClient>, Reply> {
        if self.with_secret {
            Ok(self.client)
        } else if self.client.secret.is_some() {
            Err(error("invalid_client", "client_secret is missing."))
        } else {
            Err(error("unauthorized_client", "This grant is for confidential clients."))
        }
    }
}

/// Id and secret of HTTP Basic, raw and decoded.
fn basic_credentials(call: &Call) -> Result<Option<Vec<(String, String)>>, Reply> {
    let Some((scheme, encoded)) =
        call.header(&AUTHORIZATION).and_then(|value| value.split_once(' '))
    else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = text.as_deref().and_then(|text| text.split_once(':'));
    let Some((id, secret)) = pair else {
        return Err(error("invalid_request", "Malformed Basic credentials."));
    };
    let form_decoded = |text: &str| {
        url::form_urlencoded::parse(format!("v={}", text.replace('&', "%26")).as_bytes())
            .next()
            .map_or_else(String::new, |(_, value)| value.into_owned())
    };
    Ok(Some(vec![(id.to_owned(), secret.to_owned()), (form_decoded(id), form_decoded(secret))]))
}
