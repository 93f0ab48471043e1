//! The registration of a line on the wire. Its rules are tested on virtual time, beside the machine.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use common::{calling, configured, names};
use serde_json::{Value, json};
use webex_auth::{MemoryStore, ProviderError, TokenSet};
use webex_calling::{
    CallingClient, CallingConfig, CallingError, Connecting, LineEvent, LineState, ServiceData,
    Unregistered, Upcoming, timings::DEREGISTER_LIMIT,
};
use webex_core::{AccessToken, Credentials};
use webex_sandbox::{Mobius, Request, Sandbox};
use webex_tests::{
    user::{assert_empty, builder},
    wait::next,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn row_30_a_keepalive_whose_token_was_refused_is_repeated_with_another() {
    let sandbox = Arc::new(Sandbox::builder().keepalive_interval(SECOND).start().await.unwrap());
    let minted = Arc::new(AtomicUsize::new(0));
    let (mint, count) = (Arc::downgrade(&sandbox), Arc::clone(&minted));
    let provider = move || {
        // There is no third one, so the refusal is final.
        let allowed = count.fetch_add(1, Ordering::Relaxed) < 2;
        let sandbox = mint.upgrade().filter(|_| allowed);
        let token = sandbox.and_then(|sandbox| sandbox.issue_token(sandbox.user(), None));
        async move {
            let token = token.ok_or("no more").map_err(ProviderError::permanent)?;
            AccessToken::parse(&token).map(TokenSet::new).map_err(ProviderError::permanent)
        }
    };
    let webex = builder(&sandbox).credentials(Credentials::provider(provider)).build().unwrap();
    let calling = CallingClient::new(&webex, CallingConfig::default()).await.unwrap();
    let line = calling.lines().remove(0);
    let mut events = line.subscribe();
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);

    let token = webex.tokens().current().unwrap();
    assert!(sandbox.revoke_token(token.expose()));
    let status = |s: &Sandbox, status| s.requests().of(Mobius::status()).answered(status).count();
    let before = status(&sandbox, 200);
    sandbox.wait_for(|s| status(s, 401) == 1 && status(s, 200) > before).await.unwrap();
    // In the logs both are one request, and the line was not affected.
    let keepalives = sandbox.requests().of(Mobius::status());
    let refused = keepalives.iter().position(|it| it.status() == Some(401)).unwrap();
    let [refused, repeated] = [refused, refused + 1].map(|n| keepalives.iter().nth(n).unwrap());
    assert_eq!(refused.tracking_id(), repeated.tracking_id());
    assert!(events.try_next().is_none());

    // There is no other token: the line makes no attempt by itself.
    let token = webex.tokens().current().unwrap();
    assert!(sandbox.revoke_token(token.expose()));
    let LineEvent::Error(error) = next(&mut events).await else { panic!() };
    assert_eq!(error.documented().kind, "tokenError");
    assert_eq!(names(&mut events).await, ["unregistered"]);
    assert_eq!((line.state(), line.next()), (LineState::Failed, None));
    assert!(error.is_final() && !error.will_retry);
    assert_eq!(sandbox.requests().of(Mobius::register()).count(), 1);

    // It does when there is one, because the line was still wanted.
    let token = sandbox.issue_token(sandbox.user(), None).unwrap();
    let token = TokenSet::new(AccessToken::parse(&token).unwrap());
    webex.tokens().supply(token).await.unwrap();
    let LineEvent::Connecting { reason } = next(&mut events).await else { panic!() };
    assert_eq!(reason, Connecting::NewToken);
    assert_eq!(names(&mut events).await, ["registered"]);
    assert_eq!(sandbox.lines().len(), 1);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
    // A line that the application deregistered stays deregistered.
    let token = sandbox.issue_token(sandbox.user(), None).unwrap();
    let token = TokenSet::new(AccessToken::parse(&token).unwrap());
    webex.tokens().supply(token).await.unwrap();
    assert_eq!(names(&mut events).await, ["unregistered"]);
    assert_eq!(line.state(), LineState::Idle);
}

