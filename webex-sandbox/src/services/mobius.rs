//! Mobius: registration of Webex Calling lines, on several instances.

use std::sync::Arc;

use axum::Router;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    exchange::{
        call::Call,
        reply::Reply,
        route::{DELETE, GET, POST, route},
    },
    operation::Mobius,
    seconds,
    state::{
        expiry::Expiring,
        instances::MobiusRole,
        lines::{Line, LineEntry},
        mutations::Mutation,
        policy::MobiusPolicy,
        users::User,
    },
    urls::Base,
    world::{Change, World},
};

/// The user has as many lines as the limit allows.
const DEVICE_LIMIT: u32 = 101;
/// The user may not use Webex Calling from here.
const NOT_CONFIGURED: u32 = 102;

/// The paths of the service.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/api/v1/calling/web", route(GET, Mobius::discovery(), discovery))
        .route("/api/v1/calling/web/", route(GET, Mobius::discovery(), discovery))
        .merge(instance_routes())
}

/// The paths of one instance. They are written out, because the log would show nested paths without their prefix.
fn instance_routes() -> Router<Arc<World>> {
    Router::new()
        .route("/mobius/{instance}/api/v1/calling/web", route(GET, Mobius::discovery(), discovery))
        .route("/mobius/{instance}/api/v1/calling/web/", route(GET, Mobius::discovery(), discovery))
        .route(
            "/mobius/{instance}/api/v1/calling/web/device",
            route(POST, Mobius::register(), register),
        )
        .route("/mobius/{instance}/api/v1/calling/web/devices", route(GET, Mobius::list(), list))
        .route(
            "/mobius/{instance}/api/v1/calling/web/devices/{device}",
            route(DELETE, Mobius::unregister(), unregister),
        )
        .route(
            "/mobius/{instance}/api/v1/calling/web/devices/{device}/status",
            route(POST, Mobius::status(), status),
        )
        .route("/mobius/{instance}/api/v1/ping", route(GET, Mobius::ping(), ping))
}

/// `GET …/calling/web/`: primary and backup servers.
pub(crate) async fn discovery(call: Call) -> Result<Reply, Reply> {
    for name in ["regionCode", "countryCode"] {
        if call.query(name).is_none_or(|value| value.is_empty()) {
            return Err(Reply::bad_request("regionCode and countryCode are wanted."));
        }
    }
    let group = |role| {
        let members: Vec<_> =
            call.world.config.instances.iter().filter(|instance| instance.role == role).collect();
        let uris: Vec<_> = members.iter().map(|instance| call.base.mobius(instance)).collect();
        json!({"region": members.first().map(|instance| &instance.region), "uris": uris})
    };
    Ok(Reply::json(json!({
        "primary": group(MobiusRole::Primary),
        "backup": group(MobiusRole::Backup),
    })))
}

/// `POST …/calling/web/device`.
pub(crate) async fn register(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let server = call.instance()?;
    let instance = server.info.name.clone();
    let body = call.object()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (user_id, client_device_uri) = (text("userId"), text("clientDeviceUri"));
    if user_id != user.id || client_device_uri.is_empty() {
        return Err(Reply::bad_request("userId or clientDeviceUri is missing or not yours."));
    }
    if !user.webrtc_calling {
        return Err(forbidden(NOT_CONFIGURED, user, &[]));
    }
    let service = |name: &str| body.get("serviceData").and_then(|data| data.get(name)?.as_str());
    let indicator = service("indicator").unwrap_or("calling").to_owned();
    let domain = service("domain").unwrap_or_default().to_owned();
    let policy = server.policy(&call.world.policies.read().mobius);
    let now = Instant::now();
    let mut lines = call.world.lines.lock();

    let others: Vec<_> = lines
        .of_user(&user.id)
        .map(|entry| &entry.line)
        .filter(|line| line.client_device_uri != client_device_uri)
        .collect();
    let here: Vec<_> = others.iter().copied().filter(|line| line.instance == instance).collect();
    let limits = [(policy.line_limit, others), (server.behaviour().line_limit, here)];
    for (limit, lines) in limits {
        if limit.is_some_and(|limit| lines.len() >= limit) {
            let json = |line: &&Line| device_json(&call.world, &call.base, line);
            let devices: Vec<_> = lines.iter().map(json).collect();
            return Err(forbidden(DEVICE_LIMIT, user, &devices));
        }
    }
    if policy.single_session {
        lines.supersede_others(&user.id, &client_device_uri);
    }
    // The same client device at the same instance keeps its id, one per service, so that a
    // registration repeated after a lost answer leaves nothing behind.
    let known = lines
        .of_user(&user.id)
        .find(|LineEntry { line, .. }| {
            (&line.client_device_uri, &line.instance) == (&client_device_uri, &instance)
                && (&line.indicator, &line.domain) == (&indicator, &domain)
        })
        .map(|entry| (entry.line.device_id.clone(), entry.expires));
    let expired_at = known.as_ref().map(|(_, expires)| *expires);
    let device_id = known.map_or_else(|| Uuid::new_v4().to_string(), |(id, _)| id);
    let registered = Timestamp::now();
    let line = Line {
        device_id: device_id.clone(),
        instance: instance.clone(),
        user_id,
        client_device_uri,
        addresses: vec![user.sip_address.clone()],
        indicator,
        domain,
        registered,
        last_seen: registered,
        keepalives: 0,
        superseded: false,
    };
    let reply = registration_json(&call, &line, &policy);
    let expires = seconds::after(now, policy.line_lifetime());
    lines.remove(&device_id);
    let interval = policy.keepalive_interval;
    let keepalive_due = seconds::after(now, interval);
    lines.insert(LineEntry { line, user: user.clone(), keepalive_due, interval, expires });
    drop(lines);
    if expired_at.is_none_or(|before| expires < before) {
        call.world.expiry.arm(expires, Expiring::Line(device_id.clone()));
    }
    let user_id = user.id.clone();
    call.world.changed(|| Change::LineRegistered { device_id, instance, user_id });
    Ok(Reply::json(reply))
}

