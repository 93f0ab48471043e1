//! The calling client against the sandbox: discovery, several lines, and errors.

mod common;

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::json;
use webex_calling::{
    CallingClient, CallingClientErrorType, CallingConfig, CallingError, CallingEvent, ConfigError,
    DiscoveryStep, LineEvent, LineState, Location, ServiceData,
};
use webex_core::{ErrorKind, Subscription};
use webex_sandbox::{FaultHandle, Hydra, Mercury, Mobius, Region, Request, Sandbox, U2c, Wdm};
use webex_tests::{
    user::assert_empty,
    wait::{PATIENCE, next},
};

use common::{calling, client, configured, names};

/// Replaces the sandbox's clusters in the catalog.
fn clusters(sandbox: &Sandbox, hosts: &[&str]) -> FaultHandle {
    let key = sandbox.origin().authority().to_owned();
    let entry =
        |host: &&str| json!({"host": host, "ttl": -1, "priority": 1, "id": "urn:T:us:mobius"});
    let list: Vec<_> = hosts.iter().map(entry).collect();
    sandbox.fail(U2c::postauth()).merge(json!({"hostCatalog": {key: list}})).always()
}

async fn next_error(events: &mut Subscription<CallingEvent>) -> CallingEvent {
    tokio::time::timeout(PATIENCE, events.next()).await.expect("in time").expect("open")
}

