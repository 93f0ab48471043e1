//! WDM: registration of devices.

use std::{sync::Arc, time::Duration};

use axum::Router;
use http::{
    StatusCode,
    header::{ETAG, IF_NONE_MATCH},
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{
    exchange::{
        call::Call,
        reply::Reply,
        route::{DELETE, GET, POST, PUT, route},
    },
    operation::Wdm,
    state::{
        devices::{Device, DeviceEntry},
        expiry::Expiring,
        mutations::Mutation,
        users::User,
    },
    urls::Base,
    world::{Change, World},
};

/// Limit of made-up developer features.
const MAX_FEATURES: usize = 100_000;

/// Clients compare with this text to find out that they must delete a device.
const EXCESSIVE: &str = "User has excessive device registrations";

/// The paths of the service.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route(
            "/wdm/api/v1/devices",
            route(POST, Wdm::register(), register).merge(route(GET, Wdm::list(), list)),
        )
        .route(
            "/wdm/api/v1/devices/{device}",
            route(PUT, Wdm::refresh(), refresh)
                .merge(route(DELETE, Wdm::unregister(), unregister))
                .merge(route(GET, Wdm::show(), show)),
        )
}

/// `POST …/devices`.
pub(crate) async fn register(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let body = device_body(&call)?;
    let policy = call.world.policies.read().wdm.clone();
    let reply = {
        let mut devices = call.world.devices.lock();
        if devices.count_of(&user.id) >= policy.device_limit {
            let status =
                StatusCode::from_u16(policy.device_limit_status).unwrap_or(StatusCode::FORBIDDEN);
            return Err(Reply::error(status, EXCESSIVE));
        }
        let entry = devices.insert(
            user,
            body,
            Instant::now(),
            |ttl| lifetime(ttl, policy.durable_lifetime),
            |id| device_url(&call.base, id),
        );
        call.world.expiry.arm(entry.expires, Expiring::Device(entry.device.id.clone()));
        call.world.changed(|| Change::DeviceRegistered {
            id: entry.device.id.clone(),
            user_id: user.id.clone(),
        });
        answer(&call, entry)
    };
    Ok(reply)
}

/// `PUT …/devices/{id}`.
pub(crate) async fn refresh(call: Call) -> Result<Reply, Reply> {
    let user = Arc::clone(call.user()?);
    let body = device_body(&call)?;
    let durable = call.world.policies.read().wdm.durable_lifetime;
    let id = call.param("device");
    let mut devices = call.world.devices.lock();
    let expired_at = owned(devices.get(id), &user)?.expires;
    let url = device_url(&call.base, id);
    let known = call.header(&IF_NONE_MATCH).map(str::to_owned);
    let Some(entry) = devices.refresh(id, body, Instant::now(), |ttl| lifetime(ttl, durable), url)
    else {
        return Err(Reply::not_found("Device"));
    };
    if entry.expires < expired_at {
        call.world.expiry.arm(entry.expires, Expiring::Device(id.to_owned()));
    }
    call.world.changed(|| Change::DeviceRefreshed { id: id.to_owned(), user_id: user.id.clone() });
    let mut reply = answer(&call, entry);
    if known.as_deref() == Some(&entry.device.etag) {
        // The client has this version, so the developer features are left out.
        reply.merge(&json!({"features": {"developer": null}}));
    }
    Ok(reply)
}

/// `DELETE …/devices/{id}`.
pub(crate) async fn unregister(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let id = call.param("device");
    owned(call.world.devices.lock().get(id), user)?;
    if !call.world.mutations.has(Mutation::IgnoreUnregister) {
        call.world.remove_device(id, false);
    }
    Ok(Reply::status(StatusCode::NO_CONTENT))
}

/// `GET …/devices/{id}`.
pub(crate) async fn show(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let devices = call.world.devices.lock();
    let entry = owned(devices.get(call.param("device")), user)?;
    if call.header(&IF_NONE_MATCH) == Some(&entry.device.etag) {
        let reply = Reply::status(StatusCode::NOT_MODIFIED);
        return Ok(reply.header(ETAG, &entry.device.etag));
    }
    Ok(answer(&call, entry))
}

/// `GET …/devices`.
pub(crate) async fn list(call: Call) -> Result<Reply, Reply> {
    let user = call.user()?;
    let devices = call.world.devices.lock();
    let all: Vec<_> = devices
        .of_user(&user.id)
        .map(|entry| device_json(&call.world, &call.base, &entry.device, user, "all"))
        .collect();
    Ok(Reply::json(json!({"devices": all})))
}

