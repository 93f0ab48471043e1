//! The task of one client: runs its asynchronous calls and passes on its events.
//!
//! Both go through one task, which keeps their order: the events of a call come before its
//! completion.
//!
//! ```text
//!   webex_meetings_register ── Call ──►┐                       ┌─► completed
//!                                      ├─ pump (one per client)┤
//!   hubs of Meetings and lines ───────►┘                       └─► events  ──► outbox
//! ```

use std::{
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{FutureExt, StreamExt, future::select_all, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;
use webex_sdk::{
    calling::{CallingEvent, LineEvent},
    core::Subscription,
    meetings::MeetingsEvent,
};

use crate::{
    event::{Message, Source},
    failure::Failure,
    outbox::Outbox,
    status::Status,
};

/// The work of an asynchronous call. Its results are streams of events that the pump passes on from
/// then on; most calls have none.
pub(crate) type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The result of a [`Work`].
pub(crate) type Outcome = Result<Vec<Listener>, Failure>;

/// A command to the pump.
pub(crate) enum Command {
    Run(Call),
    /// Stop passing on events of this calling object's lines.
    Forget {
        calling: u64,
    },
    /// Pass on all pending events, then answer.
    Flush(oneshot::Sender<()>),
    /// The client was freed: drop everything.
    Close,
}

/// An asynchronous call in progress.
pub(crate) struct Call {
    pub(crate) id: u64,
    /// Source and object for its event.
    pub(crate) place: (Source, u64),
    pub(crate) work: Work,
    pub(crate) cancelled: oneshot::Receiver<()>,
}

/// The asynchronous calls of a client that can still be cancelled.
#[derive(Debug, Default)]
pub(crate) struct OpenCalls(Mutex<HashMap<u64, oneshot::Sender<()>>>);

impl OpenCalls {
    /// Begins a call: returns its id, unique in the process and never 0, and its cancel signal.
    pub(crate) fn begin(&self) -> (u64, oneshot::Receiver<()>) {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        let (cancel, cancelled) = oneshot::channel();
        self.0.lock().insert(id, cancel);
        (id, cancelled)
    }

    /// Cancels a call. Returns `false` when it has ended or never existed.
    pub(crate) fn cancel(&self, id: u64) -> bool {
        let cancel = self.0.lock().remove(&id);
        cancel.is_some_and(|cancel| cancel.send(()).is_ok())
    }

    pub(crate) fn cancel_all(&self) {
        for (_, cancel) in std::mem::take(&mut *self.0.lock()) {
            // A call that has just ended cannot be cancelled.
            let _ = cancel.send(());
        }
    }

    fn ended(&self, id: u64) {
        self.0.lock().remove(&id);
    }
}

/// See the [module documentation](self).
pub(crate) struct Pump {
    pub(crate) client: u64,
    pub(crate) inbox: mpsc::UnboundedReceiver<Command>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) open: Arc<OpenCalls>,
    pub(crate) listeners: Vec<Listener>,
}

/// A stream of events that the pump passes on. `first` has events from before the stream existed, the
/// last of them first.
pub(crate) enum Listener {
    Meetings(Subscription<MeetingsEvent>),
    Calling { calling: u64, first: Vec<CallingEvent>, events: Subscription<CallingEvent> },
    Line { calling: u64, line: u64, events: Subscription<LineEvent> },
}

impl Pump {
    /// Runs until the client is freed.
    pub(crate) async fn run(mut self) {
        let mut work = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                command = self.inbox.recv() => match command {
                    Some(Command::Run(call)) => work.push(run(call)),
                    Some(Command::Forget { calling }) => self.forget(calling),
                    Some(Command::Flush(done)) => {
                        self.flush();
                        // The caller may be gone.
                        let _ = done.send(());
                    }
                    Some(Command::Close) | None => break,
                },
                Some(ended) = work.next(), if !work.is_empty() => self.finish(ended),
                (listener, message) = next_of_any(self.client, &mut self.listeners) => match message {
                    Some(message) => self.outbox.push(message),
                    None => drop(self.listeners.swap_remove(listener)),
                },
            }
        }
        debug!(client = self.client, calls = work.len(), "client closed");
    }

    fn finish(&mut self, ended: Ended) {
        let outcome = ended.outcome.map(|listeners| self.listeners.extend(listeners));
        self.flush();
        self.open.ended(ended.id);
        self.outbox.push(Message::completed(self.client, ended.id, ended.place, &outcome));
    }

    fn flush(&mut self) {
        for listener in &mut self.listeners {
            while let Some(message) = listener.try_next(self.client) {
                self.outbox.push(message);
            }
        }
    }

    fn forget(&mut self, gone: u64) {
        self.listeners.retain(|listener| match listener {
            Listener::Meetings(_) => true,
            Listener::Calling { calling, .. } | Listener::Line { calling, .. } => *calling != gone,
        });
    }
}

/// A completed call.
struct Ended {
    id: u64,
    place: (Source, u64),
    outcome: Outcome,
}

/// Runs a call until it completes, is cancelled, or panics, which must not end the pump.
async fn run(call: Call) -> Ended {
    let Call { id, place, work, cancelled } = call;
    let work = AssertUnwindSafe(work).catch_unwind();
    let outcome = tokio::select! {
        biased;
        outcome = work => outcome.unwrap_or_else(|_| Err(Failure::panic())),
        _ = cancelled => Err(Failure::new(Status::Cancelled, "the call was cancelled")),
    };
    Ended { id, place, outcome }
}

/// The next event of any listener, with the listener's index; `None` when that listener has ended.
async fn next_of_any(client: u64, listeners: &mut [Listener]) -> (usize, Option<Message>) {
    if listeners.is_empty() {
        return std::future::pending().await;
    }
    let next = listeners.iter_mut().map(|listener| Box::pin(listener.next(client)));
    let (message, listener, _) = select_all(next).await;
    (listener, message)
}

impl Listener {
    async fn next(&mut self, client: u64) -> Option<Message> {
        if let Some(message) = self.try_next(client) {
            return Some(message);
        }
        Some(match self {
            Self::Meetings(events) => Message::meetings(client, &events.next().await?),
            Self::Calling { calling, events, .. } => {
                Message::calling(client, *calling, &events.next().await?)
            }
            Self::Line { line, events, .. } => Message::line(client, *line, &events.next().await?),
        })
    }

    fn try_next(&mut self, client: u64) -> Option<Message> {
        Some(match self {
            Self::Meetings(events) => Message::meetings(client, &events.try_next()?),
            Self::Calling { calling, first, events } => {
                let event = first.pop().or_else(|| events.try_next())?;
                Message::calling(client, *calling, &event)
            }
            Self::Line { line, events, .. } => Message::line(client, *line, &events.try_next()?),
        })
    }
}