#[tokio::test]
async fn the_next_cluster_is_asked_when_one_does_not_answer() {
    let sandbox = Sandbox::start().await.unwrap();
    let port = sandbox.origin().port().unwrap();
    let (gone, alive) = ("127.0.0.1:1".to_owned(), format!("localhost:{port}"));
    clusters(&sandbox, &[&gone, &alive]);
    let (calling, line, mut events) = calling(&sandbox).await;
    // The servers are those in its answer, and itself as the last backup.
    let servers = calling.servers();
    assert_eq!((servers.primary.len(), servers.backup.len()), (2, 3));
    assert_eq!(servers.backup[2].host_str(), Some("localhost"));
    // There can be no subscriber before the client exists, so the error can be read.
    let error = calling.last_error().unwrap();
    assert_eq!(error.kind, CallingClientErrorType::DefaultError);
    assert_eq!((error.step, error.http_status), (DiscoveryStep::Servers, None));
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn row_35_every_cluster_is_asked_before_it_is_an_error() {
    let sandbox = Sandbox::start().await.unwrap();
    let port = sandbox.origin().port().unwrap();
    clusters(&sandbox, &[&format!("127.0.0.1:{port}"), &format!("localhost:{port}")]);
    sandbox.fail(Mobius::discovery()).with(503).always();
    let error = CallingClient::new(&client(&sandbox), CallingConfig::default()).await.unwrap_err();
    assert!(matches!(error, CallingError::Discovery(_)), "{error:?}");
    assert_eq!(sandbox.requests().of(Mobius::discovery()).count(), 2);
    // Nothing is left when the error is returned, so that the program may end.
    assert_empty(&sandbox);
}

#[tokio::test]
async fn row_35_a_catalog_without_clusters_is_an_error_that_says_so() {
    let sandbox = Sandbox::start().await.unwrap();
    let none = json!({"serviceLinks": {"mobius": null}, "hostCatalog": null});
    sandbox.fail(U2c::postauth()).merge(none).always();
    let error = CallingClient::new(&client(&sandbox), CallingConfig::default()).await.unwrap_err();
    assert!(matches!(error, CallingError::NoClusters), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_empty(&sandbox);
}

#[tokio::test]
async fn the_main_link_is_asked_first_and_is_enough() {
    let sandbox = Sandbox::start().await.unwrap();
    clusters(&sandbox, &[]);
    let (calling, line, mut events) = calling(&sandbox).await;
    let asked = sandbox.requests().of(Mobius::discovery());
    assert_eq!(asked.count(), 1);
    // The link itself is the last backup.
    assert_eq!(asked.first().unwrap().path(), "/api/v1/calling/web/");
    assert_eq!(calling.servers().backup.last().unwrap().path(), "/api/v1/calling/web/");
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn the_clusters_follow_the_main_link() {
    let sandbox = Sandbox::start().await.unwrap();
    let port = sandbox.origin().port().unwrap();
    // The link is at the first of them, which is not asked twice.
    clusters(&sandbox, &[&format!("127.0.0.1:{port}"), &format!("localhost:{port}")]);
    sandbox.fail(Mobius::discovery()).with(503).once();
    let (calling, ..) = calling(&sandbox).await;
    assert_eq!(sandbox.requests().of(Mobius::discovery()).count(), 2);
    assert_eq!(calling.servers().backup.last().unwrap().host_str(), Some("localhost"));
    calling.deregister().await.unwrap();
}

#[tokio::test]
async fn the_contact_centers_domain_comes_from_the_catalog_when_none_is_given() {
    let sandbox = Sandbox::start().await.unwrap();
    let agent = || {
        let mut config = CallingConfig::default();
        config.service = ServiceData::contact_center("");
        config
    };
    // Without one in the catalog it is an error, and nothing is left.
    let error = CallingClient::new(&client(&sandbox), agent()).await.unwrap_err();
    assert!(matches!(error, CallingError::Config(ConfigError::DomainMissing)), "{error:?}");
    assert_empty(&sandbox);

    let domain = json!({"wcc-calling-rtms-domain": "https://rtw.prod-us.test/v1"});
    sandbox.fail(U2c::postauth()).merge(json!({"serviceLinks": domain})).always();
    let (calling, line, mut events) = configured(&sandbox, agent()).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    assert_eq!(sandbox.lines()[0].domain, "rtw.prod-us.test");
    // It is a service like any other: only one line can have it.
    let again = calling.add_line(ServiceData::contact_center("")).unwrap_err();
    assert!(matches!(again, CallingError::Config(ConfigError::ServiceTaken(_))), "{again:?}");
    calling.deregister().await.unwrap();
}

#[tokio::test]
async fn odd_fields_of_discovery_only_affect_themselves() {
    let sandbox = Sandbox::start().await.unwrap();
    let uri = sandbox.url("/mobius/primary-1/api/v1");
    for answer in [
        json!({"primary": {"uris": [uri]}, "backup": null}),
        json!({"primary": {"uris": [7, null, uri, "no address", {}], "region": 7}, "backup": []}),
        json!({"primary": {"uris": [uri]}, "backup": {"uris": null}, "more": {"x": 1}}),
    ] {
        let fault = sandbox.fail(Mobius::discovery()).with(200).body(answer.clone()).always();
        let (calling, line, mut events) = calling(&sandbox).await;
        assert_eq!(calling.servers().primary.len(), 1, "{answer}");
        line.register();
        assert_eq!(names(&mut events).await, ["connecting", "registered"], "{answer}");
        calling.deregister().await.unwrap();
        fault.clear();
    }
}

#[tokio::test]
async fn too_many_servers_are_an_error() {
    let sandbox = Sandbox::start().await.unwrap();
    let uris: Vec<_> = (0..60_000).map(|n| sandbox.url(&format!("/mobius/m{n}/api/v1"))).collect();
    let body = json!({"primary": {"uris": uris}});
    sandbox.fail(Mobius::discovery()).with(200).body(body).always();
    let started = std::time::Instant::now();
    let error = CallingClient::new(&client(&sandbox), CallingConfig::default()).await.unwrap_err();
    assert!(matches!(error, CallingError::Discovery(_)), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_empty(&sandbox);
}

#[tokio::test]
async fn client_errors_have_the_documented_kinds() {
    for (status, kind, text) in [
        (401, CallingClientErrorType::TokenError, "token_error"),
        (500, CallingClientErrorType::ServerError, "server_error"),
        (404, CallingClientErrorType::DefaultError, "default_error"),
        (429, CallingClientErrorType::DefaultError, "default_error"),
    ] {
        let sandbox = Sandbox::start().await.unwrap();
        sandbox.fail(Region::lookup()).with(status).always();
        let (calling, ..) = calling(&sandbox).await;
        let error = calling.last_error().unwrap();
        assert_eq!((error.kind, error.http_status), (kind, Some(status)));
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(
            (json["type"].as_str(), json["status"].as_str()),
            (Some(text), Some("inactive"))
        );
        assert_eq!(json["context"], json!({"step": "region"}));
        assert!(json["message"].is_string());
        // Without a location the first cluster itself is the server.
        assert_eq!((calling.servers().primary.len(), calling.servers().backup.len()), (1, 0));
        calling.deregister().await.unwrap();
    }
}

#[tokio::test]
async fn row_35_servers_are_found_again_and_errors_are_reported() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let calling = CallingClient::new(&webex, CallingConfig::default()).await.unwrap();
    assert!(calling.last_error().is_none());
    let mut events = calling.subscribe();
    let before = calling.servers();

    // If region discovery fails, the last location is used.
    let region = sandbox.fail(Region::lookup()).with(500).always();
    webex.network_changed();
    assert_eq!(calling.rediscover().await.unwrap(), before);
    let CallingEvent::Error(error) = next_error(&mut events).await else { panic!() };
    assert_eq!(
        (error.kind, error.step),
        (CallingClientErrorType::ServerError, DiscoveryStep::Region)
    );
    region.clear();

    // Without an answer the known servers remain; the failure is returned and emitted.
    let discovery = sandbox.fail(Mobius::discovery()).with(503).always();
    assert!(matches!(calling.rediscover().await, Err(CallingError::Discovery(_))));
    let event = next_error(&mut events).await;
    assert_eq!(event.name(), "callingClient:error");
    assert_eq!(calling.last_error().unwrap().step, DiscoveryStep::Servers);
    assert_eq!(calling.servers(), before);
    discovery.clear();

    // With other servers, everything works again.
    let uris = json!([sandbox.url("/mobius/backup-2/api/v1")]);
    let lists = json!({"primary": {"uris": uris}, "backup": {"uris": []}});
    sandbox.fail(Mobius::discovery()).merge(lists).always();
    let servers = calling.rediscover().await.unwrap();
    assert!(servers.primary[0].path().contains("backup-2"));
    assert_eq!((&servers, calling.last_error().is_none()), (&calling.servers(), true));
    assert!(events.try_next().is_none());
    calling.deregister().await.unwrap();
}

#[tokio::test]
async fn concurrent_callers_share_an_answer() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, ..) = calling(&sandbox).await;
    sandbox.clear_requests();
    let (a, b, c) = tokio::join!(calling.rediscover(), calling.rediscover(), calling.rediscover());
    assert!(Arc::ptr_eq(&a.unwrap(), &b.unwrap()) && c.is_ok());
    assert_eq!(sandbox.requests().of(Mobius::discovery()).count(), 1);
    calling.deregister().await.unwrap();
}

#[tokio::test]
async fn a_configured_location_is_not_requested() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut config = CallingConfig::default();
    let (region, country) = ("EU-CENTRAL".to_owned(), "DE".to_owned());
    config.location = Some(Location { region, country });
    let (calling, ..) = configured(&sandbox, config).await;
    assert!(sandbox.requests().of(Region::lookup()).is_empty());
    let asked = sandbox.requests().of(Mobius::discovery());
    let request = asked.first().unwrap();
    assert_eq!(request.query_value("regionCode").as_deref(), Some("EU-CENTRAL"));
    assert_eq!(request.query_value("countryCode").as_deref(), Some("DE"));
    calling.deregister().await.unwrap();
}

