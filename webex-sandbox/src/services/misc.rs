//! Services of which a client needs only one answer: region, clusters, loci, metrics, logs.

use std::sync::Arc;

use axum::Router;
use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::{
    exchange::{
        call::Call,
        reply::Reply,
        route::{GET, POST, PUT, route},
    },
    operation::{Calliope, ClientLogs, Locus, Metrics, Region},
    world::World,
};

/// The paths of the service.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/v1/region", route(GET, Region::lookup(), region))
        .route(
            "/calliope/api/discovery/v1/clusters",
            route(POST.or(GET), Calliope::clusters(), clusters),
        )
        .route("/locus/api/v1/loci", route(GET, Locus::loci(), loci))
        .route("/metrics/api/v1/clientmetrics", route(POST, Metrics::submit(), accepted))
        .route("/clientLogs/api/v1/logs/urls", route(POST, ClientLogs::urls(), log_urls))
        .route("/clientLogs/api/v1/logs/files/{file}", route(PUT, ClientLogs::upload(), accepted))
        .route("/clientLogs/api/v1/logs/meta", route(POST, ClientLogs::meta(), accepted))
}

/// `GET /v1/region`: no token needed.
pub(crate) async fn region(_: Call) -> Result<Reply, Reply> {
    Ok(Reply::json(json!({
        "clientAddress": "127.0.0.1",
        "clientRegion": "US-EAST",
        "countryCode": "US",
        "regionCode": "US-EAST",
        "timezone": "America/New_York",
        "attribution": "Webex sandbox",
        "disclaimer": "Not a real location.",
    })))
}

/// `POST …/clusters`.
pub(crate) async fn clusters(_: Call) -> Result<Reply, Reply> {
    Ok(Reply::json(json!({
        "clusters": {},
        "clusterClasses": {"hybridMedia": []},
        "joinCookie": {"anycastEntryPoint": "sandbox"},
        "discoveryOptions": {},
    })))
}

/// `GET …/loci`: no meetings in progress.
pub(crate) async fn loci(_: Call) -> Result<Reply, Reply> {
    Ok(Reply::json(json!({"loci": [], "locusUrls": [], "remoteLocusClusterUrls": []})))
}

/// Accepts metrics and logs, and discards them.
pub(crate) async fn accepted(_: Call) -> Result<Reply, Reply> {
    Ok(Reply::status(StatusCode::NO_CONTENT))
}

/// `POST …/logs/urls`: where to put a log file.
pub(crate) async fn log_urls(call: Call) -> Result<Reply, Reply> {
    let file = Uuid::new_v4();
    let url = call.base.named("clientLogs", &format!("/logs/files/{file}"));
    Ok(Reply::json(json!({"tempURL": url, "logFilename": format!("{file}.zip")})))
}
