//! The WDM device against the sandbox: registering, saving, restoring and deleting it.

mod support;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use support::{builder, trusting};
use tokio::time::Instant;
use webex_auth::{MemoryStore, Store};
use webex_core::{DeviceConfig, ErrorKind, LinkError, Phase, Webex};
use webex_sandbox::{Mercury, Operation, Request, Sandbox, Service, U2c, Wdm};

/// The text of a refusal because of too many devices.
const EXCESSIVE: &str = "User has excessive device registrations";

/// Longer than a running program goes without a refresh.
const LONG_AGO: Duration = Duration::from_secs(2 * 24 * 60 * 60);

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

fn client(sandbox: &Sandbox) -> Webex {
    support::client(sandbox, trusting(sandbox))
}

fn kept(sandbox: &Sandbox, store: &Arc<dyn Store>) -> Webex {
    builder(sandbox).state_store(Arc::clone(store), "me").build().unwrap()
}

/// What a program that was online, and ended without giving its device up, has stored.
async fn earlier_start(sandbox: &Sandbox) -> Arc<dyn Store> {
    let store = store();
    let webex = kept(sandbox, &store);
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    drop((lease, webex));
    sandbox.wait_for(|s| s.counts().sockets == 0).await.unwrap();
    store
}

/// Registers devices of the user as another run of this program would have.
async fn others(sandbox: &Sandbox, count: usize, name: &str) -> Vec<String> {
    let webex = client(sandbox);
    let mut urls = Vec::new();
    for _ in 0..count {
        let request = webex_core::Request::post(sandbox.url("/wdm/api/v1/devices"))
            .json(&json!({"name": name, "deviceType": "WEB"}));
        let answer = webex.http().send(request).await.unwrap();
        urls.push(answer.json::<serde_json::Value>().unwrap()["url"].as_str().unwrap().to_owned());
    }
    sandbox.clear_requests();
    urls
}

fn id(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

fn left(sandbox: &Sandbox) -> Vec<String> {
    sandbox.devices().into_iter().map(|device| device.url).collect()
}

#[tokio::test]
async fn a_durable_device_is_used_again_by_the_next_start() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = store();
    // An unknown field of the record, which only the service understands.
    sandbox.fail(Wdm::register()).merge(json!({"unheard": {"of": 1}})).once();
    let first = kept(&sandbox, &store);
    let lease = first.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    let url = lease.device().await.unwrap().url.clone();
    let registered = sandbox.requests().of(Wdm::register());
    assert_eq!(registered.last().unwrap().json().get("ttl"), None, "it ends by itself after days");
    drop((lease, first));
    sandbox.wait_for(|s| s.counts().sockets == 0).await.unwrap();
    assert_eq!(sandbox.counts().devices, 1, "it waits for the next start");

    sandbox.clear_requests();
    let second = kept(&sandbox, &store);
    let lease = second.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    sandbox.wait_for(|s| s.requests().of(Wdm::refresh()).answered(200).count() == 1).await.unwrap();
    assert_eq!(lease.device().await.unwrap().url, url);
    let refreshes = sandbox.requests().of(Wdm::refresh());
    let refresh = refreshes.first().unwrap();
    assert!(refresh.header("if-none-match").is_some());
    assert_eq!(refresh.query_value("includeUpstreamServices").as_deref(), Some("all"));
    let body = refresh.json();
    assert_eq!(body["unheard"]["of"], 1, "the whole record goes back");
    assert_eq!(body["url"], url.as_str());
    for gone in ["features", "mediaCluster", "etag", "services", "ttl"] {
        assert_eq!(body.get(gone), None, "{gone}");
    }
    assert!(sandbox.requests().of(Wdm::register()).is_empty());
    assert_eq!(sandbox.counts().devices, 1);

    // Only unregistering deletes it, and its saved state.
    lease.release("done").await.unwrap();
    assert_eq!(sandbox.counts().devices, 0);
    let third = kept(&sandbox, &store);
    let lease = third.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    assert_eq!(sandbox.requests().of(Wdm::register()).count(), 1);
    assert_eq!(sandbox.requests().of(Wdm::refresh()).count(), 1);
    lease.release("done").await.unwrap();
}

