//! How a line tells its events: complete, and in the vocabulary that the application asked for.

use std::sync::Arc;

use webex_core::{Subscription, events::Hub};

use super::{LineErrorType, LineEvent, LineInfo, Unregistered};
use crate::client::UserRecord;

/// Where a line's task sends events, and where applications hear them.
#[derive(Debug)]
pub(crate) struct Voice {
    hub: Hub<LineEvent>,
    user: UserRecord,
    /// See [`CallingConfig::unregistered_per_server`](crate::CallingConfig::unregistered_per_server).
    unregistered_per_server: bool,
}

impl Voice {
    pub(crate) fn new(user: UserRecord, unregistered_per_server: bool) -> Self {
        Self { hub: Hub::default(), user, unregistered_per_server }
    }

    pub(crate) fn subscribe(&self) -> Subscription<LineEvent> {
        self.hub.subscribe()
    }

    /// What is known of the line, with what the user's record has told so far.
    pub(crate) fn complete(&self, info: &Arc<LineInfo>) -> Arc<LineInfo> {
        match self.user.person() {
            Some(person) => info.with_person(person),
            None => Arc::clone(info),
        }
    }

    /// Tells all subscribers.
    pub(crate) fn emit(&self, event: &LineEvent) {
        match event {
            LineEvent::Registered(info) => {
                self.hub.emit(&LineEvent::Registered(self.complete(info)));
            }
            LineEvent::ServerFailed { server, error } => {
                self.hub.emit(event);
                // The reference client says nothing of a server that only wants more time.
                let tells = error.kind != LineErrorType::TooManyRequests;
                if self.unregistered_per_server && tells {
                    let (reason, server) = (Unregistered::Refused(error.clone()), server.clone());
                    self.hub.emit(&LineEvent::Unregistered { reason, server: Some(server) });
                }
            }
            other => self.hub.emit(other),
        }
    }
}
