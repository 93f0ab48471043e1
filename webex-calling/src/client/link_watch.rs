//! Reports when no events arrive: the event socket cannot be opened, or was refused.
//!
//! Lines stay registered meanwhile, but nobody hears of their calls.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use webex_core::{LinkEvent, Webex, events::Hub};

use crate::model::client_error::CallingEvent;

/// Follows the link in the background, until it is dropped.
#[derive(Debug)]
pub(super) struct LinkWatch {
    task: AbortHandle,
    unavailable: Arc<Mutex<Option<CallingEvent>>>,
}

impl LinkWatch {
    pub(super) fn start(webex: &Webex, events: Arc<Hub<CallingEvent>>) -> Self {
        let mut link = webex.link().subscribe();
        // Told once, maybe before this client was made: another product shares the link.
        let trouble = webex.link().state().trouble.map(CallingEvent::Retrying);
        let unavailable = Arc::new(Mutex::new(trouble));
        let known = Arc::clone(&unavailable);
        let task = tokio::spawn(async move {
            while let Some(event) = link.next().await {
                let event = match event {
                    LinkEvent::Retrying(error) => CallingEvent::Retrying(error),
                    LinkEvent::Failed(error) => CallingEvent::Failed(error),
                    LinkEvent::Online if known.lock().is_some() => CallingEvent::Connected,
                    _ => continue,
                };
                // It can be read before the event is emitted.
                let ends = matches!(event, CallingEvent::Connected);
                *known.lock() = (!ends).then(|| event.clone());
                events.emit(&event);
            }
        });
        Self { task: task.abort_handle(), unavailable }
    }

    /// Returns the event that said so, while no events arrive.
    pub(super) fn unavailable(&self) -> Option<CallingEvent> {
        self.unavailable.lock().clone()
    }
}

impl Drop for LinkWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
