//! The service catalog, in its `hostmap` and `U2CV2` formats.

use serde_json::{Map, Value, json};

use crate::conduct::Call;
use crate::reply::Reply;
use crate::state::World;
use crate::state::mutations::Mutation;
use crate::urls::{Base, CATALOG};

/// Services a client needs before anybody is signed in.
const LIMITED: [&str; 6] = ["u2c", "hydra", "idbroker", "identity", "metrics", "clientLogs"];

/// Catalog name of the Mercury websocket service.
const MERCURY: &str = "mercuryConnectionPartition0";

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
    // A client-credentials token may read the sign-in catalog; it belongs to no person.
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

fn hostmap(world: &World, base: &Base, full: bool) -> Value {
    let mut links = Map::new();
    let mut hosts: Map<String, Value> = Map::new();
    let mut add_host = |key: &str, entry: Value| {
        if let Some(list) =
            hosts.entry(key).or_insert_with(|| Value::Array(Vec::new())).as_array_mut()
        {
            list.push(entry);
        }
    };
    for service in CATALOG.iter().filter(|service| full || LIMITED.contains(&service.name)) {
        let host = base.service_authority(service);
        links.insert(service.name.to_owned(), base.service(service).into());
        add_host(&host, host_entry(&host, 5, Some(service.name)));
    }
    if full {
        links.insert(MERCURY.to_owned(), base.mercury().into());
        let host = base.mercury_authority();
        add_host(&host, host_entry(&host, 5, Some(MERCURY)));
        if let Some(first) = world.config.instances.first() {
            let with_ids = !world.mutations.has(Mutation::CatalogWithoutMobiusIds);
            links.insert("mobius".to_owned(), base.mobius(first).into());
            let key = base.mobius_authority(first);
            // All clusters are listed under the host of the first, as production does. In the paths
            // style they share one authority, and one entry is enough.
            let mut seen = Vec::new();
            for (at, instance) in world.config.instances.iter().enumerate() {
                let host = base.mobius_authority(instance);
                if !seen.contains(&host) {
                    let priority = if at == 0 { 5 } else { 10 + 5 * at };
                    add_host(&key, host_entry(&host, priority, with_ids.then_some("mobius")));
                    seen.push(host);
                }
            }
        }
    }
    json!({"serviceLinks": links, "hostCatalog": hosts, "format": "hostmap"})
}

fn host_entry(host: &str, priority: usize, service: Option<&str>) -> Value {
    let mut entry = json!({"host": host, "ttl": -1, "priority": priority});
    if let Some(service) = service {
        entry["id"] = urn(service).into();
    }
    entry
}

fn v2(world: &World, base: &Base, org_id: &str, full: bool) -> Value {
    let mut active = Map::new();
    let mut services = Vec::new();
    let mut add = |name: &str, urls: Vec<String>| {
        active.insert(name.to_owned(), urn(name).into());
        let urls: Vec<_> = urls
            .into_iter()
            .zip(1..)
            .map(|(url, priority): (_, u32)| json!({"baseUrl": url, "priority": priority}))
            .collect();
        services.push(json!({"id": urn(name), "serviceName": name, "serviceUrls": urls}));
    };
    for service in CATALOG.iter().filter(|service| full || LIMITED.contains(&service.name)) {
        add(service.name, vec![base.service(service)]);
    }
    if full {
        add(MERCURY, vec![base.mercury()]);
        if !world.mutations.has(Mutation::CatalogWithoutMobiusIds) {
            let mut urls: Vec<_> = world
                .config
                .instances
                .iter()
                .map(|instance| base.mobius_cluster(instance))
                .collect();
            urls.dedup();
            add("mobius", urls);
        }
    }
    json!({
        "activeServices": active,
        "services": services,
        "timestamp": jiff::Timestamp::now().as_millisecond().to_string(),
        "orgId": org_id,
        "format": "U2CV2",
    })
}

fn urn(service: &str) -> String {
    format!("urn:TEAM:us-east-2_a:{service}")
}
