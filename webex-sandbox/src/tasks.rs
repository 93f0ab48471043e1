//! The tasks of a sandbox, which end together.

use std::future::Future;

use tokio::sync::watch;

/// Spawns tasks that end when the sandbox does.
///
/// Each task holds a receiver, so all tasks have ended when no receiver is left.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    stop: watch::Sender<bool>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self { stop: watch::Sender::new(false) }
    }

    /// Runs `future` until it is done or [`Tasks::stop`] is called.
    pub(crate) fn spawn<F>(&self, future: F)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut stop = self.stop.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stopped| *stopped) => {}
                _ = future => {}
            }
        });
    }

    /// Tells all tasks to end. Returns at once.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the last task has ended.
    pub(crate) async fn ended(&self) {
        self.stop.closed().await;
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}
