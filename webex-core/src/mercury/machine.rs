//! The Mercury connection as a state machine: no I/O, no clock, no tasks.
//!
//! # Driving it
//! 1. Pass in what happened: [`connect`](Machine::connect), [`disconnect`](Machine::disconnect) and
//!    the `handle_*` methods, each with the current time.
//! 2. Perform the actions of [`poll_action`](Machine::poll_action), until it returns `None`.
//! 3. Sleep until [`poll_timeout`](Machine::poll_timeout), or until the next input; at the deadline
//!    call [`handle_timeout`](Machine::handle_timeout).
//!
//! Spurious calls are safe. Inputs about a connection that the machine no longer has are ignored.
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
//! A server that is about to go away sends a `shutdown` frame. The machine then opens a second
//! connection beside the first (make before break): the successor takes over once it is authorized,
//! and the predecessor delivers until the server closes it.
//!
//! An event is delivered once, whichever connection it arrives on and however often.
//!
//! `action` has the requests to the driver, `connection` the state of each connection. `attempts`
//! decides how a connection is opened and when an attempt is repeated, `staying` how it is kept and
//! how hints from outside are handled.

pub(crate) mod action;
mod attempts;
mod connection;
mod recent;
mod staying;

use std::{collections::VecDeque, time::Instant};

use webex_auth::timer::TimerTable;

use self::{
    action::{Action, ConnId, OpenFailure, Status},
    connection::{Attempt, Failed, Live, Timer, Trouble},
    recent::Recent,
};
use super::{
    close::{self, Close, Stop},
    failure::SocketFailure,
    frame::{ClientFrame, FrameBody, ServerFrame},
    timings::{AUTHORIZATION_TIMEOUT, FORCE_CLOSE_DELAY},
};

/// How often in a row a token may be refused, without another one, before that is final.
const TOKEN_REFUSALS: u32 = 3;

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Machine {
    wanted: bool,
    stopped: Option<Stop>,
    /// The authorized connection.
    live: Option<Live>,
    /// The attempt to open it, or, beside a live one, its successor.
    attempt: Option<Attempt>,
    /// The predecessor of the live one.
    retiring: Option<Live>,
    /// Connections that this side is closing for good.
    closing: Vec<ConnId>,
    /// Attempts since the last stable connection, reported by [`Status::Connecting`].
    attempts: u32,
    /// How many of them were answered and failed: the exponent of the back-off.
    failures: u32,
    /// When the latest attempt began.
    last_open: Option<Instant>,
    /// The end of a server's `Retry-After`: no attempt comes sooner.
    not_before: Option<Instant>,
    /// The HTTP status that the latest attempt got in answer to the upgrade.
    last_status: Option<u16>,
    /// How often in a row the token was refused, without another one.
    refusals: u32,
    /// A hint came during the current attempt.
    hinted: bool,
    last_conn: u32,
    trouble: Trouble,
    recent: Recent,
    timers: TimerTable<Timer>,
    actions: VecDeque<Action>,
    random: fastrand::Rng,
}

impl Machine {
    /// A machine at rest. `seed` makes ids and jitter repeatable.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            wanted: false,
            stopped: None,
            live: None,
            attempt: None,
            retiring: None,
            closing: Vec::new(),
            attempts: 0,
            failures: 0,
            last_open: None,
            not_before: None,
            last_status: None,
            refusals: 0,
            hinted: false,
            last_conn: 0,
            trouble: Trouble::default(),
            recent: Recent::default(),
            timers: TimerTable::default(),
            actions: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    // --- state ---------------------------------------------------------------------------------

    /// The state of the connection.
    pub(crate) fn status(&self) -> Status {
        if let Some(stop) = self.stopped {
            Status::Stopped(stop)
        } else if !self.closing.is_empty() {
            Status::Closing
        } else if self.live.is_some() {
            Status::Online
        } else if let Some(attempt) = &self.attempt {
            let next = u32::from(matches!(attempt, Attempt::Waiting));
            Status::Connecting { attempt: self.attempts.saturating_add(next) }
        } else {
            Status::Offline
        }
    }

