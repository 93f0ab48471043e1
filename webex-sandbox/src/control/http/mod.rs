//! The control API over HTTP, under `/sandbox`: the powers of [`Sandbox`](crate::Sandbox) for programs
//! that are not written in Rust.
//!
//! Its requests are not logged, not delayed, and never made to fail. It has no password; what protects
//! it is the loopback address, and [`guard`], which keeps web pages out.

pub(crate) mod change;
mod guard;
mod page;
mod query;
mod refused;
mod requests;
mod stream;

use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state, routing::get};
use http::StatusCode;

use crate::world::World;

/// Whether a path belongs to the control API.
pub(crate) fn owns(path: &str) -> bool {
    path == "/sandbox" || path.starts_with("/sandbox/")
}

/// Everything under `/sandbox`.
pub(crate) fn routes(world: &Arc<World>) -> Router<Arc<World>> {
    let guarded = from_fn_with_state(Arc::clone(world), guard::guard);
    let below = Router::new()
        .route("/", get(page::overview))
        .route("/page/{file}", get(page::file))
        .route("/events", get(stream::events))
        .route("/wait", get(requests::wait))
        .route("/users", get(query::users))
        .route("/devices", get(query::devices))
        .route("/lines", get(query::lines))
        .route("/sockets", get(query::sockets))
        .route("/sockets/closed", get(query::closed_sockets))
        .route("/operations", get(query::operations))
        .route("/controls", get(query::controls))
        .route("/requests", get(requests::list))
        .route("/requests/{number}", get(requests::one))
        .route("/faults", get(query::faults))
        .merge(change::routes())
        .fallback(nothing_here)
        .layer(guarded.clone());
    // Nesting leaves out the path with a slash at its end.
    let root = get(page::overview).layer(guarded);
    Router::new().nest("/sandbox", below).route("/sandbox/", root)
}

async fn nothing_here() -> refused::Refused {
    refused::Refused::new(StatusCode::NOT_FOUND, "The control API has no such call.")
}
