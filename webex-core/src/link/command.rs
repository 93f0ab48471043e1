//! What the task of the link is told by those who hold it.

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
    /// Tells when what nobody holds has been given up; at once while somebody holds the link.
    Settle(Released),
    /// Closes the socket until [`Hint::Resumed`] comes; tells when it is closed.
    Suspend(oneshot::Sender<()>),
    Hint(Hint),
}

/// What the host tells about the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    NetworkChanged,
    Resumed,
}

/// Where the outcome of a release is told.
pub(super) type Released = oneshot::Sender<Result<(), LinkError>>;
