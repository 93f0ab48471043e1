//! The readable state of a Meetings device, and the events of its changes.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    error::MeetingsError,
    events::MeetingsEvent,
    listeners::Listeners,
    progress::{MeetingsInfo, RegistrationStatus, Step, StepState},
};

/// The state of the Meetings device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MeetingsState {
    /// Not registered.
    #[default]
    Unregistered,
    /// [`Meetings::register`](crate::Meetings::register) is in progress.
    Registering,
    /// Registered: events arrive, or the socket is being reopened.
    Registered,
    /// [`Meetings::unregister`](crate::Meetings::unregister) is in progress.
    Unregistering,
    /// It was unregistered, but the service did not confirm that the device is gone, or the call
    /// was dropped: no events arrive. Unregistering again repeats the request; registering works,
    /// too.
    Unconfirmed,
    /// The device or the event socket was refused ([`Meetings::failure`](crate::Meetings::failure)
    /// has the reason): no events arrive. A failure for lack of a token ends by itself when there
    /// is a new one; otherwise registering tries again. Unregistering gives up the device.
    Failed,
}

/// The readable side of a device, shared with the tasks that change it.
#[derive(Debug, Default)]
pub(crate) struct Status {
    now: Mutex<Now>,
    pub(crate) events: Listeners,
}

#[derive(Debug, Default)]
struct Now {
    state: MeetingsState,
    /// Counts the transitions, so that a cancelled one does not undo a later one.
    transition: u64,
    steps: RegistrationStatus,
    info: MeetingsInfo,
    failure: Option<Arc<MeetingsError>>,
}

impl Status {
    pub(crate) fn state(&self) -> MeetingsState {
        self.now.lock().state
    }

    pub(crate) fn steps(&self) -> RegistrationStatus {
        self.now.lock().steps
    }

    pub(crate) fn info(&self) -> MeetingsInfo {
        self.now.lock().info.clone()
    }

    pub(crate) fn failure(&self) -> Option<Arc<MeetingsError>> {
        self.now.lock().failure.clone()
    }

    /// Records that a step has ended.
    pub(crate) fn step(&self, step: Step, well: bool, keep: impl FnOnce(&mut MeetingsInfo)) {
        {
            let mut now = self.now.lock();
            now.steps.set(step, if well { StepState::Done } else { StepState::Failed });
            keep(&mut now.info);
        }
        self.events.emit(&MeetingsEvent::Step { step, succeeded: well });
    }

    /// Records that the registration was lost, or failed for lack of a token.
    pub(crate) fn fail(&self, error: MeetingsError) {
        let error = Arc::new(error);
        {
            let mut now = self.now.lock();
            if now.state != MeetingsState::Registered {
                return;
            }
            now.state = MeetingsState::Failed;
            now.failure = Some(Arc::clone(&error));
        }
        self.events.emit(&MeetingsEvent::Failed(error));
    }

    /// Records that a failed registration works again. Returns false when it had not failed.
    pub(crate) fn recover(&self) -> bool {
        {
            let mut now = self.now.lock();
            if now.state != MeetingsState::Failed {
                return false;
            }
            now.state = MeetingsState::Registered;
            now.failure = None;
            for step in [Step::DeviceRegister, Step::MercuryConnect] {
                now.steps.set(step, StepState::Done);
            }
        }
        self.events.emit(&MeetingsEvent::Registered);
        true
    }
}

/// A change in progress. It ends in the state given to [`end`](Self::end), or in the one given at
/// the beginning when its future is dropped.
pub(crate) struct Transition {
    status: Arc<Status>,
    number: u64,
    otherwise: MeetingsState,
}

impl Transition {
    pub(crate) fn begin(
        status: &Arc<Status>,
        during: MeetingsState,
        otherwise: MeetingsState,
    ) -> Self {
        let mut now = status.now.lock();
        now.transition += 1;
        now.state = during;
        if during == MeetingsState::Registering {
            now.steps = RegistrationStatus::default();
            now.failure = None;
        }
        Self { status: Arc::clone(status), number: now.transition, otherwise }
    }

    /// Sets the state, and then emits the event.
    pub(crate) fn end(mut self, after: MeetingsState, event: &MeetingsEvent) {
        let status = Arc::clone(&self.status);
        if after == MeetingsState::Unregistered {
            let mut now = status.now.lock();
            (now.steps, now.info) = Default::default();
        }
        self.otherwise = after;
        drop(self);
        status.events.emit(event);
    }

    /// Ends without an event.
    pub(crate) fn end_quietly(mut self, after: MeetingsState) {
        self.otherwise = after;
    }

    /// Ends in a failed registration, which waits for a new token.
    pub(crate) fn fail(self, error: MeetingsError) {
        let error = Arc::new(error);
        self.status.now.lock().failure = Some(Arc::clone(&error));
        self.end(MeetingsState::Failed, &MeetingsEvent::Failed(error));
    }
}

impl Drop for Transition {
    fn drop(&mut self) {
        let mut now = self.status.now.lock();
        if now.transition == self.number {
            now.state = self.otherwise;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawn_transition_does_not_undo_the_one_that_came_after_it() {
        let status = Arc::new(Status::default());
        let begin = |during, otherwise| Transition::begin(&status, during, otherwise);
        let registering = begin(MeetingsState::Registering, MeetingsState::Unregistered);
        let unregistering = begin(MeetingsState::Unregistering, MeetingsState::Unconfirmed);
        drop(registering);
        assert_eq!(status.state(), MeetingsState::Unregistering);
        // The present one ends in what was given for it.
        drop(unregistering);
        assert_eq!(status.state(), MeetingsState::Unconfirmed);
        let last = begin(MeetingsState::Registering, MeetingsState::Unregistered);
        last.end_quietly(MeetingsState::Registered);
        assert_eq!(status.state(), MeetingsState::Registered);
    }
}