/// `POST …/devices/{id}/status`: the keepalive.
pub(crate) async fn status(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let server = call.instance()?;
    let instance = &server.info.name;
    let lifetime = server.policy(&call.world.policies.read().mobius).line_lifetime();
    let id = call.param("device");
    if server.behaviour().forgetful {
        call.world.remove_line(id, true);
    }
    {
        let mut lines = call.world.lines.lock();
        let entry = lines
            .get_mut(id)
            .filter(|entry| entry.user.id == user.id && entry.line.instance == *instance)
            .ok_or_else(|| Reply::not_found("Device"))?;
        if entry.line.superseded {
            return Err(Reply::error(
                StatusCode::CONFLICT,
                "Another device of this user has registered.",
            ));
        }
        entry.line.last_seen = Timestamp::now();
        entry.line.keepalives += 1;
        let now = Instant::now();
        entry.keepalive_due = seconds::after(now, entry.interval);
        entry.expires = seconds::after(now, lifetime);
    }
    call.world
        .changed(|| Change::LineKeptAlive { device_id: id.to_owned(), instance: instance.clone() });
    Ok(Reply::json(json!({"status": "active", "deviceId": id})))
}

/// `DELETE …/devices/{id}`.
pub(crate) async fn unregister(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let instance = &call.instance()?.info.name;
    let id = call.param("device");
    let is_known = call
        .world
        .lines
        .lock()
        .get(id)
        .is_some_and(|entry| entry.user.id == user.id && entry.line.instance == *instance);
    if !is_known {
        return Err(Reply::not_found("Device"));
    }
    if !call.world.mutations.has(Mutation::IgnoreUnregister) {
        call.world.remove_line(id, false);
    }
    Ok(Reply::json(json!({"status": "inactive", "deviceId": id})))
}

/// `GET …/devices?userid=`: the user's lines at this instance.
pub(crate) async fn list(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let instance = &call.instance()?.info.name;
    if call.query("userid").is_some_and(|id| id != user.id) {
        return Err(Reply::error(StatusCode::FORBIDDEN, "That is another user."));
    }
    let lines = call.world.lines.lock();
    let devices: Vec<_> = lines
        .of_user(&user.id)
        .filter(|entry| entry.line.instance == *instance)
        .map(|entry| device_json(&call.world, &call.base, &entry.line))
        .collect();
    Ok(Reply::json(json!({"userId": user.id, "devices": devices})))
}

/// `GET …/ping`: answers when the instance is up.
pub(crate) async fn ping(call: Call) -> Result<Reply, Reply> {
    call.instance()?;
    Ok(Reply::status(StatusCode::OK))
}

fn forbidden(error_code: u32, user: &User, devices: &[Value]) -> Reply {
    let mut body = json!({"errorCode": error_code, "userId": user.id});
    if error_code == DEVICE_LIMIT {
        body["devices"] = devices.into();
    }
    Reply::json(body).with_status(StatusCode::FORBIDDEN)
}

fn registration_json(call: &Call, line: &Line, policy: &MobiusPolicy) -> Value {
    let mut body = json!({
        "userId": line.user_id,
        "device": device_json(&call.world, &call.base, line),
        "keepaliveInterval": seconds::number(policy.keepalive_interval),
        "callKeepaliveInterval": seconds::number(policy.call_keepalive_interval),
        "rehomingIntervalMin": policy.rehoming_interval_min,
        "rehomingIntervalMax": policy.rehoming_interval_max,
        "voicePortalNumber": 0,
        "voicePortalExtension": 0,
    });
    if call.world.mutations.has(Mutation::LineWithoutKeepaliveInterval)
        && let Some(fields) = body.as_object_mut()
    {
        fields.remove("keepaliveInterval");
    }
    body
}

fn device_json(world: &World, base: &Base, line: &Line) -> Value {
    let mut device = json!({
        "deviceId": line.device_id,
        "status": "active",
        "lastSeen": line.last_seen.to_string(),
        "addresses": line.addresses,
        "clientDeviceUri": line.client_device_uri,
    });
    if let Some(instance) = world.instance(&line.instance)
        && !world.mutations.has(Mutation::LineWithoutUri)
    {
        let base = base.mobius(&instance.info);
        device["uri"] = format!("{base}/calling/web/devices/{}", line.device_id).into();
    }
    device
}
