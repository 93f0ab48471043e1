//! Answers of the services, before they become HTTP.
//!
//! A [`Reply`] keeps its JSON as a value, so that a fault can still patch it.

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// An answer. Handlers return `Result<Reply, Reply>`: both sides are sent, `?` ends early.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) payload: Payload,
}

#[derive(Debug)]
pub(crate) enum Payload {
    Empty,
    Json(Value),
    Text(String),
}

impl Reply {
    /// No body.
    pub(crate) fn status(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), payload: Payload::Empty }
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

    /// 401 of a request without a live token.
    pub(crate) fn unauthorized() -> Self {
        Self::error(StatusCode::UNAUTHORIZED, "The access token is missing, expired or revoked.")
            .header(WWW_AUTHENTICATE, "Bearer")
    }

    /// 404 of a thing that does not exist (any more).
    pub(crate) fn not_found(what: &str) -> Self {
        Self::error(StatusCode::NOT_FOUND, &format!("{what} not found."))
    }

    /// 400 of a request that cannot be understood.
    pub(crate) fn bad_request(message: &str) -> Self {
        Self::error(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds a header; a value that cannot be one is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Applies a merge patch (RFC 7386) to the JSON of a successful answer.
    pub(crate) fn merge(&mut self, patch: &Value) {
        if let Payload::Json(value) = &mut self.payload {
            merge_patch(value, patch);
        }
    }

    /// The HTTP form. Errors of the common shape get the request's tracking id.
    pub(crate) fn into_response(self, tracking_id: Option<&str>) -> Response<Body> {
        let (body, content_type) = match self.payload {
            Payload::Empty => (Body::empty(), None),
            Payload::Text(text) => (Body::from(text), Some("text/plain; charset=utf-8")),
            Payload::Json(mut value) => {
                if let (Some(id), Some(fields)) = (tracking_id, value.as_object_mut())
                    && fields.contains_key("errors")
                {
                    fields.insert("trackingId".to_owned(), id.into());
                }
                (Body::from(value.to_string()), Some("application/json"))
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
