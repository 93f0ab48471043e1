//! No log shows the token: every crate and library, at trace level.
//!
//! The sandbox runs in a process of its own, because it has to receive the token.

mod support;

use std::time::Duration;

use serde_json::json;
use support::Cloud;
use tempfile::TempDir;
use webex_sdk::{
    calling::{CallingClient, CallingConfig, LineEvent},
    core::{ErrorKind, Request},
    meetings::Meetings,
};
use webex_tests::leak::LeakCheck;

#[tokio::test]
async fn a_whole_session_is_logged_without_the_token() {
    let cloud = Cloud::start(TempDir::new().unwrap(), &[]);
    let token = cloud.token();
    let wrong = "wrong-token-value_P0A1_0e600000-0000-4000-8000-000000000003";
    let secret = |token: &str| token.split('_').next().unwrap().to_owned();
    let leaks = LeakCheck::install([secret(&token), secret(wrong)]);
    leaks.add(&token);

    let user = cloud.client(&token);
    let meetings = Meetings::new(&user);
    meetings.register().await.unwrap();
    let calling = CallingClient::new(&user, CallingConfig::default()).await.unwrap();
    let line = calling.lines().remove(0);
    let mut events = line.subscribe();
    line.register();
    let registered =
        async { while !matches!(events.next().await, Some(LineEvent::Registered(_))) {} };
    tokio::time::timeout(Duration::from_secs(30), registered).await.unwrap();
    leaks.assert_absent("the client", format!("{user:?} {meetings:?} {calling:?} {line:?}"));
    calling.deregister().await.unwrap();
    meetings.unregister().await.unwrap();

    let error = Meetings::new(&cloud.client(wrong)).register().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    leaks.assert_absent("the error", format!("{error} {error:?}"));

    // A cloud that quotes what it was sent, in every form, wherever it is asked.
    let faults = user.endpoints().u2c.join("/sandbox/faults").unwrap();
    for target in [
        "u2c.postauth",
        "wdm.register",
        "mercury.authorize",
        "mobius.discovery",
        "mobius.register",
        "hydra.me",
        "region.lookup",
    ] {
        let quoting = cloud.client(&token);
        // Without the code that is the message otherwise.
        let body = json!({"error": null});
        let fault =
            json!({"target": target, "quote": true, "status": 403, "times": 3, "body": body});
        quoting.http().send(Request::post(faults.clone()).json(&fault)).await.unwrap();
        let meetings = Meetings::new(&quoting);
        let registered = meetings.register().await;
        let needed = matches!(target, "u2c.postauth" | "wdm.register" | "mercury.authorize");
        assert_eq!(registered.is_err(), needed, "{target}: {registered:?}");
        leaks.assert_absent(target, format!("{registered:?}"));
        if let Err(error) = registered {
            let said = format!("{error} {:?}", serde_json::to_string(&error.to_json()));
            leaks.assert_absent(target, said);
        }
        let calling = CallingClient::new(&quoting, CallingConfig::default()).await;
        match &calling {
            Err(error) => leaks.assert_absent(target, format!("{error} {error:?}")),
            Ok(calling) => {
                let line = calling.lines().remove(0);
                let mut events = line.subscribe();
                line.register();
                let ended = async {
                    loop {
                        let event = events.next().await.unwrap();
                        leaks.assert_absent(target, format!("{event:?} {:?}", event.to_json()));
                        if !matches!(event, LineEvent::Connecting { .. }) {
                            break;
                        }
                    }
                };
                tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
                leaks.assert_absent(target, format!("{:?}", calling.last_error()));
                calling.deregister().await.unwrap();
            }
        }
        meetings.unregister().await.unwrap();
        quoting.http().send(Request::delete(faults.clone())).await.unwrap();
    }

    assert!(leaks.seen() > 100, "only {} log lines were looked at", leaks.seen());
    leaks.assert_clean();
}
