//! The application's handle of a line.

use std::{sync::Arc, time::Instant};

use tokio::sync::{mpsc, watch};
use uuid::Uuid;
use webex_core::{Subscription, events::Hub};

use super::driver::{self, Command, Setup, Snapshot};
use crate::model::{
    error::LineError,
    event::{LineEvent, Unregistered},
    info::{LineInfo, LineStatus},
    policy::CallActivity,
    state::{LineState, Upcoming},
};

/// A calling line. Clones are the same line.
///
/// [`register`](Self::register) and [`deregister`](Self::deregister) set what is wanted and return
/// at once; the events report the result. When all clones and the
/// [`CallingClient`](crate::CallingClient) are dropped, a registered line deregisters in the
/// background.
#[derive(Debug, Clone)]
pub struct Line {
    commands: mpsc::UnboundedSender<Command>,
    snapshot: watch::Receiver<Snapshot>,
    events: Arc<Hub<LineEvent>>,
}

impl Line {
    /// Starts the line's task on the present tokio runtime.
    pub(crate) fn start(setup: Setup) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let events = Arc::clone(&setup.events);
        Self { commands, snapshot: driver::start(setup, inbox), events }
    }

    /// Returns the id of the line within this process.
    pub fn line_id(&self) -> Uuid {
        self.snapshot.borrow().info.line_id
    }

    /// Returns the properties of the line.
    pub fn info(&self) -> Arc<LineInfo> {
        Arc::clone(&self.snapshot.borrow().info)
    }

    /// Returns the documented status.
    pub fn status(&self) -> LineStatus {
        self.snapshot.borrow().info.status
    }

    /// Returns where the registration stands, in finer terms than [`status`](Self::status).
    pub fn state(&self) -> LineState {
        self.snapshot.borrow().state
    }

    /// Returns what the line does by itself next, and when; `None` while it waits for an answer, or
    /// for the application.
    pub fn next(&self) -> Option<(Upcoming, Instant)> {
        self.snapshot.borrow().next
    }

    /// Waits until the state, a property or what comes next has changed since the last call. The
    /// first call may return at once. Returns `false` when nothing can change any more.
    ///
    /// Use it to show a line as it is; use the events to learn what happened to it.
    pub async fn changed(&mut self) -> bool {
        self.snapshot.changed().await.is_ok()
    }

    /// Returns the events from now on. Subscribe before [`register`](Self::register) to miss none.
    pub fn subscribe(&self) -> Subscription<LineEvent> {
        self.events.subscribe()
    }

    /// Begins to register the line, and keeps it registered until [`deregister`](Self::deregister).
    ///
    /// Returns at once; [`LineEvent::Registered`] or [`LineEvent::Error`] reports the result. Does
    /// nothing when the line is registered or registering.
    pub fn register(&self) {
        if self.commands.send(Command::Register).is_err() {
            self.events.emit(&LineEvent::Error(LineError::closed()));
        }
    }

    /// Begins to deregister the line, in any state: cancels what is under way and deletes the
    /// registration.
    ///
    /// Returns at once; [`LineEvent::Unregistered`] reports the end and its outcome.
    pub fn deregister(&self) {
        // A line whose task has ended is not registered.
        let _ = self.commands.send(Command::Deregister);
    }

    /// Sets the source of whether the line has calls. Default: it has none.
    pub fn set_call_activity(&self, calls: Arc<dyn CallActivity>) {
        // A line whose task has ended moves nowhere.
        let _ = self.commands.send(Command::SetCallActivity(calls));
    }

    /// Deregisters the line, and waits for the end.
    ///
    /// # Errors
    /// The reason why the server did not confirm.
    pub(crate) async fn deregister_and_wait(&self) -> Result<(), LineError> {
        let mut events = self.subscribe();
        if self.commands.send(Command::Deregister).is_err() {
            // A line whose task has ended is not registered.
            return Ok(());
        }
        while let Some(event) = events.next().await {
            match event {
                LineEvent::Unregistered {
                    reason: Unregistered::Deleted | Unregistered::AlreadyGone,
                    ..
                } => break,
                LineEvent::Unregistered { reason: Unregistered::NotReachable(error), .. } => {
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
