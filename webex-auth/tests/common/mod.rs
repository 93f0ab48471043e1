//! Shared by the tests of this crate: a scripted authorization server in memory, virtual time, and
//! secrets that are registered with the leak check.

#![allow(dead_code)] // each test program uses its part

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use webex_auth::{
    AccessToken, BoxFuture, Clock, Credentials, Integration, MemoryStore, Moment, OAuthEndpoints,
    Store, TokenHttp, TokenReply, TokenRequest, TokenSet, TokenState, TokenTransportError, Tokens,
};
use webex_tests::leak::LeakCheck;

/// The tests' client secret. Registered with the leak check, as are all tokens.
pub(crate) const SECRET: &str = "client-secret-of-tests";

/// Starts the leak check with the secrets of every test.
pub(crate) fn leaks() -> LeakCheck {
    LeakCheck::install([SECRET])
}

/// An integration with endpoints nobody listens on.
pub(crate) fn integration() -> Integration {
    Integration::builder("client")
        .secret(SECRET)
        .redirect_uri("https://app.example/cb")
        .endpoints(
            OAuthEndpoints::api(&"https://auth.example/v1".parse().unwrap())
                .revoke("https://auth.example/revoke".parse().unwrap()),
        )
        .build()
}

/// The tokens number `n`, with a lifetime.
pub(crate) fn tokens(n: usize, life: Duration) -> TokenSet {
    let leaks = leaks();
    let [access, refresh] = [access(n), refresh(n)];
    leaks.add(&access);
    leaks.add(&refresh);
    TokenSet::new(AccessToken::parse(&access).unwrap()).expires_in(life).refresh_token(refresh)
}

pub(crate) fn access(n: usize) -> String {
    format!("access-token-{n}")
}

pub(crate) fn refresh(n: usize) -> String {
    format!("refresh-token-{n}")
}

/// The answer with the tokens number `n`.
pub(crate) fn granted(n: usize, life: Duration) -> TokenReply {
    tokens(n, life); // registers them
    let answer = json!({
        "access_token": access(n),
        "expires_in": life.as_secs(),
        "refresh_token": refresh(n),
    });
    TokenReply::new(200, answer.to_string())
}

/// The answer of a refusal.
pub(crate) fn refused(code: &str) -> TokenReply {
    TokenReply::new(400, json!({ "error": code }).to_string())
}

/// The usual lifetime of a token.
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// The tokens number 0 with a lifetime of an hour, renewed by `script`.
pub(crate) fn start(script: &Arc<Script>) -> Tokens {
    with(script, Credentials::integration(integration(), tokens(0, HOUR)), None)
}

pub(crate) fn with(
    script: &Arc<Script>,
    credentials: Credentials,
    store: Option<Arc<dyn Store>>,
) -> Tokens {
    let http = Arc::clone(script);
    let mut builder = Tokens::builder(credentials).http(http).clock(VirtualClock::new());
    if let Some(store) = store {
        builder = builder.store(store, "ada");
    }
    builder.build().unwrap()
}

pub(crate) async fn wait_for(
    tokens: &Tokens,
    wanted: impl FnMut(&TokenState) -> bool,
) -> TokenState {
    // Virtual time: this is a limit, not a delay.
    let state = timeout(1_000 * HOUR, tokens.subscribe().wait_for(wanted)).await;
    state.expect("the state is reached").expect("the tokens are alive")
}

pub(crate) fn is_valid(state: &TokenState) -> bool {
    matches!(state, TokenState::Valid { .. })
}

pub(crate) fn needs_sign_in(state: &TokenState) -> bool {
    matches!(state, TokenState::ReauthRequired { .. })
}

pub(crate) async fn stored(store: &MemoryStore) -> Option<TokenSet> {
    let json = store.load("ada").await.unwrap()?;
    Some(TokenSet::from_json(json.expose_secret()).unwrap())
}

/// An authorization server in memory: each request takes the next answer of the script, and the
/// last one is repeated. A closed gate holds requests back.
#[derive(Debug)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<Seen>>,
    gate: Semaphore,
}

type Answer = Result<(u16, String, Option<String>), ()>;

/// A recorded request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) path: String,
    form: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Script {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::default(),
            requests: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    /// Adds an answer.
    pub(crate) fn then(self: &Arc<Self>, reply: &TokenReply) -> Arc<Self> {
        let answer = (reply.status(), reply.body().to_owned(), None);
        self.answers.lock().push_back(Ok(answer));
        Arc::clone(self)
    }

    /// Adds a failure with `Retry-After`.
    pub(crate) fn then_later(self: &Arc<Self>, status: u16, retry_after: &str) -> Arc<Self> {
        let answer = (status, String::new(), Some(retry_after.to_owned()));
        self.answers.lock().push_back(Ok(answer));
        Arc::clone(self)
    }

    /// Adds a broken connection.
    pub(crate) fn then_lost(self: &Arc<Self>) -> Arc<Self> {
        self.answers.lock().push_back(Err(()));
        Arc::clone(self)
    }

    /// Clears the script, to start another.
    pub(crate) fn clear(self: &Arc<Self>) -> Arc<Self> {
        self.answers.lock().clear();
        Arc::clone(self)
    }

    /// Holds back requests from now on.
    pub(crate) fn close_gate(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets all requests through again.
    pub(crate) fn open_gate(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS - self.gate.available_permits());
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.requests.lock().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().len()
    }
}

impl TokenHttp for Script {
    fn send<'a>(
        &'a self,
        request: &'a TokenRequest,
    ) -> BoxFuture<'a, Result<TokenReply, TokenTransportError>> {
        let body = request.body();
        let form = form_urlencoded::parse(body.expose_secret().as_bytes()).into_owned().collect();
        let path = request.url().path().to_owned();
        self.requests.lock().push(Seen { at: Instant::now(), path, form });
        Box::pin(async {
            drop(self.gate.acquire().await.expect("never closed for good"));
            let answer = {
                let mut answers = self.answers.lock();
                if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
            };
            match answer.expect("the script has no answer") {
                Ok((status, body, retry_after)) => {
                    let reply = TokenReply::new(status, body);
                    Ok(match retry_after {
                        Some(value) => reply.with_retry_after(&value, None),
                        None => reply,
                    })
                }
                Err(()) => Err(TokenTransportError::connection("no route")),
            }
        })
    }
}

/// The runtime's clock, which tests pause, used as both clocks of a machine.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    start: Instant,
    wall: SystemTime,
    slept: Mutex<Duration>,
}

impl VirtualClock {
    /// A clock that starts at the real time of day.
    pub(crate) fn new() -> Arc<Self> {
        let wall = SystemTime::now();
        Arc::new(Self { start: Instant::now(), wall, slept: Mutex::default() })
    }

    /// The machine sleeps: the wall clock goes on, timers do not.
    pub(crate) fn sleep(&self, time: Duration) {
        *self.slept.lock() += time;
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Moment {
        let monotonic = self.start.elapsed();
        Moment { wall: self.wall + monotonic + *self.slept.lock(), monotonic }
    }
}

/// The body of a request or answer as JSON.
pub(crate) fn parse(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}
