//! Addresses that Mobius names: none outside the cloud is used. A foreign host here is a port of
//! this machine that must not even get a connection.

mod common;

use std::time::Duration;

use serde_json::json;
use webex_calling::{CallingConfig, DeviceLimit, LineEvent};
use webex_sandbox::{Mobius, Sandbox};
use webex_tests::{stranger::Stranger, user::assert_empty, wait::next};

use common::{calling, configured, names};

#[tokio::test]
async fn servers_at_foreign_addresses_are_left_out() {
    let (sandbox, stranger) = (Sandbox::start().await.unwrap(), Stranger::start());
    let uris = json!([stranger.url("https", "/api/v1"), stranger.url("http", "/api/v1")]);
    let answer = json!({"primary": {"uris": uris}, "backup": {"uris": uris}});
    sandbox.fail(Mobius::discovery()).merge(answer).always();
    let (calling, line, mut events) = calling(&sandbox).await;
    let servers = calling.servers();
    let all: Vec<_> = servers.primary.iter().chain(&servers.backup).collect();
    assert_eq!(all.len(), 1, "the cluster that answered: {all:?}");
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
    stranger.assert_alone("discovery");
}

#[tokio::test]
async fn a_registration_at_a_foreign_address_is_given_up() {
    let (sandbox, stranger) = (Sandbox::start().await.unwrap(), Stranger::start());
    let device = json!({"device": {"uri": stranger.url("https", "/devices/1")}});
    let fault = sandbox.fail(Mobius::register()).merge(device).once();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "server_failed", "registered"]);
    assert_eq!(fault.fired(), 1);
    assert_eq!(sandbox.counts().lines, 1, "the other one was deleted");
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
    stranger.assert_alone("a registration");
}

#[tokio::test]
async fn a_device_at_a_foreign_address_is_not_deleted() {
    let (sandbox, stranger) = (Sandbox::start().await.unwrap(), Stranger::start());
    for scheme in ["https", "http"] {
        let uri = stranger.url(scheme, "/api/v1/calling/web/devices/other");
        let full = json!({"errorCode": 101, "devices": [{"deviceId": "other", "uri": uri}]});
        let fault = sandbox.fail(Mobius::register()).with(403).body(full).once();
        let mut config = CallingConfig::default();
        config.registration.device_limit = DeviceLimit::TakeOver;
        let (calling, line, mut events) = configured(&sandbox, config).await;
        line.register();
        loop {
            match next(&mut events).await {
                LineEvent::Registered(_) => break,
                event => assert_ne!(event.name(), "unregistered"),
            }
        }
        assert_eq!(fault.fired(), 1);
        tokio::time::timeout(Duration::from_secs(20), calling.deregister()).await.unwrap().unwrap();
        assert_empty(&sandbox);
        stranger.assert_alone(scheme);
    }
}
