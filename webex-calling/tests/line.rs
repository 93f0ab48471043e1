//! Lines against the sandbox: the public state and the wire.

mod common;

use std::time::Duration;

use webex_calling::{CallingClient, CallingConfig, CallingError, LineEvent, LineState, LineStatus};
use webex_core::ErrorKind;
use webex_sandbox::{Mobius, Region, Sandbox, Wdm};
use webex_tests::{
    user::assert_empty,
    wait::{PATIENCE, next},
};

use common::{calling, client, names};

#[tokio::test]
async fn registers_with_the_first_primary_and_knows_its_properties() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    assert_eq!((line.status(), line.state()), (LineStatus::Inactive, LineState::Idle));
    line.register();
    line.register();
    assert_eq!(next(&mut events).await.name(), "connecting");
    let LineEvent::Registered(info) = next(&mut events).await else { panic!() };
    assert_eq!(line.info(), info);
    assert_eq!((line.status(), line.state()), (LineStatus::Active, LineState::Registered));

    let [registered] = &sandbox.lines()[..] else { panic!("{:?}", sandbox.lines()) };
    assert_eq!(info.mobius_device_id.as_deref(), Some(registered.device_id.as_str()));
    assert!(info.sip_addresses[0].starts_with("sip:"));
    assert_eq!(info.keepalive_interval, Some(Duration::from_secs(30)));
    assert_eq!(info.call_keepalive_interval, Some(Duration::from_secs(600)));
    assert_eq!(info.rehoming_interval_min, Some(Duration::from_secs(60 * 60)));
    assert_eq!(info.rehoming_interval_max, Some(Duration::from_secs(120 * 60)));
    assert!(info.last_seen.is_some());
    let json = serde_json::to_value(&*info).unwrap();
    assert_eq!(
        (json["status"].as_str(), json["keepaliveInterval"].as_u64()),
        (Some("active"), Some(30))
    );
    assert_eq!(json["rehomingIntervalMax"], 120, "minutes, as documented");

    let requests = sandbox.requests().of(Mobius::register());
    let request = requests.first().unwrap();
    assert_eq!((requests.count(), request.instance()), (1, Some("primary-1")));
    assert_eq!(request.header("spark-user-agent"), Some("webex-calling/beta"));
    let device = &sandbox.devices()[0];
    let body = request.json();
    assert_eq!(body["userId"], device.user_id.as_str());
    assert_eq!(Some(body["clientDeviceUri"].as_str().unwrap()), request.header("cisco-device-url"));
    assert_eq!(body["serviceData"]["indicator"], "calling");

    calling.deregister().await.unwrap();
    assert_eq!(names(&mut events).await, ["unregistered"]);
    assert_eq!(sandbox.requests().of(Mobius::unregister()).count(), 1);
    assert_empty(&sandbox);
}

#[tokio::test]
async fn the_next_server_takes_the_line() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.fail(Mobius::register()).on("primary-1").with(503).always();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "server_failed", "registered"]);
    assert_eq!(sandbox.lines()[0].instance, "primary-2");
    assert!(line.info().server.as_ref().unwrap().path().contains("primary-2"));
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn final_errors_have_the_documented_form() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    for (status, kind, msg) in [
        (401, "tokenError", "Token expired. Authentication/Authorization error."),
        (404, "registrationError", "Device not found."),
    ] {
        sandbox.fail(Mobius::register()).with(status).once();
        line.register();
        assert_eq!(next(&mut events).await.name(), "connecting");
        let LineEvent::Error(error) = next(&mut events).await else { panic!() };
        let documented = serde_json::to_value(error.documented()).unwrap();
        let expected = serde_json::json!({"status": "inactive", "type": kind, "msg": msg});
        assert_eq!(documented, expected);
        assert_eq!(error.http_status, Some(status));
        assert!(error.tracking_id.is_some());
        assert_eq!(line.state(), LineState::Failed);
    }
    // The token is still accepted for giving everything up.
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn keepalives_keep_it_and_their_loss_is_noticed() {
    let second = Duration::from_secs(1);
    let sandbox = Sandbox::builder().keepalive_interval(second).start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    sandbox.wait_for(|s| s.requests().of(Mobius::status()).count() >= 2).await.unwrap();

    sandbox.fail(Mobius::status()).with(503).once();
    assert_eq!(names(&mut events).await, ["keepalive_missed", "reconnecting"]);
    assert_eq!(names(&mut events).await, ["reconnected"]);

    // The server forgets the line, which registers again.
    assert!(sandbox.expire_line(&sandbox.lines()[0].device_id));
    assert_eq!(names(&mut events).await, ["error", "unregistered", "registered"]);
    assert_eq!(sandbox.counts().lines, 1);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn deregistering_while_registering_leaves_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    sandbox.fail(Mobius::register()).delay(Duration::from_millis(300)).once();
    line.register();
    sandbox.wait_for(|s| !s.requests().of(Mobius::register()).is_empty()).await.unwrap();
    line.deregister();
    assert_eq!(names(&mut events).await, ["connecting", "unregistered"]);
    assert_eq!(line.state(), LineState::Idle);
    assert_eq!(sandbox.counts().lines, 0);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
    assert_eq!(names(&mut events).await, ["unregistered"]);

    // The client is closed and its device deleted, so a line cannot register.
    line.register();
    let LineEvent::Error(error) = next(&mut events).await else { panic!() };
    assert_eq!(error.error_kind(), ErrorKind::InvalidState);
    assert_eq!(sandbox.requests().of(Mobius::register()).count(), 1);
}

