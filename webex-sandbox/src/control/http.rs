//! The routes of the control API, and those that change something.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Path, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::guard::guard;
use super::{page, query, requests, stream};
use crate::builder::seconds;
use crate::reply::{Reply, merge_patch};
use crate::services::oauth::OAuthClient;
use crate::state::faults::{CloseFrame, Fault, FaultHandle};
use crate::state::mutations::Mutation;
use crate::state::sockets::SocketCommand;
use crate::state::users::NewUser;
use crate::state::{Change, Policies, World};

/// Everything under `/sandbox`.
pub(crate) fn routes(world: &Arc<World>) -> Router<Arc<World>> {
    Router::new()
        .route("/", get(page::overview))
        .route("/page/{file}", get(page::file))
        .route("/events", get(stream::events))
        .route("/wait", get(requests::wait))
        .route("/users", get(query::users).post(add_user))
        .route("/users/{id}/tokens", post(issue_token).delete(revoke_all))
        .route("/users/{id}/tokens/expire", post(expire_all))
        .route("/users/{id}/events", post(push_event))
        .route("/users/{id}/messages", post(write_message))
        .route("/tokens/expire", post(expire_token))
        .route("/tokens/revoke", post(revoke_token))
        .route("/identity/clients", post(add_client))
        .route("/identity/consent", put(set_consent))
        .route("/identity/devices/{user_code}", put(decide_device))
        .route("/devices", get(query::devices))
        .route("/devices/{id}", delete(expire_device).patch(age_device))
        .route("/lines", get(query::lines))
        .route("/lines/{id}", delete(expire_line))
        .route("/lines/{id}/down", post(line_down))
        .route("/sockets", get(query::sockets))
        .route("/sockets/closed", get(query::closed_sockets))
        .route("/sockets/{id}", post(command_socket))
        .route("/operations", get(query::operations))
        .route("/requests", get(requests::list).delete(clear_requests))
        .route("/requests/{number}", get(requests::one))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(clear_fault))
        .route("/instances/{name}", put(change_instance).patch(change_instance))
        .route("/latency", put(set_latency))
        .route("/mutations", put(set_mutations))
        .route("/policies", patch(change_policies))
        .fallback(nothing_here)
        .layer(from_fn_with_state(Arc::clone(world), guard))
}

/// `/sandbox/`, which nesting leaves out: the overview or the page again.
pub(crate) fn root(world: &Arc<World>) -> MethodRouter<Arc<World>> {
    get(page::overview).layer(from_fn_with_state(Arc::clone(world), guard))
}

/// Answer of a control call, or why it was refused.
pub(crate) type Result<T> = std::result::Result<T, Refused>;

/// A refused control call.
#[derive(Debug)]
pub(crate) struct Refused(Reply);

impl Refused {
    pub(crate) fn new(status: StatusCode, message: &str) -> Self {
        Self(Reply::error(status, message))
    }

    pub(crate) fn bad(error: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &error.to_string())
    }

    fn unless(found: bool) -> Result<StatusCode> {
        if found {
            Ok(StatusCode::NO_CONTENT)
        } else {
            Err(Self::new(StatusCode::NOT_FOUND, "Nothing has that name or id."))
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response<Body> {
        self.0.into_response(None)
    }
}

/// A JSON body in any content type, so that `curl -d` is enough; no body stands for `{}`.
struct Posted<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Posted<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let body = Bytes::from_request(request, state).await.map_err(Refused::bad)?;
        let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
        serde_json::from_slice(text).map(Self).map_err(Refused::bad)
    }
}

type Shared = State<Arc<World>>;

async fn nothing_here() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "The control API has no such call.")
}

async fn add_user(State(world): Shared, Posted(new): Posted<NewUser>) -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(json!(*world.add_user(new))))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TokenWish {
    lifetime_s: Option<f64>,
}

