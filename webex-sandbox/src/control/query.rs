//! Reading: what there is, what was requested, and waiting for either.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::http::{Refused, Result};
use crate::operation::Target;
use crate::state::World;
use crate::state::log::Requests;

/// Most requests in one answer, unless asked otherwise.
const DEFAULT_LIMIT: usize = 1_000;

/// `GET /sandbox`: an overview.
pub(crate) async fn overview(State(world): State<Arc<World>>) -> Json<Value> {
    let instances: Vec<_> = world
        .instances
        .iter()
        .map(|instance| {
            let mut value = serde_json::to_value(&instance.info).unwrap_or_default();
            value["down"] = instance.is_down().into();
            value
        })
        .collect();
    Json(json!({
        "uptime_s": world.uptime().as_secs_f64(),
        "counts": world.counts(),
        "default_user": *world.default_user,
        "mobius_instances": instances,
        "policies": *world.policies.read(),
        "mutations": world.mutations.active(),
        "latency": {
            "request_s": world.latency.request().as_secs_f64(),
            "connection_s": world.latency.connection().as_secs_f64(),
        },
    }))
}

/// `GET /sandbox/devices`.
pub(crate) async fn devices(State(world): State<Arc<World>>) -> Json<Value> {
    Json(json!(world.devices.lock().all()))
}

/// `GET /sandbox/lines`.
pub(crate) async fn lines(State(world): State<Arc<World>>) -> Json<Value> {
    Json(json!(world.lines.lock().all()))
}

/// `GET /sandbox/sockets`.
pub(crate) async fn sockets(State(world): State<Arc<World>>) -> Json<Value> {
    Json(json!(world.sockets.lock().all()))
}

/// `GET /sandbox/sockets/closed`.
pub(crate) async fn closed_sockets(State(world): State<Arc<World>>) -> Json<Value> {
    Json(json!(world.sockets.lock().closed()))
}

/// `GET /sandbox/users`.
pub(crate) async fn users(State(world): State<Arc<World>>) -> Json<Value> {
    let users: Vec<_> = world.users.lock().all().map(|user| json!(**user)).collect();
    Json(users.into())
}

/// A selection of the request log.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Selection {
    /// Service, `service.operation` or `*`.
    target: Option<String>,
    instance: Option<String>,
    /// User id.
    user: Option<String>,
    status: Option<u16>,
    /// Only requests with a greater number.
    after: u64,
    /// Only the newest so many.
    limit: Option<usize>,
}

impl Selection {
    fn pick(&self, world: &World) -> Result<Requests> {
        let target: Option<Target> =
            self.target.as_deref().map(str::parse).transpose().map_err(Refused::bad)?;
        Ok(world.log.all().matching(|request| {
            request.number() > self.after
                && target.is_none_or(|target| target.covers(request.operation()))
                && self.instance.as_deref().is_none_or(|name| request.instance() == Some(name))
                && self.user.as_deref().is_none_or(|id| request.user_id() == Some(id))
                && self.status.is_none_or(|status| request.status() == Some(status))
        }))
    }
}

/// `GET /sandbox/requests`.
pub(crate) async fn requests(
    State(world): State<Arc<World>>,
    Query(selection): Query<Selection>,
) -> Result<Json<Value>> {
    let picked = selection.pick(&world)?;
    let skip = picked.count().saturating_sub(selection.limit.unwrap_or(DEFAULT_LIMIT));
    Ok(Json(json!(picked.iter().skip(skip).collect::<Vec<_>>())))
}

/// A condition to wait for: all that is given must hold.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Condition {
    timeout_s: f64,
    /// Exact numbers.
    devices: Option<usize>,
    sockets: Option<usize>,
    authorized_sockets: Option<usize>,
    lines: Option<usize>,
    /// At least so many requests of the selection.
    requests: Option<usize>,
    target: Option<String>,
    instance: Option<String>,
    user: Option<String>,
    status: Option<u16>,
    after: u64,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            timeout_s: 10.0,
            devices: None,
            sockets: None,
            authorized_sockets: None,
            lines: None,
            requests: None,
            target: None,
            instance: None,
            user: None,
            status: None,
            after: 0,
        }
    }
}

impl Condition {
    fn holds(&self, world: &World, selection: &Selection) -> Result<bool> {
        let counts = world.counts();
        let is = |wanted: Option<usize>, there: usize| wanted.is_none_or(|wanted| wanted == there);
        let authorized = || world.sockets.lock().all().iter().filter(|s| s.authorized).count();
        Ok(is(self.devices, counts.devices)
            && is(self.sockets, counts.sockets)
            && is(self.lines, counts.lines)
            && self.authorized_sockets.is_none_or(|wanted| wanted == authorized())
            && match self.requests {
                Some(least) => selection.pick(world)?.count() >= least,
                None => true,
            })
    }
}

/// `GET /sandbox/wait`: answers 200 when the condition holds, 408 when it does not in time.
pub(crate) async fn wait(
    State(world): State<Arc<World>>,
    Query(mut condition): Query<Condition>,
) -> Result<Json<Value>> {
    let limit = Duration::try_from_secs_f64(condition.timeout_s).map_err(Refused::bad)?;
    let selection = Selection {
        target: condition.target.take(),
        instance: condition.instance.take(),
        user: condition.user.take(),
        status: condition.status,
        after: condition.after,
        limit: None,
    };
    let mut changes = world.watch();
    let waiting = async {
        loop {
            changes.borrow_and_update();
            if condition.holds(&world, &selection)? || changes.changed().await.is_err() {
                return Ok(());
            }
        }
    };
    match timeout(limit, waiting).await {
        Ok(done) => done.map(|()| Json(json!({"counts": world.counts()}))),
        Err(_) => {
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "The condition did not come true."))
        }
    }
}
