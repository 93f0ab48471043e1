//! The control API over HTTP, under `/sandbox`: what [`Sandbox`](crate::Sandbox) can do, for
//! programs that are not written in Rust.
//!
//! Its requests are not logged, not delayed and never made to fail. It has no password. It is
//! protected by the loopback address and by [`guard`], which rejects requests from web pages.

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
        .fallback(no_such_call)
        .layer(guarded.clone());
    // A nested router does not match the path with a trailing slash.
    let root = get(page::overview).layer(guarded);
    Router::new().nest("/sandbox", below).route("/sandbox/", root)
}

async fn no_such_call() -> refused::Refused {
    refused::Refused::new(StatusCode::NOT_FOUND, "The control API has no such call.")
}
