//! Self-renewing tokens on virtual time: the requests to the authorization server and their times,
//! what callers get in the meantime, and what is stored.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use secrecy::SecretString;
use tokio::time::{Instant, sleep, timeout};

use common::{
    HOUR, Script, VirtualClock, access, granted, integration, is_valid, leaks, needs_sign_in,
    refresh, refused, start, stored, tokens, wait_for, with,
};
use webex_auth::{
    AccessToken, BoxFuture, Credentials, MemoryStore, ProviderError, ReauthReason, RenewError,
    Store, StoreError, StoreLock, TokenError, TokenState, Tokens, timings,
};

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_between_60_and_90_percent_of_its_life() {
    let _leaks = leaks();
    for _ in 0..20 {
        let script = Script::new().then(&granted(1, HOUR));
        let tokens = start(&script);
        let begun = Instant::now();
        script.close_gate();
        wait_for(&tokens, |state| matches!(state, TokenState::Refreshing)).await;
        let part = begun.elapsed().div_duration_f64(HOUR);
        assert!((0.6..0.901).contains(&part), "at {part}");
        assert_eq!(tokens.current().unwrap().expose(), access(0), "good until it expires");
        script.open_gate();
        wait_for(&tokens, is_valid).await;
        assert_eq!(tokens.current().unwrap().expose(), access(1));
        assert_eq!(script.count(), 1);
        assert_eq!(script.requests()[0].field("refresh_token"), Some(&*refresh(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_at_the_moment_of_expiry_make_one_request() {
    let _leaks = leaks();
    let script = Script::new().then(&granted(1, HOUR));
    script.close_gate();
    let clock = VirtualClock::new();
    let http = Arc::clone(&script);
    let credentials = Credentials::integration(integration(), tokens(0, HOUR));
    let builder = Tokens::builder(credentials).http(http);
    let tokens = builder.clock(Arc::clone(&clock) as _).build().unwrap();
    clock.sleep(HOUR + Duration::from_secs(1));
    assert_eq!(tokens.current(), None);

    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { tokens.token().await })
        })
        .collect();
    sleep(Duration::from_secs(1)).await; // virtual: now all of them wait
    assert_eq!(script.count(), 1);
    script.open_gate();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().expose(), access(1));
    }
    assert_eq!(script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_does_not_cancel_the_renewal() {
    let _leaks = leaks();
    let script = Script::new().then(&granted(1, HOUR));
    let tokens = start(&script);
    let refused = tokens.token().await.unwrap();
    script.close_gate();
    let waiter = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.replace(&refused).await }
    });
    wait_for(&tokens, |state| matches!(state, TokenState::Refreshing)).await;
    waiter.abort();
    assert!(waiter.await.unwrap_err().is_cancelled());
    script.open_gate();
    wait_for(&tokens, is_valid).await;
    assert_eq!(tokens.current().unwrap().expose(), access(1));
    assert_eq!(script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_401_renews_once_and_latecomers_get_the_new_token_without_a_request() {
    let _leaks = leaks();
    let script = Script::new().then(&granted(1, HOUR));
    let tokens = start(&script);
    let old = tokens.token().await.unwrap();
    let both = tokio::join!(tokens.replace(&old), tokens.replace(&old));
    assert_eq!(both.0.unwrap().expose(), access(1));
    assert_eq!(both.1.unwrap().expose(), access(1));
    assert_eq!(tokens.replace(&old).await.unwrap().expose(), access(1));
    assert_eq!(script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_network_it_backs_off_until_expiry_and_a_demand_tries_again() {
    let _leaks = leaks();
    let script = Script::new().then_lost();
    let tokens = start(&script);
    let begun = Instant::now();
    let degraded = wait_for(&tokens, |state| matches!(state, TokenState::Degraded { .. })).await;
    assert!(matches!(degraded, TokenState::Degraded { error: RenewError::OAuth(_), .. }));
    assert_eq!(tokens.token().await.unwrap().expose(), access(0), "still good");

    let end = wait_for(&tokens, needs_sign_in).await;
    let elapsed = begun.elapsed();
    assert!(elapsed >= HOUR && elapsed < HOUR + Duration::from_secs(1), "{elapsed:?}");
    let TokenState::ReauthRequired { reason } = end else { unreachable!() };
    assert!(matches!(reason, ReauthReason::Unreachable(_)) && !reason.is_final(), "{reason}");

    let pauses: Vec<_> = script.requests().windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(pauses.len() >= 6, "{pauses:?}");
    for (n, pause) in pauses.iter().enumerate() {
        let full = (timings::BACKOFF_MIN * 2_u32.pow(n as u32)).min(timings::BACKOFF_MAX);
        assert!(*pause >= full / 2 && *pause <= full + Duration::from_millis(2), "{n}: {pause:?}");
    }

    sleep(HOUR).await;
    let before = script.count();
    let error = tokens.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    assert_eq!(script.count(), before + 1, "one attempt for a demand");
    tokens.token().await.unwrap_err();
    assert_eq!(script.count(), before + 1, "and none right after it");
    sleep(timings::DEMAND_PAUSE).await;
    script.clear().then(&granted(1, HOUR));
    assert_eq!(tokens.token().await.unwrap().expose(), access(1));
    assert!(is_valid(&tokens.state()));
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_the_network_is_back_shortens_the_pause() {
    let _leaks = leaks();
    let script = Script::new().then_lost();
    let tokens = start(&script);
    wait_for(&tokens, needs_sign_in).await;
    script.clear().then(&granted(1, HOUR));
    let begun = Instant::now();
    tokens.network_changed();
    wait_for(&tokens, is_valid).await;
    assert!(begun.elapsed() <= timings::BACKOFF_MIN + Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_a_server_asks_for_is_kept() {
    let _leaks = leaks();
    let script = Script::new().then_later(429, "120").then(&granted(1, HOUR));
    let tokens = start(&script);
    wait_for(&tokens, |state| matches!(state, TokenState::Degraded { .. })).await;
    tokens.network_changed(); // must not shorten it
    wait_for(&tokens, is_valid).await;
    let requests = script.requests();
    let pause = requests[1].at - requests[0].at;
    assert!(pause >= Duration::from_mins(2) && pause < Duration::from_secs(121), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn invalid_grant_ends_it_at_once_and_erases_the_tokens() {
    let _leaks = leaks();
    let store = MemoryStore::new();
    store.save("ada", tokens(0, HOUR).to_json()).await.unwrap();
    let script = Script::new().then(&refused("invalid_grant"));
    let credentials = Credentials::stored(integration());
    let tokens = with(&script, credentials, Some(Arc::new(store.clone())));
    let token = tokens.token().await.unwrap();
    assert_eq!(token.expose(), access(0));
    assert_eq!(tokens.replace(&token).await, Err(TokenError::Rejected));
    let TokenState::ReauthRequired { reason } = tokens.state() else { panic!() };
    assert!(matches!(reason, ReauthReason::Refused(_)) && reason.is_final());
    assert!(stored(&store).await.is_none());
    sleep(10 * HOUR).await;
    assert_eq!(tokens.token().await, Err(TokenError::Rejected));
    assert_eq!(script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_client_secret_needs_the_user_but_keeps_the_tokens() {
    let _leaks = leaks();
    let store = MemoryStore::new();
    store.save("ada", tokens(0, HOUR).to_json()).await.unwrap();
    let script = Script::new().then(&refused("invalid_client"));
    let credentials = Credentials::stored(integration());
    let tokens = with(&script, credentials, Some(Arc::new(store.clone())));
    tokens.token().await.unwrap();
    wait_for(&tokens, needs_sign_in).await;
    assert!(stored(&store).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_same_token_again_is_an_error_that_does_not_loop() {
    let _leaks = leaks();
    let store = MemoryStore::new();
    store.save("ada", tokens(0, HOUR).to_json()).await.unwrap();
    let answer = granted(0, HOUR);
    let rotated = answer.body().replace(&refresh(0), &refresh(7));
    let script = Script::new().then(&webex_auth::TokenReply::new(200, rotated));
    let credentials = Credentials::stored(integration());
    let tokens = with(&script, credentials, Some(Arc::new(store.clone())));
    assert_eq!(tokens.token().await.unwrap().expose(), access(0));

    let state = wait_for(&tokens, |state| matches!(state, TokenState::Degraded { .. })).await;
    assert!(matches!(state, TokenState::Degraded { error: RenewError::Unchanged, .. }));
    assert_eq!(tokens.token().await.unwrap().expose(), access(0), "good until it expires");
    let kept = stored(&store).await.unwrap();
    assert_eq!(kept.expose_refresh_token(), Some(&*refresh(7)), "a rotated one is kept");

    let end = wait_for(&tokens, needs_sign_in).await;
    assert!(matches!(end, TokenState::ReauthRequired { reason: ReauthReason::Unchanged }));
    assert_eq!(tokens.token().await, Err(TokenError::Rejected));
    assert_eq!(script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_every_token_does_not_use_up_the_account() {
    let _leaks = leaks();
    let script = Script::new();
    for n in 1..=100 {
        script.then(&granted(n, HOUR));
    }
    let tokens = start(&script);
    let mut final_refusals = 0;
    for _ in 0..50 {
        let token = tokens.token().await.unwrap();
        if tokens.replace(&token).await == Err(TokenError::Rejected) {
            final_refusals += 1;
        }
    }
    assert_eq!(script.count(), timings::REFUSALS_AT_ONCE as usize);
    assert_eq!(final_refusals, 50 - script.count());
    assert!(is_valid(&tokens.state()), "other services may still take the token");
    sleep(timings::REFUSAL_REFILL).await;
    let token = tokens.token().await.unwrap();
    tokens.replace(&token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sleep_past_the_expiry_is_noticed_without_a_timer() {
    let _leaks = leaks();
    let script = Script::new().then(&granted(1, HOUR));
    let clock = VirtualClock::new();
    let http = Arc::clone(&script);
    let credentials = Credentials::integration(integration(), tokens(0, HOUR));
    let builder = Tokens::builder(credentials).http(http);
    let tokens = builder.clock(Arc::clone(&clock) as _).build().unwrap();
    assert!(tokens.current().is_some());
    clock.sleep(2 * HOUR);
    assert_eq!(tokens.current(), None);
    assert_eq!(tokens.token().await.unwrap().expose(), access(1));
    assert_eq!(script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_sleep_the_network_gets_a_minute_to_come_back() {
    let _leaks = leaks();
    let script = Script::new().then_lost();
    let clock = VirtualClock::new();
    let http = Arc::clone(&script);
    let credentials = Credentials::integration(integration(), tokens(0, HOUR));
    let builder = Tokens::builder(credentials).http(http);
    let tokens = builder.clock(Arc::clone(&clock) as _).build().unwrap();
    clock.sleep(2 * HOUR);
    let begun = Instant::now();
    tokens.token().await.unwrap_err();
    assert!(matches!(tokens.state(), TokenState::Degraded { .. }), "{:?}", tokens.state());
    wait_for(&tokens, needs_sign_in).await;
    assert!(begun.elapsed() >= timings::PERSISTENCE);
    assert!(begun.elapsed() < timings::PERSISTENCE + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_new_sign_in_uses_the_same_handle() {
    let _leaks = leaks();
    let script = Script::new().then(&refused("invalid_grant"));
    let handle = start(&script);
    wait_for(&handle, needs_sign_in).await;
    // Issued by the real clock, which is up to an hour behind virtual time.
    handle.supply(tokens(5, 10 * HOUR)).await.unwrap();
    assert!(is_valid(&handle.state()));
    assert_eq!(handle.token().await.unwrap().expose(), access(5));
}

#[tokio::test(start_paused = true)]
async fn an_empty_store_needs_a_first_sign_in() {
    let _leaks = leaks();
    let (store, script) = (MemoryStore::new(), Script::new());
    let credentials = Credentials::stored(integration());
    let handle = with(&script, credentials, Some(Arc::new(store.clone())));
    assert_eq!(handle.token().await, Err(TokenError::Rejected));
    let TokenState::ReauthRequired { reason } = handle.state() else { panic!() };
    assert!(matches!(reason, ReauthReason::NotSignedIn), "{reason}");
    handle.supply(tokens(0, HOUR)).await.unwrap();
    assert_eq!(handle.token().await.unwrap().expose(), access(0));
    assert!(stored(&store).await.is_some());
    assert_eq!(script.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn signing_out_revokes_and_erases_for_all_processes() {
    let _leaks = leaks();
    let store = MemoryStore::new();
    store.save("ada", tokens(0, HOUR).to_json()).await.unwrap();
    let script = Script::new().then(&webex_auth::TokenReply::new(200, ""));
    let [here, there] = [(); 2].map(|()| {
        let credentials = Credentials::stored(integration());
        with(&script, credentials, Some(Arc::new(store.clone())))
    });
    here.token().await.unwrap();
    let elsewhere = there.token().await.unwrap();

    here.sign_out().await.unwrap();
    assert!(stored(&store).await.is_none());
    assert_eq!(here.token().await, Err(TokenError::Rejected));
    let revoked: Vec<_> = script.requests();
    assert!(revoked.iter().all(|request| request.path == "/revoke"));
    let fields: Vec<_> =
        revoked.iter().map(|request| request.field("token_type_hint").unwrap()).collect();
    assert_eq!(fields, ["refresh_token", "access_token"]);

    assert_eq!(there.replace(&elsewhere).await, Err(TokenError::Rejected));
    let TokenState::ReauthRequired { reason } = there.state() else { panic!() };
    assert!(matches!(reason, ReauthReason::SignedOut), "{reason}");
    assert_eq!(script.count(), 2, "no refresh with a dead token");
}

#[tokio::test(start_paused = true)]
async fn an_application_that_mints_tokens_is_called_for_each() {
    let _leaks = leaks();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let credentials = Credentials::provider(move || {
        let n = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            match n {
                1 => Err(ProviderError::temporary("the backend restarts")),
                4 => Err(ProviderError::permanent("the user was deleted")),
                n => Ok(tokens(n, HOUR)),
            }
        }
    });
    let tokens = Tokens::builder(credentials).build().unwrap();
    assert_eq!(tokens.token().await.unwrap().expose(), access(0));
    let token = tokens.token().await.unwrap();
    assert!(matches!(tokens.replace(&token).await, Err(TokenError::Unavailable { .. })));
    wait_for(&tokens, is_valid).await;
    assert_eq!(tokens.token().await.unwrap().expose(), access(2));
    for n in [3, 4] {
        let token = tokens.token().await.unwrap();
        assert_eq!(tokens.replace(&token).await.is_ok(), n == 3);
    }
    let TokenState::ReauthRequired { reason } = tokens.state() else { panic!() };
    assert!(matches!(reason, ReauthReason::Provider(_)), "{reason}");
    assert_eq!(asked.load(Ordering::SeqCst), 5);
}

/// A store whose writes can be made to wait or fail.
#[derive(Debug, Clone, Default)]
struct FailingStore {
    inner: MemoryStore,
    fails: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
}

impl Store for FailingStore {
    fn load<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<SecretString>, StoreError>> {
        self.inner.load(name)
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        value: SecretString,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if self.slow.load(Ordering::SeqCst) {
                sleep(Duration::from_secs(10)).await;
            }
            if self.fails.load(Ordering::SeqCst) {
                return Err(StoreError::unavailable("disk full"));
            }
            self.inner.save(name, value).await
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.delete(name)
    }

    fn lock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<StoreLock, StoreError>> {
        self.inner.lock(name)
    }
}

async fn failing_store() -> FailingStore {
    let store = FailingStore::default();
    store.save("ada", tokens(0, HOUR).to_json()).await.unwrap();
    store
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_stored_before_they_are_used() {
    let _leaks = leaks();
    let store = failing_store().await;
    let script = Script::new().then(&granted(1, HOUR));
    let credentials = Credentials::stored(integration());
    let tokens = with(&script, credentials, Some(Arc::new(store.clone())));
    let token = tokens.token().await.unwrap();
    store.slow.store(true, Ordering::SeqCst);
    let replaced = tokens.replace(&token);
    tokio::pin!(replaced);
    assert!(timeout(Duration::from_secs(9), replaced.as_mut()).await.is_err(), "not stored yet");
    assert_eq!(script.count(), 1);
    assert_eq!(tokens.current(), None);
    assert_eq!(replaced.await.unwrap().expose(), access(1));
    assert_eq!(stored(&store.inner).await.unwrap().expose_refresh_token(), Some(&*refresh(1)));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_cannot_be_stored_are_kept_and_stored_later() {
    let _leaks = leaks();
    let store = failing_store().await;
    let script = Script::new().then(&granted(1, HOUR)).then(&granted(2, HOUR));
    let credentials = Credentials::stored(integration());
    let tokens = with(&script, credentials, Some(Arc::new(store.clone())));
    let token = tokens.token().await.unwrap();
    store.fails.store(true, Ordering::SeqCst);
    let token = tokens.replace(&token).await.unwrap();
    assert_eq!(token.expose(), access(1), "there is no other");

    // While it cannot be stored, its refresh token is not used either.
    assert!(matches!(tokens.replace(&token).await, Err(TokenError::Store { .. })));
    assert_eq!(script.count(), 1);

    store.fails.store(false, Ordering::SeqCst);
    wait_for(&tokens, is_valid).await;
    assert_eq!(script.count(), 2);
    assert_eq!(script.requests()[1].field("refresh_token"), Some(&*refresh(1)));
    assert_eq!(stored(&store.inner).await.unwrap().expose_refresh_token(), Some(&*refresh(2)));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_stored_even_when_nobody_holds_the_tokens_any_more() {
    let _leaks = leaks();
    let store = failing_store().await;
    let script = Script::new().then(&granted(1, HOUR));
    let credentials = Credentials::stored(integration());
    let tokens = with(&script, credentials, Some(Arc::new(store.clone())));
    let token = tokens.token().await.unwrap();
    script.close_gate();
    let waiter = tokio::spawn(async move { tokens.replace(&token).await });
    while script.count() == 0 {
        tokio::task::yield_now().await;
    }
    waiter.abort();
    let _ = waiter.await;
    script.open_gate();
    timeout(HOUR, async {
        while stored(&store.inner).await.unwrap().expose_refresh_token() != Some(&*refresh(1)) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the rotated refresh token is stored");
}

#[tokio::test(start_paused = true)]
async fn processes_that_share_a_store_renew_once() {
    let _leaks = leaks();
    let store = MemoryStore::new();
    let old = tokens(0, HOUR);
    store.save("ada", old.to_json()).await.unwrap();
    let script = Script::new().then(&granted(1, HOUR));
    let all: Vec<_> = (0..20)
        .map(|_| {
            let credentials = Credentials::stored(integration());
            with(&script, credentials, Some(Arc::new(store.clone())))
        })
        .collect();
    let old = AccessToken::parse(&access(0)).unwrap();
    for tokens in &all {
        assert_eq!(tokens.token().await.unwrap(), old);
    }
    let replaced: Vec<_> = all.iter().map(|tokens| tokens.replace(&old)).collect();
    for token in futures_util::future::join_all(replaced).await {
        assert_eq!(token.unwrap().expose(), access(1));
    }
    assert_eq!(script.count(), 1);
}

#[test]
fn tokens_can_be_made_without_a_runtime() {
    let _leaks = leaks();
    let script = Script::new().then(&granted(1, HOUR));
    let credentials = Credentials::refresh_token(integration(), refresh(0));
    let http = Arc::clone(&script);
    let tokens = Tokens::builder(credentials).http(http).build().unwrap();
    assert_eq!(tokens.current(), None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(tokens.token()).unwrap().expose(), access(1));
    assert_eq!(script.requests()[0].field("refresh_token"), Some(&*refresh(0)));

    assert!(matches!(
        Tokens::new(Credentials::stored(integration())),
        Err(TokenError::NotConfigured(_))
    ));
}
