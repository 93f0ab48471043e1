//! The service catalog: its two formats, several hosts, its size.

mod common;

use common::Client;
use serde_json::{Value, json};
use webex_sandbox::{CatalogHost, Sandbox, U2cPolicy};

async fn catalogs(client: &Client) -> (Value, Value) {
    let hostmap = client.get("/u2c/api/v1/catalog?format=hostmap").await.json();
    (hostmap, client.get("/u2c/api/v1/catalog?format=U2CV2").await.json())
}

#[tokio::test]
async fn both_forms_list_the_same_services_and_hosts() {
    let sandbox = Sandbox::builder().plain(true).start().await.unwrap();
    let client = Client::new(&sandbox);
    let hosts = [("one.example:81", 7), ("two.example", 3), ("never.example", -1)];
    sandbox.u2c_policy(|policy| {
        let hosts = hosts.map(|(host, priority)| CatalogHost::new(host, priority));
        policy.hosts.insert("wdm".to_owned(), hosts.into());
    });
    let (hostmap, v2) = catalogs(&client).await;
    let own = sandbox.origin().authority().to_owned();
    let listed: Vec<_> = hostmap["hostCatalog"][&own]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["id"] == "urn:TEAM:us-east-2_a:wdm")
        .map(|entry| (entry["host"].as_str().unwrap(), entry["priority"].as_i64().unwrap()))
        .collect();
    assert_eq!(listed, hosts);
    let service = |name: &str| {
        let id = &v2["activeServices"][name];
        let services = v2["services"].as_array().unwrap();
        services.iter().find(|service| service["id"] == *id).unwrap().clone()
    };
    let urls = &service("wdm")["serviceUrls"];
    let first = json!({"baseUrl": "http://one.example:81/wdm/api/v1", "priority": 7});
    assert_eq!((&urls[0], urls.as_array().unwrap().len()), (&first, 3));
    for name in hostmap["serviceLinks"].as_object().unwrap().keys() {
        assert_eq!(service(name)["serviceName"], **name);
    }
    assert!(v2["timestamp"].as_str().unwrap().parse::<u64>().is_ok());
}

#[tokio::test]
async fn a_catalog_can_be_as_large_as_a_real_one() {
    let sandbox = Sandbox::builder()
        .plain(true)
        .u2c_policy(U2cPolicy { size: 50_000, ..U2cPolicy::default() })
        .start()
        .await
        .unwrap();
    let client = Client::new(&sandbox);
    let (hostmap, v2) = catalogs(&client).await;
    for catalog in [hostmap, v2] {
        let bytes = catalog.to_string().len();
        assert!((50_000..70_000).contains(&bytes), "{bytes}");
    }
    let change = json!({"u2c": {"size": 0}});
    let changed = client.send(http::Method::PATCH, "/sandbox/policies", Some(change)).await;
    assert_eq!(changed.json()["u2c"]["size"], 0);
    assert!(catalogs(&client).await.0.to_string().len() < 10_000);
}