    // --- commands ------------------------------------------------------------------------------

    /// Keeps the connection up until [`disconnect`](Self::disconnect).
    pub(crate) fn connect(&mut self, now: Instant) {
        self.wanted = true;
        if matches!(self.status(), Status::Offline | Status::Stopped(_)) {
            self.stopped = None;
            self.start_over();
            self.begin(now);
        }
    }

    /// Handles a hint that the network may have changed or the machine has slept: a live connection
    /// has to prove itself soon, and a waiting attempt starts at once. A server's `Retry-After`
    /// still applies.
    pub(crate) fn handle_hint(&mut self, now: Instant) {
        self.check_live(now);
        self.hurry_attempt(now);
    }

    /// Handles a new token: a connection that stopped for lack of one starts again, and a wait for
    /// the next attempt ends as after a hint.
    pub(crate) fn handle_token_available(&mut self, now: Instant) {
        self.refusals = 0;
        if self.stopped == Some(Stop::Unauthorized) && self.wanted {
            self.connect(now);
        } else if matches!(self.attempt, Some(Attempt::Waiting)) {
            self.hurry_attempt(now);
        }
    }

    /// Stops wanting the connection; closes it with [`close::OWN_CLOSE`] and this reason.
    pub(crate) fn disconnect(&mut self, now: Instant, reason: &str) {
        self.wanted = false;
        self.stopped = None;
        self.trouble = Trouble::default();
        self.timers.clear();
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

    // --- what happened -------------------------------------------------------------------------

    /// Handles an open socket whose authorization frame has been sent. Returns false when the
    /// machine has already given up this attempt: the socket must be dropped.
    #[must_use]
    pub(crate) fn handle_opened(&mut self, now: Instant, conn: ConnId) -> bool {
        if !matches!(self.attempt, Some(Attempt::Opening(id)) if id == conn) {
            return false;
        }
        self.timers.stop(Timer::Open);
        self.timers.set(Timer::Authorization, now + AUTHORIZATION_TIMEOUT);
        self.attempt = Some(Attempt::Authorizing(Live::new(conn)));
        if self.hinted {
            self.hurry_attempt(now);
        }
        true
    }

    /// Handles a socket that could not be opened.
    pub(crate) fn handle_open_failed(&mut self, now: Instant, conn: ConnId, failure: &OpenFailure) {
        if !matches!(self.attempt, Some(Attempt::Opening(id)) if id == conn) {
            return;
        }
        let failed = self.judge(now, failure);
        self.note_failure(now, failed, failure.reason());
        self.attempt_failed(now, failed);
    }

    /// Handles a received frame.
    pub(crate) fn handle_frame(&mut self, now: Instant, conn: ConnId, frame: ServerFrame) {
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
            if let Some(expected) = live.last_sequence.map(|last| last.wrapping_add(1))
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
            FrameBody::Event(event) if self.recent.repeats(event.id.as_deref()) => {}
            FrameBody::Event(event) => self.actions.push_back(Action::Deliver(event)),
            FrameBody::Shutdown => self.change_over(now, conn),
            FrameBody::Unknown => {}
        }
    }

    /// Handles the end of a socket: by a close frame from either side, or without one.
    pub(crate) fn handle_closed(&mut self, now: Instant, conn: ConnId, close: &Close) {
        if let Some(index) = self.closing.iter().position(|id| *id == conn) {
            self.closing.swap_remove(index);
            self.closed(now);
        } else if matches!(&self.attempt, Some(Attempt::Authorizing(live)) if live.id == conn) {
            let failed = Failed::answered(close::reaction(close, false));
            self.note_failure(now, failed, SocketFailure::Closed(close.code));
            self.attempt_failed(now, failed);
        } else if self.retiring.take_if(|live| live.id == conn).is_some() {
            self.timers.stop(Timer::Retire);
        } else if let Some(live) = self.live.take_if(|live| live.id == conn) {
            self.lost(now, &live, Failed::answered(close::reaction(close, true)));
        }
    }

