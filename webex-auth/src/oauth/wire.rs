//! The answers of token endpoints, read as leniently as the services are known to need: numbers may
//! be strings, the token type may be missing or stand in front of the token.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};

use crate::{
    http::{TokenHttp, TokenReply, TokenRequest},
    oauth::error::OAuthError,
    token::AccessToken,
    token_set::TokenSet,
};

/// Sends a request and gives the answer of a success.
pub(crate) async fn send(
    http: &dyn TokenHttp,
    request: TokenRequest,
) -> Result<TokenReply, OAuthError> {
    tracing::debug!(?request, "asking the authorization server");
    let reply = http.send(&request).await.inspect_err(|error| {
        tracing::debug!(%error, "the authorization server did not answer");
    })?;
    if (200..300).contains(&reply.status()) {
        tracing::debug!(status = reply.status(), "the authorization server granted");
        return Ok(reply);
    }
    let error = OAuthError::from_reply(&request, &reply);
    tracing::debug!(%error, "the authorization server did not grant");
    Err(error)
}

/// Sends a token request and reads the token answer. `sent` is when the life began at the earliest.
pub(crate) async fn obtain(
    http: &dyn TokenHttp,
    request: TokenRequest,
    sent: SystemTime,
) -> Result<TokenSet, OAuthError> {
    let reply = send(http, request).await?;
    TokenAnswer::parse(reply.body())?.into_set(sent)
}

/// A token answer (RFC 6749 §5.1 and Webex's additions).
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    access_token: Option<SecretString>,
    token_type: Option<String>,
    #[serde(default, deserialize_with = "number")]
    expires_in: Option<u64>,
    refresh_token: Option<SecretString>,
    #[serde(default, deserialize_with = "number")]
    refresh_token_expires_in: Option<u64>,
    scope: Option<String>,
}

impl TokenAnswer {
    pub(crate) fn parse(body: &str) -> Result<Self, OAuthError> {
        serde_json::from_str(body).map_err(|_| OAuthError::BadAnswer("it is no token answer"))
    }

    pub(crate) fn into_set(self, asked: SystemTime) -> Result<TokenSet, OAuthError> {
        if self.token_type.is_some_and(|kind| !kind.trim().eq_ignore_ascii_case("bearer")) {
            return Err(OAuthError::BadAnswer("`token_type` is not bearer"));
        }
        let token = self.access_token.ok_or(OAuthError::BadAnswer("`access_token` is missing"))?;
        let token = AccessToken::parse(token.expose_secret())
            .map_err(|_| OAuthError::BadAnswer("`access_token` is malformed"))?;
        let mut set = TokenSet::new(token).issued_at(asked);
        match self.expires_in {
            // Taking it would mean to refresh for ever.
            Some(0) => return Err(OAuthError::BadAnswer("`expires_in` is zero")),
            Some(seconds) => set = set.expires_in(Duration::from_secs(seconds)),
            None => {}
        }
        if let Some(token) = self.refresh_token.filter(|token| !token.expose_secret().is_empty()) {
            set = set.refresh_token(token);
            if let Some(seconds) = self.refresh_token_expires_in {
                set = set.refresh_expires_in(Duration::from_secs(seconds));
            }
        }
        // A scope that is no scope is no reason to refuse a sign-in that worked.
        if let Some(scopes) = self.scope.and_then(|scope| scope.replace('+', " ").parse().ok()) {
            set = set.scopes(scopes);
        }
        Ok(set)
    }
}

/// A whole number, or the same in a string; a fraction is cut off. Null and nonsense count as
/// absent, a negative number as zero.
pub(crate) fn number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Whole(u64),
        Float(f64),
        Text(String),
        Other(de::IgnoredAny),
    }
    #[allow(clippy::cast_sign_loss)] // `as` makes a negative number zero
    let cut = |float: f64| float as u64;
    Ok(match Option::<Number>::deserialize(input)? {
        Some(Number::Whole(number)) => Some(number),
        Some(Number::Float(float)) => Some(cut(float)),
        Some(Number::Text(text)) => text.trim().parse::<f64>().ok().map(cut),
        Some(Number::Other(_)) | None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(body: &str) -> Result<TokenSet, OAuthError> {
        TokenAnswer::parse(body)?.into_set(SystemTime::UNIX_EPOCH)
    }

    fn life(set: &TokenSet) -> Option<u64> {
        set.expires().map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn reads_the_documented_answer() {
        let set =
            set(r#"{"access_token":"abc_P0A1_org","token_type":"Bearer","expires_in":1209599,
            "refresh_token":"def","refresh_token_expires_in":7775999,"scope":"b a"}"#)
            .unwrap();
        assert_eq!(life(&set), Some(1_209_599));
        assert_eq!(set.access_token().org_id().unwrap(), "org");
        assert_eq!(set.expose_refresh_token(), Some("def"));
        assert_eq!(set.granted().unwrap().to_string(), "a b");
    }

    #[test]
    fn takes_what_services_are_known_to_send_instead() {
        let only = set(r#"{"access_token":"Bearer abc"}"#).unwrap();
        assert_eq!(only.access_token().expose(), "abc");
        assert_eq!(life(&only), None);
        for life_field in ["\"7200\"", "7200", "7200.9", "\" 7200 \""] {
            let body = format!(r#"{{"access_token":"abc","expires_in":{life_field}}}"#);
            assert_eq!(life(&set(&body).unwrap()), Some(7_200), "{body}");
        }
        for nothing in ["null", "\"soon\"", "[]"] {
            let body = format!(r#"{{"access_token":"abc","expires_in":{nothing}}}"#);
            assert_eq!(life(&set(&body).unwrap()), None, "{body}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (body, field) in [
            ("<html>", "token answer"),
            ("{}", "`access_token`"),
            (r#"{"access_token":""}"#, "`access_token`"),
            (r#"{"access_token":"abc","token_type":"mac"}"#, "`token_type`"),
            (r#"{"access_token":"abc","expires_in":0}"#, "`expires_in`"),
            (r#"{"access_token":"abc","expires_in":-5}"#, "`expires_in`"),
        ] {
            let error = set(body).unwrap_err().to_string();
            assert!(error.contains(field), "{body}: {error}");
        }
    }
}
