//! Fetches the user's record, for phone number and extension of the lines.
//!
//! It is requested once, beside the registration, and nothing waits for it. A user who may not read
//! it, or has none, has lines without a number.

use std::sync::Arc;

use tokio::{sync::watch, task::AbortHandle};
use tracing::debug;
use webex_core::{User, Webex};

/// A request for the record, in the background. Dropping it withdraws the request.
#[derive(Debug)]
pub(super) struct UserRequest {
    task: AbortHandle,
    record: watch::Receiver<Option<Arc<User>>>,
}

impl UserRequest {
    pub(super) fn start(webex: &Webex) -> Self {
        let (publish, record) = watch::channel(None);
        let webex = webex.clone();
        let task = tokio::spawn(async move {
            match webex.user().await {
                Ok(user) => drop(publish.send_replace(Some(user))),
                // A line works without it.
                Err(error) => debug!(%error, "the user's record is not available"),
            }
        });
        Self { task: task.abort_handle(), record }
    }

    /// Returns the record, once it is known.
    pub(super) fn record(&self) -> watch::Receiver<Option<Arc<User>>> {
        self.record.clone()
    }
}

impl Drop for UserRequest {
    fn drop(&mut self) {
        self.task.abort();
    }
}