    /// Handles the answer to [`Action::ReplaceToken`]: whether there is, or may be, another token.
    ///
    /// Without one the same token is tried again, because some servers answer "not authorized" when
    /// something else is wrong; but only a few times.
    pub(crate) fn handle_token(&mut self, renewed: bool) {
        if renewed || self.attempt.is_none() {
            self.refusals = 0;
            return;
        }
        self.refusals += 1;
        if self.refusals < TOKEN_REFUSALS {
            return;
        }
        for timer in [Timer::Backoff, Timer::Open, Timer::Authorization] {
            self.timers.stop(timer);
        }
        match self.attempt.take() {
            Some(Attempt::Opening(id)) => self.actions.push_back(Action::Drop(id)),
            Some(Attempt::Authorizing(live)) => self.leave(live.id, "done"),
            Some(Attempt::Waiting) | None => {}
        }
        self.give_up(Stop::Unauthorized);
    }

    /// Handles a deadline that has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match (timer, &self.attempt) {
                (Timer::Backoff, Some(Attempt::Waiting)) => self.open(now),
                (Timer::Open, Some(Attempt::Opening(id))) => {
                    self.actions.push_back(Action::Drop(*id));
                    self.note_failure(now, Failed::unanswered(), SocketFailure::Unanswered);
                    self.attempt_failed(now, Failed::unanswered());
                }
                (Timer::Authorization, Some(Attempt::Authorizing(live))) => {
                    let id = live.id;
                    self.leave(id, "authorization not received");
                    let failed = if self.hinted { Failed::unanswered() } else { Failed::silent() };
                    self.note_failure(now, failed, SocketFailure::NotAuthorized);
                    self.attempt_failed(now, failed);
                }
                (Timer::Ping, _) => self.ping(now),
                (Timer::Pong, _) => self.abandon(now, "pong not received"),
                (Timer::Retire, _) => {
                    if let Some(old) = self.retiring.take() {
                        self.leave(old.id, "done");
                    }
                }
                (Timer::ForceClose, _) => {
                    let left = self.closing.drain(..).map(Action::Drop);
                    self.actions.extend(left);
                    self.closed(now);
                }
                // A timer of an abandoned attempt.
                _ => {}
            }
        }
    }

    // --- what to do ----------------------------------------------------------------------------

    /// Returns the next action; call until it returns `None`.
    #[must_use = "an action that is dropped is never carried out"]
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    // --- ending --------------------------------------------------------------------------------

    /// Leaves a connection at once, with a reason for the server.
    fn leave(&mut self, conn: ConnId, reason: &str) {
        let close = Close { code: close::NORMAL, reason: reason.to_owned() };
        self.actions.push_back(Action::Close(conn, close));
        self.actions.push_back(Action::Drop(conn));
    }

    fn stop(&mut self, stop: Stop) {
        self.timers.clear();
        let authorizing = match self.attempt.take() {
            Some(Attempt::Opening(id) | Attempt::Authorizing(Live { id, .. })) => Some(id),
            Some(Attempt::Waiting) | None => None,
        };
        let left = [authorizing, self.retiring.take().map(|live| live.id)];
        self.actions.extend(left.into_iter().flatten().map(Action::Drop));
        self.trouble = Trouble::default();
        self.stopped = Some(stop);
    }

    /// Handles the end of a connection that this side has closed.
    fn closed(&mut self, now: Instant) {
        if self.closing.is_empty() {
            self.timers.stop(Timer::ForceClose);
            if self.wanted {
                self.start_over();
                self.begin(now);
            }
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
