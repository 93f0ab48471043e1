//! Which path belongs to which operation.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, State};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{Request, Uri};

use crate::conduct::{Call, OriginalPath, UNKNOWN, conduct, unknown};
use crate::control;
use crate::operation::{
    Calliope, ClientLogs, Conversation, Hydra, Locus, Mercury, Metrics, Mobius, Operation, Region,
    U2c, Wdm,
};
use crate::reply::Reply;
use crate::services::{hydra, mercury, messages, misc, mobius, oauth, u2c, wdm};
use crate::state::World;
use crate::urls::{Base, host_rewrite};

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PUT: MethodFilter = MethodFilter::PUT;
const DELETE: MethodFilter = MethodFilter::DELETE;

/// The router of all services and of the control API.
pub(crate) fn build(world: Arc<World>) -> Router {
    Router::new()
        .merge(catalog_and_devices())
        .merge(mercury_socket())
        .merge(rest())
        .merge(calling())
        .merge(oauth::routes())
        .fallback(nobody)
        .method_not_allowed_fallback(nobody)
        .nest("/sandbox", control::http::routes(&world))
        .route("/sandbox/", control::http::root(&world))
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

/// A route that runs `handler` as `operation`.
pub(crate) fn route<H, F>(filter: MethodFilter, operation: Operation, handler: H) -> Route
where
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Reply>> + Send,
{
    on(
        filter,
        move |State(world): State<Arc<World>>, params: RawPathParams, request: Request<Body>| {
            let params = params.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            conduct(world, operation, params, request, handler.clone())
        },
    )
}

/// One path of the router.
pub(crate) type Route = MethodRouter<Arc<World>>;

fn catalog_and_devices() -> Router<Arc<World>> {
    Router::new()
        .route("/u2c/api/v1/limited/catalog", route(GET, U2c::limited(), u2c::limited))
        .route("/u2c/api/v1/signin/catalog", route(GET, U2c::signin(), u2c::signed_in))
        .route("/u2c/api/v1/catalog", route(GET, U2c::postauth(), u2c::signed_in))
        .route(
            "/wdm/api/v1/devices",
            route(POST, Wdm::register(), wdm::register).merge(route(GET, Wdm::list(), wdm::list)),
        )
        .route(
            "/wdm/api/v1/devices/{device}",
            route(PUT, Wdm::refresh(), wdm::refresh)
                .merge(route(DELETE, Wdm::unregister(), wdm::unregister))
                .merge(route(GET, Wdm::show(), wdm::show)),
        )
}

fn mercury_socket() -> Router<Arc<World>> {
    let connect = route(GET, Mercury::connect(), mercury::connect);
    Router::new()
        .route("/mercury/v1/apps/wx2/registrations/{device}/messages", connect.clone())
        .route("/v1/apps/wx2/registrations/{device}/messages", connect)
}

fn rest() -> Router<Arc<World>> {
    let clusters = route(POST, Calliope::clusters(), misc::clusters).merge(route(
        GET,
        Calliope::clusters(),
        misc::clusters,
    ));
    Router::new()
        .route("/v1/region", route(GET, Region::lookup(), misc::region))
        .route("/v1/people/me", route(GET, Hydra::me(), hydra::me))
        .route(
            "/v1/meetingPreferences",
            route(GET, Hydra::meeting_preferences(), hydra::meeting_preferences),
        )
        .route("/v1/organizations", route(GET, Hydra::organizations(), messages::organizations))
        .route("/v1/messages", route(POST, Hydra::post_message(), messages::post))
        .route("/v1/messages/{message}", route(GET, Hydra::message(), messages::show))
        .route(
            "/conversation/api/v1/messages/{message}",
            route(GET, Conversation::message(), messages::show),
        )
        .route(
            "/conversation/api/v1/users",
            route(GET, Conversation::user(), hydra::conversation_user),
        )
        .route("/calliope/api/discovery/v1/clusters", clusters)
        .route("/locus/api/v1/loci", route(GET, Locus::loci(), misc::loci))
        .route("/metrics/api/v1/clientmetrics", route(POST, Metrics::submit(), misc::accepted))
        .route("/clientLogs/api/v1/logs/urls", route(POST, ClientLogs::urls(), misc::log_urls))
        .route(
            "/clientLogs/api/v1/logs/files/{file}",
            route(PUT, ClientLogs::upload(), misc::accepted),
        )
        .route("/clientLogs/api/v1/logs/meta", route(POST, ClientLogs::meta(), misc::accepted))
}

fn calling() -> Router<Arc<World>> {
    let discovery = route(GET, Mobius::discovery(), mobius::discovery);
    Router::new()
        .route("/api/v1/calling/web", discovery.clone())
        .route("/api/v1/calling/web/", discovery.clone())
        .route("/mobius/{instance}/api/v1/calling/web", discovery.clone())
        .route("/mobius/{instance}/api/v1/calling/web/", discovery)
        .route(
            "/mobius/{instance}/api/v1/calling/web/device",
            route(POST, Mobius::register(), mobius::register),
        )
        .route(
            "/mobius/{instance}/api/v1/calling/web/devices",
            route(GET, Mobius::list(), mobius::list),
        )
        .route(
            "/mobius/{instance}/api/v1/calling/web/devices/{device}",
            route(DELETE, Mobius::unregister(), mobius::unregister),
        )
        .route(
            "/mobius/{instance}/api/v1/calling/web/devices/{device}/status",
            route(POST, Mobius::status(), mobius::status),
        )
        .route("/mobius/{instance}/api/v1/ping", route(GET, Mobius::ping(), mobius::ping))
}

async fn nobody(State(world): State<Arc<World>>, request: Request<Body>) -> Response {
    conduct(world, UNKNOWN, Vec::new(), request, unknown).await
}
