//! What a browser client needs: CORS, Webex host names, and both formats of the catalog.

mod common;

use std::net::SocketAddr;

use common::{Client, MercuryClient, tls};
use http::Method;
use serde_json::{Value, json};
use webex_sandbox::{Mobius, Mutation, Sandbox};

const PAGE: &str = "https://page.example";

async fn preflight(client: &Client, path: &str) -> reqwest::Response {
    client
        .http
        .request(Method::OPTIONS, client.origin.join(path).unwrap())
        .header("origin", PAGE)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,trackingid,x-new-one")
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn preflights_are_allowed_everywhere_but_at_the_control_api() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::new(&sandbox);
    let devices = "/mobius/primary-1/api/v1/calling/web/device";
    for path in ["/wdm/api/v1/devices", devices, "/v1/region", "/nowhere"] {
        let answer = preflight(&client, path).await;
        assert_eq!(answer.status(), 204, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("access-control-allow-origin"), PAGE);
        assert_eq!(header("access-control-allow-headers"), "authorization,trackingid,x-new-one");
        for method in ["PUT", "PATCH", "DELETE"] {
            assert!(header("access-control-allow-methods").contains(method));
        }
    }
    let control = preflight(&client, "/sandbox/users").await;
    assert_eq!(control.status(), 403);
    assert!(!control.headers().contains_key("access-control-allow-origin"));
    // Preflights are not requests of a service.
    assert!(sandbox.requests().of(webex_sandbox::Service::Wdm).is_empty());
    assert_eq!(sandbox.requests().of(webex_sandbox::Other::preflight()).count(), 4);
}

#[tokio::test]
async fn answers_and_errors_carry_cors_headers() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::new(&sandbox);
    let send = async |path: &str, token: &str| {
        let url = client.origin.join(path).unwrap();
        client.http.get(url).header("origin", PAGE).bearer_auth(token).send().await.unwrap()
    };
    sandbox.fail(Mobius::ping()).with(503).header("Retry-After", 3).once();
    for (path, token, status) in [
        ("/v1/people/me", client.token.as_str(), 200),
        ("/v1/people/me", "wrong", 401),
        ("/mobius/primary-1/api/v1/ping", "", 503),
    ] {
        let answer = send(path, token).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
        let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
        for name in ["Retry-After", "TrackingId", "ETag"] {
            assert!(exposed.contains(name));
        }
    }
    assert!(client.get("/v1/people/me").await.header("access-control-allow-origin").is_none());
    sandbox.mutate(Mutation::MissingCors, true);
    let answer = send("/v1/people/me", &client.token).await;
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
}

