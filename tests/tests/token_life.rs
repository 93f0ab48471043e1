//! A token that ends under a registered line: the line does not notice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use webex_calling::{CallingClient, CallingConfig, LineEvent, LineState};
use webex_core::events::Lossy;
use webex_core::{AccessToken, Credentials, Endpoints, LinkEvent, Subscription, Transport, Webex};
use webex_sandbox::{Mobius, Sandbox, User};
use webex_tests::process::PATIENCE;

/// Mints tokens as an application's backend would.
fn credentials(sandbox: &Arc<Sandbox>, user: &User) -> (Credentials, Arc<AtomicUsize>) {
    let minted = Arc::new(AtomicUsize::new(0));
    let (sandbox, user, count) = (Arc::downgrade(sandbox), user.clone(), Arc::clone(&minted));
    let provider = move || {
        count.fetch_add(1, Ordering::Relaxed);
        let token = sandbox.upgrade().and_then(|sandbox| sandbox.issue_token(&user, None));
        async move {
            let token = token.ok_or("the sandbox is gone");
            let token = token.map_err(webex_auth::ProviderError::permanent)?;
            let token = AccessToken::parse(&token);
            let token = token.map_err(webex_auth::ProviderError::permanent)?;
            Ok(webex_auth::TokenSet::new(token))
        }
    };
    (Credentials::provider(provider), minted)
}

async fn until<E: Lossy>(events: &mut Subscription<E>, wanted: impl Fn(&E) -> bool) {
    let found = async { while !wanted(&events.next().await.expect("the object is there")) {} };
    tokio::time::timeout(PATIENCE, found).await.expect("in time");
}

#[tokio::test]
async fn a_line_outlives_its_tokens() {
    let second = Duration::from_secs(1);
    let sandbox = Arc::new(Sandbox::builder().keepalive_interval(second).start().await.unwrap());
    let (credentials, minted) = credentials(&sandbox, sandbox.user());
    let ca = sandbox.ca_pem().unwrap().as_bytes();
    let webex = Webex::builder()
        .credentials(credentials)
        .endpoints(Endpoints::at(sandbox.origin().as_str()).unwrap())
        .transport(Transport::builder().extra_roots_pem(ca).unwrap().build().unwrap())
        .build()
        .unwrap();
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

    // The socket is told to authorize anew: it comes back with the token of the moment.
    let token = webex.tokens().current().unwrap();
    sandbox.revoke_token(token.expose());
    assert!(sandbox.close_socket(sandbox.sockets()[0].id, 4401, "token expired"));
    until(&mut socket, |event| matches!(event, LinkEvent::Offline)).await;
    until(&mut socket, |event| matches!(event, LinkEvent::Online)).await;
    assert_ne!(webex.tokens().current().unwrap(), token);

    calling.deregister().await.unwrap();
    let counts = sandbox.counts();
    assert_eq!((counts.devices, counts.sockets, counts.lines), (0, 0, 0));
}
