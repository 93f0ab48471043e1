//! No log shows the token: every crate and library, at trace level.
//!
//! The sandbox runs in a process of its own, because it has to receive the token.

mod support;

use std::time::Duration;

use support::Cloud;
use tempfile::TempDir;
use webex_sdk::{
    calling::{CallingClient, CallingConfig, LineEvent},
    core::ErrorKind,
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

    assert!(leaks.seen() > 100, "only {} log lines were looked at", leaks.seen());
    leaks.assert_clean();
}