#[tokio::test]
async fn row_45_a_user_has_a_line_for_each_service() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    let agent = calling.add_line(ServiceData::contact_center("a.example.net")).unwrap();
    let mut agent_events = agent.subscribe();
    assert_ne!(line.line_id(), agent.line_id());
    assert_eq!(calling.lines().len(), 2);
    // Each is found by its id.
    for known in [&line, &agent] {
        assert_eq!(calling.line(&known.line_id()).unwrap().line_id(), known.line_id());
    }
    assert!(calling.line(&uuid::Uuid::nil()).is_none());
    line.register();
    agent.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    assert_eq!(names(&mut agent_events).await, ["connecting", "registered"]);
    assert_ne!(line.info().mobius_device_id, agent.info().mobius_device_id);
    let domains: Vec<_> = sandbox.lines().into_iter().map(|line| line.domain).collect();
    assert_eq!(domains.len(), 2);
    assert!(domains.contains(&"a.example.net".to_owned()));

    // One goes, the other stays.
    agent.deregister();
    assert_eq!(names(&mut agent_events).await, ["unregistered"]);
    assert_eq!(sandbox.lines().len(), 1);
    assert_eq!(sandbox.lines()[0].indicator, "calling");

    let again = calling.add_line(ServiceData::default()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Configuration);
    let nowhere = calling.add_line(ServiceData::contact_center("")).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::Configuration);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
    let late = calling.add_line(ServiceData::contact_center("b.example.net")).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::InvalidState);
}

