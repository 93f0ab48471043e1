//! The service catalog, in its `hostmap` and `U2CV2` formats.

use std::sync::Arc;

use axum::Router;
use serde_json::{Map, Value, json};

use crate::{
    exchange::{
        call::Call,
        reply::Reply,
        route::{GET, route},
    },
    operation::U2c,
    state::{mutations::Mutation, policy::CatalogHost},
    urls::{Base, CATALOG},
    world::World,
};

/// Services that a client needs before sign-in.
const LIMITED: [&str; 6] = ["u2c", "hydra", "idbroker", "identity", "metrics", "clientLogs"];

/// Limit of the catalog's size, bytes.
const MAX_SIZE: usize = 64 * 1024 * 1024;

/// Catalog name of the Mercury websocket service.
const MERCURY: &str = "mercuryConnectionPartition0";

/// The paths of the service.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/u2c/api/v1/limited/catalog", route(GET, U2c::limited(), limited))
        .route("/u2c/api/v1/signin/catalog", route(GET, U2c::signin(), signed_in))
        .route("/u2c/api/v1/catalog", route(GET, U2c::postauth(), signed_in))
}

/// `GET …/limited/catalog`: exactly one selector, no token.
pub(crate) async fn limited(call: Call) -> Result<Reply, Reply> {
    let selectors = ["orgId", "emailhash", "userId", "mode"];
    let given = selectors.iter().filter(|name| call.query(name).is_some()).count();
    if given != 1 {
        return Err(Reply::bad_request(
            "Exactly one of orgId, emailhash, userId and mode is wanted.",
        ));
    }
    if call.query("mode").is_some_and(|mode| mode != "DEFAULT_BY_PROXIMITY") {
        return Err(Reply::bad_request("Unknown mode."));
    }
    let org_id = call.query("orgId").unwrap_or_else(|| call.world.default_user.org_id.clone());
    catalog(&call, &org_id, false)
}

/// `GET …/signin/catalog` and `GET …/catalog`: with a token.
pub(crate) async fn signed_in(call: Call) -> Result<Reply, Reply> {
    // A client-credentials token belongs to no person, and may read the sign-in catalog.
    let org_id = call.user().map_or(&call.world.default_user.org_id, |user| &user.org_id);
    catalog(&call, org_id, true)
}

fn catalog(call: &Call, org_id: &str, full: bool) -> Result<Reply, Reply> {
    match call.query("format").as_deref() {
        None | Some("hostmap") => Ok(Reply::json(hostmap(&call.world, &call.base, full))),
        Some("U2CV2") => Ok(Reply::json(v2(&call.world, &call.base, org_id, full))),
        Some(_) => Err(Reply::bad_request("Unknown format.")),
    }
}

/// A service and its address.
struct Entry {
    name: String,
    url: String,
    /// Authorities with their priorities, best first unless the policy says otherwise.
    hosts: Vec<CatalogHost>,
}

/// The entries of the catalog without Mobius, whose hosts are clusters.
fn entries(world: &World, base: &Base, full: bool) -> Vec<Entry> {
    let policy = world.policies.read().u2c.clone();
    let entry = |name: &str, url: String, own: String| {
        let several = policy.hosts.get(name).filter(|hosts| !hosts.is_empty()).cloned();
        let hosts = several.unwrap_or_else(|| vec![CatalogHost::new(own, 5)]);
        Entry { name: name.to_owned(), url, hosts }
    };
    let mut all: Vec<_> = CATALOG
        .iter()
        .filter(|service| full || LIMITED.contains(&service.name))
        .map(|it| entry(it.name, base.service(it), base.service_authority(it)))
        .collect();
    if full {
        all.push(entry(MERCURY, base.mercury(), base.mercury_authority()));
    }
    all
}

/// Services that no client needs, which bring the catalog to the configured size.
fn fill(size: usize, format: fn(&Entry) -> String) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut bytes = 0;
    while bytes < size.min(MAX_SIZE) {
        let name = format!("filler{:04}", all.len() + 1);
        let [host, other] = ["a", "r"].map(|part| format!("{name}-{part}.wbx2.com"));
        let url = format!("https://{host}/{name}/api/v1");
        let hosts = vec![CatalogHost::new(host, 5), CatalogHost::new(other, 10)];
        let entry = Entry { name, url, hosts };
        bytes += format(&entry).len();
        all.push(entry);
    }
    all
}

