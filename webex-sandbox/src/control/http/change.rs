//! The calls that change something: each makes one [`Control`](crate::control::Control).

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{RawPathParams, State},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::refused::{Refused, Result};
use crate::{
    control::{Outcome, apply::apply_json},
    exchange::route::{DELETE, POST, PUT},
    world::World,
};

const PATCH: MethodFilter = MethodFilter::PATCH;

/// Parts of a path that are numbers.
const NUMBERS: [&str; 2] = ["socket", "fault"];

/// A path that makes a control.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    method: MethodFilter,
    /// Below `/sandbox`; its variable parts are fields of the control.
    path: &'static str,
    /// Name of the control.
    control: &'static str,
    body: Takes,
}

/// What becomes of the body of a call.
#[derive(Debug, Clone, Copy)]
enum Takes {
    /// There is none, nor any field.
    Nothing,
    /// It is what the control holds.
    Whole,
    /// Its fields are fields of the control.
    Fields,
    /// It is this field.
    Field(&'static str),
    /// It is this field; which variant is told by `do`.
    Choice(&'static str),
}

/// Every call, one or more for each control.
pub(crate) const CALLS: [Call; 27] = [
    call(POST, "/users", "add_user", Takes::Whole),
    call(POST, "/users/{user}/tokens", "issue_token", Takes::Fields),
    call(DELETE, "/users/{user}/tokens", "revoke_tokens", Takes::Fields),
    call(POST, "/users/{user}/tokens/expire", "expire_tokens", Takes::Fields),
    call(POST, "/users/{user}/events", "push_event", Takes::Field("data")),
    call(POST, "/users/{user}/messages", "write_message", Takes::Fields),
    call(POST, "/tokens/expire", "expire_token", Takes::Fields),
    call(POST, "/tokens/revoke", "revoke_token", Takes::Fields),
    call(POST, "/identity/clients", "add_client", Takes::Whole),
    call(PUT, "/identity/consent", "set_consent", Takes::Fields),
    call(PUT, "/identity/devices/{user_code}", "decide_device", Takes::Fields),
    call(DELETE, "/devices/{device}", "expire_device", Takes::Fields),
    call(PATCH, "/devices/{device}", "age_device", Takes::Fields),
    call(DELETE, "/lines/{line}", "expire_line", Takes::Fields),
    call(POST, "/lines/{line}/down", "drop_line", Takes::Fields),
    call(POST, "/sockets/{socket}", "socket", Takes::Choice("command")),
    call(DELETE, "/requests", "clear_requests", Takes::Nothing),
    call(POST, "/faults", "add_fault", Takes::Whole),
    call(DELETE, "/faults/{fault}", "clear_fault", Takes::Fields),
    call(DELETE, "/faults", "clear_faults", Takes::Nothing),
    call(PUT, "/instances/{instance}", "set_instance", Takes::Field("conduct")),
    call(PUT, "/latency", "set_latency", Takes::Fields),
    call(PUT, "/clock", "set_clock", Takes::Fields),
    call(PUT, "/connections", "set_connections", Takes::Fields),
    call(PUT, "/mutations", "set_mutations", Takes::Whole),
    call(PATCH, "/policies", "set_policies", Takes::Whole),
    call(PUT, "/places/{service}", "place", Takes::Fields),
];

const fn call(
    method: MethodFilter,
    path: &'static str,
    control: &'static str,
    body: Takes,
) -> Call {
    Call { method, path, control, body }
}

impl Call {
    /// Name of the control it makes.
    pub(crate) fn control(self) -> &'static str {
        self.control
    }

    /// Method and path, as `POST /users`.
    pub(crate) fn line(self) -> String {
        let methods = [(DELETE, "DELETE"), (PATCH, "PATCH"), (POST, "POST"), (PUT, "PUT")];
        let name = methods.iter().find(|(method, _)| *method == self.method);
        format!("{} {}", name.map_or("", |(_, name)| name), self.path)
    }

    /// The JSON of the control that a request is for.
    fn to_json(self, params: &RawPathParams, body: &[u8]) -> Result<Value> {
        // No body stands for `{}`; any content type will do, so that `curl -d` is enough.
        let text: &[u8] = if body.is_empty() { b"{}" } else { body };
        let body: Value = serde_json::from_slice(text).map_err(Refused::bad)?;
        let fields = match self.body {
            Takes::Nothing => return Ok(json!({(self.control): null})),
            Takes::Whole => return Ok(json!({(self.control): body})),
            Takes::Fields => body,
            Takes::Field(name) => json!({(name): body}),
            Takes::Choice(name) => json!({(name): choice(body)?}),
        };
        let Value::Object(mut fields) = fields else {
            return Err(Refused::bad("The body is not a JSON object."));
        };
        for (name, value) in params {
            let number = value.parse::<u64>().ok().filter(|_| NUMBERS.contains(&name));
            fields.insert(name.to_owned(), number.map_or_else(|| value.into(), Value::from));
        }
        Ok(json!({(self.control): fields}))
    }
}

/// The routes of all calls, and one that takes any control as it is.
pub(crate) fn routes() -> Router<Arc<World>> {
    let any = |State(world): State<Arc<World>>, body: Bytes| async move {
        let control = serde_json::from_slice(&body).map_err(Refused::bad)?;
        control_with(&world, control)
    };
    let calls =
        CALLS.into_iter().fold(Router::new(), |routes, call| {
            let handle = move |State(world): State<Arc<World>>,
                               params: RawPathParams,
                               body: Bytes| async move {
                control_with(&world, call.to_json(&params, &body)?)
            };
            let method = if call.control == "set_instance" { PUT.or(PATCH) } else { call.method };
            routes.route(call.path, on(method, handle))
        });
    calls.route("/controls", on(POST, any))
}

fn control_with(world: &World, control: Value) -> Result<Response> {
    let outcome = apply_json(world, control)?;
    Ok(match outcome {
        Outcome::Done => StatusCode::NO_CONTENT.into_response(),
        Outcome::Client => StatusCode::CREATED.into_response(),
        Outcome::User(_) | Outcome::Token { .. } | Outcome::Fault { .. } => {
            (StatusCode::CREATED, Json(json!(outcome))).into_response()
        }
        Outcome::Sent { .. }
        | Outcome::Expired { .. }
        | Outcome::Revoked { .. }
        | Outcome::Policies(_) => Json(json!(outcome)).into_response(),
    })
}

/// `{"do": "close", "code": 4000}` as the variant that it stands for: `{"close": {"code": 4000}}`.
fn choice(body: Value) -> Result<Value> {
    let Value::Object(mut fields) = body else {
        return Err(Refused::bad("The body is not a JSON object."));
    };
    let Some(Value::String(name)) = fields.remove("do") else {
        return Err(Refused::bad("`do` is missing."));
    };
    if fields.is_empty() {
        return Ok(name.into());
    }
    Ok(Value::Object(Map::from_iter([(name, Value::Object(fields))])))
}
