//! A token that expires under a registered line, which is not affected.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use webex_calling::{CallingClient, CallingConfig, LineEvent, LineState};
use webex_core::LinkEvent;
use webex_sandbox::{Mobius, Sandbox};
use webex_tests::{
    user::{assert_empty, builder, renewable},
    wait::until,
};

#[tokio::test]
async fn a_line_outlives_its_tokens() {
    let second = Duration::from_secs(1);
    let sandbox = Arc::new(Sandbox::builder().keepalive_interval(second).start().await.unwrap());
    let (credentials, minted) = renewable(&sandbox);
    let webex = builder(&sandbox).credentials(credentials).build().unwrap();
    let mut socket = webex.link().subscribe();
    let calling = CallingClient::new(&webex, CallingConfig::default()).await.unwrap();
    let line = calling.lines().remove(0);
    let mut events = line.subscribe();
    line.register();
    until(&mut events, |event| matches!(event, LineEvent::Registered(_))).await;
    until(&mut socket, |event| matches!(event, LinkEvent::Online)).await;

    for round in 1..=3 {
        let token = webex.tokens().current().unwrap();
        assert!(sandbox.revoke_token(token.expose()));
        // The next keepalive is refused, repeated with another token, and answered.
        let refused = |s: &Sandbox| s.requests().of(Mobius::status()).answered(401).count();
        let answered = |s: &Sandbox| s.requests().of(Mobius::status()).answered(200).count();
        let before = answered(&sandbox);
        sandbox.wait_for(|s| refused(s) == round && answered(s) > before).await.unwrap();
        assert_ne!(webex.tokens().current().unwrap(), token);
        assert_eq!(minted.load(Ordering::Relaxed), 1 + round, "one renewal a time");
    }
    assert!(events.try_next().is_none(), "the line noticed");
    assert_eq!(line.state(), LineState::Registered);
    assert_eq!(sandbox.requests().of(Mobius::register()).count(), 1);

    // The socket is closed for a new authorization: it comes back with the current token.
    let token = webex.tokens().current().unwrap();
    sandbox.revoke_token(token.expose());
    assert!(sandbox.close_socket(sandbox.sockets()[0].id, 4401, "token expired"));
    until(&mut socket, |event| matches!(event, LinkEvent::Offline)).await;
    until(&mut socket, |event| matches!(event, LinkEvent::Online)).await;
    assert_ne!(webex.tokens().current().unwrap(), token);

    calling.deregister().await.unwrap();
    assert_empty(&sandbox);
}
