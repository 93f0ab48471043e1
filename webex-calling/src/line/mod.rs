//! A calling line: what an application registers, and listens to.

mod driver;
mod error;
mod event;
mod info;
mod kept;
pub(crate) mod requests;
mod voice;

use std::{sync::Arc, time::Instant};

use tokio::sync::{mpsc, watch};
use uuid::Uuid;
use webex_core::Subscription;

pub(crate) use self::{driver::Setup, kept::Kept, voice::Voice};
pub use self::{
    error::{DocumentedError, LineError, LineErrorType},
    event::{Connecting, LineEvent, Unregistered},
    info::{LineInfo, LineStatus},
};
use crate::registration::{
    CallActivity,
    machine::{LineState, Upcoming},
};

/// A calling line. Clones are the same line.
///
/// [`register`](Self::register) and [`deregister`](Self::deregister) say what is wanted and return
/// at once; the events tell what comes of it. Dropping all clones, and the
/// [`CallingClient`](crate::CallingClient), gives a registered line up in the background.
#[derive(Debug, Clone)]
pub struct Line {
    commands: mpsc::UnboundedSender<Command>,
    snapshot: watch::Receiver<Snapshot>,
    voice: Arc<Voice>,
}

#[derive(Debug)]
enum Command {
    Register,
    Deregister,
    Calls(Arc<dyn CallActivity>),
}

/// What can be read of a line at any time.
#[derive(Debug, Clone)]
struct Snapshot {
    state: LineState,
    info: Arc<LineInfo>,
    next: Option<(Upcoming, Instant)>,
}

impl Line {
    /// Starts the line's task on the present tokio runtime.
    pub(crate) fn start(setup: Setup) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let voice = Arc::clone(&setup.voice);
        Self { commands, snapshot: driver::start(setup, inbox), voice }
    }

    /// Id of the line within this process.
    pub fn line_id(&self) -> Uuid {
        self.snapshot.borrow().info.line_id
    }

    /// What is known of the line.
    pub fn info(&self) -> Arc<LineInfo> {
        self.voice.complete(&self.snapshot.borrow().info)
    }

    /// The documented status.
    pub fn status(&self) -> LineStatus {
        self.snapshot.borrow().info.status
    }

    /// Where the registration is, in finer terms than [`status`](Self::status).
    pub fn state(&self) -> LineState {
        self.snapshot.borrow().state
    }

    /// What the line will do by itself next, and when; `None` while it waits for an answer, or for
    /// the application.
    pub fn next(&self) -> Option<(Upcoming, Instant)> {
        self.snapshot.borrow().next
    }

    /// Waits until its state, its properties or what comes next has changed since the last call;
    /// the first call may return at once. `false` once nothing can change any more.
    ///
    /// For showing a line as it is; the events say what happened to it.
    pub async fn changed(&mut self) -> bool {
        self.snapshot.changed().await.is_ok()
    }

    /// Events from now on. Subscribe before [`register`](Self::register) to miss none.
    pub fn subscribe(&self) -> Subscription<LineEvent> {
        self.voice.subscribe()
    }

    /// Begins to register the line, and keeps it registered until [`deregister`](Self::deregister).
    ///
    /// Returns at once; [`LineEvent::Registered`] or [`LineEvent::Error`] tells. Does nothing when
    /// the line is registered or being registered.
    pub fn register(&self) {
        if self.commands.send(Command::Register).is_err() {
            self.voice.emit(&LineEvent::Error(LineError::closed()));
        }
    }

    /// Begins to deregister the line, in whatever state it is: cancels what is under way and gives
    /// up what exists.
    ///
    /// Returns at once; [`LineEvent::Unregistered`] tells that it is done, and how.
    pub fn deregister(&self) {
        // A line whose task has ended is not registered.
        let _ = self.commands.send(Command::Deregister);
    }

    /// Tells the line whom to ask whether it has calls. Default: it has none.
    pub fn set_call_activity(&self, calls: Arc<dyn CallActivity>) {
        // A line whose task has ended moves nowhere.
        let _ = self.commands.send(Command::Calls(calls));
    }

    /// Waits until the line is not registered and nothing is under way.
    pub(crate) async fn idle(&self) {
        let mut snapshot = self.snapshot.clone();
        let idle = |now: &Snapshot| matches!(now.state, LineState::Idle | LineState::Failed);
        // An ended task leaves its last state behind; it ends only when idle, or cannot be waited for.
        let _ = snapshot.wait_for(idle).await;
    }
}