fn hostmap(world: &World, base: &Base, full: bool) -> Value {
    let mut links = Map::new();
    let mut hosts: Map<String, Value> = Map::new();
    let mut add = |key: &str, entry: Value| {
        if let Some(list) =
            hosts.entry(key).or_insert_with(|| Value::Array(Vec::new())).as_array_mut()
        {
            list.push(entry);
        }
    };
    let text = |entry: &Entry| {
        let hosts: Vec<_> =
            entry.hosts.iter().map(|it| in_hostmap(it, Some(&entry.name))).collect();
        format!("{}{}{}", entry.name, entry.url, json!(hosts))
    };
    let filler = fill(world.policies.read().u2c.size, text);
    for entry in entries(world, base, full).into_iter().chain(filler) {
        // Alternatives are listed under the host of the link.
        let key = authority_of(&entry.url).to_owned();
        for host in &entry.hosts {
            add(&key, in_hostmap(host, Some(&entry.name)));
        }
        links.insert(entry.name, entry.url.into());
    }
    if let Some(first) = world.config.instances.first().filter(|_| full) {
        let with_ids = !world.mutations.has(Mutation::CatalogWithoutMobiusIds);
        links.insert("mobius".to_owned(), base.mobius_cluster(first).into());
        let key = base.mobius_authority(first);
        // All clusters are listed under the host of the first, as in production. In the paths style
        // they share one authority, so that one entry is enough.
        let mut seen = Vec::new();
        for (instance, at) in world.config.instances.iter().zip(0..) {
            let host = base.mobius_authority(instance);
            if !seen.contains(&host) {
                let priority = if at == 0 { 5 } else { 10 + 5 * at };
                let entry = CatalogHost::new(host.clone(), priority);
                add(&key, in_hostmap(&entry, with_ids.then_some("mobius")));
                seen.push(host);
            }
        }
    }
    json!({"serviceLinks": links, "hostCatalog": hosts, "format": "hostmap"})
}

fn in_hostmap(host: &CatalogHost, service: Option<&str>) -> Value {
    let mut entry = json!({"host": host.host, "ttl": -1, "priority": host.priority});
    if let Some(service) = service {
        entry["id"] = urn(service).into();
    }
    entry
}

fn v2(world: &World, base: &Base, org_id: &str, full: bool) -> Value {
    let mut active = Map::new();
    let mut services = Vec::new();
    let text = |entry: &Entry| in_v2(&entry.name, &urls(entry)).to_string();
    let filler = fill(world.policies.read().u2c.size, text);
    for entry in entries(world, base, full).into_iter().chain(filler) {
        services.push(in_v2(&entry.name, &urls(&entry)));
        active.insert(entry.name.clone(), urn(&entry.name).into());
    }
    if full && !world.mutations.has(Mutation::CatalogWithoutMobiusIds) {
        let instances = world.config.instances.iter();
        let mut urls: Vec<_> = instances.map(|instance| base.mobius_cluster(instance)).collect();
        urls.dedup();
        services.push(in_v2("mobius", &urls.into_iter().zip(1..).collect::<Vec<_>>()));
        active.insert("mobius".to_owned(), urn("mobius").into());
    }
    json!({
        "activeServices": active,
        "services": services,
        "timestamp": jiff::Timestamp::now().as_millisecond().to_string(),
        "orgId": org_id,
        "format": "U2CV2",
    })
}

/// The URL of a service on each of its hosts.
fn urls(entry: &Entry) -> Vec<(String, i64)> {
    let at = |host: &str| entry.url.replacen(authority_of(&entry.url), host, 1);
    entry.hosts.iter().map(|host| (at(&host.host), host.priority)).collect()
}

fn in_v2(name: &str, urls: &[(String, i64)]) -> Value {
    let urls: Vec<_> =
        urls.iter().map(|(url, priority)| json!({"baseUrl": url, "priority": priority})).collect();
    json!({"id": urn(name), "serviceName": name, "serviceUrls": urls})
}

fn authority_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn urn(service: &str) -> String {
    format!("urn:TEAM:us-east-2_a:{service}")
}