#[tokio::test]
async fn a_line_stays_registered_in_the_background_and_what_changes_wakes_who_waits() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let calling = CallingClient::new(&webex, CallingConfig::default()).await.unwrap();
    let mut line = calling.lines().remove(0);
    let mut events = line.subscribe();
    line.register();
    // Each property of an active line came with a wake: nothing else is looked at here.
    let seen = async {
        while line.info().mobius_device_id.is_none() || line.info().extension.is_none() {
            assert!(line.changed().await);
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("in time");
    while line.state() != LineState::Registered {
        assert!(line.changed().await);
    }

    webex.suspend().await;
    sandbox.wait_for(|s| s.counts().sockets == 0).await.unwrap();
    assert_eq!((line.state(), sandbox.counts().lines), (LineState::Registered, 1));
    webex.resumed();
    sandbox.wait_for(|s| s.counts().sockets == 1).await.unwrap();
    assert_eq!(line.state(), LineState::Registered);
    assert_eq!(sandbox.requests().of(Mobius::register()).count(), 1);
    assert!(std::iter::from_fn(|| events.try_next()).all(|event| event.name() != "unregistered"));

    // Or given up before, by choice.
    line.deregister();
    while line.state() != LineState::Idle {
        assert!(line.changed().await);
    }
    webex.suspend().await;
    assert_eq!(sandbox.counts().lines, 0);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn dropping_everything_gives_line_and_device_up_in_order() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    drop((calling, line));
    let empty = |s: &Sandbox| s.counts().lines + s.counts().devices + s.counts().sockets == 0;
    sandbox.wait_for(empty).await.unwrap();
    let order: Vec<_> = sandbox
        .requests()
        .matching(|request| request.method() == "DELETE")
        .iter()
        .map(webex_sandbox::Request::operation)
        .collect();
    assert_eq!(order, [Mobius::unregister(), Wdm::unregister()]);
}

#[tokio::test]
async fn without_a_region_the_cluster_itself_is_the_server() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.fail(Region::lookup()).with(404).always();
    let (calling, line, mut events) = calling(&sandbox).await;
    assert_eq!((calling.servers().primary.len(), calling.servers().backup.len()), (1, 0));
    assert!(sandbox.requests().of(Mobius::discovery()).is_empty());
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    calling.deregister().await.unwrap();
}

#[tokio::test]
async fn a_failed_start_is_reported_and_leaves_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.fail(Mobius::discovery()).with(500).always();
    let error = CallingClient::new(&client(&sandbox), CallingConfig::default()).await.unwrap_err();
    assert!(matches!(error, CallingError::Discovery(_)), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Server);
    sandbox.wait_for(|s| s.counts().devices == 0).await.unwrap();

    let mut config = CallingConfig::default();
    config.service.domain = "not a domain".to_owned();
    let error = CallingClient::new(&client(&sandbox), config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}
