//! Requests to token endpoints and their answers, parsed as leniently as the services require: the
//! token type may be missing or written before the token, and only a bad token makes an answer
//! useless. A code works once, so a discarded answer costs the user a new sign-in.

use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret;
use tracing::debug;
use url::{Host, Url};

use crate::{
    http::{TokenHttp, TokenReply, TokenRequest},
    oauth::{answer::Fields, error::OAuthError},
    token::AccessToken,
    token_set::TokenSet,
};

/// Sends a request and returns the answer of a success.
pub(crate) async fn send(
    http: &dyn TokenHttp,
    request: TokenRequest,
) -> Result<TokenReply, OAuthError> {
    check_private(request.url(), request.allows_plain_http())?;
    debug!(?request, "asking the authorization server");
    let reply = http.send(&request).await.inspect_err(|error| {
        debug!(%error, "the authorization server did not answer");
    })?;
    if (200..300).contains(&reply.status()) {
        debug!(status = reply.status(), "the authorization server granted");
        return Ok(reply);
    }
    let error = OAuthError::from_reply(&request, &reply);
    debug!(%error, "the authorization server did not grant");
    Err(error)
}

/// Refuses an address where others on the network path could read the secrets.
pub(crate) fn check_private(url: &Url, plain_http: bool) -> Result<(), OAuthError> {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || url.scheme() == "http" && (is_here || plain_http) {
        return Ok(());
    }
    Err(OAuthError::PlainHttp(url.host_str().unwrap_or("no host").to_owned()))
}

/// Sends a token request and reads the token answer. The lifetime counts from `sent` at the earliest.
pub(crate) async fn obtain(
    http: &dyn TokenHttp,
    request: TokenRequest,
    sent: SystemTime,
) -> Result<TokenSet, OAuthError> {
    let reply = send(http, request).await?;
    token_set(&fields(&reply)?, sent)
}

/// The fields of an answer that reports success.
pub(crate) fn fields(reply: &TokenReply) -> Result<Fields<'_>, OAuthError> {
    Fields::parse(reply.body()).ok_or_else(|| OAuthError::unreadable(reply))
}

/// A token answer (RFC 6749 §5.1 and Webex's additions).
pub(crate) fn token_set(fields: &Fields<'_>, issued: SystemTime) -> Result<TokenSet, OAuthError> {
    let kind = fields.secret("token_type");
    if kind.is_some_and(|kind| !kind.expose_secret().trim().eq_ignore_ascii_case("bearer")) {
        return Err(OAuthError::BadAnswer("`token_type` is not bearer"));
    }
    let mut set = TokenSet::new(access_token(fields, &["access_token"])?).issued_at(issued);
    if let Some(seconds) = fields.number("expires_in") {
        set = set.expires_in(Duration::from_secs(seconds));
    }
    if let Some(token) = fields.secret("refresh_token") {
        set = set.refresh_token(token);
        if let Some(seconds) = fields.number("refresh_token_expires_in") {
            set = set.refresh_expires_in(Duration::from_secs(seconds));
        }
    }
    if let Some(scopes) = fields.scopes("scope") {
        set = set.scopes(scopes);
    }
    Ok(set)
}

/// The only field that an answer must have.
pub(crate) fn access_token(fields: &Fields<'_>, names: &[&str]) -> Result<AccessToken, OAuthError> {
    let token = names.iter().find_map(|name| fields.secret(name));
    let token = token.ok_or(OAuthError::BadAnswer("the token is missing"))?;
    AccessToken::parse(token.expose_secret())
        .map_err(|_| OAuthError::BadAnswer("the token is malformed"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn set(body: &str) -> Result<TokenSet, OAuthError> {
        token_set(&fields(&TokenReply::new(200, body))?, SystemTime::UNIX_EPOCH)
    }

    fn life(set: &TokenSet) -> Option<u64> {
        set.expires().map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    /// The documented answer.
    fn documented() -> Value {
        json!({
            "access_token": "abc_P0A1_org",
            "token_type": "Bearer",
            "expires_in": 1_209_599,
            "refresh_token": "def",
            "refresh_token_expires_in": 7_775_999,
            "scope": "b a",
        })
    }

    #[test]
    fn reads_the_documented_answer() {
        let set = set(&documented().to_string()).unwrap();
        assert_eq!(life(&set), Some(1_209_599));
        assert_eq!(set.access_token().org_id().unwrap(), "org");
        assert_eq!(set.expose_refresh_token(), Some("def"));
        assert_eq!(set.granted().unwrap().to_string(), "a b");
    }

    #[test]
    fn reads_the_known_deviations_of_services() {
        let only = set(r#"{"access_token":"Bearer abc"}"#).unwrap();
        assert_eq!(only.access_token().expose(), "abc");
        assert_eq!(life(&only), None);
        for (life_field, seconds) in
            [("\"7200\"", Some(7_200)), ("0", Some(0)), ("-5", Some(0)), ("null", None)]
        {
            let body = format!(r#"{{"access_token":"abc","expires_in":{life_field}}}"#);
            assert_eq!(life(&set(&body).unwrap()), seconds, "{body}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (body, field) in [
            ("[]", "no token answer"),
            ("<html>", "HTML page"),
            ("{}", "the token is missing"),
            (r#"{"access_token":""}"#, "the token is missing"),
            (r#"{"access_token":"a b"}"#, "the token is malformed"),
            (r#"{"access_token":"abc","token_type":"mac"}"#, "`token_type`"),
        ] {
            let error = set(body).unwrap_err().to_string();
            assert!(error.contains(field), "{body}: {error}");
        }
    }

    /// Any JSON with a few levels.
    fn odd() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ -~é\u{202e}]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{0,5}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_field_but_the_token_makes_an_answer_useless(
            name in prop::sample::select(vec![
                "expires_in", "refresh_token", "refresh_token_expires_in", "scope", "extra", "error",
            ]),
            value in odd(),
        ) {
            let mut answer = documented();
            answer[name] = value.clone();
            let read = set(&answer.to_string()).unwrap();
            let whole = set(&documented().to_string()).unwrap();
            prop_assert_eq!(read.access_token(), whole.access_token());
            if name != "expires_in" {
                prop_assert_eq!(read.expires(), whole.expires());
            }
            if name != "refresh_token" {
                prop_assert_eq!(read.expose_refresh_token(), Some("def"));
            }
            if name != "scope" {
                prop_assert_eq!(read.granted(), whole.granted());
            }
            // Null counts as absent.
            if value.is_null() {
                answer.as_object_mut().unwrap().remove(name);
                let without = set(&answer.to_string()).unwrap();
                let (one, other) = (without.to_json(), read.to_json());
                prop_assert_eq!(one.expose_secret(), other.expose_secret());
            }
        }

        #[test]
        fn an_odd_token_type_is_ignored(value in odd()) {
            let mut answer = documented();
            answer["token_type"] = value.clone();
            if !value.is_string() {
                prop_assert!(set(&answer.to_string()).is_ok());
            }
        }
    }
}