#[tokio::test]
async fn a_phones_device_has_its_type_and_identifier_and_is_refreshed_at_the_next_start() {
    let presets = [
        (DeviceConfig::ios("0e6f-1"), "TEAMS_SDK_IOS"),
        (DeviceConfig::android("0e6f-1"), "TEAMS_SDK_ANDROID"),
    ];
    for (preset, device_type) in presets {
        let sandbox = Sandbox::start().await.unwrap();
        let store = store();
        let start = || {
            let builder = builder(&sandbox).state_store(Arc::clone(&store), "me");
            builder.device(preset.clone()).build().unwrap()
        };
        let first = start();
        first.link().acquire().await.unwrap().online().await.unwrap();
        let body = sandbox.requests().of(Wdm::register()).last().unwrap().json();
        assert_eq!(
            (&body["deviceType"], &body["deviceIdentifier"]),
            (&json!(device_type), &json!("0e6f-1"))
        );
        assert_eq!(body["ttl"], 180 * 24 * 60 * 60, "seconds");
        drop(first);
        sandbox.wait_for(|s| s.counts().sockets == 0).await.unwrap();

        let second = start();
        let lease = second.link().acquire().await.unwrap();
        lease.online().await.unwrap();
        let refreshed = |s: &Sandbox| s.requests().of(Wdm::refresh()).answered(200).count() == 1;
        sandbox.wait_for(refreshed).await.unwrap();
        let body = sandbox.requests().of(Wdm::refresh()).last().unwrap().json();
        assert_eq!(body["deviceIdentifier"], "0e6f-1");
        assert_eq!(sandbox.requests().of(Wdm::register()).count(), 1, "PUT, and no second POST");
        lease.release("done").await.unwrap();
    }
}

#[tokio::test]
async fn without_a_store_the_device_is_ephemeral_and_ends_with_the_client() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    assert_eq!(sandbox.devices()[0].ttl, Some(1800));
    drop((lease, webex));
    sandbox.wait_for(|s| s.counts().devices == 0).await.unwrap();
}

#[tokio::test]
async fn a_kept_device_that_is_gone_is_registered_anew() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = store();
    let first = kept(&sandbox, &store);
    let lease = first.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    let old = lease.device().await.unwrap().url.clone();
    drop((lease, first));
    sandbox.wait_for(|s| s.counts().sockets == 0).await.unwrap();
    assert!(sandbox.expire_device(&sandbox.devices()[0].id));

    let second = kept(&sandbox, &store);
    let lease = second.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    // The socket moves to the new device, and nothing is left of the old one.
    let at_the_new = |s: &Sandbox| {
        let devices = s.devices();
        let [socket] = &s.sockets()[..] else { return false };
        devices.len() == 1 && socket.authorized && socket.device_id == devices[0].id
    };
    sandbox.wait_for(at_the_new).await.unwrap();
    let new = || second.link().state().device.is_some_and(|device| device.url != old);
    sandbox.wait_for(|_| new()).await.unwrap();
    assert_eq!(sandbox.requests().of(Wdm::register()).count(), 2);
    lease.release("done").await.unwrap();
    assert_eq!((sandbox.counts().devices, sandbox.counts().sockets), (0, 0));
}

#[tokio::test]
async fn a_wrong_remembered_socket_address_recovers_at_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = store();
    // Nobody listens there; every later answer has the sandbox's own address.
    let wrong = json!({"webSocketUrl": format!("wss{}", &sandbox.url("/nobody/here").as_str()["https".len()..])});
    let first = kept(&sandbox, &store);
    sandbox.fail(Wdm::register()).merge(wrong).once();
    sandbox.fail(Wdm::refresh()).with(503).always();
    let lease = first.link().acquire().await.unwrap();
    lease.device().await.unwrap();
    drop((lease, first));
    sandbox.wait_for(|s| s.counts().devices == 1).await.unwrap();
    sandbox.clear_faults();
    sandbox.clear_requests();

    let second = kept(&sandbox, &store);
    let lease = second.link().acquire().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), lease.online()).await.unwrap().unwrap();
    assert!(sandbox.requests().of(Wdm::register()).is_empty(), "the device is the same");
    assert_eq!(second.link().state().phase, Phase::Up);
    lease.release("done").await.unwrap();
}

