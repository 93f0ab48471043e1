//! The Mercury connection as a state machine: no I/O, no clock, no tasks.
//!
//! # Driving it
//! 1. Tell it what happened: [`connect`](Machine::connect), [`disconnect`](Machine::disconnect) and
//!    the `handle_*` methods, each with the present time.
//! 2. Carry out what [`poll_action`](Machine::poll_action) hands out, until it answers `None`.
//! 3. Sleep until [`poll_timeout`](Machine::poll_timeout), or the next thing happens; at the
//!    deadline call [`handle_timeout`](Machine::handle_timeout).
//!
//! Spurious calls are safe. News of a connection that is no longer the machine's are ignored.
//!
//! ```text
//!             connect                 opened                 authorized
//!   Offline ──────────► Opening ──────────────► Authorizing ───────────► Online
//!      ▲                 ▲    │ failed, closed, too late   │ closed, no pong │
//!      │       timer     │    ▼                            ▼                 │
//!      │            ┌─── Waiting ◄────────────────────────────────────────── ┘
//!      │ closed     │
//!   Closing ◄───────┴─ disconnect, from any state         Stopped: a close code that forbids retrying
//! ```
//!
//! A server that will go away says so with a `shutdown` frame. The machine then goes the same way a
//! second time beside the connection it has (make before break): the successor takes over once it
//! is authorized, and the predecessor delivers until the server closes it. What both deliver is
//! given out once.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Builder as UuidBuilder;

use super::{
    close::{self, Close, Reaction, Stop},
    frame::{ClientFrame, FrameBody, MercuryEvent, ServerFrame},
    timings::{
        AUTHORIZATION_TIMEOUT, BACKOFF_BASE, BACKOFF_CAP, FORCE_CLOSE_DELAY, OPEN_TIMEOUT,
        PING_INTERVAL, PONG_TIMEOUT, RETIRE_TIMEOUT, STABLE_AFTER,
    },
};
use crate::timer::TimerTable;

/// Names one connection attempt, so that late news of an earlier one are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(u32);

/// What the driver has to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Action {
    /// Dial the device's socket address, and send the authorization frame once it is open. Report
    /// [`handle_opened`](Machine::handle_opened) or [`handle_open_failed`](Machine::handle_open_failed).
    Open(ConnId),
    /// Send a frame.
    Send(ConnId, ClientFrame),
    /// Send a close frame and report [`handle_closed`](Machine::handle_closed) when the socket ended.
    Close(ConnId, Close),
    /// Forget the connection or the dialling at once; nothing of it is to be reported.
    Drop(ConnId),
    /// Get another token than the one last sent; report [`handle_token`](Machine::handle_token).
    ReplaceToken,
    /// Refresh the WDM device. Nothing is to be reported: the next attempt reads its address then.
    RefreshDevice,
    /// Give an event to the subscribers.
    Deliver(Arc<MercuryEvent>),
    /// Frames were lost on the way: the numbers have a gap.
    SequenceGap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        actual: u64,
    },
}

/// Why a socket could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenFailure {
    /// No connection.
    Network,
    /// The server answered the upgrade with this HTTP status.
    Status {
        /// The HTTP status.
        status: u16,
        /// How long the server asked to wait.
        retry_after: Option<Duration>,
    },
    /// There is no token to authorize with.
    Token,
    /// The address is on a host that may not receive the token.
    Untrusted,
}

/// What the connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Not wanted, and closed.
    Offline,
    /// On the way to being online; `attempt` counts from 1 and starts anew after a stable connection.
    Connecting {
        /// The attempt under way, or the one that will follow the wait.
        attempt: u32,
    },
    /// Open and authorized.
    Online,
    /// Being closed because it is not wanted.
    Closing,
    /// Wanted, but not tried again by itself.
    Stopped(Stop),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The next attempt.
    Backoff,
    /// The end of patience with the dialling.
    Open,
    /// The end of patience with the authorization.
    Authorization,
    /// The next ping.
    Ping,
    /// The end of patience with the pong.
    Pong,
    /// The end of patience with a predecessor that the server does not close.
    Retire,
    /// The end of patience with the close frame.
    ForceClose,
}

