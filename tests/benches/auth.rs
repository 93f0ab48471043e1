//! The cost of a request's token. Run by `cargo xtask bench auth`.
//!
//! The hot path must take less than 100 ns and allocate nothing; the table shows both, beside the
//! cost of reading the clock on this machine. The benchmark library's allocator counts allocations;
//! a test of the crate counts them too.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, SystemTime},
};

use divan::{AllocProfiler, Bencher};
use webex_auth::{
    AccessToken, BoxFuture, Credentials, Integration, TokenHttp, TokenReply, TokenRequest,
    TokenSet, TokenTransportError, Tokens,
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// The lower limit: a token with an expiry cannot be checked in less time.
#[divan::bench]
fn clock_alone() -> SystemTime {
    SystemTime::now()
}

#[divan::bench(threads = [1, 2])]
fn token_without_expiry(bencher: Bencher<'_, '_>) {
    let tokens = Tokens::new(Credentials::access_token(TOKEN)).unwrap();
    bencher.bench(|| black_box(&tokens).current());
}

#[divan::bench(threads = [1, 2])]
fn token_with_expiry(bencher: Bencher<'_, '_>) {
    let tokens = renewable();
    bencher.bench(|| black_box(&tokens).current());
}

/// As in a request: awaited, and converted to a header value.
#[divan::bench]
fn awaited_header(bencher: Bencher<'_, '_>) {
    let tokens = renewable();
    bencher.bench_local(|| {
        let token = futures_util::FutureExt::now_or_never(tokens.token()).unwrap().unwrap();
        black_box(token.authorization().len())
    });
}

const TOKEN: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo_P0A1_0e600000-0000-4000-8000-000000000003";

fn renewable() -> Tokens {
    let set = TokenSet::new(AccessToken::parse(TOKEN).unwrap())
        .expires_in(Duration::from_hours(1))
        .refresh_token("never-used");
    let credentials = Credentials::integration(Integration::builder("bench").build(), set);
    Tokens::builder(credentials).http(Arc::new(Nowhere)).build().unwrap()
}

/// Never used, because the tokens are valid for longer than the benchmark runs.
struct Nowhere;

impl TokenHttp for Nowhere {
    fn send<'a>(
        &'a self,
        _: &'a TokenRequest,
    ) -> BoxFuture<'a, Result<TokenReply, TokenTransportError>> {
        Box::pin(std::future::ready(Err(TokenTransportError::Timeout)))
    }
}