#[tokio::test]
async fn a_new_wdm_device_moves_its_line_without_an_unregistered() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    sandbox.wait_for(|s| s.counts().sockets == 1).await.unwrap();
    let old = sandbox.devices()[0].clone();
    assert!(sandbox.expire_device(&old.id));
    assert!(sandbox.close_socket(sandbox.sockets()[0].id, 4404, "registration not found"));
    let LineEvent::Registered(info) = next(&mut events).await else { panic!() };
    let named = sandbox.requests().of(Mobius::register()).last().unwrap().json();
    let present = sandbox.devices()[0].url.clone();
    assert_ne!(present, old.url);
    assert_eq!(named["clientDeviceUri"], present.as_str());
    // The old registration is deleted.
    sandbox.wait_for(|s| s.counts().lines == 1).await.unwrap();
    assert_eq!(info.mobius_device_id.as_deref(), Some(sandbox.lines()[0].device_id.as_str()));
    assert_eq!(line.state(), LineState::Registered);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn a_registration_whose_answer_cannot_be_used_is_deleted() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    let answer = json!({"device": {"uri": 7}});
    sandbox.fail(Mobius::register()).on("primary-1").merge(answer).once();
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "server_failed", "registered"]);
    sandbox.wait_for(|s| s.counts().lines == 1).await.unwrap();
    assert_eq!(sandbox.lines()[0].instance, "primary-2");
    let deleted = sandbox.requests().of(Mobius::unregister());
    assert_eq!((deleted.count(), deleted.first().unwrap().instance()), (1, Some("primary-1")));
    // A deregistration without a registration cannot fail.
    line.deregister();
    assert_eq!(names(&mut events).await, ["unregistered"]);
    let odd = json!({"device": {"addresses": 7, "lastSeen": [], "clientDeviceUri": 1},
        "keepaliveInterval": {}, "rehomingIntervalMin": "soon", "voicePortalNumber": []});
    sandbox.fail(Mobius::register()).merge(odd).once();
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn a_line_that_no_server_confirms_is_not_deregistered_with_success() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    sandbox.fail(Mobius::unregister()).with(500).always();
    let error = calling.deregister().await.unwrap_err();
    let CallingError::Line(error) = error else { panic!("{error:?}") };
    assert_eq!(error.http_status, Some(500));
    // The device is given up nevertheless.
    assert_eq!(sandbox.counts().devices, 0);
}

