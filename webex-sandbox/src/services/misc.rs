//! Services of which a client needs one answer: region, clusters, loci, metrics, logs.

use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::conduct::Call;
use crate::reply::Reply;

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

/// Metrics and logs are taken and forgotten.
pub(crate) async fn accepted(_: Call) -> Result<Reply, Reply> {
    Ok(Reply::status(StatusCode::NO_CONTENT))
}

/// `POST …/logs/urls`: where to put a log file.
pub(crate) async fn log_urls(call: Call) -> Result<Reply, Reply> {
    let file = Uuid::new_v4();
    let url = call.base.named("clientLogs", &format!("/logs/files/{file}"));
    Ok(Reply::json(json!({"tempURL": url, "logFilename": format!("{file}.zip")})))
}
