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
//! is authorized, and the predecessor delivers until the server closes it.
//!
//! An event is given out once, whichever connection brings it and however often.
//!
//! `action` is what the driver is asked for, `connection` what is held of each connection. `attempts`
//! says how one is made and when it is tried again, `staying` how it is kept and how hints from outside
//! are answered.

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

/// How often in a row a token may be refused, with no other to be had, before that is final.
const TOKEN_REFUSALS: u32 = 3;

/// The machine. See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Machine {
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
    /// Attempts since the last stable connection: what [`Status::Connecting`] tells.
    attempts: u32,
    /// Those of them that were answered, and failed: the exponent of the back-off.
    failures: u32,
    /// When the latest attempt began.
    last_open: Option<Instant>,
    /// What the server asked for with `Retry-After`: nothing makes the next attempt come sooner.
    not_before: Option<Instant>,
    /// The HTTP status that the latest attempt got in answer to the upgrade.
    last_status: Option<u16>,
    /// How often in a row the token was refused, with no other to be had.
    refusals: u32,
    /// A hint came during the attempt under way.
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

    /// What the connection is at.
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

    /// Wants the connection, from now until [`disconnect`](Self::disconnect).
    pub(crate) fn connect(&mut self, now: Instant) {
        self.wanted = true;
        if matches!(self.status(), Status::Offline | Status::Stopped(_)) {
            self.stopped = None;
            self.start_over();
            self.begin(now);
        }
    }

    /// The network may have changed, or the machine has slept: what there is has to prove itself
    /// soon, and what is being waited for is tried at once. A server's `Retry-After` stands.
    pub(crate) fn handle_hint(&mut self, now: Instant) {
        self.check_live(now);
        self.hurry_attempt(now);
    }

    /// There is a token again: what was stopped for want of one begins anew, and a wait for the next
    /// attempt ends as after a hint.
    pub(crate) fn handle_token_available(&mut self, now: Instant) {
        self.refusals = 0;
        if self.stopped == Some(Stop::Unauthorized) && self.wanted {
            self.connect(now);
        } else if matches!(self.attempt, Some(Attempt::Waiting)) {
            self.hurry_attempt(now);
        }
    }

    /// Wants it no longer; closes what is open with [`close::OWN_CLOSE`] and this reason.
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

    /// The socket is open and the authorization frame is sent. False when the machine has given
    /// up on this attempt meanwhile: the socket is to be dropped.
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

    /// The socket could not be opened.
    pub(crate) fn handle_open_failed(&mut self, now: Instant, conn: ConnId, failure: &OpenFailure) {
        if !matches!(self.attempt, Some(Attempt::Opening(id)) if id == conn) {
            return;
        }
        let failed = self.judge(now, failure);
        self.note_failure(now, failed, failure.reason());
        self.attempt_failed(now, failed);
    }

    /// A frame came in.
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

    /// The socket ended: by a close frame from either side, or without one.
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

    /// The answer to [`Action::ReplaceToken`]: whether there is, or may be, another token.
    ///
    /// Without one the same token is tried again, for some servers say "not authorized" when
    /// something else is wrong; but not for ever.
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

    /// A deadline has passed.
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
                // A timer of an attempt that has been left.
                _ => {}
            }
        }
    }

    // --- what to do ----------------------------------------------------------------------------

    /// The next thing to do; call until it answers `None`.
    #[must_use = "an action that is dropped is never carried out"]
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    // --- ending --------------------------------------------------------------------------------

    /// Leaves a connection at once, telling the server why.
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

    /// One of the connections that this side closes has ended.
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