#[tokio::test]
async fn row_31_all_requests_of_a_line_are_made_in_the_same_way() {
    let sandbox = Sandbox::builder().keepalive_interval(SECOND).start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    sandbox.wait_for(|s| s.requests().of(Mobius::status()).count() >= 2).await.unwrap();
    line.deregister();
    assert_eq!(names(&mut events).await, ["unregistered"]);
    let ours = [Mobius::register(), Mobius::status(), Mobius::unregister()];
    let requests = sandbox.requests().matching(|request| ours.contains(&request.operation()));
    let mut ids: Vec<_> = requests.iter().map(|request| request.tracking_id().unwrap()).collect();
    for request in &requests {
        assert_eq!(request.header("spark-user-agent"), Some("webex-calling/beta"));
        assert!(request.header("authorization").unwrap().starts_with("Bearer "));
        assert_eq!(request.header("cisco-device-url"), Some(sandbox.devices()[0].url.as_str()));
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() == count && count >= 4, "each has an id of its own");
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

/// Registered with a backup: the contact center does not wait for the primaries when a server has
/// forgotten a line.
async fn on_backup(
    sandbox: &Sandbox,
) -> (CallingClient, webex_calling::Line, webex_core::Subscription<LineEvent>) {
    // In minutes, as on the wire: the failback comes after 1.2 to 1.8 s.
    let soon = json!({"rehomingIntervalMin": 0.02, "rehomingIntervalMax": 0.03});
    sandbox.fail(Mobius::register()).on("backup-1").merge(soon).always();
    let mut config = CallingConfig::default();
    config.service = ServiceData::contact_center("contact.test");
    let (calling, line, mut events) = configured(sandbox, config).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    assert!(sandbox.expire_line(&sandbox.lines()[0].device_id));
    assert_eq!(names(&mut events).await, ["error", "unregistered", "registered"]);
    assert_eq!(sandbox.lines()[0].instance, "backup-1");
    (calling, line, events)
}

#[tokio::test]
async fn a_line_returns_to_a_primary_and_then_leaves_the_backup() {
    let sandbox = Sandbox::builder().keepalive_interval(SECOND).start().await.unwrap();
    sandbox.fail(Mobius::ping()).on("primary-1").with(503).once();
    let (calling, line, mut events) = on_backup(&sandbox).await;
    sandbox.clear_requests();
    let LineEvent::Unregistered { reason: Unregistered::Moved, server, .. } =
        next(&mut events).await
    else {
        panic!()
    };
    assert!(server.unwrap().path().contains("backup-1"));
    assert_eq!(names(&mut events).await, ["registered"]);
    sandbox.wait_for(|s| s.counts().lines == 1).await.unwrap();
    assert_eq!(sandbox.lines()[0].instance, "primary-2");
    assert_eq!(line.next().unwrap().0, Upcoming::Keepalive);
    let moves: Vec<_> = sandbox
        .requests()
        .iter()
        .map(Request::operation)
        .filter(|operation| *operation != Mobius::status())
        .collect();
    let expected = [Mobius::ping(), Mobius::ping(), Mobius::register(), Mobius::unregister()];
    assert_eq!(moves, expected);
    let ping = sandbox.requests().of(Mobius::ping());
    let path = ping.first().unwrap().path();
    assert_eq!(path, "/mobius/primary-1/api/v1/ping", "below the Mobius base, not that of calling");
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn a_primary_that_allows_one_registration_gets_it_after_the_backup_is_left() {
    let sandbox = Sandbox::builder().keepalive_interval(SECOND).start().await.unwrap();
    let (calling, _line, mut events) = on_backup(&sandbox).await;
    sandbox.clear_requests();
    let full = json!({"errorCode": 101, "devices": []});
    sandbox.fail(Mobius::register()).on("primary-1").with(403).body(full).once();
    assert_eq!(names(&mut events).await, ["unregistered", "registered"]);
    let order = sandbox.requests().matching(|request| {
        [Mobius::register(), Mobius::unregister()].contains(&request.operation())
    });
    let order: Vec<_> = order.iter().map(Request::operation).collect();
    assert_eq!(order, [Mobius::register(), Mobius::unregister(), Mobius::register()]);
    assert_eq!(sandbox.lines()[0].instance, "primary-1");
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn row_46_an_earlier_registration_of_this_client_makes_room() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    let device = |id: &str, client: &str| {
        let place = sandbox.url(&format!("mobius/primary-2/api/v1/calling/web/devices/{id}"));
        json!({"deviceId": id, "uri": place, "clientDeviceUri": client})
    };
    let ours = sandbox.devices()[0].url.clone();
    let devices = [device("other", "https://wdm.example/devices/other"), device("stale", &ours)];
    let full = json!({"errorCode": 101, "devices": devices});
    sandbox.fail(Mobius::register()).on("primary-1").with(403).body(full).once();
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "server_failed", "registered"]);
    let deleted = sandbox.requests().of(Mobius::unregister());
    assert_eq!(deleted.count(), 1);
    let deleted = deleted.first().unwrap();
    assert!(deleted.path().ends_with("devices/stale"), "{}", deleted.path());
    assert_eq!(deleted.header("cisco-device-url"), Some(ours.as_str()));
    assert_eq!(sandbox.lines()[0].instance, "primary-2");
    calling.deregister().await.unwrap();

    // Another client's registration is not deleted.
    let (calling, line, mut events) = self::calling(&sandbox).await;
    let full = json!({"errorCode": 101, "devices": [devices[0]]});
    sandbox.fail(Mobius::register()).with(403).body(full).once();
    line.register();
    assert_eq!(next(&mut events).await.name(), "connecting");
    let LineEvent::Error(error) = next(&mut events).await else { panic!() };
    assert!(error.documented().msg.starts_with("Device limit exceeded."));
    assert_eq!(sandbox.requests().of(Mobius::unregister()).count(), 2, "the first line's, only");
    calling.deregister().await.unwrap();
}

