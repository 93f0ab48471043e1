//! Events for any number of listeners: nobody misses an event, nobody blocks another.
//!
//! A [`Hub`] passes each event to every [`Subscription`]. A subscription holds at most [`CAPACITY`]
//! unread events of at most [`CAPACITY_BYTES`] in total. When its reader is too slow, the oldest
//! are dropped and the reader gets their number ([`Lossy::lost`]). A hub without subscribers costs
//! a few words, which matters in a process with thousands of clients: a preallocated ring buffer
//! would cost kilobytes.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use futures_util::{Stream, task::AtomicWaker};
use parking_lot::Mutex;

/// Unread events a subscription holds before it drops the oldest.
///
/// A registration produces about five events, a failing one a few per minute, so this allows for
/// minutes without reading.
pub const CAPACITY: usize = 256;

/// Bytes of payload a subscription holds before it drops the oldest: a few of the largest events,
/// or more than [`CAPACITY`] ordinary ones.
pub const CAPACITY_BYTES: usize = 8 * 1024 * 1024;

/// An event type that can report lost events.
pub trait Lossy: Clone {
    /// The event that reports `count` events dropped because the reader was slow.
    fn lost(count: u64) -> Self;

    /// Size of the payload in bytes, for events whose payload can be large.
    fn size(&self) -> usize {
        0
    }
}

/// The sending end: passes each event to all subscriptions.
#[derive(Debug)]
pub struct Hub<E> {
    queues: Mutex<Vec<Weak<Queue<E>>>>,
}

impl<E> Default for Hub<E> {
    fn default() -> Self {
        Self { queues: Mutex::new(Vec::new()) }
    }
}

impl<E: Lossy> Hub<E> {
    /// Subscribes to every event from now on.
    pub fn subscribe(&self) -> Subscription<E> {
        self.listen(Filter(None))
    }

    /// Subscribes to the events from now on that `wanted` accepts. The subscription reports how
    /// many of those it lost; other events cost it nothing.
    pub fn subscribe_if(
        &self,
        wanted: impl Fn(&E) -> bool + Send + Sync + 'static,
    ) -> Subscription<E> {
        self.listen(Filter(Some(Box::new(wanted))))
    }

    fn listen(&self, filter: Filter<E>) -> Subscription<E> {
        let queue = Arc::new(Queue { filter, state: Mutex::default(), reader: AtomicWaker::new() });
        let mut queues = self.queues.lock();
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(&queue));
        Subscription { queue }
    }

    /// Passes the event to all present subscriptions. Never blocks.
    pub fn emit(&self, event: &E) {
        for queue in self.queues.lock().iter().filter_map(Weak::upgrade) {
            if queue.filter.wants(event) {
                queue.push(event.clone());
            }
        }
    }
}

/// When the hub is dropped, its listeners see the end after their unread events.
impl<E> Drop for Hub<E> {
    fn drop(&mut self) {
        for queue in self.queues.get_mut().iter().filter_map(Weak::upgrade) {
            queue.state.lock().closed = true;
            queue.reader.wake();
        }
    }
}

/// The receiving end: the events since it was made, in order.
///
/// It is also a [`Stream`], which ends when the sender of the events is gone.
#[derive(Debug)]
pub struct Subscription<E> {
    queue: Arc<Queue<E>>,
}

impl<E: Lossy> Subscription<E> {
    /// Returns the next event; `None` once the sender is gone and all events have been read.
    ///
    /// Cancel safe: dropping the future leaves the event for the next call.
    pub async fn next(&mut self) -> Option<E> {
        poll_fn(|cx| self.queue.poll(cx)).await
    }

    /// Returns the next event, if there is one.
    pub fn try_next(&mut self) -> Option<E> {
        self.queue.state.lock().pop()
    }
}

impl<E: Lossy> Stream for Subscription<E> {
    type Item = E;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<E>> {
        self.queue.poll(cx)
    }
}

#[derive(Debug)]
struct Queue<E> {
    filter: Filter<E>,
    state: Mutex<State<E>>,
    /// A subscription cannot be cloned, so there is at most one reader.
    reader: AtomicWaker,
}

/// Which events a queue accepts; `None` means all.
struct Filter<E>(Option<Wanted<E>>);

type Wanted<E> = Box<dyn Fn(&E) -> bool + Send + Sync>;

impl<E> Filter<E> {
    fn wants(&self, event: &E) -> bool {
        self.0.as_ref().is_none_or(|wanted| wanted(event))
    }
}

impl<E> fmt::Debug for Filter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "some" } else { "all" })
    }
}

#[derive(Debug)]
struct State<E> {
    events: VecDeque<E>,
    /// The total size of the events.
    bytes: usize,
    lost: u64,
    closed: bool,
}

impl<E> Default for State<E> {
    fn default() -> Self {
        Self { events: VecDeque::new(), bytes: 0, lost: 0, closed: false }
    }
}

impl<E: Lossy> Queue<E> {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<E>> {
        // Registered before the check, so that an event between check and wait wakes the reader.
        self.reader.register(cx.waker());
        let mut state = self.state.lock();
        match state.pop() {
            None if !state.is_finished() => Poll::Pending,
            event => Poll::Ready(event),
        }
    }

