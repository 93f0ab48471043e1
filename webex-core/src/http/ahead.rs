//! Connections opened before they are needed.
//!
//! A new connection costs two round trips before it carries a request. Where the next hosts are
//! known (see [`remembered`](super::remembered)), they are dialled during another wait, and a
//! request that needs such a connection takes it instead of opening one.
//!
//! ```text
//!   dial_ahead ─► Ticket ─► connect ─► keep ──► slot ──► take ─► HTTP client's pool, or the socket
//!                   └─ dropped: failed, slot gone ─┘
//! ```
//!
//! The HTTP library has no "connect only" operation. A layer around its connector ([`AheadLayer`])
//! provides it: a request sent with [`Purpose::Keep`] ends once the connection is open and stored;
//! nothing of it is ever written. A request with [`Purpose::Use`] looks for a stored connection
//! first. (ADR 0006 has the alternatives.)

use std::{
    any::Any,
    collections::HashMap,
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::watch;
use tower::{Layer, Service};
use url::{Position, Url};
use webex_auth::timer::now;

use super::timings::{AHEAD_LIFE, POOLED};

/// Number of hosts remembered as connected; beyond it old ones are dropped.
const MOST: usize = 256;

/// Scheme, host and port of a URL, as written.
pub(super) fn origin(url: &Url) -> &str {
    url[..Position::BeforePath].trim_end_matches('/')
}

/// A connection of any kind.
type Connection = Box<dyn Any + Send>;

/// The stored connections. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    slots: HashMap<String, Slot>,
    /// When a host last got a request over a shared connection.
    used: HashMap<String, Instant>,
}

#[derive(Debug)]
enum Slot {
    /// Being opened; one caller waits for it, others open their own.
    Opening {
        ended: watch::Receiver<()>,
        claimed: bool,
    },
    Ready {
        connection: Connection,
        since: Instant,
    },
}

/// Permission to open a connection: [`keep`](Self::keep) the connection, or drop the ticket.
#[derive(Debug)]
pub(super) struct Ticket {
    ahead: Ahead,
    key: String,
    /// Dropping it wakes the waiting caller.
    _ended: watch::Sender<()>,
}

impl Ahead {
    /// Whether nothing is stored or being opened.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().slots.is_empty()
    }

    /// Records a request over a shared connection.
    pub(super) fn note_used(&self, key: &str) {
        let mut state = self.0.lock();
        if let Some(used) = state.used.get_mut(key) {
            *used = now();
            return;
        }
        if state.used.len() >= MOST {
            state.used.retain(|_, used| now() - *used < POOLED);
        }
        if state.used.len() < MOST {
            state.used.insert(key.to_owned(), now());
        }
    }

    /// Returns a ticket to open a shared connection, unless there is one.
    pub(super) fn begin_shared(&self, key: &str) -> Option<Ticket> {
        let used = self.0.lock().used.get(key).is_some_and(|used| now() - *used < POOLED);
        if used { None } else { self.begin(key) }
    }

    /// Returns a ticket to open a connection, unless one is open or being opened.
    pub(super) fn begin(&self, key: &str) -> Option<Ticket> {
        let mut state = self.0.lock();
        if state.slots.contains_key(key) || state.slots.len() >= MOST {
            return None;
        }
        let (sender, ended) = watch::channel(());
        state.slots.insert(key.to_owned(), Slot::Opening { ended, claimed: false });
        Some(Ticket { ahead: self.clone(), key: key.to_owned(), _ended: sender })
    }

    /// Takes the connection stored for `key`; waits for one that is being opened.
    pub(super) async fn take<C: Any>(&self, key: &str) -> Option<C> {
        let mut ended = match self.0.lock().slots.get_mut(key) {
            Some(Slot::Opening { ended, claimed }) if !*claimed => {
                *claimed = true;
                Some(ended.clone())
            }
            Some(Slot::Opening { .. }) | None => return None,
            Some(Slot::Ready { .. }) => None,
        };
        if let Some(ended) = &mut ended {
            // Nothing is ever sent; the channel closes with the ticket.
            let _ = ended.changed().await;
        }
        let mut state = self.0.lock();
        match state.slots.remove(key)? {
            Slot::Ready { connection, since } if now() - since < AHEAD_LIFE => {
                connection.downcast().ok().map(|connection| *connection)
            }
            Slot::Ready { .. } => None,
            opening @ Slot::Opening { .. } => {
                state.slots.insert(key.to_owned(), opening);
                None
            }
        }
    }
}