#[tokio::test]
async fn a_device_saved_for_another_cloud_is_not_used() {
    let [here, there] = [Sandbox::start().await.unwrap(), Sandbox::start().await.unwrap()];
    let store = store();
    for sandbox in [&here, &there] {
        let webex = kept(sandbox, &store);
        let lease = webex.link().acquire().await.unwrap();
        lease.online().await.unwrap();
        drop((lease, webex));
        sandbox.wait_for(|s| s.counts().sockets == 0).await.unwrap();
    }
    assert_eq!(there.requests().of(Wdm::register()).count(), 1);
    assert!(there.requests().of(Wdm::refresh()).is_empty());
    assert!(here.requests().of(Wdm::refresh()).is_empty());
}

#[tokio::test]
async fn row_15_an_ephemeral_device_is_refreshed_and_replaced_when_that_fails_until_its_end() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut config = DeviceConfig::default();
    config.ttl = Some(Duration::from_secs(2));
    let webex = builder(&sandbox).device(config).build().unwrap();
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    let first = lease.device().await.unwrap();
    sandbox.wait_for(|s| s.requests().of(Wdm::refresh()).answered(200).count() == 1).await.unwrap();
    assert_eq!(sandbox.counts().devices, 1);

    // It is no longer refreshed, and expires.
    sandbox.fail(Wdm::refresh()).with(503).always();
    let moved = |s: &Sandbox| match &s.devices()[..] {
        [device] if device.url != first.url.as_str() => {
            s.sockets().iter().any(|socket| socket.authorized && socket.device_id == device.id)
        }
        _ => false,
    };
    sandbox.wait_for(moved).await.unwrap();
    assert_eq!(sandbox.requests().of(Wdm::register()).count(), 2);
    let failed = sandbox.requests().of(Wdm::refresh()).answered(503).count();
    assert!((1..=5).contains(&failed), "{failed} tries in half a second");
    lease.release("done").await.unwrap();
    assert_eq!((sandbox.counts().devices, sandbox.counts().sockets), (0, 0));
}

#[tokio::test]
async fn row_16_room_is_made_among_the_own_stale_devices_only() {
    let sandbox = Sandbox::start().await.unwrap();
    let strangers = others(&sandbox, 2, "browser").await;
    let own = others(&sandbox, 5, "webex-native").await;
    for url in strangers.iter().chain(&own[..4]) {
        assert!(sandbox.age_device(id(url), LONG_AGO));
    }
    // The last of ours is in use; the third is older than the others.
    assert!(sandbox.age_device(id(&own[2]), LONG_AGO));
    sandbox.wdm_policy(|policy| policy.device_limit = 7);
    sandbox.fail(Wdm::unregister()).with(404).once();

    let webex = client(&sandbox);
    let lease = webex.link().acquire().await.unwrap();
    // One of the two deletions gets 404, which counts as deleted; the sandbox had not deleted that
    // device, so the other deletion makes the room.
    lease.online().await.unwrap();
    let deleted: Vec<_> = sandbox
        .requests()
        .of(Wdm::unregister())
        .iter()
        .map(|request| sandbox.url(request.path()).to_string())
        .collect();
    assert_eq!(deleted.len(), 2, "a third of the four, rounded up");
    assert!(deleted.contains(&own[2]) && deleted.contains(&own[0]), "the oldest: {deleted:?}");
    let left = left(&sandbox);
    assert!(strangers.iter().all(|url| left.contains(url)) && left.contains(&own[4]));
    let requests = sandbox.requests().of(Service::Wdm);
    let order: Vec<_> = requests.iter().map(Request::method).collect();
    assert_eq!(order, ["POST", "GET", "DELETE", "DELETE", "POST"]);
    lease.release("done").await.unwrap();
}

