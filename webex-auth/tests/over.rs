//! The end of renewals, on virtual time: the state, what callers get, and what happens after a new
//! sign-in.

mod common;

use std::sync::Arc;

use secrecy::SecretString;
use tokio::time::{Instant, sleep, timeout};

use common::{
    HOUR, Script, access, is_valid, leaks, needs_sign_in, refused, start, tokens, wait_for,
};
use webex_auth::{
    Credentials, DirectoryStore, MemoryStore, OAuthError, ProviderError, ReauthReason, RenewError,
    Store, TokenError, TokenReply, TokenSet, TokenState, Tokens, timings,
};

#[tokio::test(start_paused = true)]
async fn a_refused_ready_made_token_needs_a_new_one_and_is_reported_once() {
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
async fn supplied_tokens_always_notify_subscribers() {
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

/// Returns the error and state after this answer of the authorization server, for a user whose
/// token was refused.
async fn verdict(script: &Arc<Script>) -> (TokenError, TokenState) {
    let tokens = start(script);
    let token = tokens.token().await.unwrap();
    let error = tokens.replace(&token).await.unwrap_err();
    (error, tokens.state())
}

#[tokio::test(start_paused = true)]
async fn every_code_of_the_protocol_has_its_error_and_state() {
    let _leaks = leaks();
    for code in ["invalid_grant", "access_denied", "expired_token"] {
        let (error, state) = verdict(&Script::new().then(&refused(code))).await;
        assert_eq!(error, TokenError::Rejected, "{code}");
        let TokenState::ReauthRequired { reason } = state else { panic!("{code}: {state:?}") };
        assert!(matches!(reason, ReauthReason::Refused(_)) && reason.is_final(), "{code}");
    }
    for code in [
        "invalid_client",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
    ] {
        let (error, state) = verdict(&Script::new().then(&refused(code))).await;
        let TokenError::Configuration { reason } = &error else { panic!("{code}: {error}") };
        assert!(reason.contains(code) && !error.to_string().contains("sign in again"), "{error}");
        let TokenState::ReauthRequired { reason } = state else { panic!("{code}: {state:?}") };
        assert!(matches!(reason, ReauthReason::Configuration(_)) && reason.is_final(), "{code}");
    }
    for code in ["server_error", "temporarily_unavailable", "slow_down"] {
        let (error, state) = verdict(&Script::new().then(&refused(code))).await;
        assert!(matches!(error, TokenError::Unavailable { .. }), "{code}: {error}");
        assert!(matches!(state, TokenState::Degraded { .. }), "{code}: {state:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateways_answer_does_not_end_the_sign_in() {
    let _leaks = leaks();
    let page = "<!DOCTYPE html><title>Welcome to our hotel</title>";
    for (status, body) in [
        (400, page),
        (400, ""),
        (400, r#"{"error":"unheard_of"}"#),
        (401, page),
        (401, r#"{"message":"Blocked by policy"}"#),
        (403, page),
        (511, page),
        (302, page),
        (200, page),
        (503, page),
    ] {
        let script = Script::new().then(&TokenReply::new(status, body));
        let tokens = start(&script);
        let state = wait_for(&tokens, |state| {
            !matches!(state, TokenState::Valid { .. } | TokenState::Refreshing)
        })
        .await;
        assert!(matches!(state, TokenState::Degraded { .. }), "{status} {body}: {state:?}");
        assert_eq!(tokens.token().await.unwrap().expose(), access(0), "it lives");
        script.clear().then(&common::granted(1, HOUR));
        wait_for(&tokens, is_valid).await;
        assert_eq!(tokens.token().await.unwrap().expose(), access(1), "{status} {body}");
    }
    let script = Script::new().then(&TokenReply::new(200, page));
    let (error, _) = verdict(&script).await;
    assert!(error.to_string().contains("sign-in page of the network"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_429_without_a_usable_time_pauses_for_a_minute() {
    let _leaks = leaks();
    for header in [None, Some("0"), Some("soon"), Some("Sun, 06 Nov 1994 08:49:37 GMT")] {
        let mut script = Script::new();
        script = match header {
            Some(value) => script.then_later(429, value),
            None => script.then(&TokenReply::new(429, "")),
        };
        let tokens = start(&script.then(&common::granted(1, HOUR)));
        wait_for(&tokens, |state| matches!(state, TokenState::Degraded { .. })).await;
        tokens.network_changed(); // must not shorten it
        wait_for(&tokens, is_valid).await;
        let requests = script.requests();
        let pause = requests[1].at - requests[0].at;
        assert!(pause >= timings::RATE_LIMITED && pause < 2 * timings::RATE_LIMITED, "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_zero_causes_no_fast_loop() {
    let _leaks = leaks();
    let script = Script::new().then_later(503, "0");
    let tokens = start(&script);
    let begun = Instant::now();
    wait_for(&tokens, needs_sign_in).await;
    assert!(begun.elapsed() >= HOUR);
    assert!(script.count() < 30, "{} requests", script.count());
}

#[tokio::test]
async fn a_damaged_store_is_its_own_kind() {
    let _leaks = leaks();
    let folder = tempfile::tempdir().unwrap();
    let files = DirectoryStore::new(folder.path().join("tokens"));
    files.save("ada", tokens(0, HOUR).to_json()).await.unwrap();
    std::fs::write(files.path().join("ada.secret"), "damaged").unwrap();
    let foreign = MemoryStore::new();
    foreign.save("ada", SecretString::from("{}")).await.unwrap();
    for store in [Arc::new(files) as Arc<dyn Store>, Arc::new(foreign)] {
        let script = Script::new();
        let credentials = Credentials::stored(common::integration());
        let handle = common::with(&script, credentials, Some(Arc::clone(&store)));
        let error = handle.token().await.unwrap_err();
        assert!(matches!(error, TokenError::Store { .. }), "{error}");
        assert!(error.to_string().contains("sign in again"), "{error}");
        let TokenState::ReauthRequired { reason } = handle.state() else { panic!() };
        assert!(matches!(reason, ReauthReason::Store(_)), "{reason}");
        // A new sign-in replaces it.
        handle.supply(tokens(1, HOUR)).await.unwrap();
        assert_eq!(handle.token().await.unwrap().expose(), access(1));
        assert_eq!(script.count(), 0);
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_tried_again_and_named() {
    let _leaks = leaks();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, "a file where the directory should be").unwrap();
    let store = Arc::new(DirectoryStore::new(path));
    let credentials = Credentials::stored(common::integration());
    let handle = common::with(&Script::new(), credentials, Some(store));
    let error = handle.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Store { .. }), "{error}");
    let TokenState::Degraded { error, .. } = handle.state() else { panic!() };
    assert!(matches!(error, RenewError::Store(_)), "{error}");
    let supplied = handle.supply(tokens(1, HOUR)).await;
    assert!(matches!(supplied, Err(TokenError::Store { .. })), "{supplied:?}");
    assert_eq!(handle.token().await.unwrap().expose(), access(1), "used all the same");
}

#[tokio::test(start_paused = true)]
async fn an_applications_own_source_fails_for_good_or_for_now() {
    let _leaks = leaks();
    for is_final in [false, true] {
        let credentials = Credentials::provider(move || async move {
            Err(if is_final {
                ProviderError::permanent("the user was deleted")
            } else {
                ProviderError::temporary("the backend restarts")
            })
        });
        let tokens = Tokens::builder(credentials).build().unwrap();
        let error = tokens.token().await.unwrap_err();
        assert_eq!(matches!(error, TokenError::Rejected), is_final, "{error}");
        assert_eq!(matches!(error, TokenError::Unavailable { .. }), !is_final, "{error}");
    }
}
