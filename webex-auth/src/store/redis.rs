//! A store in Redis, for workers on many machines that share an account.
//!
//! A value is a key `{prefix}:{name}`. The lock is a key `{prefix}:{name}#lock` with a random value
//! and a lease, which its holder extends; only the holder releases and extends it. Names cannot
//! contain `#`, so the keys cannot collide.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, aio::MultiplexedConnection, cmd};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{self, Instant},
};
use tracing::debug;

use crate::{
    http::BoxFuture,
    random,
    store::{
        error::StoreError,
        interface::{HeldLock, Store, StoreLock},
        name::check_name,
    },
    timings,
};

/// Keeps values in a Redis server (or one with its protocol). Clones share the connection.
///
/// Values are stored unencrypted: anyone who can read the database can use the tokens. Give the
/// workers their own database user, and use TLS unless the network is private.
#[derive(Clone)]
pub struct RedisStore {
    connection: Connection,
    prefix: String,
    lease: Duration,
}

impl RedisStore {
    /// A store at an address such as `redis://user:password@host:6379/0`. Connects on first use.
    /// Keys begin with `prefix` and a colon, which is added if missing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the address is invalid.
    pub fn new(address: &str, prefix: impl Into<String>) -> Result<Self, StoreError> {
        let client = Client::open(address).map_err(StoreError::unavailable)?;
        Ok(Self::with_client(client, prefix))
    }

    /// A store with the application's own client.
    pub fn with_client(client: Client, prefix: impl Into<String>) -> Self {
        let connection = Connection { client, open: Arc::default() };
        let mut prefix = prefix.into();
        // Otherwise one prefix could contain the values of another.
        if !prefix.is_empty() && !prefix.ends_with(':') {
            prefix.push(':');
        }
        Self { connection, prefix, lease: timings::LOCK_LEASE }
    }

    /// Sets how long others wait for a dead holder of the lock. Default: 30 s, which is longer than
    /// a request to the authorization server may take.
    ///
    /// Danger: with a lease shorter than the pauses of a machine (garbage collection, migration),
    /// two processes may renew at the same time, and with rotating refresh tokens the user then has
    /// to sign in again.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    fn key(&self, name: &str) -> Result<String, StoreError> {
        check_name(name)?;
        Ok(format!("{}{name}", self.prefix))
    }

    /// Takes the lock if it is free.
    async fn try_lock(&self, key: &str, token: &SecretString) -> Result<bool, StoreError> {
        let mut set = cmd("SET");
        set.arg(key).arg(token.expose_secret()).arg("NX").arg("PX").arg(ms(self.lease));
        let set: Option<String> = self.connection.run(&set).await?;
        Ok(set.is_some())
    }
}

impl Store for RedisStore {
    fn load<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<SecretString>, StoreError>> {
        Box::pin(async move {
            let value: Option<String> =
                self.connection.run(cmd("GET").arg(self.key(name)?)).await?;
            Ok(value.map(SecretString::from))
        })
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        value: SecretString,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let key = self.key(name)?;
            self.connection.run(cmd("SET").arg(key).arg(value.expose_secret())).await
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.connection.run(cmd("DEL").arg(self.key(name)?)).await })
    }

    fn lock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<StoreLock, StoreError>> {
        Box::pin(async move {
            let key = format!("{}#lock", self.key(name)?);
            let token = random::text(32);
            let deadline = Instant::now() + timings::LOCK_WAIT;
            loop {
                // Counted from before the request, because the server's count starts later.
                let asked = Instant::now();
                if self.try_lock(&key, &token).await? {
                    let lease =
                        Lease { connection: self.connection.clone(), key, token, life: self.lease };
                    return Ok(StoreLock::new(RedisLock::hold(lease, asked)));
                }
                if Instant::now() >= deadline {
                    return Err(StoreError::LockTimeout);
                }
                // Spread randomly, so that many waiters do not poll at the same time.
                time::sleep(timings::LOCK_POLL.mul_f64(0.5 + fastrand::f64())).await;
            }
        })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// A connection that is opened on first use, and again after it broke.
#[derive(Clone)]
struct Connection {
    client: Client,
    open: Arc<Mutex<Option<MultiplexedConnection>>>,
}

impl Connection {
    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let mut connection = self.connection().await?;
        let result = command.query_async(&mut connection).await;
        if let Err(error) = &result
            && (error.is_io_error() || error.is_connection_dropped() || error.is_timeout())
        {
            *self.open.lock().await = None; // the next command reconnects
        }
        result.map_err(StoreError::unavailable)
    }

    async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        let mut open = self.open.lock().await;
        if let Some(connection) = &*open {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timings::STORE_REQUEST))
            .set_response_timeout(Some(timings::STORE_REQUEST));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connection.map_err(StoreError::unavailable)?;
        Ok(open.insert(connection).clone())
    }
}

/// The lock in the database.
struct Lease {
    connection: Connection,
    key: String,
    token: SecretString,
    life: Duration,
}

impl Lease {
    /// Runs a script that acts on the key only if it is still ours. Returns whether it was.
    async fn if_ours(&self, script: &str) -> Result<bool, StoreError> {
        let mut eval = cmd("EVAL");
        eval.arg(script).arg(1).arg(&self.key);
        eval.arg(self.token.expose_secret()).arg(ms(self.life));
        let done: i64 = self.connection.run(&eval).await?;
        Ok(done == 1)
    }

    async fn release(&self) {
        if let Err(error) = self.if_ours(RELEASE).await {
            debug!(%error, "the lock is left to expire");
        }
    }

    /// Extends the lease until it is lost.
    async fn extend(&self, mut until: Instant) {
        loop {
            time::sleep(self.life / 3).await;
            let asked = Instant::now();
            match self.if_ours(EXTEND).await {
                Ok(true) => until = asked + self.life,
                Ok(false) => return,
                Err(_) if Instant::now() >= until => return,
                Err(_) => {}
            }
        }
    }
}

const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

const EXTEND: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
                      return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";

struct RedisLock {
    lease: Arc<Lease>,
    lost: Arc<AtomicBool>,
    extender: JoinHandle<()>,
    released: bool,
}

impl RedisLock {
    fn hold(lease: Lease, asked: Instant) -> Self {
        let lease = Arc::new(lease);
        let lost = Arc::new(AtomicBool::new(false));
        let extender = tokio::spawn({
            let (lease, lost) = (Arc::clone(&lease), Arc::clone(&lost));
            async move {
                lease.extend(asked + lease.life).await;
                lost.store(true, Ordering::Release);
            }
        });
        Self { lease, lost, extender, released: false }
    }
}

impl HeldLock for RedisLock {
    fn is_held(&self) -> bool {
        !self.lost.load(Ordering::Acquire)
    }

    fn release(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.released = true;
            self.extender.abort();
            self.lease.release().await;
        })
    }
}

impl Drop for RedisLock {
    fn drop(&mut self) {
        self.extender.abort();
        if let (false, Ok(runtime)) = (self.released, tokio::runtime::Handle::try_current()) {
            let lease = Arc::clone(&self.lease);
            runtime.spawn(async move { lease.release().await });
        }
    }
}

fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
