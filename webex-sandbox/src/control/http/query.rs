//! The calls that read state.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::change::{CALLS, Call};
use crate::{
    control::{Control, shape},
    operation::Target,
    redact,
    state::{lines::Line, users::User},
    world::World,
};

/// Which part of a list to return; by default all of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Part {
    offset: usize,
    limit: Option<usize>,
    /// Leaves out the fields that make items long: [`LONG`].
    brief: bool,
}

/// What clients sent: frames of sockets and bodies of devices.
const LONG: [&str; 3] = ["received", "unacknowledged", "body"];

impl Part {
    fn of<T: Serialize>(&self, all: impl IntoIterator<Item = T>) -> Json<Value> {
        let limit = self.limit.unwrap_or(usize::MAX);
        let shown = all.into_iter().skip(self.offset).take(limit).map(|item| {
            let mut value = json!(item);
            if let Some(fields) = value.as_object_mut().filter(|_| self.brief) {
                fields.retain(|name, _| !LONG.contains(&name.as_str()));
            }
            value
        });
        Json(shown.collect())
    }
}

/// How users are shown.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shown {
    /// `false` puts a fingerprint instead of each token.
    tokens: bool,
    offset: usize,
    limit: Option<usize>,
}

impl Default for Shown {
    fn default() -> Self {
        Self { tokens: true, offset: 0, limit: None }
    }
}

impl Shown {
    fn user(&self, user: &User) -> Value {
        let mut value = json!(user);
        if !self.tokens {
            value["token"] = redact::secret(user.token()).into();
        }
        value
    }
}

/// The answer to `GET /sandbox`: an overview.
pub(crate) fn overview(world: &World, shown: &Shown) -> Json<Value> {
    let mut lines: HashMap<String, usize> = HashMap::new();
    for entry in world.lines.lock().entries() {
        *lines.entry(entry.line.instance.clone()).or_default() += 1;
    }
    let instances: Vec<_> = world
        .instances
        .iter()
        .map(|instance| {
            let mut value = serde_json::to_value(&instance.info).unwrap_or_default();
            let behaviour = json!(instance.behaviour());
            if let (Some(value), Value::Object(behaviour)) = (value.as_object_mut(), behaviour) {
                value.extend(behaviour);
            }
            value["lines"] = lines.get(&instance.info.name).copied().unwrap_or_default().into();
            value
        })
        .collect();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": world.uptime().as_secs_f64(),
        "counts": world.counts(),
        "default_user": shown.user(&world.default_user),
        "mobius_instances": instances,
        "policies": *world.policies.read(),
        "mutations": world.mutations.active(),
        "clock": {"skew_s": world.clock.skew()},
        "connections": {"idle_s": world.idle_limit.borrow().map(|idle| idle.as_secs_f64())},
        "latency": {
            "request_s": world.latency.request().as_secs_f64(),
            "connection_s": world.latency.connection().as_secs_f64(),
        },
    }))
}

/// `GET /sandbox/operations`: what faults and selections can name as their target.
pub(crate) async fn operations() -> Json<Value> {
    Json(Target::all().map(|target| target.to_string()).collect())
}

/// `GET /sandbox/devices`.
pub(crate) async fn devices(
    State(world): State<Arc<World>>,
    Query(part): Query<Part>,
) -> Json<Value> {
    part.of(world.devices.lock().sorted())
}

/// `GET /sandbox/lines`: each with the seconds until its next keepalive is due and until it
/// expires. Times in the past are negative.
pub(crate) async fn lines(
    State(world): State<Arc<World>>,
    Query(part): Query<Part>,
) -> Json<Value> {
    #[derive(Serialize)]
    struct Timed<'a> {
        #[serde(flatten)]
        line: &'a Line,
        keepalive_interval_s: f64,
        keepalive_in_s: f64,
        expires_in_s: f64,
    }

    let now = Instant::now();
    let lines = world.lines.lock();
    part.of(lines.entries().into_iter().map(|entry| Timed {
        line: &entry.line,
        keepalive_interval_s: entry.interval.as_secs_f64(),
        keepalive_in_s: seconds_to(entry.keepalive_due, now),
        expires_in_s: seconds_to(entry.expires, now),
    }))
}

/// `GET /sandbox/sockets`.
pub(crate) async fn sockets(
    State(world): State<Arc<World>>,
    Query(part): Query<Part>,
) -> Json<Value> {
    let sockets = world.sockets.lock();
    part.of(sockets.sorted().into_iter().map(|entry| entry.read(|socket| json!(socket))))
}

/// `GET /sandbox/sockets/closed`.
pub(crate) async fn closed_sockets(
    State(world): State<Arc<World>>,
    Query(part): Query<Part>,
) -> Json<Value> {
    part.of(world.sockets.lock().closed())
}

/// `GET /sandbox/users`: each with the number of its live access tokens.
pub(crate) async fn users(
    State(world): State<Arc<World>>,
    Query(shown): Query<Shown>,
) -> Json<Value> {
    let now = Instant::now();
    let (users, tokens) = (world.users.lock(), world.tokens.lock());
    let part = Part { offset: shown.offset, limit: shown.limit, brief: false };
    part.of(users.all().map(|user| {
        let mut value = shown.user(user);
        value["live_tokens"] = tokens.live(&user.id, now).into();
        value
    }))
}

/// `GET /sandbox/faults`: used-up faults are listed until they are cleared.
pub(crate) async fn faults(State(world): State<Arc<World>>) -> Json<Value> {
    Json(world.faults.describe().into())
}

/// `GET /sandbox/controls`: every control, with the fields it takes and its calls.
pub(crate) async fn controls() -> Json<Value> {
    let Value::Object(controls) = shape::of::<Control>() else { return Json(json!({})) };
    let described = controls.into_iter().map(|(name, takes)| {
        let calls = CALLS.into_iter().filter(|call| call.control() == name);
        let calls: Vec<_> = calls.map(Call::line).collect();
        (name, json!({"takes": takes, "calls": calls}))
    });
    Json(Value::Object(described.collect()))
}

/// Seconds from `now` to `at`, negative when `at` is in the past.
fn seconds_to(at: Instant, now: Instant) -> f64 {
    at.saturating_duration_since(now).as_secs_f64()
        - now.saturating_duration_since(at).as_secs_f64()
}
