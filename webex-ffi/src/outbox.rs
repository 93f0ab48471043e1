//! The events of one client on their way to C: a bounded queue with two outlets.
//!
//! ```text
//!   pump ── push ──► queue ─┬─► dispatcher thread ──► callbacks      (while there are subscribers)
//!                           └─► webex_client_next_event              (while there are none)
//! ```
//!
//! The dispatcher is a thread of its own, never one of the runtime's, because foreign code may
//! block it. It owns the subscribers, holds no lock while foreign code runs, and is the only one
//! that drops a subscriber, so that `free_user_data` always runs after the last callback.
//!
//! When the queue is full the oldest events are dropped and counted. Completions of asynchronous
//! calls are kept, since the program waits for each; the number of open calls limits them.

use std::{
    collections::VecDeque,
    ffi::c_void,
    fmt,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{
    event::{Event, EventKind, Message},
    failure::Failure,
    status::Status,
};

/// Number of unread events before the oldest are dropped; the same as for a Rust program. A
/// registration makes about five, a failing one a few per minute.
pub(crate) const CAPACITY: usize = 256;

/// Limit of a client's open asynchronous calls: begun, and their completion not yet read.
pub(crate) const MAX_OPEN_CALLS: usize = 1024;

/// Gets the events of a client, one after the other. `event` is borrowed for the call. It may call
/// any function, including those that free the client or the subscription. It runs on a thread of
/// the library, which it may block. It must not throw an exception.
pub type EventCallback = Option<unsafe extern "C" fn(event: *const Event, user_data: *mut c_void)>;

/// Called once with the `user_data` of a subscription, after its last callback.
pub type FreeUserData = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The program's data of a subscription. Dropping it calls `free_user_data`.
pub(crate) struct UserData {
    pointer: *mut c_void,
    free: FreeUserData,
}

// SAFETY: the SDK never dereferences the pointer. C promises in `webex_client_subscribe` that its
// callbacks may run on another thread.
unsafe impl Send for UserData {}

impl UserData {
    pub(crate) fn new(pointer: *mut c_void, free: FreeUserData) -> Self {
        Self { pointer, free }
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: C passed the function for this pointer; this is the only call.
            unsafe { free(self.pointer) }
        }
    }
}

/// A subscriber to the events.
pub(crate) struct Subscriber {
    pub(crate) id: u64,
    pub(crate) callback: unsafe extern "C" fn(*const Event, *mut c_void),
    pub(crate) user_data: UserData,
}

/// See the [module documentation](self).
pub(crate) struct Outbox {
    client: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    events: VecDeque<Message>,
    lost: u64,
    open_calls: usize,
    closed: bool,
    /// Whether the dispatcher runs, so that events go to callbacks.
    dispatching: bool,
    /// New subscribers, for the dispatcher to take over.
    joining: Vec<Subscriber>,
    /// Ids of subscribers to remove.
    leaving: Vec<u64>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Outbox {
    pub(crate) fn new(client: u64) -> Self {
        Self { client, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Reserves space for the completion of one more asynchronous call.
    pub(crate) fn open_call(&self) -> Result<(), Failure> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Failure::freed());
        }
        if state.open_calls >= MAX_OPEN_CALLS {
            return Err(Failure::new(
                Status::InvalidState,
                "too many asynchronous calls are open: read the events",
            ));
        }
        state.open_calls += 1;
        Ok(())
    }

    /// Adds an event. Never blocks.
    pub(crate) fn push(&self, message: Message) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if state.events.len() >= CAPACITY {
            let oldest = state.events.iter().position(|event| event.kind != EventKind::Completed);
            if let Some(oldest) = oldest {
                state.events.remove(oldest);
                state.lost += 1;
            }
        }
        state.events.push_back(message);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the next event; without a limit, for as long as it takes.
    pub(crate) fn next(&self, limit: Option<Duration>) -> Result<Message, Failure> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(Failure::freed());
            }
            if state.dispatching {
                return Err(Failure::new(
                    Status::InvalidState,
                    "the client has a subscription: its events go to the callback",
                ));
            }
            if let Some(message) = state.pop(self.client) {
                return Ok(message);
            }
            let timed_out = if let Some(deadline) = deadline {
                self.changed.wait_until(&mut state, deadline).timed_out()
            } else {
                self.changed.wait(&mut state);
                false
            };
            if timed_out && state.is_silent() {
                return Err(Failure::new(Status::Timeout, "no event within the time allowed"));
            }
        }
    }

    /// Adds a subscriber, and starts the dispatcher if it is the first. On failure the subscriber
    /// is dropped here.
    pub(crate) fn subscribe(self: &Arc<Self>, subscriber: Subscriber) -> Result<(), Failure> {
        let mut state = self.state.lock();
        if state.closed {
            drop(state); // before the subscriber, which runs foreign code
            return Err(Failure::freed());
        }
        if !state.dispatching {
            let outbox = Arc::clone(self);
            let started = thread::Builder::new()
                .name("webex-events".to_owned())
                .spawn(move || dispatch(&outbox));
            if let Err(error) = started {
                drop(state);
                let message = format!("the thread for events cannot be started: {error}");
                return Err(Failure::new(Status::Internal, message));
            }
            state.dispatching = true;
        }
        state.joining.push(subscriber);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Ends a subscription. Never blocks: the dispatcher drops the subscriber.
    pub(crate) fn unsubscribe(&self, id: u64) {
        self.state.lock().leaving.push(id);
        self.changed.notify_all();
    }

    /// Ends all subscriptions and every wait. Never blocks.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let events = std::mem::take(&mut state.events);
        drop(state);
        drop(events);
        self.changed.notify_all();
    }

    fn may_call(&self, id: u64) -> bool {
        let state = self.state.lock();
        !state.closed && !state.leaving.contains(&id)
    }
}