#[tokio::test]
async fn row_16_the_error_without_room_has_the_number_of_devices() {
    let sandbox = Sandbox::start().await.unwrap();
    let own = others(&sandbox, 2, "webex-native").await;
    let strangers = others(&sandbox, 1, "browser").await;
    assert!(sandbox.age_device(id(&strangers[0]), LONG_AGO));
    sandbox.wdm_policy(|policy| policy.device_limit = 3);
    let webex = client(&sandbox);
    let lease = webex.link().acquire().await.unwrap();
    let error = lease.online().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceLimit);
    assert!(error.to_string().contains(EXCESSIVE), "{error}");
    let LinkError::TooManyDevices { registered: 3, own: 2, .. } = error else {
        panic!("{error:?}");
    };
    assert!(sandbox.requests().of(Wdm::unregister()).is_empty(), "all of ours are in use");
    assert_eq!(sandbox.requests().of(Wdm::register()).count(), 1);
    drop(own);
}

#[tokio::test]
async fn row_16_making_room_ends() {
    let sandbox = Sandbox::start().await.unwrap();
    for url in others(&sandbox, 9, "webex-native").await {
        assert!(sandbox.age_device(id(&url), LONG_AGO));
    }
    // However many are deleted, the service refuses, this time with another status.
    sandbox.fail(Wdm::register()).with(409).body(json!({"message": EXCESSIVE})).always();
    let webex = client(&sandbox);
    let lease = webex.link().acquire().await.unwrap();
    let error = lease.online().await.unwrap_err();
    let LinkError::TooManyDevices { registered: 2, own: 2, .. } = error else {
        panic!("{error:?}");
    };
    let count = |operation| sandbox.requests().of(operation).count();
    // 9 devices: 3 are deleted, then 2, then 2.
    assert_eq!((count(Wdm::register()), count(Wdm::list()), count(Wdm::unregister())), (4, 3, 7));
}

#[tokio::test]
async fn row_16_a_failed_list_is_reported() {
    let sandbox = Sandbox::start().await.unwrap();
    others(&sandbox, 1, "webex-native").await;
    sandbox.wdm_policy(|policy| policy.device_limit = 1);
    sandbox.fail(Wdm::list()).with(503).always();
    let webex = client(&sandbox);
    let lease = webex.link().acquire().await.unwrap();
    let error = lease.online().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert!(error.to_string().contains("listed"), "{error}");
}

#[tokio::test]
async fn a_device_without_the_address_of_its_socket_is_given_up() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.fail(Wdm::register()).merge(json!({"webSocketUrl": null})).once();
    let webex = client(&sandbox);
    let lease = webex.link().acquire().await.unwrap();
    assert_eq!(lease.online().await.unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(sandbox.counts().devices, 0, "it was made, and is deleted");
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    lease.release("done").await.unwrap();
}

#[tokio::test]
async fn an_answer_without_a_body_confirms_the_device() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = store();
    for (status, number) in [(304, 1), (204, 2)] {
        let webex = kept(&sandbox, &store);
        sandbox.fail(Wdm::refresh()).with(status).once();
        let lease = webex.link().acquire().await.unwrap();
        lease.online().await.unwrap();
        let device = lease.device().await.unwrap();
        assert_eq!(device.url.as_str(), sandbox.devices()[0].url);
        drop((lease, webex));
        sandbox.wait_for(|s| s.counts().sockets == 0).await.unwrap();
        assert_eq!(sandbox.counts().devices, 1);
        assert_eq!(sandbox.requests().of(Wdm::register()).count(), 1, "start {number}");
    }
}

#[tokio::test]
async fn row_17_unregistering_a_device_that_is_gone_succeeds() {
    let sandbox = Sandbox::start().await.unwrap();
    for status in [404, 410] {
        let webex = client(&sandbox);
        let lease = webex.link().acquire().await.unwrap();
        lease.online().await.unwrap();
        sandbox.fail(Wdm::unregister()).with(status).once();
        lease.release("done").await.unwrap();
        assert_eq!(webex.link().state().phase, Phase::Down);
    }
}

