//! `/sandbox/` for people: a page that shows and changes what the sandbox does.
//!
//! A request that accepts HTML, which only browsers send, gets the page; any other gets the JSON
//! overview. The page consists of the plain files in `src/page`, compiled in. Its script is an
//! ordinary client of the control API, and a content security policy allows it nothing else.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, StatusCode,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{
    query::{self, Shown},
    refused::Refused,
};
use crate::world::World;

/// Allows the page's own files and the control API only; no inline code, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const INDEX: &str = include_str!("../../page/index.html");

/// Name, content type and text of the files that the page loads.
const FILES: [(&str, &str, &str); 7] = [
    ("page.css", "text/css; charset=utf-8", include_str!("../../page/page.css")),
    ("page.js", SCRIPT, include_str!("../../page/page.js")),
    ("api.js", SCRIPT, include_str!("../../page/api.js")),
    ("faults.js", SCRIPT, include_str!("../../page/faults.js")),
    ("log.js", SCRIPT, include_str!("../../page/log.js")),
    ("table.js", SCRIPT, include_str!("../../page/table.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../page/icon.svg")),
];

/// `GET /sandbox` and `GET /sandbox/`.
pub(crate) async fn overview(
    State(world): State<Arc<World>>,
    Query(shown): Query<Shown>,
    headers: HeaderMap,
) -> Response {
    if wants_html(&headers) {
        return send(HTML, INDEX);
    }
    ([(VARY, "Accept")], query::overview(&world, &shown)).into_response()
}

/// `GET /sandbox/page/{file}`.
pub(crate) async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, content_type, text)) => send(content_type, text),
        None => Refused::new(StatusCode::NOT_FOUND, "The page has no such file.").into_response(),
    }
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html"))
}

fn send(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        // A different version of the sandbox may use the same address later.
        (CACHE_CONTROL, "no-cache"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (VARY, "Accept"),
    ];
    (headers, text).into_response()
}
