//! The subscribers of each [`Meetings`](crate::Meetings).

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use webex_core::{Subscription, events::Hub};

use crate::events::MeetingsEvent;

/// The subscribers of one object. All get the same events, except [`MeetingsEvent::Ready`], which
/// each object emits once.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    hub: Hub<MeetingsEvent>,
    ready: Mutex<Ready>,
}

#[derive(Debug, Default)]
struct Ready {
    at_hand: bool,
    subscribed: bool,
    told: bool,
}

impl Listener {
    /// Subscribes to events from now on. The first subscriber gets the event that the device is
    /// ready, even if it has been for a while.
    pub(crate) fn subscribe(&self) -> Subscription<MeetingsEvent> {
        let events = self.hub.subscribe();
        self.note(|ready| ready.subscribed = true);
        events
    }

    /// Reports that the device can be registered.
    pub(crate) fn ready(&self) {
        self.note(|ready| ready.at_hand = true);
    }

    fn note(&self, what: impl FnOnce(&mut Ready)) {
        let mut ready = self.ready.lock();
        what(&mut ready);
        if ready.at_hand && ready.subscribed && !ready.told {
            ready.told = true;
            self.hub.emit(&MeetingsEvent::Ready);
        }
    }
}

/// The subscribers of all objects of one user.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<Vec<Weak<Listener>>>);

impl Listeners {
    pub(crate) fn add(&self) -> Arc<Listener> {
        let listener = Arc::default();
        let mut listeners = self.0.lock();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&listener));
        listener
    }

    pub(crate) fn emit(&self, event: &MeetingsEvent) {
        for listener in self.0.lock().iter().filter_map(Weak::upgrade) {
            if *event == MeetingsEvent::Registered {
                // A registered device was ready before.
                listener.ready();
            }
            listener.hub.emit(event);
        }
    }
}