/// A client that resolves every Webex host name to the sandbox, with or without a port in the URL.
fn mapped(sandbox: &Sandbox) -> reqwest::Client {
    let address: SocketAddr = sandbox.origin().socket_addrs(|| None).unwrap()[0];
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls(sandbox, &[b"h2", b"http/1.1"]));
    for host in [
        "u2c.wbx2.com",
        "wdm-a.wbx2.com",
        "api.ciscospark.com",
        "ds.ciscospark.com",
        "idbroker.webex.com",
        "webexapis.com",
        "mobius-us-east-1.prod.infra.webex.com",
        "mobius-eu-central-1.prod.infra.webex.com",
    ] {
        builder = builder.resolve(host, address);
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn a_client_that_uses_webex_host_names_gets_webex_host_names() {
    let sandbox = Sandbox::start().await.unwrap();
    let port = sandbox.origin().port().unwrap();
    let http = mapped(&sandbox);
    let get = async |url: String| -> Value {
        let answer = http.get(&url).bearer_auth(sandbox.token()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    };
    let catalog =
        get(format!("https://u2c.wbx2.com:{port}/u2c/api/v1/catalog?format=hostmap")).await;
    let wdm = format!("wdm-a.wbx2.com:{port}");
    assert_eq!(catalog["serviceLinks"]["wdm"], format!("https://{wdm}/wdm/api/v1"));
    assert_eq!(catalog["hostCatalog"][&wdm][0]["host"], wdm);
    assert_eq!(catalog["hostCatalog"][&wdm][0]["id"], "urn:TEAM:us-east-2_a:wdm");

    let clusters: Vec<_> = catalog["hostCatalog"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|list| list.as_array().unwrap())
        .filter(|entry| entry["id"].as_str().is_some_and(|id| id.ends_with(":mobius")))
        .map(|entry| entry["host"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(clusters.len(), 4);
    assert_eq!(clusters[0], format!("mobius-us-east-1.prod.infra.webex.com:{port}"));

    // Discovery at a cluster belongs to the instance of that host.
    let discovery =
        format!("https://{}/api/v1/calling/web/?regionCode=a&countryCode=b", clusters[0]);
    let found = get(discovery.clone()).await;
    assert_eq!(found["primary"]["uris"][0], format!("https://{}/api/v1", clusters[0]));
    let logged = sandbox.requests().of(Mobius::discovery());
    assert_eq!(logged.last().unwrap().instance(), Some("primary-1"));
    assert_eq!(logged.last().unwrap().path(), "/api/v1/calling/web/");
    sandbox.down("primary-1");
    assert!(http.get(discovery).bearer_auth(sandbox.token()).send().await.is_err());

    let backup = found["backup"]["uris"][0].as_str().unwrap();
    let body = json!({"userId": sandbox.user().id, "clientDeviceUri": "https://x.example/1"});
    let answer = http
        .post(format!("{backup}/calling/web/device"))
        .bearer_auth(sandbox.token())
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let line: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert!(line["device"]["uri"].as_str().unwrap().starts_with(backup));
    assert_eq!(sandbox.lines()[0].instance, "backup-1");

    let answer = http
        .post(format!("https://{wdm}/wdm/api/v1/devices"))
        .bearer_auth(sandbox.token())
        .body(json!({"deviceType": "WEB"}).to_string())
        .send()
        .await
        .unwrap();
    let device: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let socket = device["webSocketUrl"].as_str().unwrap();
    let host = format!("wss://mercury-connection-partition0-a.wbx2.com:{port}/v1/apps/wx2/");
    assert!(socket.starts_with(&host), "{socket}");
    let (_, first) = MercuryClient::authorized(&sandbox, &device, sandbox.token()).await;
    assert_eq!(first["data"]["eventType"], "mercury.buffer_state");

    get(format!("https://ds.ciscospark.com:{port}/v1/region")).await;
    get(format!("https://webexapis.com:{port}/v1/people/me")).await;
    // The control API does not answer under these names.
    let control = http.get(format!("https://u2c.wbx2.com:{port}/sandbox")).send().await.unwrap();
    assert_eq!(control.status(), 403);
}

#[tokio::test]
async fn the_catalog_comes_in_both_formats() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = Client::new(&sandbox);
    let origin = sandbox.origin().as_str().trim_end_matches('/').to_owned();
    let authority = origin.trim_start_matches("https://").to_owned();

    let hostmap = client.get("/u2c/api/v1/catalog?format=hostmap").await.json();
    assert_eq!(hostmap["format"], "hostmap");
    for (name, url) in hostmap["serviceLinks"].as_object().unwrap() {
        assert!(url.as_str().unwrap().contains(&authority), "{name}: {url}");
    }
    let entries = hostmap["hostCatalog"][&authority].as_array().unwrap();
    let mobius = entries.iter().filter(|e| e["id"] == "urn:TEAM:us-east-2_a:mobius").count();
    assert_eq!(mobius, 1);

    let v2 = client.get("/u2c/api/v1/catalog?format=U2CV2").await.json();
    assert_eq!((&v2["format"], &v2["orgId"]), (&json!("U2CV2"), &json!(sandbox.user().org_id)));
    let id = &v2["activeServices"]["wdm"];
    let services = v2["services"].as_array().unwrap();
    let wdm = services.iter().find(|service| service["id"] == *id).unwrap();
    assert_eq!(wdm["serviceName"], "wdm");
    assert_eq!(wdm["serviceUrls"][0]["baseUrl"], format!("{origin}/wdm/api/v1"));
    assert!(v2["timestamp"].as_str().unwrap().parse::<u64>().is_ok());
    let mobius = services.iter().find(|service| service["serviceName"] == "mobius").unwrap();
    assert_eq!(
        mobius["serviceUrls"],
        json!([{"baseUrl": format!("{origin}/api/v1"), "priority": 1}])
    );

    assert_eq!(client.get("/u2c/api/v1/catalog?format=other").await.status, 400);
    sandbox.mutate(Mutation::CatalogWithoutMobiusIds, true);
    let text = client.get("/u2c/api/v1/catalog").await.text;
    assert!(!text.contains(":mobius\""));
}

#[tokio::test]
async fn the_limited_catalog_needs_one_selector_and_lists_little() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut client = Client::new(&sandbox);
    client.token = String::new();
    let get = async |query: &str| {
        client.get(&format!("/u2c/api/v1/limited/catalog?format=hostmap&{query}")).await
    };
    for query in ["orgId=x", "emailhash=x", "userId=x", "mode=DEFAULT_BY_PROXIMITY"] {
        let links = get(query).await.json()["serviceLinks"].clone();
        assert!(links["idbroker"].is_string() && links.get("wdm").is_none(), "{query}: {links}");
    }
    for query in ["", "orgId=x&userId=y", "mode=OTHER"] {
        assert_eq!(get(query).await.status, 400, "{query}");
    }
    assert_eq!(client.get("/u2c/api/v1/signin/catalog?emailhash=x").await.status, 401);
}
