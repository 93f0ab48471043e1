//! The calls that change state: each one makes a [`Control`](crate::control::Control).

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

/// Path parameters that are numbers.
const NUMBERS: [&str; 2] = ["socket", "fault"];

/// A path, and the control that it makes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    method: MethodFilter,
    /// Path below `/sandbox`. Its parameters are fields of the control.
    path: &'static str,
    /// Name of the control.
    control: &'static str,
    body: BodyUse,
}

/// How the body of a call becomes the control.
#[derive(Debug, Clone, Copy)]
enum BodyUse {
    /// The call has no body, and the control has no fields.
    Nothing,
    /// The body is the content of the control.
    Whole,
    /// The fields of the body are the fields of the control.
    Fields,
    /// The body is this field of the control.
    Field(&'static str),
    /// The body is this field of the control, an enum whose variant is named by `do`.
    Choice(&'static str),
}

/// Every call, one or more for each control.
pub(crate) const CALLS: [Call; 27] = [
    call(POST, "/users", "add_user", BodyUse::Whole),
    call(POST, "/users/{user}/tokens", "issue_token", BodyUse::Fields),
    call(DELETE, "/users/{user}/tokens", "revoke_tokens", BodyUse::Fields),
    call(POST, "/users/{user}/tokens/expire", "expire_tokens", BodyUse::Fields),
    call(POST, "/users/{user}/events", "push_event", BodyUse::Field("data")),
    call(POST, "/users/{user}/messages", "write_message", BodyUse::Fields),
    call(POST, "/tokens/expire", "expire_token", BodyUse::Fields),
    call(POST, "/tokens/revoke", "revoke_token", BodyUse::Fields),
    call(POST, "/identity/clients", "add_client", BodyUse::Whole),
    call(PUT, "/identity/consent", "set_consent", BodyUse::Fields),
    call(PUT, "/identity/devices/{user_code}", "decide_device", BodyUse::Fields),
    call(DELETE, "/devices/{device}", "expire_device", BodyUse::Fields),
    call(PATCH, "/devices/{device}", "age_device", BodyUse::Fields),
    call(DELETE, "/lines/{line}", "expire_line", BodyUse::Fields),
    call(POST, "/lines/{line}/down", "drop_line", BodyUse::Fields),
    call(POST, "/sockets/{socket}", "socket", BodyUse::Choice("command")),
    call(DELETE, "/requests", "clear_requests", BodyUse::Nothing),
    call(POST, "/faults", "add_fault", BodyUse::Whole),
    call(DELETE, "/faults/{fault}", "clear_fault", BodyUse::Fields),
    call(DELETE, "/faults", "clear_faults", BodyUse::Nothing),
    call(PUT, "/instances/{instance}", "set_instance", BodyUse::Field("behaviour")),
    call(PUT, "/latency", "set_latency", BodyUse::Fields),
    call(PUT, "/clock", "set_clock", BodyUse::Fields),
    call(PUT, "/connections", "set_connections", BodyUse::Fields),
    call(PUT, "/mutations", "set_mutations", BodyUse::Whole),
    call(PATCH, "/policies", "set_policies", BodyUse::Whole),
    call(PUT, "/places/{service}", "place", BodyUse::Fields),
];

const fn call(
    method: MethodFilter,
    path: &'static str,
    control: &'static str,
    body: BodyUse,
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

    /// The JSON of the control that a request asks for.
    fn to_json(self, params: &RawPathParams, body: &[u8]) -> Result<Value> {
        // An empty body stands for `{}`. The content type does not matter, so that `curl -d` is
        // enough.
        let text: &[u8] = if body.is_empty() { b"{}" } else { body };
        let body: Value = serde_json::from_slice(text).map_err(Refused::bad)?;
        let fields = match self.body {
            BodyUse::Nothing => return Ok(json!({(self.control): null})),
            BodyUse::Whole => return Ok(json!({(self.control): body})),
            BodyUse::Fields => body,
            BodyUse::Field(name) => json!({(name): body}),
            BodyUse::Choice(name) => json!({(name): choice(body)?}),
        };
        let mut fields = object(fields)?;
        for (name, value) in params {
            let number = value.parse::<u64>().ok().filter(|_| NUMBERS.contains(&name));
            fields.insert(name.to_owned(), number.map_or_else(|| value.into(), Value::from));
        }
        Ok(json!({(self.control): fields}))
    }
}

/// The routes of all calls, and one route that takes any control in its own JSON form.
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

/// Turns `{"do": "close", "code": 4000}` into the JSON of the variant: `{"close": {"code": 4000}}`.
fn choice(body: Value) -> Result<Value> {
    let mut fields = object(body)?;
    let Some(Value::String(name)) = fields.remove("do") else {
        return Err(Refused::bad("`do` is missing."));
    };
    if fields.is_empty() {
        return Ok(name.into());
    }
    Ok(Value::Object(Map::from_iter([(name, Value::Object(fields))])))
}

fn object(body: Value) -> Result<Map<String, Value>> {
    match body {
        Value::Object(fields) => Ok(fields),
        _ => Err(Refused::bad("The body is not a JSON object.")),
    }
}
