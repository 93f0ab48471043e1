//! Commands to the link's task.

use tokio::sync::oneshot;

use super::error::LinkError;

#[derive(Debug)]
pub(super) enum Command {
    Acquire(oneshot::Sender<()>),
    Release {
        held: bool,
        reason: &'static str,
        done: Option<Released>,
    },
    /// Reports when an unused link has been given up; at once while a lease is held.
    Settle(Released),
    /// Closes the socket until [`Hint::Resumed`] comes; reports when it is closed.
    Suspend(oneshot::Sender<()>),
    Hint(Hint),
}

/// Hints from the host application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    NetworkChanged,
    Resumed,
}

/// Receives the outcome of a release.
pub(super) type Released = oneshot::Sender<Result<(), LinkError>>;
