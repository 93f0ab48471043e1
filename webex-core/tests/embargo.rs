//! Row 4 of the reference client's weaknesses, first half: HTTP 451 takes effect.

mod support;

use std::sync::Arc;

use support::{builder, client, people, trusting};
use webex_auth::{MemoryStore, ReauthReason, TokenSet, TokenState};
use webex_core::{AccessToken, ErrorKind, HttpError, LinkError, Phase};
use webex_sandbox::{Hydra, Mercury, Sandbox, Wdm};

#[tokio::test]
async fn row_04_an_embargo_drops_tokens_device_and_socket() {
    let sandbox = Sandbox::start().await.unwrap();
    let store = Arc::new(MemoryStore::default());
    let webex = builder(&sandbox).state_store(store, "ann").build().unwrap();
    let saved = webex.saved_state();
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    sandbox.wait_for(|sandbox| sandbox.sockets().len() == 1).await.unwrap();

    let body = serde_json::json!({"message": "not in this country"});
    sandbox.fail(Hydra::me()).with(451).body(body).once();
    let error = webex.http().send(people(&sandbox)).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Embargoed, Some(451)));
    assert!(error.to_string().contains("not in this country"), "{error}");
    assert!(error.tracking_id().is_some());

    // The tokens are gone, and the next request is not even sent.
    let mut tokens = webex.tokens().subscribe();
    let state = tokens
        .wait_for(|state| {
            matches!(state, TokenState::ReauthRequired { reason: ReauthReason::SignedOut })
        })
        .await;
    assert!(state.is_some(), "{:?}", webex.tokens().state());
    let sent = sandbox.requests().of(Hydra::me()).count();
    let refused = webex.http().send(people(&sandbox)).await.unwrap_err();
    assert!(matches!(refused, HttpError::Token(_)), "{refused:?}");
    assert_eq!(refused.kind(), ErrorKind::Unauthorized);
    assert_eq!(sandbox.requests().of(Hydra::me()).count(), sent);

    // The socket is closed; the device is dropped without asking the service.
    sandbox.wait_for(|sandbox| sandbox.sockets().is_empty()).await.unwrap();
    let link = webex.link().state();
    assert_eq!(link.phase, Phase::Failed);
    assert!(link.device.is_none() && !link.online);
    assert!(matches!(link.failure, Some(LinkError::Embargoed)), "{:?}", link.failure);
    assert_eq!(lease.device().await.unwrap_err().kind(), ErrorKind::Embargoed);
    lease.release("done").await.unwrap();
    assert!(sandbox.requests().of(Wdm::unregister()).is_empty());
    assert_eq!(saved.load::<serde_json::Value>("device").await, None, "nor is it kept");

    // After a new sign-in elsewhere, everything works again.
    let token = sandbox.issue_token(sandbox.user(), None).unwrap();
    let token = TokenSet::new(AccessToken::parse(&token).unwrap());
    webex.tokens().supply(token).await.unwrap();
    let lease = webex.link().acquire().await.unwrap();
    lease.online().await.unwrap();
    webex.http().send(people(&sandbox)).await.unwrap();
    lease.release("done").await.unwrap();
}

#[tokio::test]
async fn row_04_an_embargo_is_met_by_registration_and_socket_as_well() {
    for at_socket in [false, true] {
        let sandbox = Sandbox::start().await.unwrap();
        let webex = client(&sandbox, trusting(&sandbox));
        if at_socket {
            sandbox.fail(Mercury::connect()).with(451).once();
        } else {
            sandbox.fail(Wdm::register()).with(451).once();
        }
        let lease = webex.link().acquire().await.unwrap();
        let error = lease.online().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Embargoed, "{error}");
        let mut tokens = webex.tokens().subscribe();
        tokens
            .wait_for(|state| {
                matches!(state, TokenState::ReauthRequired { reason: ReauthReason::SignedOut })
            })
            .await
            .unwrap();
        lease.release("done").await.unwrap();
        assert!(sandbox.requests().of(Wdm::unregister()).is_empty());
        assert_eq!(sandbox.requests().of(Mercury::connect()).count(), usize::from(at_socket));
    }
}
