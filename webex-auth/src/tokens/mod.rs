//! The tokens of one user, for requests.
//!
//! ```text
//!  Tokens ──current()──► hot: the token, as long as it can be used        (a lock and a clock)
//!    │ token(), replace(), supply(), sign_out()
//!    ▼
//!  driver, one task ──► Lifecycle (decides)
//!    │
//!    └─ one job at a time: store lock, stored tokens, authorization server, store
//! ```
//!
//! The task is started by the first request that needs it, or at once when the tokens are made
//! inside a runtime. It ends when the last handle is dropped, after the current job.

mod driver;
mod job;
mod shared;

use std::{fmt, sync::Arc};

use parking_lot::{Mutex, RwLock};
use tokio::{
    runtime,
    sync::{mpsc, oneshot, watch},
};

use crate::{
    credentials::{Credentials, Seed, Source, parse_seed},
    http::TokenHttp,
    lifecycle::{
        clock::{Clock, SystemClock},
        machine::Lifecycle,
        state::TokenState,
    },
    store::{interface::Store, name::check_own_name},
    token::AccessToken,
    token_error::TokenError,
    token_set::TokenSet,
    tokens::{
        driver::Driver,
        job::{NoHttp, Renewer},
        shared::{Command, Reply, Shared, life},
    },
};

/// The tokens of one user, from which requests get their token.
///
/// Clones share their state. A renewal goes on even if the tasks that wait for it are dropped.
#[derive(Clone)]
pub struct Tokens(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    /// Boxed, because the channel of an idle user reserves space for many commands.
    commands: mpsc::UnboundedSender<Box<Command>>,
    /// The driver, until it is started.
    waiting: Mutex<Option<Driver>>,
}

impl Tokens {
    /// Makes a handle for credentials that need neither network nor store. Does no I/O.
    ///
    /// # Errors
    /// [`TokenError::Empty`] or [`TokenError::Malformed`] for an invalid token;
    /// [`TokenError::NotConfigured`] for credentials that need a [`builder`](Self::builder).
    pub fn new(credentials: Credentials) -> Result<Self, TokenError> {
        Self::builder(credentials).build()
    }

    /// Builds a handle for any credentials.
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use webex_auth::{Credentials, DirectoryStore, Integration, ReqwestHttp, Tokens};
    ///
    /// # fn run(integration: Integration) -> Result<(), Box<dyn std::error::Error>> {
    /// let http = ReqwestHttp::from_builder(reqwest::Client::builder())?;
    /// let tokens = Tokens::builder(Credentials::stored(integration))
    ///     .http(Arc::new(http))
    ///     .store(Arc::new(DirectoryStore::new("/var/lib/app/tokens")), "ada@example.com")
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn builder(credentials: Credentials) -> TokensBuilder {
        TokensBuilder { credentials, http: None, store: None, clock: None, seed: None }
    }

    /// Returns the current token, if it can be used without waiting.
    ///
    /// In the state [`TokenState::ReauthRequired`] there may be one too: it is returned until it
    /// expires, so that what is registered with it can be given up.
    ///
    /// This is the hot path of every request: it takes a lock, reads a clock and counts a reference.
    pub fn current(&self) -> Option<AccessToken> {
        let hot = self.0.shared.hot.read();
        let hot = hot.as_ref()?;
        let usable = hot.until.is_none_or(|until| self.0.shared.wall() < until);
        usable.then(|| hot.token.clone())
    }

    /// Returns the token to use now; waits while one is being obtained.
    ///
    /// # Errors
    /// [`TokenError::Rejected`] when no token can be obtained any more, [`TokenError::Unavailable`]
    /// when none can be obtained for now, [`TokenError::Configuration`] when the integration was
    /// refused and [`TokenError::Store`] when the store of the tokens fails.
    pub async fn token(&self) -> Result<AccessToken, TokenError> {
        match self.current() {
            Some(token) => Ok(token),
            None => self.ask(Command::Demand).await,
        }
    }

    /// Reports that a server answered 401 to `refused`, and returns a token for a second try.
    ///
    /// If another task has already replaced the token, returns that one without a request.
    ///
    /// # Errors
    /// [`TokenError::Rejected`] when there is none: the 401 is final. The others as
    /// [`token`](Self::token).
    pub async fn replace(&self, refused: &AccessToken) -> Result<AccessToken, TokenError> {
        match self.current() {
            Some(token) if token != *refused => Ok(token),
            _ => self.ask(|reply| Command::Refused(refused.clone(), reply)).await,
        }
    }

    /// Supplies the tokens of a new sign-in, which all users of this handle then use.
    ///
    /// Waits for a renewal in progress, and returns when the tokens are stored and in use.
    /// Subscribers of the state ([`subscribe`](Self::subscribe)) are notified, whatever it was
    /// before.
    ///
    /// # Errors
    /// [`TokenError::Store`] when they cannot be stored. They are used nevertheless.
    pub async fn supply(&self, tokens: TokenSet) -> Result<(), TokenError> {
        self.ask(|reply| Command::Supply(Box::new(tokens), reply)).await
    }

    /// Signs out: the tokens are revoked if possible, erased from memory and store, and no longer
    /// renewed.
    ///
    /// # Errors
    /// [`TokenError::Store`] when the store cannot be used, [`TokenError::Unavailable`] when the
    /// authorization server did not revoke the tokens (which are erased nevertheless).
    pub async fn sign_out(&self) -> Result<(), TokenError> {
        self.ask(Command::SignOut).await
    }