impl State {
    fn pop(&mut self, client: u64) -> Option<Message> {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            // The gap comes before the remaining events, where it happened.
            return Some(Message::lost(client, lost));
        }
        let message = self.events.pop_front()?;
        if message.kind == EventKind::Completed {
            self.open_calls -= 1;
        }
        Some(message)
    }

    fn is_silent(&self) -> bool {
        !self.closed && !self.dispatching && self.events.is_empty() && self.lost == 0
    }
}

/// The dispatcher: passes each event to each subscriber, until there are none.
fn dispatch(outbox: &Outbox) {
    let mut subscribers: Vec<Subscriber> = Vec::new();
    loop {
        let mut state = outbox.state.lock();
        subscribers.append(&mut state.joining);
        let leaving = std::mem::take(&mut state.leaving);
        let (gone, staying): (Vec<_>, Vec<_>) = std::mem::take(&mut subscribers)
            .into_iter()
            .partition(|subscriber| state.closed || leaving.contains(&subscriber.id));
        subscribers = staying;
        if !gone.is_empty() {
            drop(state); // dropping subscribers runs foreign code
            drop(gone);
            continue;
        }
        if subscribers.is_empty() {
            state.dispatching = false;
            drop(state);
            // Callers that wait for an event may get it again.
            outbox.changed.notify_all();
            return;
        }
        let Some(message) = state.pop(outbox.client) else {
            outbox.changed.wait(&mut state);
            continue;
        };
        drop(state);
        let event = message.view();
        for subscriber in &subscribers {
            if outbox.may_call(subscriber.id) {
                // SAFETY: C's function gets C's pointer, and an event that outlives the call.
                unsafe { (subscriber.callback)(&raw const event, subscriber.user_data.pointer) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::event::Source;

    const CLIENT: u64 = 7;
    const SOON: Option<Duration> = Some(Duration::ZERO);
    const PATIENCE: Duration = Duration::from_secs(20);

    fn number(count: u64) -> Message {
        // Any event that may be dropped; identified by its number.
        Message::lost(CLIENT, count)
    }

    fn completed(request_id: u64) -> Message {
        Message::completed(CLIENT, request_id, (Source::Client, CLIENT), &Ok(()))
    }

    fn json(message: &Message) -> String {
        let event = message.view();
        // SAFETY: the message outlives the view.
        unsafe { std::ffi::CStr::from_ptr(event.json.cast()) }.to_str().unwrap().to_owned()
    }

    /// What a subscriber reports to its test: an event, or that its data was freed.
    #[derive(Debug, PartialEq)]
    enum Notice {
        Event(EventKind),
        Freed,
    }

    unsafe extern "C" fn tell(event: *const Event, user_data: *mut c_void) {
        // SAFETY: `subscriber` passed a leaked `Sender`; the event lives during the call.
        let (told, kind) = unsafe { (&*user_data.cast::<Sender<Notice>>(), (*event).kind) };
        let _ = told.send(Notice::Event(kind));
    }

    unsafe extern "C" fn free(user_data: *mut c_void) {
        // SAFETY: the leaked `Sender` of `subscriber`, for the last time.
        let told = unsafe { Box::from_raw(user_data.cast::<Sender<Notice>>()) };
        let _ = told.send(Notice::Freed);
    }

    fn subscriber(id: u64) -> (Subscriber, Receiver<Notice>) {
        let (told, heard) = channel::<Notice>();
        let pointer = Box::into_raw(Box::new(told)).cast();
        let user_data = UserData::new(pointer, Some(free));
        (Subscriber { id, callback: tell, user_data }, heard)
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_counts_them() {
        let outbox = Outbox::new(CLIENT);
        outbox.open_call().unwrap();
        outbox.push(completed(1));
        for count in 0..CAPACITY as u64 + 2 {
            outbox.push(number(count));
        }
        assert_eq!(json(&outbox.next(SOON).unwrap()), r#"{"lost":3}"#);
        let kept = outbox.next(SOON).unwrap();
        assert_eq!((kept.kind, kept.view().request_id), (EventKind::Completed, 1));
        assert_eq!(json(&outbox.next(SOON).unwrap()), r#"{"lost":3}"#, "number 3 is the next left");
    }

    #[test]
    fn open_calls_are_bounded_until_their_ends_are_read() {
        let outbox = Outbox::new(CLIENT);
        for id in 0..MAX_OPEN_CALLS as u64 {
            outbox.open_call().unwrap();
            outbox.push(completed(id));
        }
        assert_eq!(outbox.open_call().unwrap_err().status, Status::InvalidState);
        assert_eq!(outbox.next(SOON).unwrap().view().request_id, 0);
        assert!(outbox.open_call().is_ok());
    }

    #[test]
    fn waiting_ends_with_an_event_a_deadline_or_the_client() {
        let outbox = Arc::new(Outbox::new(CLIENT));
        assert_eq!(outbox.next(SOON).unwrap_err().status, Status::Timeout);
        let wait = |outbox: &Arc<Outbox>| {
            let outbox = Arc::clone(outbox);
            thread::spawn(move || outbox.next(None).map(|message| message.kind))
        };
        let waiting = wait(&outbox);
        outbox.push(number(1));
        assert_eq!(waiting.join().unwrap(), Ok(EventKind::Lost));
        let waiting = wait(&outbox);
        outbox.close();
        assert_eq!(waiting.join().unwrap().unwrap_err().status, Status::Cancelled);
    }

    #[test]
    fn events_before_the_first_subscription_are_delivered() {
        let outbox = Arc::new(Outbox::new(CLIENT));
        outbox.push(number(1));
        let (subscriber, heard) = subscriber(1);
        outbox.subscribe(subscriber).unwrap();
        assert_eq!(heard.recv_timeout(PATIENCE), Ok(Notice::Event(EventKind::Lost)));
        assert_eq!(outbox.next(SOON).unwrap_err().status, Status::InvalidState);
    }

    #[test]
    fn the_data_is_freed_once_after_the_last_event() {
        let outbox = Arc::new(Outbox::new(CLIENT));
        let (first, heard_first) = subscriber(1);
        let (second, heard_second) = subscriber(2);
        outbox.subscribe(first).unwrap();
        outbox.subscribe(second).unwrap();
        outbox.unsubscribe(1);
        assert_eq!(heard_first.recv_timeout(PATIENCE), Ok(Notice::Freed));
        outbox.push(number(1));
        assert_eq!(heard_second.recv_timeout(PATIENCE), Ok(Notice::Event(EventKind::Lost)));
        outbox.close();
        assert_eq!(heard_second.recv_timeout(PATIENCE), Ok(Notice::Freed));
        // The senders are gone with their data.
        assert!(heard_first.recv_timeout(PATIENCE).is_err());
        assert!(heard_second.recv_timeout(PATIENCE).is_err());
    }

    /// A subscriber whose callback uses the outbox.
    fn meddler(id: u64, meddle: Box<dyn Fn() + Send>) -> Subscriber {
        unsafe extern "C" fn run(_: *const Event, user_data: *mut c_void) {
            // SAFETY: `meddler` passed a leaked box.
            unsafe { (*user_data.cast::<Box<dyn Fn() + Send>>())() }
        }
        unsafe extern "C" fn free(user_data: *mut c_void) {
            // SAFETY: the leaked box, for the last time.
            drop(unsafe { Box::from_raw(user_data.cast::<Box<dyn Fn() + Send>>()) });
        }
        let user_data = UserData::new(Box::into_raw(Box::new(meddle)).cast(), Some(free));
        Subscriber { id, callback: run, user_data }
    }

    #[test]
    fn a_subscription_ended_by_a_callback_is_not_called_again() {
        let unsubscribe: fn(&Outbox) = |outbox| outbox.unsubscribe(2);
        for end in [unsubscribe, Outbox::close] {
            let outbox = Arc::new(Outbox::new(CLIENT));
            let inner = Arc::clone(&outbox);
            let (victim, heard) = subscriber(2);
            // Both join before the dispatcher runs: each event goes to the meddler first.
            let mut state = outbox.state.lock();
            state.joining.extend([meddler(1, Box::new(move || end(&inner))), victim]);
            state.dispatching = true;
            drop(state);
            outbox.push(number(1));
            let dispatcher = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || dispatch(&outbox))
            };
            assert_eq!(heard.recv_timeout(PATIENCE), Ok(Notice::Freed));
            outbox.close();
            dispatcher.join().unwrap();
        }
    }

    #[test]
    fn a_closed_client_takes_no_subscriber_and_frees_its_data() {
        let outbox = Arc::new(Outbox::new(CLIENT));
        outbox.close();
        let (subscriber, heard) = subscriber(1);
        assert_eq!(outbox.subscribe(subscriber).unwrap_err().status, Status::Cancelled);
        assert_eq!(heard.try_recv(), Ok(Notice::Freed));
    }
}