#[tokio::test]
async fn a_dropped_registration_is_neither_deleted_nor_repeated() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    sandbox.wait_for(|s| s.counts().sockets == 1).await.unwrap();
    // An event of another line does not affect this one.
    let user = sandbox.user().id.clone();
    let other = json!({"eventType": "registration.down", "deviceId": "another"});
    assert_eq!(sandbox.push_event(&user, &other), 1);
    assert!(sandbox.line_down(&sandbox.lines()[0].device_id));
    let LineEvent::Unregistered { reason: Unregistered::Down(_), .. } = next(&mut events).await
    else {
        panic!()
    };
    assert_eq!((line.state(), line.next()), (LineState::Failed, None));
    assert_eq!(sandbox.requests().of(Mobius::register()).count(), 1);
    assert!(sandbox.requests().of(Mobius::unregister()).is_empty());
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}

#[tokio::test]
async fn deregistering_ends_in_time_whatever_the_server_does() {
    let sandbox = Sandbox::start().await.unwrap();
    let (calling, line, mut events) = calling(&sandbox).await;
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "registered"]);
    sandbox.fail(Mobius::unregister()).hang().always();
    let asked = Instant::now();
    line.deregister();
    let LineEvent::Unregistered { reason, .. } = next(&mut events).await else { panic!() };
    assert_eq!(reason.name(), "not_reachable");
    assert!(asked.elapsed() < DEREGISTER_LIMIT + 2 * SECOND, "{:?}", asked.elapsed());
    assert_eq!(line.state(), LineState::Idle);
    sandbox.clear_faults();
    calling.deregister().await.unwrap();
}

/// The key of the first line's failover state.
const FAILOVER_KEY: &str = "line-0-failover";

#[tokio::test]
async fn a_restarted_program_continues_its_failover() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = Arc::new(MemoryStore::new());
    let webex = || {
        let credentials = Credentials::access_token(sandbox.token());
        builder(&sandbox)
            .credentials(credentials)
            .state_store(store.clone(), "ann")
            .build()
            .unwrap()
    };
    let ago = |seconds| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        json!({"attempt": 3, "timeElapsed": 110, "retryScheduledTime": now - seconds,
            "serverType": "primary"})
    };
    let failing = ["primary-1", "primary-2"]
        .map(|primary| sandbox.fail(Mobius::register()).on(primary).with(503).always());

    // The primaries are tried once, and then the backup, without the minutes in between.
    let first = webex();
    first.saved_state().save(FAILOVER_KEY, &ago(10)).await;
    let calling = CallingClient::new(&first, CallingConfig::default()).await.unwrap();
    let line = calling.lines().remove(0);
    let mut events = line.subscribe();
    line.register();
    let told = ["connecting", "server_failed", "server_failed", "registered"];
    assert_eq!(names(&mut events).await, told);
    assert_eq!(sandbox.lines()[0].instance, "backup-1");
    line.deregister();
    assert_eq!(names(&mut events).await, ["unregistered"]);
    assert_eq!(first.saved_state().load::<Value>(FAILOVER_KEY).await, None);
    calling.deregister().await.unwrap();

    // A state that is too old is not used: the wait starts again, and is saved instead.
    let second = webex();
    second.saved_state().save(FAILOVER_KEY, &ago(301)).await;
    let calling = CallingClient::new(&second, CallingConfig::default()).await.unwrap();
    let line = calling.lines().remove(0);
    let mut events = line.subscribe();
    line.register();
    assert_eq!(names(&mut events).await, ["connecting", "server_failed", "server_failed"]);
    let kept = loop {
        // It is written in the background.
        match second.saved_state().load::<Value>(FAILOVER_KEY).await {
            Some(kept) if kept["attempt"] == 2 => break kept,
            _ => tokio::task::yield_now().await,
        }
    };
    assert_eq!((&kept["timeElapsed"], &kept["serverType"]), (&json!(0), &json!("primary")));
    assert_eq!(line.next().unwrap().0, Upcoming::Retry);
    line.deregister();
    assert_eq!(names(&mut events).await, ["unregistered"]);
    while second.saved_state().load::<Value>(FAILOVER_KEY).await.is_some() {
        tokio::task::yield_now().await;
    }
    drop(failing);
    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}
