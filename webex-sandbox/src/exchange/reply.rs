//! Answers of the services, before they become HTTP.
//!
//! A [`Reply`] keeps its JSON as a value, so that a fault can still patch it.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

use crate::state::fault::Fill;

/// One item of [`Fill::WideMib`].
const WIDE: &str = "{\"\":0},";

/// Limit of the nesting that is sent.
const MAX_DEPTH: u64 = 64 * 1024 * 1024;

/// Size of the chunks in which an oversized body is sent, bytes.
const PIECE: usize = 64 * 1024;

/// An answer. Handlers return `Result<Reply, Reply>`: both sides are sent, and `?` ends the handler
/// early.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) payload: Payload,
    /// Filler that makes the body oversized.
    pub(crate) fill: Option<Fill>,
}

#[derive(Debug)]
pub(crate) enum Payload {
    Empty,
    Json(Value),
    Text(String),
    Html(String),
}

impl Reply {
    /// No body.
    pub(crate) fn status(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), payload: Payload::Empty, fill: None }
    }

    /// 200 with JSON.
    pub(crate) fn json(value: Value) -> Self {
        Self { payload: Payload::Json(value), ..Self::status(StatusCode::OK) }
    }

    /// The error shape of most services: the message twice and the tracking id.
    pub(crate) fn error(status: StatusCode, message: &str) -> Self {
        let body = json!({"message": message, "errors": [{"description": message}]});
        Self { status, ..Self::json(body) }
    }

    /// 401 for a request without a live token.
    pub(crate) fn unauthorized() -> Self {
        Self::error(StatusCode::UNAUTHORIZED, "The access token is missing, expired or revoked.")
            .header(WWW_AUTHENTICATE, "Bearer")
    }

    /// 404 for a resource that does not exist, or no longer does.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::error(StatusCode::NOT_FOUND, &format!("{what} not found."))
    }

    /// 400 for a request that cannot be parsed.
    pub(crate) fn bad_request(message: &str) -> Self {
        Self::error(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds a header. An invalid value is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Replaces the headers of this name. An invalid value is left out.
    pub(crate) fn replace_header(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.retain(|(known, _)| *known != name);
            self.headers.push((name, value));
        }
    }

    /// Applies a merge patch (RFC 7386) to the JSON of the answer.
    pub(crate) fn merge(&mut self, patch: &Value) {
        if let Payload::Json(value) = &mut self.payload {
            merge_patch(value, patch);
        }
    }

    /// Converts to HTTP. Errors of the common shape get the request's tracking id.
    pub(crate) fn into_response(self, tracking_id: Option<&str>) -> Response<Body> {
        let (body, content_type) = match self.payload {
            Payload::Empty if self.fill.is_none() => (Body::empty(), None),
            Payload::Empty => (filled(&json!({}), self.fill), Some("application/json")),
            Payload::Text(text) => (Body::from(text), Some("text/plain; charset=utf-8")),
            Payload::Html(text) => (Body::from(text), Some("text/html; charset=utf-8")),
            Payload::Json(mut value) => {
                if let (Some(id), Some(fields)) = (tracking_id, value.as_object_mut())
                    && fields.contains_key("errors")
                {
                    fields.insert("trackingId".to_owned(), id.into());
                }
                (filled(&value, self.fill), Some("application/json"))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        if let Some(content_type) = content_type {
            response
                .headers_mut()
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static(content_type));
        }
        response
    }
}

/// A JSON body with the oversized field at its end.
fn filled(value: &Value, fill: Option<Fill>) -> Body {
    let text = value.to_string();
    let (Some(fill), Some(open)) = (fill, text.strip_suffix('}')) else { return Body::from(text) };
    let comma = if open.ends_with('{') { "" } else { "," };
    let (begin, unit, count, end) = match fill {
        Fill::Endless => ("\"", "x", u64::MAX, String::new()),
        Fill::WideMib(mib) => {
            let items = mib.saturating_mul(1024 * 1024) / WIDE.len() as u64;
            ("[", WIDE, items, "0]}".to_owned())
        }
        // As many brackets close as were opened; a small body is sent in one chunk.
        Fill::Deep(depth) => {
            let depth = depth.min(MAX_DEPTH);
            let close = "]".repeat(usize::try_from(depth).unwrap_or_default());
            ("", "[", depth, format!("{close}}}"))
        }
    };
    let begin = Bytes::from(format!("{open}{comma}\"filler\":{begin}"));
    let piece = Bytes::from(unit.repeat(PIECE / unit.len()));
    let per_piece = (piece.len() / unit.len()) as u64;
    let rest = usize::try_from(count % per_piece).unwrap_or_default();
    let rest = Bytes::from(unit.repeat(rest));
    let mut pieces_left = count / per_piece;
    let pieces = stream::iter(std::iter::from_fn(move || {
        pieces_left = pieces_left.checked_sub(1)?;
        Some(piece.clone())
    }));
    let all = stream::iter([begin]).chain(pieces).chain(stream::iter([rest, Bytes::from(end)]));
    Body::from_stream(all.map(Ok::<_, Infallible>))
}

/// Applies a merge patch (RFC 7386).
pub(crate) fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge_patch(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_replaces_and_removes() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge_patch(&mut value, &json!({"a": {"b": null, "e": {"f": null}}, "d": 3}));
        assert_eq!(value, json!({"a": {"c": 2, "e": {}}, "d": 3}));
    }
}
