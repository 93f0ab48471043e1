//! The hot path of every request allocates nothing. (Its time is measured by `cargo xtask bench
//! auth`.)

mod common;

use std::time::Duration;

use common::{Script, access, integration, leaks, tokens};
use webex_auth::{Credentials, Tokens};

#[tokio::test]
async fn taking_a_valid_token_allocates_nothing() {
    let _leaks = leaks();
    let credentials = Credentials::integration(integration(), tokens(0, Duration::from_hours(1)));
    let tokens = Tokens::builder(credentials).http(Script::new()).build().unwrap();
    assert_eq!(tokens.token().await.unwrap().expose(), access(0));

    let current = allocation_counter::measure(|| {
        for _ in 0..100 {
            let token = tokens.current().unwrap();
            assert!(token.authorization().starts_with("Bearer "));
        }
    });
    assert_eq!(current.count_total, 0);

    let awaited = allocation_counter::measure(|| {
        for _ in 0..100 {
            let token = futures_util::FutureExt::now_or_never(tokens.token());
            assert!(token.unwrap().is_ok());
        }
    });
    assert_eq!(awaited.count_total, 0);

    // The measurement itself works.
    assert_ne!(allocation_counter::measure(|| drop(access(1))).count_total, 0);
}