/// The way to the next authorized connection.
#[derive(Debug)]
enum Attempt {
    Waiting,
    Opening(ConnId),
    Authorizing(Live),
}

/// An open connection.
#[derive(Debug)]
struct Live {
    id: ConnId,
    last_sequence: Option<u64>,
    ping: Option<String>,
    /// Since when it is authorized.
    since: Option<Instant>,
}

/// Ids remembered while two connections deliver: more than a server sends in the time it takes to
/// change over.
const RECENT: usize = 256;

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub struct Machine {
    wanted: bool,
    stopped: Option<Stop>,
    /// The authorized connection.
    live: Option<Live>,
    /// The way to it, or, beside a live one, to its successor.
    attempt: Option<Attempt>,
    /// The predecessor of the live one.
    retiring: Option<Live>,
    /// Connections that this side is closing for good.
    closing: Vec<ConnId>,
    /// Counts attempts since the last stable connection.
    attempts: u32,
    /// A server's `Retry-After` for the wait that follows.
    not_before: Option<Duration>,
    last_conn: u32,
    /// Ids of the events delivered while there are two connections.
    recent: VecDeque<String>,
    timers: TimerTable<Timer>,
    actions: VecDeque<Action>,
    random: fastrand::Rng,
}

impl Machine {
    /// A machine at rest. `seed` makes ids and jitter repeatable.
    pub fn new(seed: u64) -> Self {
        Self {
            wanted: false,
            stopped: None,
            live: None,
            attempt: None,
            retiring: None,
            closing: Vec::new(),
            attempts: 0,
            not_before: None,
            last_conn: 0,
            recent: VecDeque::new(),
            timers: TimerTable::default(),
            actions: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    // --- state ---------------------------------------------------------------------------------

    /// What the connection is at.
    pub fn status(&self) -> Status {
        if let Some(stop) = self.stopped {
            Status::Stopped(stop)
        } else if !self.closing.is_empty() {
            Status::Closing
        } else if self.live.is_some() {
            Status::Online
        } else if self.attempt.is_some() {
            Status::Connecting { attempt: self.attempts }
        } else {
            Status::Offline
        }
    }

    // --- commands ------------------------------------------------------------------------------

    /// Wants the connection, from now until [`disconnect`](Self::disconnect).
    pub fn connect(&mut self, now: Instant) {
        self.wanted = true;
        if matches!(self.status(), Status::Offline | Status::Stopped(_)) {
            self.stopped = None;
            self.attempts = 0;
            self.open(now);
        }
    }

    /// Wants it no longer; closes what is open with [`close::OWN_CLOSE`] and this reason.
    pub fn disconnect(&mut self, now: Instant, reason: &str) {
        self.wanted = false;
        self.stopped = None;
        self.timers.clear();
        self.recent.clear();
        let authorizing = match self.attempt.take() {
            Some(Attempt::Opening(id)) => {
                self.actions.push_back(Action::Drop(id));
                None
            }
            Some(Attempt::Authorizing(live)) => Some(live),
            Some(Attempt::Waiting) | None => None,
        };
        let open = [self.retiring.take(), self.live.take(), authorizing];
        for live in open.into_iter().flatten() {
            let close = Close { code: close::OWN_CLOSE, reason: reason.to_owned() };
            self.actions.push_back(Action::Close(live.id, close));
            self.closing.push(live.id);
        }
        if !self.closing.is_empty() {
            self.timers.set(Timer::ForceClose, now + FORCE_CLOSE_DELAY);
        }
    }

    /// The address has changed: goes to the new one at once, make before break.
    ///
    /// A wait after several failures is left to end by itself: a new address is no reason for a
    /// fast loop.
    pub fn move_over(&mut self, now: Instant) {
        match self.attempt.take() {
            None => {
                if let Some(live) = self.live.as_ref().map(|live| live.id) {
                    self.change_over(now, live);
                }
                return;
            }
            Some(Attempt::Waiting) if self.attempts > 1 => {
                self.attempt = Some(Attempt::Waiting);
                return;
            }
            Some(Attempt::Waiting) => self.timers.stop(Timer::Backoff),
            Some(Attempt::Opening(id)) => {
                self.timers.stop(Timer::Open);
                self.actions.push_back(Action::Drop(id));
            }
            Some(Attempt::Authorizing(live)) => {
                self.timers.stop(Timer::Authorization);
                self.leave(live.id, "done");
            }
        }
        self.open(now);
    }

    // --- what happened -------------------------------------------------------------------------

    /// The socket is open and the authorization frame is sent. False when the machine has given
    /// up on this attempt meanwhile: the socket is to be dropped.
    #[must_use]
    pub fn handle_opened(&mut self, now: Instant, conn: ConnId) -> bool {
        if !matches!(self.attempt, Some(Attempt::Opening(id)) if id == conn) {
            return false;
        }
        self.timers.stop(Timer::Open);
        self.timers.set(Timer::Authorization, now + AUTHORIZATION_TIMEOUT);
        let live = Live { id: conn, last_sequence: None, ping: None, since: None };
        self.attempt = Some(Attempt::Authorizing(live));
        true
    }

    /// The socket could not be opened.
    pub fn handle_open_failed(&mut self, now: Instant, conn: ConnId, failure: &OpenFailure) {
        if !matches!(self.attempt, Some(Attempt::Opening(id)) if id == conn) {
            return;
        }
        let reaction = match failure {
            OpenFailure::Network => Reaction::Reconnect,
            OpenFailure::Token | OpenFailure::Status { status: 401, .. } => Reaction::RefreshToken,
            OpenFailure::Untrusted => Reaction::Stop(Stop::Untrusted),
            OpenFailure::Status { status: 403, .. } => Reaction::Stop(Stop::NotEntitled),
            OpenFailure::Status { status: 404 | 410, .. } => Reaction::RefreshDevice,
            OpenFailure::Status { retry_after, .. } => {
                self.not_before = *retry_after;
                Reaction::Reconnect
            }
        };
        self.attempt_failed(now, reaction);
    }

    /// A frame came in.
    pub fn handle_frame(&mut self, now: Instant, conn: ConnId, frame: ServerFrame) {
        let two = self.is_changing_over();
        let authorizing = match &mut self.attempt {
            Some(Attempt::Authorizing(live)) => Some(live),
            _ => None,
        };
        let open = [self.live.as_mut(), self.retiring.as_mut(), authorizing];
        let Some(live) = open.into_iter().flatten().find(|live| live.id == conn) else { return };
        if let Some(id) = &frame.id {
            let ack = ClientFrame::Ack { message_id: id.clone() };
            self.actions.push_back(Action::Send(conn, ack));
        }
        if let Some(actual) = frame.sequence {
            if let Some(expected) = live.last_sequence.map(|last| last + 1)
                && expected != actual
            {
                self.actions.push_back(Action::SequenceGap { expected, actual });
            }
            live.last_sequence = Some(actual);
        }
        if frame.authorizes() {
            self.authorized(now, conn);
        }
        match frame.body {
            FrameBody::Pong => self.pong(now, conn, frame.id.as_deref()),
            FrameBody::Event(event) if two && self.is_repeated(event.id.as_deref()) => {}
            FrameBody::Event(event) => self.actions.push_back(Action::Deliver(event)),
            FrameBody::Shutdown => self.change_over(now, conn),
            FrameBody::Unknown => {}
        }
    }

    /// The socket ended: by a close frame from either side, or without one.
    pub fn handle_closed(&mut self, now: Instant, conn: ConnId, close: &Close) {
        if let Some(index) = self.closing.iter().position(|id| *id == conn) {
            self.closing.swap_remove(index);
            self.closed(now);
        } else if matches!(&self.attempt, Some(Attempt::Authorizing(live)) if live.id == conn) {
            self.attempt_failed(now, close::reaction(close, false));
        } else if self.retiring.take_if(|live| live.id == conn).is_some() {
            self.timers.stop(Timer::Retire);
            self.recent.clear();
        } else if let Some(live) = self.live.take_if(|live| live.id == conn) {
            if live.since.is_some_and(|since| now.duration_since(since) >= STABLE_AFTER) {
                self.attempts = 0;
            }
            self.lost(now, close::reaction(close, true));
        }
    }

    /// The answer to [`Action::ReplaceToken`]: whether there is, or may be, another token.
    pub fn handle_token(&mut self, renewed: bool) {
        if matches!(self.attempt, Some(Attempt::Waiting)) && !renewed {
            self.timers.stop(Timer::Backoff);
            self.give_up(Stop::Unauthorized);
        }
    }

    /// A deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match (timer, &self.attempt) {
                (Timer::Backoff, Some(Attempt::Waiting)) => self.open(now),
                (Timer::Open, Some(Attempt::Opening(id))) => {
                    self.actions.push_back(Action::Drop(*id));
                    self.attempt_failed(now, Reaction::Reconnect);
                }
                (Timer::Authorization, Some(Attempt::Authorizing(live))) => {
                    let id = live.id;
                    self.leave(id, "authorization not received");
                    self.attempt_failed(now, Reaction::Reconnect);
                }
                (Timer::Ping, _) => self.ping(now),
                (Timer::Pong, _) => self.abandon(now, "pong not received"),
                (Timer::Retire, _) => {
                    if let Some(old) = self.retiring.take() {
                        self.leave(old.id, "done");
                    }
                    self.recent.clear();
                }
                (Timer::ForceClose, _) => {
                    let left = self.closing.drain(..).map(Action::Drop);
                    self.actions.extend(left);
                    self.closed(now);
                }
                // A timer of an attempt that has been left.
                _ => {}
            }
        }
    }

    // --- what to do ----------------------------------------------------------------------------

    /// The next thing to do; call until it answers `None`.
    #[must_use = "an action that is dropped is never carried out"]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    // --- connecting ----------------------------------------------------------------------------

    fn open(&mut self, now: Instant) {
        self.last_conn += 1;
        self.attempts += 1;
        let conn = ConnId(self.last_conn);
        self.not_before = None;
        self.timers.set(Timer::Open, now + OPEN_TIMEOUT);
        self.actions.push_back(Action::Open(conn));
        self.attempt = Some(Attempt::Opening(conn));
    }

    fn authorized(&mut self, now: Instant, conn: ConnId) {
        let attempt = self
            .attempt
            .take_if(|attempt| matches!(attempt, Attempt::Authorizing(live) if live.id == conn));
        let Some(Attempt::Authorizing(mut live)) = attempt else { return };
        self.timers.stop(Timer::Authorization);
        live.since = Some(now);
        if let Some(old) = self.live.replace(live) {
            self.timers.stop(Timer::Pong);
            self.timers.set(Timer::Retire, now + RETIRE_TIMEOUT);
            if let Some(older) = self.retiring.replace(old) {
                self.leave(older.id, "done");
            }
        }
        self.ping(now);
    }

    /// What a failed attempt calls for.
    fn attempt_failed(&mut self, now: Instant, reaction: Reaction) {
        self.timers.stop(Timer::Open);
        self.timers.stop(Timer::Authorization);
        self.attempt = None;
        match reaction {
            Reaction::Stop(stop) => return self.give_up(stop),
            Reaction::RefreshToken => self.actions.push_back(Action::ReplaceToken),
            Reaction::RefreshDevice => self.actions.push_back(Action::RefreshDevice),
            Reaction::Reconnect => {}
        }
        let wait = self.backoff().max(self.not_before.take().unwrap_or_default());
        self.timers.set(Timer::Backoff, now + wait);
        self.attempt = Some(Attempt::Waiting);
    }

    /// There will be no connection, or no successor: then what there is stays as long as the server
    /// lets it.
    fn give_up(&mut self, stop: Stop) {
        self.attempt = None;
        if self.live.is_none() {
            self.stop(stop);
        }
    }

    /// The wait before the next attempt: none after a stable connection, else full jitter below
    /// 1, 2, 4 … 32 s.
    fn backoff(&mut self) -> Duration {
        let Some(exponent) = self.attempts.checked_sub(1) else { return Duration::ZERO };
        let cap = BACKOFF_BASE.saturating_mul(1 << exponent.min(10)).min(BACKOFF_CAP);
        cap.mul_f64(self.random.f64())
    }

    // --- changing over -------------------------------------------------------------------------

    /// The server of the live connection will go away: makes its successor, unless that is under way.
    fn change_over(&mut self, now: Instant, conn: ConnId) {
        if self.attempt.is_none() && self.live.as_ref().is_some_and(|live| live.id == conn) {
            self.attempts = 0;
            self.open(now);
        }
    }

    fn is_changing_over(&self) -> bool {
        self.retiring.is_some() || (self.live.is_some() && self.attempt.is_some())
    }

    /// Whether an event has been delivered already; remembers it otherwise.
    fn is_repeated(&mut self, id: Option<&str>) -> bool {
        let Some(id) = id else { return false };
        if self.recent.iter().any(|seen| seen == id) {
            return true;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(id.to_owned());
        false
    }

    // --- staying -------------------------------------------------------------------------------

    fn ping(&mut self, now: Instant) {
        let id = self.uuid();
        let Some(live) = &mut self.live else { return };
        live.ping = Some(id.clone());
        self.actions.push_back(Action::Send(live.id, ClientFrame::Ping { id }));
        self.timers.stop(Timer::Ping);
        self.timers.set(Timer::Pong, now + PONG_TIMEOUT);
    }

    fn pong(&mut self, now: Instant, conn: ConnId, id: Option<&str>) {
        let Some(live) = self.live.as_mut().filter(|live| live.id == conn) else { return };
        match live.ping.take() {
            Some(expected) if Some(expected.as_str()) == id => {
                self.timers.stop(Timer::Pong);
                self.timers.set(Timer::Ping, now + PING_INTERVAL);
            }
            Some(_) => self.abandon(now, "pong mismatch"),
            // A pong nobody asked for: harmless.
            None => {}
        }
    }

    fn uuid(&mut self) -> String {
        let bytes = self.random.u128(..).to_be_bytes();
        UuidBuilder::from_random_bytes(bytes).into_uuid().to_string()
    }

    // --- ending --------------------------------------------------------------------------------

    /// Gives up the live connection, which is of no use, and connects anew.
    fn abandon(&mut self, now: Instant, reason: &str) {
        if let Some(live) = self.live.take() {
            self.leave(live.id, reason);
            self.lost(now, Reaction::Reconnect);
        }
    }

    /// Leaves a connection at once, telling the server why.
    fn leave(&mut self, conn: ConnId, reason: &str) {
        let close = Close { code: close::NORMAL, reason: reason.to_owned() };
        self.actions.push_back(Action::Close(conn, close));
        self.actions.push_back(Action::Drop(conn));
    }

    /// The live connection is gone.
    fn lost(&mut self, now: Instant, reaction: Reaction) {
        self.timers.stop(Timer::Ping);
        self.timers.stop(Timer::Pong);
        match (reaction, &self.attempt) {
            (Reaction::Stop(stop), _) => self.stop(stop),
            // Its successor is on the way.
            (_, Some(_)) => {}
            (reaction, None) => self.attempt_failed(now, reaction),
        }
    }

    fn stop(&mut self, stop: Stop) {
        self.timers.clear();
        self.recent.clear();
        let authorizing = match self.attempt.take() {
            Some(Attempt::Opening(id) | Attempt::Authorizing(Live { id, .. })) => Some(id),
            Some(Attempt::Waiting) | None => None,
        };
        let left = [authorizing, self.retiring.take().map(|live| live.id)];
        self.actions.extend(left.into_iter().flatten().map(Action::Drop));
        self.stopped = Some(stop);
    }

    /// One of the connections that this side closes has ended.
    fn closed(&mut self, now: Instant) {
        if self.closing.is_empty() {
            self.timers.stop(Timer::ForceClose);
            if self.wanted {
                self.attempts = 0;
                self.open(now);
            }
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
