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
        PING_INTERVAL, PONG_TIMEOUT, STABLE_AFTER,
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
    /// The end of patience with the close frame.
    ForceClose,
}

#[derive(Debug)]
enum State {
    Offline,
    Waiting,
    Opening(ConnId),
    Authorizing(Live),
    Online(Live),
    Closing(ConnId),
    Stopped(Stop),
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

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub struct Machine {
    wanted: bool,
    state: State,
    attempt: u32,
    /// A server's `Retry-After` for the wait that follows.
    not_before: Option<Duration>,
    last_conn: u32,
    timers: TimerTable<Timer>,
    actions: VecDeque<Action>,
    random: fastrand::Rng,
}

impl Machine {
    /// A machine at rest. `seed` makes ids and jitter repeatable.
    pub fn new(seed: u64) -> Self {
        Self {
            wanted: false,
            state: State::Offline,
            attempt: 0,
            not_before: None,
            last_conn: 0,
            timers: TimerTable::default(),
            actions: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    // --- state ---------------------------------------------------------------------------------

    /// What the connection is at.
    pub fn status(&self) -> Status {
        match &self.state {
            State::Offline => Status::Offline,
            State::Waiting | State::Opening(_) | State::Authorizing(_) => {
                Status::Connecting { attempt: self.attempt }
            }
            State::Online(_) => Status::Online,
            State::Closing(_) => Status::Closing,
            State::Stopped(stop) => Status::Stopped(*stop),
        }
    }

    // --- commands ------------------------------------------------------------------------------

    /// Wants the connection, from now until [`disconnect`](Self::disconnect).
    pub fn connect(&mut self, now: Instant) {
        self.wanted = true;
        if matches!(self.state, State::Offline | State::Stopped(_)) {
            self.attempt = 0;
            self.open(now);
        }
    }

    /// Wants it no longer; closes what is open with [`close::OWN_CLOSE`] and this reason.
    pub fn disconnect(&mut self, now: Instant, reason: &str) {
        self.wanted = false;
        self.timers.clear();
        self.state = match std::mem::replace(&mut self.state, State::Offline) {
            State::Authorizing(live) | State::Online(live) => {
                let close = Close { code: close::OWN_CLOSE, reason: reason.to_owned() };
                self.actions.push_back(Action::Close(live.id, close));
                self.timers.set(Timer::ForceClose, now + FORCE_CLOSE_DELAY);
                State::Closing(live.id)
            }
            State::Opening(id) => {
                self.actions.push_back(Action::Drop(id));
                State::Offline
            }
            State::Closing(id) => {
                self.timers.set(Timer::ForceClose, now + FORCE_CLOSE_DELAY);
                State::Closing(id)
            }
            State::Offline | State::Waiting | State::Stopped(_) => State::Offline,
        };
    }

    // --- what happened -------------------------------------------------------------------------

    /// The socket is open and the authorization frame is sent. False when the machine has given
    /// up on this attempt meanwhile: the socket is to be dropped.
    #[must_use]
    pub fn handle_opened(&mut self, now: Instant, conn: ConnId) -> bool {
        if !matches!(self.state, State::Opening(id) if id == conn) {
            return false;
        }
        self.timers.stop(Timer::Open);
        self.timers.set(Timer::Authorization, now + AUTHORIZATION_TIMEOUT);
        let live = Live { id: conn, last_sequence: None, ping: None, since: None };
        self.state = State::Authorizing(live);
        true
    }

    /// The socket could not be opened.
    pub fn handle_open_failed(&mut self, now: Instant, conn: ConnId, failure: &OpenFailure) {
        if !matches!(self.state, State::Opening(id) if id == conn) {
            return;
        }
        self.timers.stop(Timer::Open);
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
        self.react(now, reaction);
    }

    /// A frame came in.
    pub fn handle_frame(&mut self, now: Instant, conn: ConnId, frame: ServerFrame) {
        let (State::Authorizing(live) | State::Online(live)) = &mut self.state else { return };
        if live.id != conn {
            return;
        }
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
            self.authorized(now);
        }
        match frame.body {
            FrameBody::Pong => self.pong(now, frame.id.as_deref()),
            FrameBody::Event(event) => self.actions.push_back(Action::Deliver(event)),
            // The server closes the old socket itself, which reconnects.
            FrameBody::Shutdown | FrameBody::Unknown => {}
        }
    }

    /// The socket ended: by a close frame from either side, or without one.
    pub fn handle_closed(&mut self, now: Instant, conn: ConnId, close: &Close) {
        match &self.state {
            State::Closing(id) if *id == conn => self.closed(now),
            State::Authorizing(live) if live.id == conn => {
                self.react(now, close::reaction(close, false));
            }
            State::Online(live) if live.id == conn => {
                if live.since.is_some_and(|since| now.duration_since(since) >= STABLE_AFTER) {
                    self.attempt = 0;
                }
                self.react(now, close::reaction(close, true));
            }
            _ => {}
        }
    }

    /// The answer to [`Action::ReplaceToken`]: whether there is, or may be, another token.
    pub fn handle_token(&mut self, renewed: bool) {
        if matches!(self.state, State::Waiting) && !renewed {
            self.stop(Stop::Unauthorized);
        }
    }

    /// A deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match (timer, &mut self.state) {
                (Timer::Backoff, State::Waiting) => self.open(now),
                (Timer::Open, State::Opening(id)) => {
                    let id = *id;
                    self.actions.push_back(Action::Drop(id));
                    self.react(now, Reaction::Reconnect);
                }
                (Timer::Authorization, State::Authorizing(live)) => {
                    let id = live.id;
                    self.abandon(now, id, "authorization not received");
                }
                (Timer::Ping, State::Online(_)) => self.ping(now),
                (Timer::Pong, State::Online(live)) => {
                    let id = live.id;
                    self.abandon(now, id, "pong not received");
                }
                (Timer::ForceClose, State::Closing(id)) => {
                    let id = *id;
                    self.actions.push_back(Action::Drop(id));
                    self.closed(now);
                }
                // A timer of a state that has been left.
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

    // --- transitions ---------------------------------------------------------------------------

    fn open(&mut self, now: Instant) {
        self.last_conn += 1;
        self.attempt += 1;
        let conn = ConnId(self.last_conn);
        self.not_before = None;
        self.timers.set(Timer::Open, now + OPEN_TIMEOUT);
        self.actions.push_back(Action::Open(conn));
        self.state = State::Opening(conn);
    }

    fn authorized(&mut self, now: Instant) {
        let State::Authorizing(_) = &self.state else { return };
        let State::Authorizing(mut live) = std::mem::replace(&mut self.state, State::Offline)
        else {
            unreachable!("looked at above")
        };
        self.timers.stop(Timer::Authorization);
        live.since = Some(now);
        self.state = State::Online(live);
        self.ping(now);
    }

    fn ping(&mut self, now: Instant) {
        let id = self.uuid();
        let State::Online(live) = &mut self.state else { return };
        live.ping = Some(id.clone());
        self.actions.push_back(Action::Send(live.id, ClientFrame::Ping { id }));
        self.timers.set(Timer::Pong, now + PONG_TIMEOUT);
    }

    fn pong(&mut self, now: Instant, id: Option<&str>) {
        let State::Online(live) = &mut self.state else { return };
        let conn = live.id;
        match live.ping.take() {
            Some(expected) if Some(expected.as_str()) == id => {
                self.timers.stop(Timer::Pong);
                self.timers.set(Timer::Ping, now + PING_INTERVAL);
            }
            Some(_) => self.abandon(now, conn, "pong mismatch"),
            // A pong nobody asked for: harmless.
            None => {}
        }
    }

    /// Gives up a connection that is of no use, telling the server why, and connects anew.
    fn abandon(&mut self, now: Instant, conn: ConnId, reason: &str) {
        let close = Close { code: close::NORMAL, reason: reason.to_owned() };
        self.actions.push_back(Action::Close(conn, close));
        self.actions.push_back(Action::Drop(conn));
        self.react(now, Reaction::Reconnect);
    }

    /// What a close or a failure calls for.
    fn react(&mut self, now: Instant, reaction: Reaction) {
        match reaction {
            Reaction::Stop(stop) => return self.stop(stop),
            Reaction::RefreshToken => self.actions.push_back(Action::ReplaceToken),
            Reaction::RefreshDevice => self.actions.push_back(Action::RefreshDevice),
            Reaction::Reconnect => {}
        }
        self.timers.clear();
        self.state = State::Waiting;
        let wait = self.backoff().max(self.not_before.take().unwrap_or_default());
        self.timers.set(Timer::Backoff, now + wait);
    }

    fn stop(&mut self, stop: Stop) {
        self.timers.clear();
        self.state = State::Stopped(stop);
    }

    fn closed(&mut self, now: Instant) {
        self.timers.clear();
        self.state = State::Offline;
        if self.wanted {
            self.attempt = 0;
            self.open(now);
        }
    }

    /// The wait before the next attempt: none after a stable connection, else full jitter below
    /// 1, 2, 4 … 32 s.
    fn backoff(&mut self) -> Duration {
        let Some(exponent) = self.attempt.checked_sub(1) else { return Duration::ZERO };
        let cap = BACKOFF_BASE.saturating_mul(1 << exponent.min(10)).min(BACKOFF_CAP);
        cap.mul_f64(self.random.f64())
    }

    fn uuid(&mut self) -> String {
        let bytes = self.random.u128(..).to_be_bytes();
        UuidBuilder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
