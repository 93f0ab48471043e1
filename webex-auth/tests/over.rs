//! What is left when no new token can be had, on virtual time: what the state says, what callers get,
//! and how it goes on after a new sign-in.

mod common;

use tokio::time::{sleep, timeout};

use common::{
    HOUR, Script, access, is_valid, leaks, needs_sign_in, refused, start, tokens, wait_for,
};
use webex_auth::{Credentials, OAuthError, ReauthReason, TokenError, TokenSet, TokenState, Tokens};

#[tokio::test(start_paused = true)]
async fn a_ready_made_token_that_is_refused_needs_a_new_one_and_is_told_once() {
    let leaks = leaks();
    leaks.add("ready-made-token");
    let tokens = Tokens::new(Credentials::access_token("ready-made-token")).unwrap();
    let mut states = tokens.subscribe();
    let old = tokens.token().await.unwrap();
    assert!(is_valid(&tokens.state()));
    for _ in 0..3 {
        assert_eq!(tokens.replace(&old).await, Err(TokenError::Rejected));
    }
    let Some(TokenState::ReauthRequired { reason }) = states.next().await else { panic!() };
    assert!(matches!(reason, ReauthReason::NotRenewable) && reason.is_final(), "{reason}");
    assert!(timeout(HOUR, states.next()).await.is_err(), "said once");
    assert_eq!(tokens.token().await.unwrap(), old, "to give up what is registered with it");

    tokens.supply(tokens_for_ever(1)).await.unwrap();
    assert!(is_valid(&states.next().await.unwrap()));
    assert_eq!(tokens.token().await.unwrap().expose(), access(1));
}

/// The tokens number `n`, without expiry.
fn tokens_for_ever(n: usize) -> TokenSet {
    TokenSet::new(tokens(n, HOUR).access_token().clone())
}

#[tokio::test(start_paused = true)]
async fn supplied_tokens_are_always_heard_of() {
    let _leaks = leaks();
    let tokens = Tokens::new(Credentials::access_token("ready-made-token")).unwrap();
    let mut states = tokens.subscribe();
    for n in 1..=3 {
        tokens.supply(tokens_for_ever(n)).await.unwrap();
        let state = timeout(HOUR, states.next()).await.expect("the state comes, though the same");
        assert!(matches!(state, Some(TokenState::Valid { until: None })), "{state:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_invalid_grant_the_living_token_can_still_give_things_up() {
    let _leaks = leaks();
    for also_refused in [false, true] {
        let script = Script::new().then(&refused("invalid_grant"));
        let tokens = start(&script);
        wait_for(&tokens, needs_sign_in).await;
        let old = tokens.current().expect("it lives until it expires");
        assert_eq!(tokens.token().await.unwrap(), old);
        if also_refused {
            assert_eq!(tokens.replace(&old).await, Err(TokenError::Rejected));
        } else {
            sleep(HOUR).await;
        }
        assert_eq!(tokens.current(), None);
        assert_eq!(tokens.token().await, Err(TokenError::Rejected));
        let TokenState::ReauthRequired { reason } = tokens.state() else { panic!() };
        assert!(matches!(reason, ReauthReason::Refused(OAuthError::InvalidGrant(_))), "{reason}");
        assert_eq!(script.count(), 1);
    }
}
