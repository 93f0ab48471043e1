//! The request log: queries, and waiting for a condition on it.

use std::{str::FromStr, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::refused::{Refused, Result};
use crate::{
    operation::Target,
    state::log::{Request, Requests},
    world::World,
};

/// Number of requests in one answer, unless the caller gives a limit.
const DEFAULT_LIMIT: usize = 1_000;

/// Which requests to select. Every given field must match.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Selection {
    /// Service, `service.operation` or `*`.
    target: Option<String>,
    instance: Option<String>,
    /// User id.
    user: Option<String>,
    /// See [`Statuses`].
    status: Option<String>,
    /// Text in the method, host, path, query, body or tracking id, in upper or lower case.
    text: Option<String>,
    /// Only requests with a greater number.
    after: u64,
    /// Only requests with a smaller number.
    before: Option<u64>,
    /// At most this many, the newest.
    limit: Option<usize>,
    /// Leaves out headers and bodies.
    brief: bool,
}

impl Selection {
    fn pick(&self, world: &World) -> Result<Requests> {
        let target: Option<Target> =
            self.target.as_deref().map(str::parse).transpose().map_err(Refused::bad)?;
        let statuses = self.status.as_deref().map(str::parse::<Statuses>).transpose()?;
        let text = self.text.as_deref().map(str::to_lowercase);
        Ok(world.log.all().matching(|request| {
            request.number() > self.after
                && self.before.is_none_or(|before| request.number() < before)
                && target.is_none_or(|target| target.covers(request.operation()))
                && self.instance.as_deref().is_none_or(|name| request.instance() == Some(name))
                && self.user.as_deref().is_none_or(|id| request.user_id() == Some(id))
                && statuses.is_none_or(|statuses| statuses.cover(request))
                && text.as_deref().is_none_or(|text| holds(request, text))
        }))
    }
}

fn holds(request: &Request, text: &str) -> bool {
    let tracking_id = request.tracking_id().unwrap_or_default();
    [request.method(), request.host(), request.path(), request.query(), tracking_id, request.body()]
        .iter()
        .any(|part| part.to_lowercase().contains(text))
}

/// Statuses of answers: one (`403`), a class (`4xx`), or `none` for requests without an answer.
#[derive(Debug, Clone, Copy)]
enum Statuses {
    One(u16),
    Class(u16),
    Unanswered,
}

impl Statuses {
    fn cover(self, request: &Request) -> bool {
        match self {
            Self::One(status) => request.status() == Some(status),
            Self::Class(class) => request.status().is_some_and(|status| status / 100 == class),
            Self::Unanswered => request.status().is_none() && !request.is_pending(),
        }
    }
}

impl FromStr for Statuses {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Refused::bad(format!("{text:?} is not a status such as 403, 4xx or none"));
        match text {
            "none" => Ok(Self::Unanswered),
            _ => match text.strip_suffix("xx") {
                Some(class) => class.parse().map(Self::Class).map_err(|_| wrong()),
                None => text.parse().map(Self::One).map_err(|_| wrong()),
            },
        }
    }
}

/// `GET /sandbox/requests`.
pub(crate) async fn list(
    State(world): State<Arc<World>>,
    Query(selection): Query<Selection>,
) -> Result<Json<Value>> {
    let picked = selection.pick(&world)?;
    let skip = picked.count().saturating_sub(selection.limit.unwrap_or(DEFAULT_LIMIT));
    let shown = picked.iter().skip(skip).map(|request| {
        let mut value = json!(request);
        if let Some(fields) = value.as_object_mut().filter(|_| selection.brief) {
            fields.remove("headers");
            fields.remove("body");
        }
        value
    });
    Ok(Json(shown.collect()))
}

/// `GET /sandbox/requests/{number}`.
pub(crate) async fn one(
    State(world): State<Arc<World>>,
    Path(number): Path<u64>,
) -> Result<Json<Value>> {
    match world.log.get(number) {
        Some(request) => Ok(Json(json!(request))),
        None => Err(Refused::new(StatusCode::NOT_FOUND, "The log does not hold this request.")),
    }
}

/// A condition to wait for. Every given field must match.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Condition {
    timeout_s: f64,
    /// Exact counts.
    devices: Option<usize>,
    sockets: Option<usize>,
    authorized_sockets: Option<usize>,
    lines: Option<usize>,
    /// At least this many requests of the selection.
    requests: Option<usize>,
    target: Option<String>,
    instance: Option<String>,
    user: Option<String>,
    status: Option<String>,
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
        status: condition.status.take(),
        after: condition.after,
        ..Selection::default()
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
