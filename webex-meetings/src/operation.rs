//! One operation at a time, shared by all callers.
//!
//! Callers of the current operation share its outcome. Callers of the opposite one wait until it
//! has ended, however it ends, and then run theirs. An operation runs while a caller waits for it,
//! and is cancelled when the last caller drops its future.

use std::future::Future;

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use parking_lot::Mutex;

use crate::error::MeetingsError;

pub(crate) type Outcome = Result<(), MeetingsError>;
type Running = BoxFuture<'static, Outcome>;

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Register,
    Unregister,
}

/// The current operation, if any.
#[derive(Debug, Default)]
pub(crate) struct Operations(Mutex<Option<(Operation, WeakShared<Running>)>>);

/// What a caller has to do.
enum Turn {
    Nothing,
    Join(Shared<Running>),
    Wait(Shared<Running>),
}

impl Operations {
    /// Runs an operation, unless `is_so` already. `start` makes its future.
    pub(crate) async fn run<F>(
        &self,
        wanted: Operation,
        is_so: impl Fn() -> bool,
        start: impl Fn() -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        loop {
            match self.turn(wanted, &is_so, &start) {
                Turn::Nothing => return Ok(()),
                Turn::Join(operation) => return operation.await,
                Turn::Wait(other) => drop(other.await),
            }
        }
    }

    fn turn<F>(&self, wanted: Operation, is_so: &impl Fn() -> bool, start: &impl Fn() -> F) -> Turn
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut current = self.0.lock();
        let running = current.as_ref().and_then(|(what, weak)| Some((*what, weak.upgrade()?)));
        if let Some((what, running)) = running
            && running.peek().is_none()
        {
            return if what == wanted { Turn::Join(running) } else { Turn::Wait(running) };
        }
        if is_so() {
            return Turn::Nothing;
        }
        let started = start().boxed().shared();
        // A future that has not been polled yet can always be downgraded.
        *current = started.downgrade().map(|weak| (wanted, weak));
        Turn::Join(started)
    }
}
