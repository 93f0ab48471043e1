//! Addresses that servers name: none outside the cloud is used, wherever it occurs
//! (docs/addresses.md has the whole table). A foreign host here is a port of this machine that must
//! not even get a connection.

mod support;

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Value, json};
use support::{builder, client, people, trusting};
use webex_auth::{MemoryStore, Store};
use webex_core::{CatalogError, CatalogFormat, ErrorKind, HttpError, LinkError, Request, Webex};
use webex_sandbox::{FaultHandle, Hydra, Sandbox, U2c, Wdm};
use webex_tests::stranger::Stranger;

/// Every form of a redirect.
fn redirects(sandbox: &Sandbox, target: &str) -> Vec<(&'static str, FaultHandle)> {
    let site = target.split_once("://").unwrap().1.split('/').next().unwrap();
    let fault = |status| sandbox.fail(Hydra::me()).with(status);
    vec![
        ("307", fault(307).header("location", target).once()),
        ("308", fault(308).header("location", target).once()),
        ("header", fault(200).header("cisco-location", target).once()),
        ("locus", fault(404).body(json!({"errorCode": 2_000_002, "location": target})).once()),
        ("site", fault(404).body(json!({"code": 404_100, "data": {"siteFullUrl": site}})).once()),
    ]
}

#[tokio::test]
async fn a_redirect_does_not_leave_the_cloud() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox, trusting(&sandbox));
    let stranger = Stranger::start();
    let plain = format!("http://{}/v1/people/me", sandbox.origin().authority());
    for target in [
        stranger.url("https", "/v1/people/me"),
        stranger.url("http", "/v1/people/me"),
        stranger.url("wss", "/v1/people/me"),
        stranger.url("https://user:word@", "").replace("://127", "127"),
        plain,
    ] {
        for (kind, fault) in redirects(&sandbox, &target) {
            let harmless = kind == "site" && target.contains(sandbox.origin().authority());
            let body = json!({"secret": "of a guest"});
            let outcome = webex.http().send(people(&sandbox).json(&body)).await;
            assert_eq!(fault.fired(), 1, "{kind}");
            if !harmless {
                let error = outcome.unwrap_err();
                assert!(matches!(error, HttpError::Redirect { .. }), "{kind} {target}: {error:?}");
                assert_eq!(error.kind(), ErrorKind::Protocol);
            }
            stranger.assert_alone(kind);
        }
    }
}

#[tokio::test]
async fn a_catalog_behind_a_foreign_redirect_is_refused() {
    let sandbox = Sandbox::start().await.unwrap();
    // Another cloud with a valid catalog, which a careless client would accept.
    let other = Sandbox::start().await.unwrap();
    let transport = trusting(&sandbox).extra_roots_pem(other.ca_pem().unwrap().as_bytes());
    let webex = client(&sandbox, transport.unwrap());
    let there = other.url("/u2c/api/v1/catalog?format=hostmap").to_string();
    for fault in [
        sandbox.fail(U2c::postauth()).with(307).header("location", &there).once(),
        sandbox.fail(U2c::postauth()).with(200).header("cisco-location", &there).once(),
    ] {
        let error = webex.ready().await.unwrap_err();
        assert!(matches!(error, CatalogError::Fetch(HttpError::Redirect { .. })), "{error:?}");
        assert_eq!(fault.fired(), 1);
    }
    assert!(other.requests().is_empty());
}

/// A catalog in either format with one service at a foreign host.
fn foreign(format: CatalogFormat, service: &str, url: &str) -> Value {
    let authority = url.split_once("://").unwrap().1.split('/').next().unwrap();
    let host = json!([{"host": authority, "priority": 1, "id": format!("urn:T:a:{service}")}]);
    match format {
        CatalogFormat::U2cV2 => json!({
            "activeServices": {service: "urn:T:a"},
            "services": [{"id": "urn:T:a", "serviceName": service,
                          "serviceUrls": [{"baseUrl": url, "priority": 1}]}],
        }),
        _ => json!({"serviceLinks": {service: url}, "hostCatalog": {authority: host}}),
    }
}

#[tokio::test]
async fn a_catalog_adds_no_host_and_no_port() {
    for format in [CatalogFormat::HostMap, CatalogFormat::U2cV2] {
        for scheme in ["https", "http", "wss"] {
            let (sandbox, stranger) = (Sandbox::start().await.unwrap(), Stranger::start());
            let webex = builder(&sandbox).catalog_format(format).build().unwrap();
            for service in ["wdm", "mobius", "mercury"] {
                webex.expect_service(service);
            }
            let catalog = foreign(format, "wdm", &stranger.url(scheme, "/wdm/api/v1"));
            sandbox.fail(U2c::postauth()).with(200).body(catalog).once();
            let lease = webex.link().acquire().await.unwrap();
            let error = lease.online().await.unwrap_err();
            let LinkError::Catalog(CatalogError::NoService(name)) = &error else {
                panic!("{error:?}");
            };
            assert_eq!(name, "wdm");
            let url = stranger.url("https", "/x").parse().unwrap();
            assert!(!webex.http().allows(&url), "{scheme}");
            let error = webex.http().send(Request::get(url)).await.unwrap_err();
            assert!(matches!(error, HttpError::NotAllowed { .. }), "{error:?}");
            stranger.assert_alone(scheme);
        }
    }
}

