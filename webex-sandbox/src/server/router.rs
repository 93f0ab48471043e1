//! The router: the routes of all services and of the control API.

use std::sync::Arc;

use axum::{Router, body::Body, extract::State, response::Response};
use http::{Request, Uri};

use crate::{
    control,
    exchange::pipeline::{OriginalPath, UNKNOWN, handle_request, unknown},
    services::{hydra, mercury, messages, misc, mobius, oauth, u2c, wdm},
    urls::{Base, host_rewrite},
    world::World,
};

/// Merges what the services and the control API serve.
pub(crate) fn build(world: Arc<World>) -> Router {
    Router::new()
        .merge(oauth::routes())
        .merge(u2c::routes())
        .merge(wdm::routes())
        .merge(mercury::routes())
        .merge(hydra::routes())
        .merge(messages::routes())
        .merge(mobius::routes())
        .merge(misc::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        // Merged after the fallbacks: control calls are not requests of a service.
        .merge(control::http::routes(&world))
        .with_state(world)
}

/// Rewrites the path of requests that name a Mobius instance by host.
pub(crate) fn address(world: &World, mut request: Request<Body>) -> Request<Body> {
    let base = Base::of_request(true, &request);
    let path = request.uri().path();
    if let Some(to) = host_rewrite(base.host(), path, &world.config.instances) {
        let original = path.to_owned();
        let target = match request.uri().query() {
            Some(query) => format!("{to}?{query}"),
            None => to,
        };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = target.parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
            request.extensions_mut().insert(OriginalPath(original));
        }
    }
    request
}

async fn not_found(State(world): State<Arc<World>>, request: Request<Body>) -> Response {
    handle_request(world, UNKNOWN, Vec::new(), request, unknown).await
}