#[tokio::test]
async fn a_client_that_cannot_hear_says_so() {
    let sandbox = Sandbox::start().await.unwrap();
    let refused = sandbox.fail(Mercury::connect()).with(400).always();
    let webex = client(&sandbox);
    let config = CallingConfig::default;
    let calling = CallingClient::new(&webex, config()).await.unwrap();
    let line = calling.lines().remove(0);
    let (mut events, mut client_events) = (line.subscribe(), calling.subscribe());
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    let CallingEvent::Retrying(error) = next_error(&mut client_events).await else { panic!() };
    assert_eq!(error.kind(), ErrorKind::Rejected);
    // Those who come later can read it, here or at a client that is made later.
    assert!(matches!(calling.unavailable(), Some(CallingEvent::Retrying(_))));
    let later = CallingClient::new(&webex, config()).await.unwrap();
    assert!(matches!(later.unavailable(), Some(CallingEvent::Retrying(_))));
    later.deregister().await.unwrap();
    assert_eq!(line.state(), LineState::Registered);
    refused.clear();
    assert!(matches!(next_error(&mut client_events).await, CallingEvent::Connected));
    assert!(calling.unavailable().is_none());
    // What is refused for good is next_error as that.
    assert!(sandbox.close_socket(sandbox.sockets()[0].id, 4403, "not entitled"));
    let CallingEvent::Failed(error) = next_error(&mut client_events).await else { panic!() };
    assert_eq!((error.kind(), error.will_retry()), (ErrorKind::Forbidden, false));
    assert!(matches!(calling.unavailable(), Some(CallingEvent::Failed(_))));
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn row_45_clients_of_one_process_share_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut guest = CallingConfig::default();
    guest.service = ServiceData::guest("opaque-guest-token".to_owned());
    let (one, line, mut events) = calling(&sandbox).await;
    let (two, guest_line, mut guest_events) = configured(&sandbox, guest).await;
    line.register();
    guest_line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    assert_eq!(names(&mut guest_events).await, ["connecting", "registered"]);
    let services: Vec<_> = sandbox
        .requests()
        .of(Mobius::register())
        .iter()
        .map(|request| request.json()["serviceData"].clone())
        .collect();
    let is_guest = |it: &&serde_json::Value| it["indicator"] == "guestcalling";
    assert_eq!(services.iter().filter(is_guest).count(), 1);
    assert!(services.iter().find(is_guest).unwrap()["jwe"].is_string());
    one.deregister().await.unwrap();
    assert_eq!(sandbox.lines().len(), 1, "the other client's line is not touched");
    two.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn the_devices_of_the_user_are_listed_over_all_servers() {
    let sandbox = Sandbox::start().await.unwrap();
    let (one, line, mut events) = calling(&sandbox).await;
    let (two, other, mut other_events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    sandbox.down("primary-1");
    other.register();
    assert_eq!(names(&mut other_events).await, ["connecting", "server_failed", "registered"]);

    // A server without an answer is left out.
    let devices = two.devices().await.unwrap();
    assert_eq!(devices.len(), 1);
    sandbox.up("primary-1");
    let mut ids: Vec<_> =
        two.devices().await.unwrap().into_iter().map(|device| device.device_id).collect();
    ids.sort();
    let mut lines: Vec<_> = sandbox.lines().into_iter().map(|line| line.device_id).collect();
    lines.sort();
    assert_eq!(ids, lines);
    let request = sandbox.requests().of(Mobius::list());
    let asked = request.last().unwrap().query_value("userid");
    assert_eq!(asked.as_deref(), Some(sandbox.user().id.as_str()));

    sandbox.fail(Mobius::list()).with(500).always();
    let error = two.devices().await.unwrap_err();
    assert!(matches!(error, CallingError::Devices(_)), "{error:?}");
    one.deregister().await.unwrap();
    two.deregister().await.unwrap();
}

#[tokio::test]
async fn number_and_extension_come_from_the_users_record() {
    let sandbox = Sandbox::start().await.unwrap();
    // It arrives after the registration, with an event.
    let user = sandbox.user().clone();
    let record = sandbox.fail(Hydra::me()).delay(Duration::from_secs(1)).once();
    let (early, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    assert_eq!((record.fired(), line.info().extension.clone()), (1, None));
    let LineEvent::Changed(info) = next(&mut events).await else { panic!() };
    assert_eq!(info.extension.as_deref(), Some(user.extension.as_str()));
    assert_eq!(info.phone_number.as_deref(), Some(user.phone_number.as_str()));
    assert_eq!(line.info(), info);
    early.deregister().await.unwrap();

    // The registration does not wait for it.
    let record = sandbox.fail(Hydra::me()).delay(PATIENCE).once();
    let (first, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    assert_eq!((record.fired(), line.info().phone_number.clone()), (1, None));
    first.deregister().await.unwrap();

    let (second, mut line, mut events) = calling(&sandbox).await;
    // A changed property wakes waiting callers, even before any registration.
    tokio::time::timeout(PATIENCE, async {
        while line.info().extension.is_none() {
            assert!(line.changed().await);
        }
    })
    .await
    .expect("in time");
    let request = sandbox.requests().of(Hydra::me());
    assert_eq!(request.last().unwrap().query_value("callingData").as_deref(), Some("true"));
    line.register();
    assert_eq!(next(&mut events).await.name(), "connecting");
    let LineEvent::Registered(next_error) = next(&mut events).await else { panic!() };
    let info = line.info();
    assert_eq!(next_error, info);
    assert_eq!(info.phone_number.as_deref(), Some(user.phone_number.as_str()));
    assert_eq!(info.extension.as_deref(), Some(user.extension.as_str()));
    assert_eq!(info.voicemail, None);
    second.deregister().await.unwrap();

    // A user who may not read the record still has a line.
    sandbox.fail(Hydra::me()).with(403).always();
    let (third, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    assert_eq!(line.info().extension, None);
    third.deregister().await.unwrap();
}

#[tokio::test]
async fn row_47_unregistered_can_be_emitted_per_server() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.fail(Mobius::register()).on("primary-1").with(503).once();
    let mut config = CallingConfig::default();
    config.unregistered_per_server = true;
    let (calling, line, mut events) = configured(&sandbox, config).await;
    line.register();
    let next_error = ["connecting", "server_failed", "unregistered", "registered"];
    assert_eq!(names(&mut events).await, next_error);
    line.deregister();
    assert_eq!(names(&mut events).await, ["unregistered"]);

    // A server that only asks for a pause is skipped without an event.
    sandbox.fail(Mobius::register()).on("primary-1").with(429).header("Retry-After", 1).once();
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "server_failed", "registered"]);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn row_48_a_lost_network_is_seen_by_socket_and_keepalives_alone() {
    let second = Duration::from_secs(1);
    let sandbox = Sandbox::builder().keepalive_interval(second).start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    sandbox.wait_for(|s| s.counts().sockets == 1).await.unwrap();
    sandbox.clear_requests();
    let keepalives = sandbox.fail(Mobius::status()).refuse().times(2);
    assert!(sandbox.reset_socket(sandbox.sockets()[0].id));
    let back = |s: &Sandbox| {
        keepalives.fired() == 2
            && s.counts().sockets == 1
            && s.requests().of(Mobius::status()).answered(200).count() > 0
    };
    sandbox.wait_for(back).await.unwrap();
    // No third party was asked about the network, and the line was never given up.
    let asked: HashSet<_> = sandbox.requests().iter().map(Request::operation).collect();
    let allowed = HashSet::from([Mobius::status(), Mercury::connect(), Wdm::refresh()]);
    assert!(asked.is_subset(&allowed), "{asked:?}");
    assert_eq!(line.state(), LineState::Registered);
    calling.deregister().await.unwrap();
}