fn owned<'a>(entry: Option<&'a DeviceEntry>, user: &User) -> Result<&'a DeviceEntry, Reply> {
    entry.filter(|entry| entry.user.id == user.id).ok_or_else(|| Reply::not_found("Device"))
}

fn device_body(call: &Call) -> Result<Map<String, Value>, Reply> {
    let mut body = call.object()?;
    if !body.get("deviceType").is_some_and(Value::is_string) {
        return Err(Reply::bad_request("deviceType is missing."));
    }
    // A refresh sends back the whole record; these fields are set by the server.
    for name in SERVER_FIELDS {
        body.remove(name);
    }
    Ok(body)
}

/// Fields of a device that a client cannot set: those that [`device_json`] adds.
const SERVER_FIELDS: [&str; 21] = [
    "url",
    "webSocketUrl",
    "userId",
    "orgId",
    "creationTime",
    "modificationTime",
    "features",
    "services",
    "serviceHostMap",
    "etag",
    "capabilities",
    "deviceSettings",
    "deviceSettingsString",
    "callingBehavior",
    "intranetInactivityDuration",
    "inNetworkInactivityDuration",
    "clientMessagingGiphy",
    "clientMessagingLinkPreview",
    "ecmEnabledForAllUsers",
    "ecmSupportedStorageProviders",
    "mediaCluster",
];

fn lifetime(ttl: Option<u64>, durable: Duration) -> Duration {
    ttl.map_or(durable, Duration::from_secs)
}

fn device_url(base: &Base, id: &str) -> String {
    base.named("wdm", &format!("/devices/{id}"))
}

fn answer(call: &Call, entry: &DeviceEntry) -> Reply {
    let details = call.query("includeUpstreamServices").unwrap_or_else(|| "all".to_owned());
    let body = device_json(&call.world, &call.base, &entry.device, &entry.user, &details);
    Reply::json(body).header(ETAG, &entry.device.etag)
}

fn device_json(world: &World, base: &Base, device: &Device, user: &User, details: &str) -> Value {
    let includes = |what: &str| details.split(',').any(|part| part == "all" || part == what);
    let mut out = device.body.clone();
    let fields = json!({
        "url": device_url(base, &device.id),
        "userId": user.id,
        "orgId": user.org_id,
        "creationTime": device.created.to_string(),
        "modificationTime": device.modified.to_string(),
        "capabilities": {
            "groupCallSupported": false,
            "localNotificationSupported": true,
            "deleteNotificationSupported": false,
            "sdpSupported": true,
        },
        "deviceSettings": {},
        "deviceSettingsString": "{}",
        "callingBehavior": "NATIVE_WEBEX_TEAMS_CALLING",
        "intranetInactivityDuration": 0,
        "inNetworkInactivityDuration": 0,
        "clientMessagingGiphy": "ALLOW",
        "clientMessagingLinkPreview": "ALLOW",
        "ecmEnabledForAllUsers": false,
        "ecmSupportedStorageProviders": [],
    });
    if let Value::Object(fields) = fields {
        out.extend(fields);
    }
    if includes("websocket") && !world.mutations.has(Mutation::DeviceWithoutSocketUrl) {
        let origin = world.policies.read().wdm.socket_origin.clone();
        // The prefix is served under every host name.
        let service =
            origin.map_or_else(|| base.mercury(), |origin| format!("{origin}/mercury/v1"));
        let url = format!("{service}/apps/wx2/registrations/{}/messages", device.id);
        out.insert("webSocketUrl".to_owned(), url.into());
    }
    if includes("features") {
        out.insert("features".to_owned(), features(world, user));
    }
    Value::Object(out)
}

fn features(world: &World, user: &User) -> Value {
    let feature = |key: &str, value: bool| {
        json!({"key": key, "val": value.to_string(), "value": value, "type": "boolean",
               "mutable": true, "lastModified": "2025-01-01T00:00:00.000Z"})
    };
    let entitlement =
        if user.webrtc_calling { vec![feature("bc-sp-standard", true)] } else { vec![] };
    let mut developer =
        vec![feature("web-high-availability", false), feature("web-shared-mercury", false)];
    let extra = 1..=world.policies.read().wdm.extra_features.min(MAX_FEATURES);
    developer.extend(extra.map(|number| feature(&format!("filler-feature-{number:04}"), true)));
    json!({
        "developer": developer,
        "entitlement": entitlement,
        "user": [],
    })
}
