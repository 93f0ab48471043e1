//! Fetches the user's record, for phone number and extension of the lines.
//!
//! It is requested once per client, beside the registration, and nothing waits for it. A user who
//! may not read it, or has none, has lines without a number.

use std::sync::Arc;

use tokio::{sync::watch, task::AbortHandle};
use tracing::debug;
use webex_core::{HttpError, Request, Webex, join};

use crate::model::person::Person;

/// A request for the record, in the background. Dropping it withdraws the request.
#[derive(Debug)]
pub(super) struct PersonRequest {
    task: AbortHandle,
    record: watch::Receiver<Option<Arc<Person>>>,
}

impl PersonRequest {
    pub(super) fn start(webex: &Webex) -> Self {
        let (publish, record) = watch::channel(None);
        let webex = webex.clone();
        let task = tokio::spawn(async move {
            match fetch(&webex).await {
                Ok(person) => drop(publish.send_replace(Some(Arc::new(person)))),
                // A line works without it.
                Err(error) => debug!(%error, "the user's record is not available"),
            }
        });
        Self { task: task.abort_handle(), record }
    }

    /// Returns the record, once it is known.
    pub(super) fn record(&self) -> watch::Receiver<Option<Arc<Person>>> {
        self.record.clone()
    }
}

impl Drop for PersonRequest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn fetch(webex: &Webex) -> Result<Person, HttpError> {
    let mut url = join(&webex.endpoints().webexapis, "people/me");
    // Without it the answer leaves out the fields of Webex Calling.
    url.query_pairs_mut().append_pair("callingData", "true");
    webex.http().send(Request::get(url)).await?.json()
}
