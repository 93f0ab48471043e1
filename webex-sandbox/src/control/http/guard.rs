//! Keeps web pages of other origins away from the control API.
//!
//! A page that the developer has open could otherwise send requests to the sandbox's port, or reach
//! it under a host name of its own (DNS rebinding). Three checks prevent this: the host must be a
//! loopback name, an IP address or a configured name; a browser's `Origin` must be the sandbox's
//! own; and `Sec-Fetch-Site` must not name another site.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    Request, StatusCode,
    header::{HeaderName, ORIGIN},
};

use crate::{exchange::reply::Reply, urls::Base, world::World};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Middleware of the control API.
pub(crate) async fn guard(
    State(world): State<Arc<World>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    match refusal(&world, &request) {
        Some(reason) => {
            Reply::error(StatusCode::FORBIDDEN, reason).into_response(None).into_response()
        }
        None => next.run(request).await,
    }
}

fn refusal(world: &World, request: &Request<Body>) -> Option<&'static str> {
    let base = Base::of_request(!world.config.plain, request);
    let host = base.host();
    let host_is_ours = host == "localhost"
        || host.parse::<IpAddr>().is_ok()
        || world.config.host_names.iter().any(|name| name == host);
    if !host_is_ours {
        return Some("The control API does not answer under this host name.");
    }
    let own_origin = base.origin();
    if request
        .headers()
        .get(ORIGIN)
        .is_some_and(|origin| origin.as_bytes() != own_origin.as_bytes())
    {
        return Some("The control API does not answer to web pages of other origins.");
    }
    let site = request.headers().get(SEC_FETCH_SITE).and_then(|site| site.to_str().ok());
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Some("The control API does not answer to web pages of other origins.");
    }
    None
}