impl Ticket {
    /// Stores the connection, for a limited time.
    pub(super) fn keep<C: Any + Send>(self, connection: C) {
        let since = now();
        let (ahead, key) = (self.ahead.clone(), self.key.clone());
        let connection = Box::new(connection);
        ahead.0.lock().slots.insert(key.clone(), Slot::Ready { connection, since });
        tokio::spawn(async move {
            tokio::time::sleep(AHEAD_LIFE).await;
            let mut state = ahead.0.lock();
            if matches!(state.slots.get(&key), Some(Slot::Ready { since: at, .. }) if *at == since)
            {
                state.slots.remove(&key);
            }
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.ahead.0.lock();
        if matches!(state.slots.get(&self.key), Some(Slot::Opening { .. })) {
            state.slots.remove(&self.key);
        }
    }
}

/// What a request wants of its connection.
pub(super) enum Purpose {
    /// Only to open a connection and store it. The connector takes the ticket.
    Keep(Mutex<Option<Ticket>>),
    /// To be answered, over a connection stored under this key if there is one. The flag reports
    /// whether it was used.
    Use(String, Arc<AtomicBool>),
}

tokio::task_local! {
    /// Set while a request is sent; read where its connection is opened, in the same task.
    pub(super) static PURPOSE: Purpose;
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Puts [`Ahead`] in front of a connector.
#[derive(Debug, Clone)]
pub(super) struct AheadLayer(pub(super) Ahead);

impl<S> Layer<S> for AheadLayer {
    type Service = AheadConnector<S>;

    fn layer(&self, connector: S) -> AheadConnector<S> {
        AheadConnector { ahead: self.0.clone(), connector }
    }
}

/// A connector that uses stored connections, and stores those dialled ahead.
#[derive(Debug, Clone)]
pub(super) struct AheadConnector<S> {
    ahead: Ahead,
    connector: S,
}

/// What a call has to do.
enum Call {
    Keep(Ticket),
    Use(String, Arc<AtomicBool>),
    Plain,
    /// The connection of a [`Purpose::Keep`] has already been opened.
    Again,
}

impl<S, R> Service<R> for AheadConnector<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let purpose = PURPOSE.try_with(|purpose| match purpose {
            Purpose::Keep(ticket) => ticket.lock().take().map_or(Call::Again, Call::Keep),
            Purpose::Use(key, taken) => Call::Use(key.clone(), Arc::clone(taken)),
        });
        // It opens nothing until it is polled.
        let connecting = self.connector.call(target);
        let ahead = self.ahead.clone();
        Box::pin(async move {
            match purpose.unwrap_or(Call::Plain) {
                Call::Keep(ticket) => {
                    ticket.keep(connecting.await?);
                    Err("put aside".into())
                }
                Call::Use(key, taken) => match ahead.take(&key).await {
                    Some(connection) => {
                        taken.store(true, Ordering::Relaxed);
                        Ok(connection)
                    }
                    None => connecting.await,
                },
                Call::Plain => connecting.await,
                Call::Again => Err("opened already".into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_connection_for_one_taker() {
        let ahead = Ahead::default();
        assert_eq!(ahead.take::<u8>("a").await, None);
        let ticket = ahead.begin("a").unwrap();
        assert!(ahead.begin("a").is_none(), "it is being opened");
        let waiting = ahead.take::<u8>("a");
        let (taken, second) = tokio::join!(waiting, async {
            // A second caller opens its own.
            let second = ahead.take::<u8>("a").await;
            ticket.keep(7_u8);
            second
        });
        assert_eq!((taken, second), (Some(7), None));
        assert!(ahead.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_connection_is_not_waited_for() {
        let ahead = Ahead::default();
        let ticket = ahead.begin("a").unwrap();
        let (taken, ()) = tokio::join!(ahead.take::<u8>("a"), async { drop(ticket) });
        assert_eq!(taken, None);
        assert!(ahead.is_empty() && ahead.begin("a").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_connection_is_closed() {
        let ahead = Ahead::default();
        let kept = Arc::new(());
        ahead.begin("a").unwrap().keep(Arc::clone(&kept));
        tokio::time::sleep(AHEAD_LIFE + Duration::from_millis(1)).await;
        assert!(ahead.is_empty());
        assert_eq!(Arc::strong_count(&kept), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_being_asked_is_not_dialled() {
        let ahead = Ahead::default();
        ahead.note_used("a");
        assert!(ahead.begin_shared("a").is_none());
        tokio::time::advance(POOLED).await;
        assert!(ahead.begin_shared("a").is_some());
        for n in 0..=MOST {
            ahead.note_used(&n.to_string());
        }
        assert!(ahead.0.lock().used.len() <= MOST);
    }

    #[test]
    fn an_origin_is_without_path_and_query() {
        let url = Url::parse("https://a.example:8443/x/y?z").unwrap();
        assert_eq!(origin(&url), "https://a.example:8443");
        assert_eq!(origin(&Url::parse("wss://a.example").unwrap()), "wss://a.example");
    }
}
