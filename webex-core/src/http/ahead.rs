//! Connections opened before they are needed.
//!
//! A new connection costs two round trips before it carries a request. Where it is known which
//! hosts will be asked (see [`remembered`](super::remembered)), they are dialled while something else is
//! waited for, and whoever needs such a connection takes it instead of opening one.
//!
//! ```text
//!   dial_ahead ─► Ticket ─► connect ─► keep ──► slot ──► take ─► HTTP client's pool, or the socket
//!                   └─ dropped: failed, slot gone ─┘
//! ```
//!
//! The HTTP library has no "connect only". So a layer around its connector ([`AheadLayer`]) does it:
//! a request that is sent with [`Purpose::Keep`] gets as far as the connection, which is put aside,
//! and ends there; nothing of it is ever written. A request with [`Purpose::Use`] asks for what was
//! put aside first. (ADR 0006 has the alternatives.)

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

/// Hosts remembered as connected; old ones are forgotten beyond it.
const MOST: usize = 256;

/// Scheme, host and port of a URL, as it stands in it.
pub(super) fn origin(url: &Url) -> &str {
    url[..Position::BeforePath].trim_end_matches('/')
}

/// A connection of whatever kind.
type Connection = Box<dyn Any + Send>;

/// The connections put aside. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    slots: HashMap<String, Slot>,
    /// When a host was last asked over a connection that others can use too.
    used: HashMap<String, Instant>,
}

#[derive(Debug)]
enum Slot {
    /// Being opened; one who needs it waits for it, others open their own.
    Opening {
        ended: watch::Receiver<()>,
        claimed: bool,
    },
    Ready {
        connection: Connection,
        since: Instant,
    },
}

/// The right and duty to open a connection: [`keep`](Self::keep) it, or drop this.
#[derive(Debug)]
pub(super) struct Ticket {
    ahead: Ahead,
    key: String,
    /// Dropping it wakes who waits.
    _ended: watch::Sender<()>,
}

impl Ahead {
    /// Whether nothing is put aside or under way.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().slots.is_empty()
    }

    /// A host was asked over a shared connection.
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

    /// The ticket to open a connection that others can use too, unless there is one.
    pub(super) fn begin_shared(&self, key: &str) -> Option<Ticket> {
        let used = self.0.lock().used.get(key).is_some_and(|used| now() - *used < POOLED);
        if used { None } else { self.begin(key) }
    }

    /// The ticket to open a connection, unless one is open or being opened.
    pub(super) fn begin(&self, key: &str) -> Option<Ticket> {
        let mut state = self.0.lock();
        if state.slots.contains_key(key) || state.slots.len() >= MOST {
            return None;
        }
        let (sender, ended) = watch::channel(());
        state.slots.insert(key.to_owned(), Slot::Opening { ended, claimed: false });
        Some(Ticket { ahead: self.clone(), key: key.to_owned(), _ended: sender })
    }

    /// The connection put aside for `key`; waits for one that is being opened.
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
            // Nothing is ever sent: it ends with the ticket.
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
    /// Puts the connection aside, for a while.
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

/// What a request is sent for, as far as its connection is concerned.
pub(super) enum Purpose {
    /// Only to open a connection and put it aside. Taken out by the connector.
    Keep(Mutex<Option<Ticket>>),
    /// To be answered; by a connection put aside under this key, if there is one. Tells whether it
    /// was.
    Use(String, Arc<AtomicBool>),
}

tokio::task_local! {
    /// Set around the sending of a request; read where its connection is opened, in the same task.
    pub(super) static PURPOSE: Purpose;
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Puts [`Ahead`] before a connector.
#[derive(Debug, Clone)]
pub(super) struct AheadLayer(pub(super) Ahead);

impl<S> Layer<S> for AheadLayer {
    type Service = AheadConnector<S>;

    fn layer(&self, connector: S) -> AheadConnector<S> {
        AheadConnector { ahead: self.0.clone(), connector }
    }
}

/// A connector that uses what was put aside, and puts aside what was asked for.
#[derive(Debug, Clone)]
pub(super) struct AheadConnector<S> {
    ahead: Ahead,
    connector: S,
}

/// What a call is for.
enum Call {
    Keep(Ticket),
    Use(String, Arc<AtomicBool>),
    Plain,
    /// The connection of a [`Purpose::Keep`] was opened already.
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
        // Not polled before it is needed: until then it opens nothing.
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
            // Whoever comes second opens its own.
            let second = ahead.take::<u8>("a").await;
            ticket.keep(7_u8);
            second
        });
        assert_eq!((taken, second), (Some(7), None));
        assert!(ahead.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_not_waited_for() {
        let ahead = Ahead::default();
        let ticket = ahead.begin("a").unwrap();
        let (taken, ()) = tokio::join!(ahead.take::<u8>("a"), async { drop(ticket) });
        assert_eq!(taken, None);
        assert!(ahead.is_empty() && ahead.begin("a").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_closed() {
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