    /// Reports that the network may be back, so that a failed renewal is repeated soon.
    pub fn network_changed(&self) {
        self.start();
        let _ = self.0.commands.send(Box::new(Command::NetworkChanged)); // a stopped driver renews nothing
    }

    /// The state of the tokens.
    pub fn state(&self) -> TokenState {
        self.0.shared.state.borrow().clone()
    }

    /// Subscribes to changes of the state from now on.
    pub fn subscribe(&self) -> TokenStates {
        TokenStates(self.0.shared.state.subscribe())
    }

    /// Sends a command to the driver and waits for its reply.
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, TokenError> {
        self.start();
        let (reply, answer) = oneshot::channel();
        self.0.commands.send(Box::new(command(reply))).map_err(|_| TokenError::Stopped)?;
        answer.await.map_err(|_| TokenError::Stopped)?
    }

    /// Starts the driver, if it has not been started and there is a runtime.
    fn start(&self) {
        if let Ok(runtime) = runtime::Handle::try_current()
            && let Some(driver) = self.0.waiting.lock().take()
        {
            runtime.spawn(driver.run());
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tokens").field(&self.state()).finish()
    }
}

/// The changes of a [`TokenState`].
///
/// A slow reader misses intermediate states, never the last one. After [`supply`](Tokens::supply)
/// there is always a state to read, even if it is the same as before, so that what failed for lack
/// of a token can start again.
#[derive(Debug)]
pub struct TokenStates(watch::Receiver<TokenState>);

impl TokenStates {
    /// Waits for a change and returns the new state; `None` when the tokens are dropped.
    pub async fn next(&mut self) -> Option<TokenState> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }

    /// Waits until `wanted` holds, possibly at once; `None` when the tokens are dropped.
    pub async fn wait_for(
        &mut self,
        wanted: impl FnMut(&TokenState) -> bool,
    ) -> Option<TokenState> {
        self.0.wait_for(wanted).await.ok().map(|state| state.clone())
    }
}

/// Builds [`Tokens`].
#[must_use = "build() makes the tokens"]
pub struct TokensBuilder {
    credentials: Credentials,
    http: Option<Arc<dyn TokenHttp>>,
    store: Option<(Arc<dyn Store>, String)>,
    clock: Option<Arc<dyn Clock>>,
    seed: Option<u64>,
}

impl TokensBuilder {
    /// Sets the client for the authorization server. Renewable credentials need it, except for a
    /// provider with its own client.
    pub fn http(mut self, http: Arc<dyn TokenHttp>) -> Self {
        self.http = Some(http);
        self
    }

    /// Sets where the tokens are stored, and under which name. Default: in memory only.
    ///
    /// All processes that use the same store and name share the tokens, and one of them renews them.
    pub fn store(mut self, store: Arc<dyn Store>, name: impl Into<String>) -> Self {
        self.store = Some((store, name.into()));
        self
    }

    /// Sets the clock. Default: the system's. For tests on virtual time.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the seed for the jitter of renewals. Default: random. For tests.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the handle. Does no I/O. Inside a tokio runtime it starts the task that renews the
    /// tokens; otherwise the first request does.
    ///
    /// # Errors
    /// [`TokenError::Empty`] or [`TokenError::Malformed`] for an invalid token;
    /// [`TokenError::NotConfigured`] when something is missing; [`TokenError::Store`] for an
    /// invalid name.
    pub fn build(self) -> Result<Tokens, TokenError> {
        let Credentials { source, seed } = self.credentials;
        let http = match (self.http, &source) {
            (Some(http), _) => http,
            (None, Source::Nothing | Source::Provider(_)) => Arc::new(NoHttp) as Arc<dyn TokenHttp>,
            (None, _) => return Err(TokenError::NotConfigured("an HTTP client")),
        };
        // A ready-made token is stored by the application.
        let store = self.store.filter(|_| !matches!(source, Source::Nothing));
        if matches!((&seed, &source, &store), (Seed::Nothing, Source::Integration(_), None)) {
            return Err(TokenError::NotConfigured("a store"));
        }
        if let Some((_, name)) = &store {
            check_own_name(name)
                .map_err(|error| TokenError::Store { reason: error.to_string() })?;
        }
        let set = parse_seed(&seed)?;
        let refresh_token = match seed {
            Seed::RefreshToken(token) => Some(token),
            _ => None,
        };

        let clock = self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock::new()));
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        // A store may have later tokens than those given.
        let renewable = store.is_some() || refresh_token.is_some() || source.can_renew(false);
        let mut machine = Lifecycle::new(renewable, seed);
        if let (Some(set), None) = (&set, &store) {
            machine.handle_tokens(clock.now(), life(set, &source));
        }
        let idle = matches!(source, Source::Nothing) && set.as_ref().is_some_and(never_expires);

        let (commands, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            hot: RwLock::new(None),
            state: watch::Sender::new(machine.state()),
            clock: self.clock,
        });
        let renewer = Renewer::new(source, http, store, set, refresh_token);
        let driver = Driver::new(machine, renewer, clock, Arc::clone(&shared), receiver);
        let handle = Handle { shared, commands, waiting: Mutex::new(Some(driver)) };
        let tokens = Tokens(Arc::new(handle));
        if !idle {
            tokens.start();
        }
        Ok(tokens)
    }
}

impl fmt::Debug for TokensBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokensBuilder")
            .field("credentials", &self.credentials)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

fn never_expires(set: &TokenSet) -> bool {
    set.expires().is_none()
}