    fn push(&self, event: E) {
        let mut state = self.state.lock();
        let size = event.size();
        while state.events.len() >= CAPACITY || state.bytes + size > CAPACITY_BYTES {
            let Some(oldest) = state.events.pop_front() else { break };
            state.bytes -= oldest.size();
            state.lost += 1;
        }
        state.bytes += size;
        state.events.push_back(event);
        drop(state);
        self.reader.wake();
    }
}

impl<E: Lossy> State<E> {
    fn pop(&mut self) -> Option<E> {
        match std::mem::take(&mut self.lost) {
            0 => {
                let event = self.events.pop_front()?;
                self.bytes -= event.size();
                Some(event)
            }
            // The gap comes before the remaining events, where it happened.
            lost => Some(E::lost(lost)),
        }
    }

    fn is_finished(&self) -> bool {
        self.closed && self.events.is_empty() && self.lost == 0
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    enum Event {
        Number(usize),
        Big(usize),
        Lost(u64),
    }

    impl Lossy for Event {
        fn lost(count: u64) -> Self {
            Self::Lost(count)
        }

        fn size(&self) -> usize {
            match self {
                Self::Big(size) => *size,
                _ => 0,
            }
        }
    }

    #[test]
    fn unread_events_do_not_pile_up_by_their_size_either() {
        let hub = Hub::default();
        let mut slow = hub.subscribe();
        let big = Event::Big(CAPACITY_BYTES / 2);
        for _ in 0..2 {
            hub.emit(&big);
        }
        hub.emit(&Event::Number(1));
        assert_eq!(slow.try_next(), Some(big.clone()), "they fit");
        hub.emit(&big);
        hub.emit(&big);
        assert_eq!(slow.try_next(), Some(Event::Lost(1)));
        assert_eq!(slow.try_next(), Some(Event::Number(1)));
        // A single event is delivered, however large.
        hub.emit(&Event::Big(2 * CAPACITY_BYTES));
        assert_eq!(slow.try_next(), Some(Event::Lost(2)));
        assert_eq!(slow.try_next(), Some(Event::Big(2 * CAPACITY_BYTES)));
        hub.emit(&big);
        assert_eq!((slow.try_next(), slow.try_next()), (Some(big), None));
    }

    #[tokio::test]
    async fn every_subscriber_gets_every_event_since_subscribing() {
        let hub = Hub::default();
        let mut first = hub.subscribe();
        hub.emit(&Event::Number(1));
        let mut second = hub.subscribe();
        hub.emit(&Event::Number(2));
        drop(hub);
        assert_eq!(first.next().await, Some(Event::Number(1)));
        assert_eq!(first.next().await, Some(Event::Number(2)));
        assert_eq!(first.next().await, None);
        assert_eq!(second.next().await, Some(Event::Number(2)));
        assert_eq!(second.next().await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_number_of_lost_events() {
        let hub = Hub::default();
        let mut slow = hub.subscribe();
        for number in 0..CAPACITY + 3 {
            hub.emit(&Event::Number(number));
        }
        assert_eq!(slow.next().await, Some(Event::Lost(3)));
        assert_eq!(slow.next().await, Some(Event::Number(3)));
    }

    #[tokio::test]
    async fn a_filter_decides_what_is_kept_and_what_counts_as_lost() {
        let hub = Hub::default();
        let even = |event: &Event| matches!(event, Event::Number(number) if number % 2 == 0);
        let mut reader = hub.subscribe_if(even);
        for number in 0..2 * (CAPACITY + 3) {
            hub.emit(&Event::Number(number));
        }
        assert_eq!(reader.next().await, Some(Event::Lost(3)));
        assert_eq!(reader.next().await, Some(Event::Number(6)));
        assert_eq!(reader.next().await, Some(Event::Number(8)));
    }

    #[tokio::test]
    async fn a_waiting_reader_wakes() {
        let hub = Arc::new(Hub::default());
        let mut reader = hub.subscribe();
        let waiting = tokio::spawn(async move { reader.next().await });
        tokio::task::yield_now().await;
        hub.emit(&Event::Number(7));
        assert_eq!(waiting.await.unwrap(), Some(Event::Number(7)));
    }

    #[tokio::test]
    async fn a_subscription_is_a_stream_that_ends_with_its_hub() {
        let hub = Hub::default();
        let stream = hub.subscribe();
        let reading = tokio::spawn(stream.collect::<Vec<_>>());
        for number in 0..3 {
            hub.emit(&Event::Number(number));
            tokio::task::yield_now().await;
        }
        drop(hub);
        assert_eq!(reading.await.unwrap(), [0, 1, 2].map(Event::Number));
    }

    #[test]
    fn dropped_subscriptions_are_forgotten() {
        let hub = Hub::<Event>::default();
        for _ in 0..100 {
            drop(hub.subscribe());
        }
        assert!(hub.queues.lock().len() <= 1);
    }
}