#[tokio::test]
async fn other_hosts_of_a_service_are_asked_only_where_they_belong_to_the_cloud() {
    let (sandbox, stranger) = (Sandbox::start().await.unwrap(), Stranger::start());
    let own = sandbox.origin().authority().to_owned();
    let id = "urn:T:a:wdm";
    let hosts = json!({own: [{"host": stranger.authority(), "priority": 1, "id": id},
                             {"host": "127.0.0.1/evil", "priority": 1, "id": id}]});
    sandbox.fail(U2c::postauth()).merge(json!({"hostCatalog": hosts})).once();
    let webex = client(&sandbox, trusting(&sandbox));
    let up = async |webex: &Webex| {
        let lease = webex.link().acquire().await.unwrap();
        lease.online().await.map(|()| lease)
    };
    // The service is removed, or it stays at its own URL; it is never at the foreign host.
    if let Ok(lease) = up(&webex).await {
        lease.release("done").await.unwrap();
    }
    stranger.assert_alone("an alternative host");
}

#[tokio::test]
async fn a_device_at_a_foreign_address_is_refused() {
    let (sandbox, stranger) = (Sandbox::start().await.unwrap(), Stranger::start());
    for scheme in ["https", "http"] {
        let device = json!({"url": stranger.url(scheme, "/wdm/api/v1/devices/1")});
        let fault = sandbox.fail(Wdm::register()).merge(device).always();
        let webex = client(&sandbox, trusting(&sandbox));
        let lease = webex.link().acquire().await.unwrap();
        let error = lease.online().await.unwrap_err();
        let LinkError::Device { source: HttpError::NotAllowed { address }, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*address, stranger.url(scheme, ""));
        assert_eq!((fault.fired(), error.kind()), (1, ErrorKind::Protocol), "not again and again");
        lease.release("done").await.unwrap();
        stranger.assert_alone("the device");
        fault.clear();
    }
}

#[tokio::test]
async fn a_socket_at_a_foreign_address_is_not_opened() {
    let (sandbox, stranger) = (Sandbox::start().await.unwrap(), Stranger::start());
    for scheme in ["wss", "ws"] {
        let device = json!({"webSocketUrl": stranger.url(scheme, "/v1/registrations/1")});
        let fault = sandbox.fail(Wdm::register()).merge(device).always();
        let webex = client(&sandbox, trusting(&sandbox));
        let lease = webex.link().acquire().await.unwrap();
        let error = lease.online().await.unwrap_err();
        assert!(matches!(error, LinkError::Refused(_)), "{error:?}");
        lease.release("done").await.unwrap();
        stranger.assert_alone("the socket");
        fault.clear();
    }
}

#[tokio::test]
async fn devices_at_foreign_addresses_are_not_deleted_to_make_room() {
    let (sandbox, stranger) = (Sandbox::start().await.unwrap(), Stranger::start());
    let body = json!({"message": "User has excessive device registrations"});
    let full = sandbox.fail(Wdm::register()).with(403).body(body).always();
    let device = json!({"url": stranger.url("https", "/wdm/api/v1/devices/1"),
        "name": "webex-native", "deviceType": "WEB", "modificationTime": "2020-01-01T00:00:00Z"});
    let list = sandbox.fail(Wdm::list()).with(200).body(json!({"devices": [device]})).always();
    let webex = client(&sandbox, trusting(&sandbox));
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap_err();
    assert!(full.fired() >= 1 && list.fired() >= 1);
    stranger.assert_alone("a device of the list");
}

#[tokio::test]
async fn saved_addresses_are_checked_like_received_ones() {
    let sandbox = Sandbox::start().await.unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let make = || builder(&sandbox).state_store(Arc::clone(&store), "me").build().unwrap();
    let first = make();
    let lease = first.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    for key in ["catalog", "device", "hosts"] {
        while first.saved_state().load::<Value>(key).await.is_none() {
            tokio::task::yield_now().await;
        }
    }
    // Dropped without a release, so that the saved state stays.
    drop((lease, first));
    let stranger = Stranger::start();
    for key in ["catalog", "device", "hosts"] {
        let name = format!("me:{key}");
        let text = store.load(&name).await.unwrap().unwrap();
        let text = secrecy::ExposeSecret::expose_secret(&text);
        let moved = text.replace(sandbox.origin().authority(), &stranger.authority());
        assert_ne!(moved, text, "{key}");
        // The cloud it belongs to does not change.
        let mut moved: Value = serde_json::from_str(&moved).unwrap();
        let kept: Value = serde_json::from_str(text).unwrap();
        moved["environment"] = kept["environment"].clone();
        store.save(&name, SecretString::from(moved.to_string())).await.unwrap();
    }
    sandbox.clear_requests();
    let webex = make();
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    lease.release("done").await.unwrap();
    stranger.assert_alone("what was kept");
}
