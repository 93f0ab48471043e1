//! Keeps secrets out of the request log.
//!
//! A secret is replaced by a short fingerprint. A test can still find out *which* token was sent
//! ([`fingerprint`]), and the log never holds one.

use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Names of JSON fields, form fields and query parameters that hold secrets, in lower case.
const SECRET_NAMES: [&str; 18] = [
    "access_token",
    "accesstoken",
    "assertion",
    "client_secret",
    "clientsecret",
    "code",
    "code_challenge",
    "code_verifier",
    "device_code",
    "id_token",
    "jwe",
    "jwt",
    "passcode",
    "password",
    "refresh_token",
    "refreshtoken",
    "token",
    "user_code",
];

/// Longest body kept in the log; longer ones are cut.
const BODY_LIMIT: usize = 64 * 1024;

/// First eight hexadecimal digits of the SHA-256 of `secret`: enough to recognise it, of no use to
/// an attacker.
pub(crate) fn fingerprint(secret: &str) -> String {
    use std::fmt::Write as _;

    Sha256::digest(secret.as_bytes()).iter().take(4).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `[redacted 1a2b3c4d]`; a token type in front (`Bearer …`) stays readable.
pub(crate) fn secret(value: &str) -> String {
    match value.split_once(' ') {
        Some((kind, credentials)) => format!("{kind} [redacted {}]", fingerprint(credentials)),
        None => format!("[redacted {}]", fingerprint(value)),
    }
}

/// Returns the headers as text, with credentials replaced. The scheme of `authorization` stays readable.
pub(crate) fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes());
            let shown = match name.as_str() {
                "authorization" | "proxy-authorization" => secret(&text),
                "cookie" | "set-cookie" => format!("[redacted {}]", fingerprint(&text)),
                _ => text.into_owned(),
            };
            (name.as_str().to_owned(), shown)
        })
        .collect()
}

/// Replaces the secret values in a query string or form body.
pub(crate) fn query(query: &str) -> String {
    let has_secret =
        url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| is_secret(&name));
    if !has_secret {
        return query.to_owned();
    }
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if is_secret(&name) {
            out.append_pair(&name, &secret(&value));
        } else {
            out.append_pair(&name, &value);
        }
    }
    out.finish()
}

/// Replaces the secrets in a body. Parses JSON and forms; binary data is not shown.
pub(crate) fn body(body: &[u8], content_type: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return format!("[{} bytes, not text]", body.len());
    };
    let mut shown = if content_type.starts_with("application/x-www-form-urlencoded") {
        query(text)
    } else if let Ok(mut value) = serde_json::from_str::<Value>(text) {
        json(&mut value);
        value.to_string()
    } else {
        text.to_owned()
    };
    if shown.len() > BODY_LIMIT {
        let cut = (0..=BODY_LIMIT).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or(0);
        shown.truncate(cut);
    }
    shown
}

/// Replaces the secrets inside a JSON value.
pub(crate) fn json(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if is_secret(name) => *text = secret(text),
                    _ => json(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(json),
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    SECRET_NAMES.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_replaced_wherever_they_are() {
        let body_text =
            json!({"data": {"token": "Bearer abc"}, "items": [{"password": "abc"}]}).to_string();
        let shown = body(body_text.as_bytes(), "application/json");
        assert!(!shown.contains("abc"), "{shown}");

        let shown = body(
            b"grant_type=refresh_token&refresh_token=abc&client_secret=abc&scope=x",
            "application/x-www-form-urlencoded",
        );
        assert!(!shown.contains("abc") && shown.contains("scope=x"), "{shown}");

        let mut map = HeaderMap::new();
        map.insert("authorization", "Bearer abc".parse().unwrap());
        let shown = headers(&map);
        assert_eq!(shown[0].1, format!("Bearer {}", secret("abc")));
    }

    #[test]
    fn an_ordinary_query_is_left_alone() {
        assert_eq!(query("format=hostmap&orgId=1"), "format=hostmap&orgId=1");
    }
}
