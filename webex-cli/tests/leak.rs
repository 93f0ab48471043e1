//! No log shows the token: every crate and library, at trace level.
//!
//! The sandbox runs in a process of its own, because it has to receive the token.

mod support;

use std::{fs, time::Duration};

use support::{origin, webex};
use tempfile::TempDir;
use webex_sdk::{
    calling::{CallingClient, CallingConfig, LineEvent},
    core::{Credentials, Endpoints, ErrorKind, Transport},
    meetings::Meetings,
};
use webex_tests::leak::LeakCheck;

fn client(origin: &str, ca: &[u8], token: &str) -> webex_sdk::core::Webex {
    let transport = Transport::builder().extra_roots_pem(ca).unwrap().build().unwrap();
    webex_sdk::core::Webex::builder()
        .credentials(Credentials::access_token(token))
        .endpoints(Endpoints::at(origin).unwrap())
        .transport(transport)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_whole_session_is_logged_without_the_token() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, token) = (path("ca.pem"), path("token"));
    let sandbox = ["sandbox", "--listen", "127.0.0.1:0", "--ca-out", &ca, "--token-out", &token];
    let mut sandbox = webex(sandbox, None);
    let origin = origin(&mut sandbox);
    let (ca, token) = (fs::read(ca).unwrap(), fs::read_to_string(token).unwrap());
    let wrong = "wrong-token-value_P0A1_0e600000-0000-4000-8000-000000000003";
    let secret = |token: &str| token.split('_').next().unwrap().to_owned();
    let leaks = LeakCheck::install([secret(token.trim()), secret(wrong)]);

    let user = client(&origin, &ca, &token);
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

    let error = Meetings::new(&client(&origin, &ca, wrong)).register().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    leaks.assert_absent("the error", format!("{error} {error:?}"));

    assert!(leaks.seen() > 100, "only {} log lines were looked at", leaks.seen());
    leaks.assert_clean();
}