async fn issue_token(
    State(world): Shared,
    Path(id): Path<String>,
    Posted(wish): Posted<TokenWish>,
) -> Result<(StatusCode, Json<Value>)> {
    let lifetime =
        wish.lifetime_s.map(Duration::try_from_secs_f64).transpose().map_err(Refused::bad)?;
    match world.issue_token(&id, lifetime) {
        Some(token) => Ok((StatusCode::CREATED, Json(json!({"token": token})))),
        None => Err(Refused::new(StatusCode::NOT_FOUND, "There is no such user.")),
    }
}

async fn push_event(
    State(world): Shared,
    Path(id): Path<String>,
    Posted(data): Posted<Value>,
) -> Json<Value> {
    Json(json!({"sockets": world.push_event(&id, &data)}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    /// E-mail address of the author.
    from: String,
    text: String,
}

async fn write_message(
    State(world): Shared,
    Path(id): Path<String>,
    Posted(letter): Posted<Letter>,
) -> Json<Value> {
    Json(json!({"sockets": world.write_to(&id, &letter.from, &letter.text)}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEnd {
    token: String,
    #[serde(default, rename = "after_s", with = "seconds")]
    after: Duration,
}

async fn expire_token(State(world): Shared, Posted(end): Posted<TokenEnd>) -> Result<StatusCode> {
    Refused::unless(world.expire_token(&end.token, end.after))
}

async fn revoke_token(State(world): Shared, Posted(end): Posted<TokenEnd>) -> Result<StatusCode> {
    Refused::unless(world.revoke_token(&end.token))
}

async fn revoke_all(State(world): Shared, Path(id): Path<String>) -> Json<Value> {
    Json(json!({"revoked": world.revoke_all(&id)}))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Later {
    #[serde(rename = "after_s", with = "seconds")]
    after: Duration,
}

async fn expire_all(
    State(world): Shared,
    Path(id): Path<String>,
    Posted(Later { after }): Posted<Later>,
) -> Json<Value> {
    Json(json!({"expired": world.expire_all(&id, after)}))
}

async fn add_client(State(world): Shared, Posted(client): Posted<OAuthClient>) -> StatusCode {
    world.oauth.lock().add_client(client);
    world.changed(|| Change::Settings);
    StatusCode::CREATED
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentWish {
    /// User id.
    user: Option<String>,
    /// Error code; without one users agree.
    refusal: Option<String>,
}

async fn set_consent(
    State(world): Shared,
    Posted(wish): Posted<ConsentWish>,
) -> Result<StatusCode> {
    let is_known = wish.user.is_none_or(|user| world.sign_in_as(&user));
    world.set_refusal(wish.refusal);
    Refused::unless(is_known)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceDecision {
    approve: bool,
    /// User id; without one the default user.
    user: Option<String>,
}

async fn decide_device(
    State(world): Shared,
    Path(user_code): Path<String>,
    Posted(decision): Posted<DeviceDecision>,
) -> Result<StatusCode> {
    let user = match decision.user {
        Some(id) => match world.users.lock().by_id(&id) {
            Some(user) => user,
            None => return Refused::unless(false),
        },
        None => Arc::clone(&world.default_user),
    };
    Refused::unless(world.decide_device(&user_code, decision.approve.then_some(user)))
}

async fn expire_device(State(world): Shared, Path(id): Path<String>) -> Result<StatusCode> {
    Refused::unless(world.remove_device(&id, true))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unused {
    #[serde(rename = "unused_s", with = "seconds")]
    by: Duration,
}

async fn age_device(
    State(world): Shared,
    Path(id): Path<String>,
    Posted(unused): Posted<Unused>,
) -> Result<StatusCode> {
    Refused::unless(world.devices.lock().age(&id, unused.by))
}

async fn expire_line(State(world): Shared, Path(id): Path<String>) -> Result<StatusCode> {
    Refused::unless(world.remove_line(&id, true))
}

async fn line_down(State(world): Shared, Path(id): Path<String>) -> Result<StatusCode> {
    Refused::unless(world.line_down(&id))
}

/// What a socket is told, as `{"do": "close", "code": 4000, "reason": "Replaced"}`.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum SocketWish {
    Close(CloseFrame),
    Drop,
    Reset,
    Silence { on: bool },
    WrongPongs { on: bool },
    SkipSequence { by: u64 },
    Inject { text: String },
    Shutdown,
}

async fn command_socket(
    State(world): Shared,
    Path(id): Path<u64>,
    Posted(wish): Posted<SocketWish>,
) -> Result<StatusCode> {
    let command = match wish {
        SocketWish::Close(close) => SocketCommand::Close(close),
        SocketWish::Drop => SocketCommand::Drop { reset: false },
        SocketWish::Reset => SocketCommand::Drop { reset: true },
        SocketWish::Silence { on } => SocketCommand::Silence(on),
        SocketWish::WrongPongs { on } => SocketCommand::WrongPongs(on),
        SocketWish::SkipSequence { by } => SocketCommand::SkipSequence(by),
        SocketWish::Inject { text } => SocketCommand::Raw(text),
        SocketWish::Shutdown => SocketCommand::Shutdown,
    };
    Refused::unless(world.command_socket(id, command))
}

async fn clear_requests(State(world): Shared) -> StatusCode {
    world.clear_requests();
    StatusCode::NO_CONTENT
}

async fn faults(State(world): Shared) -> Json<Value> {
    Json(world.faults.describe().into())
}

async fn add_fault(
    State(world): Shared,
    Posted(fault): Posted<Fault>,
) -> (StatusCode, Json<Value>) {
    let handle = FaultHandle::add(&world, fault);
    (StatusCode::CREATED, Json(json!({"id": handle.id()})))
}

async fn clear_faults(State(world): Shared) -> StatusCode {
    world.clear_faults();
    StatusCode::NO_CONTENT
}

async fn clear_fault(State(world): Shared, Path(id): Path<u64>) -> Result<StatusCode> {
    Refused::unless(world.clear_fault(id))
}

/// What the body does not name stays as it is.
async fn change_instance(
    State(world): Shared,
    Path(name): Path<String>,
    Posted(change): Posted<Value>,
) -> Result<StatusCode> {
    let Some(instance) = world.instance(&name) else { return Refused::unless(false) };
    let mut conduct = json!(instance.conduct());
    merge_patch(&mut conduct, &change);
    let conduct = serde_json::from_value(conduct).map_err(Refused::bad)?;
    Refused::unless(world.change_instance(&name, |it| *it = conduct))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LatencyWish {
    request_s: Option<f64>,
    connection_s: Option<f64>,
}

async fn set_latency(
    State(world): Shared,
    Posted(wish): Posted<LatencyWish>,
) -> Result<StatusCode> {
    let parse = |seconds: Option<f64>| {
        seconds.map(Duration::try_from_secs_f64).transpose().map_err(Refused::bad)
    };
    let (request, connection) = (parse(wish.request_s)?, parse(wish.connection_s)?);
    if let Some(delay) = request {
        world.latency.set_request(delay);
    }
    if let Some(delay) = connection {
        world.latency.set_connection(delay);
    }
    world.changed(|| Change::Settings);
    Ok(StatusCode::NO_CONTENT)
}

async fn set_mutations(
    State(world): Shared,
    Posted(switches): Posted<BTreeMap<Mutation, bool>>,
) -> StatusCode {
    for (mutation, on) in switches {
        world.mutations.set(mutation, on);
    }
    world.changed(|| Change::Settings);
    StatusCode::NO_CONTENT
}

async fn change_policies(
    State(world): Shared,
    Posted(change): Posted<Value>,
) -> Result<Json<Value>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        mobius: crate::MobiusPolicy,
        wdm: crate::WdmPolicy,
        u2c: crate::U2cPolicy,
        oauth: crate::OAuthPolicy,
    }

    let shown = {
        let mut policies = world.policies.write();
        let mut value = serde_json::to_value(&*policies).map_err(Refused::bad)?;
        merge_patch(&mut value, &change);
        let Whole { mobius, wdm, u2c, oauth } =
            serde_json::from_value(value).map_err(Refused::bad)?;
        *policies = Policies { mobius, wdm, u2c, oauth };
        json!(*policies)
    };
    world.changed(|| Change::Settings);
    Ok(Json(shown))
}