#[tokio::test]
async fn a_start_with_saved_state_requests_device_and_socket_in_parallel() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = earlier_start(&sandbox).await;
    sandbox.clear_requests();

    // The socket is open although the device's refresh is not answered.
    let hang = sandbox.fail(Wdm::refresh()).hang().once();
    let webex = kept(&sandbox, &store);
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    assert_eq!(hang.fired(), 1);
    // The refresh was sent in parallel with the socket.
    let count = |operation: Operation| sandbox.requests().of(operation).count();
    assert_eq!((count(Wdm::refresh()), count(Mercury::connect())), (1, 1));
    assert_eq!((count(Wdm::register()), count(U2c::postauth())), (0, 0));
    sandbox.clear_faults();
    drop((lease, webex));
}

/// The address of a saved device is refused, although its refresh confirms it.
#[tokio::test]
async fn a_start_replaces_a_saved_device_whose_address_stays_refused() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = earlier_start(&sandbox).await;
    let saved = left(&sandbox);
    sandbox.clear_requests();

    let refused = sandbox.fail(Mercury::connect()).with(404).always();
    let webex = kept(&sandbox, &store);
    let lease = webex.link().acquire().await.unwrap();
    sandbox.wait_for(|s| s.requests().of(Wdm::register()).count() == 1).await.unwrap();
    refused.clear();
    sandbox.wait_for(|s| s.counts().sockets == 1).await.unwrap();
    let count = |operation: Operation| sandbox.requests().of(operation).count();
    // One refresh of the start, one to mend the address.
    assert_eq!((count(Wdm::refresh()), count(Wdm::unregister())), (2, 1));
    let devices = left(&sandbox);
    assert_eq!(devices.len(), 1);
    assert_ne!(devices, saved);
    drop((lease, webex));
}

#[tokio::test]
async fn row_16_what_fails_after_room_was_made_is_told_as_it_is() {
    let sandbox = Sandbox::start().await.unwrap();
    for url in others(&sandbox, 4, "webex-native").await {
        assert!(sandbox.age_device(id(&url), LONG_AGO));
    }
    sandbox.fail(Wdm::register()).with(409).body(json!({"message": EXCESSIVE})).once();
    sandbox.fail(Wdm::register()).with(400).always();
    let webex = client(&sandbox);
    let lease = webex.link().acquire().await.unwrap();
    let error = lease.online().await.unwrap_err();
    assert!(matches!(error, LinkError::Device { .. }), "{error:?}");
    assert!(!sandbox.requests().of(Wdm::unregister()).is_empty());
}

#[tokio::test]
async fn a_kept_device_needs_no_catalog() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = store();
    let first = kept(&sandbox, &store);
    let lease = first.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    let device = lease.device().await.unwrap();
    drop(lease);
    first.shutdown().await.unwrap();
    store.delete("me:catalog").await.unwrap();
    let fault = sandbox.fail(U2c::postauth()).hang().always();
    let second = kept(&sandbox, &store);
    let lease = second.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    assert_eq!(lease.device().await.unwrap().url, device.url);
    assert_eq!(fault.fired(), 0);
    lease.release("done").await.unwrap();
}

/// The task of the link ends as soon as nothing is left to do; with a store, once that is written.
#[tokio::test]
async fn a_client_that_is_dropped_ends_at_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = store();
    for webex in [client(&sandbox), kept(&sandbox, &store)] {
        let lease = webex.link().acquire().await.unwrap();
        lease.online().await.unwrap();
        drop(lease);
        webex.shutdown().await.unwrap();
        let mut events = webex.link().subscribe();
        tokio::time::pause();
        let dropped = Instant::now();
        drop(webex);
        while events.next().await.is_some() {}
        // It would wait for five seconds for what does not end.
        assert_eq!(dropped.elapsed(), Duration::ZERO);
        tokio::time::resume();
    }
}
