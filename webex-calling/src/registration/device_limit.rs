//! The user has as many devices as allowed (403 with code 101).

use std::{sync::Arc, time::Instant};

use url::Url;
use webex_core::HttpError;

use super::{
    machine::Machine,
    state::{Action, Attempt, Refusal, State},
};
use crate::{
    mobius::wire::MobiusDevice,
    model::{error::LineError, event::Unregistered, policy::DeviceLimit},
};

/// What to do about it.
enum Reaction {
    /// Delete this device, and register in its place.
    Delete(Box<MobiusDevice>),
    /// Ask the next server.
    Next,
    /// End with the documented error.
    Fail,
}

impl Machine {
    pub(super) fn on_device_limit(&mut self, now: Instant, mut attempt: Attempt, refusal: Refusal) {
        let Refusal { error, devices, .. } = refusal;
        let is_taken = !devices.iter().any(|(_, ours)| *ours);
        let is_taken = is_taken && self.loss.is_some();
        match self.reaction(devices, attempt.room_made) {
            Reaction::Fail if is_taken => self.on_taken(error),
            Reaction::Fail => self.fail(now, error),
            Reaction::Next => {
                self.failed_at(&attempt.server, &error);
                self.ask(now, attempt.round, attempt.index + 1);
            }
            Reaction::Delete(device) => {
                self.failed_at(&attempt.server, &error);
                let server = home(&device).unwrap_or_else(|| attempt.server.clone());
                let op = self.op();
                self.act(Action::Deregister(op, server.clone(), Arc::new(*device)));
                (attempt.server, attempt.room_made) = (server, true);
                self.state = State::MakingRoom { op, attempt: Box::new(attempt) };
            }
        }
    }

    /// The server no longer knew the line, and others now have the user's places: one of them took its
    /// place.
    fn on_taken(&mut self, error: LineError) {
        let server = self.loss.take().map(|loss| loss.server);
        let error = error.superseded().not_retried();
        self.stop(&error);
        self.unregistered(Unregistered::Superseded(error), server, false);
    }

    fn reaction(&self, mut devices: Vec<(MobiusDevice, bool)>, room_made: bool) -> Reaction {
        let delete = |device: Option<(MobiusDevice, bool)>, otherwise| {
            device.map_or(otherwise, |(device, _)| Reaction::Delete(Box::new(device)))
        };
        match self.settings.policy.device_limit {
            // Making room once did not help: no second device is deleted.
            _ if room_made => Reaction::Next,
            DeviceLimit::Fail => Reaction::Fail,
            DeviceLimit::TakeOver => delete(devices.drain(..).next(), Reaction::Next),
            DeviceLimit::PreferOwn => {
                delete(devices.into_iter().find(|(_, ours)| *ours), Reaction::Fail)
            }
        }
    }

    /// The answer to the deletion of the other device. If that failed, the registration fails too.
    pub(super) fn on_room_made(
        &mut self,
        now: Instant,
        attempt: Attempt,
        answer: Result<(), HttpError>,
    ) {
        if let Err(error) = answer {
            self.note_busy(now, &attempt.server, &LineError::from(error));
        }
        if self.busy_for(now, &attempt.server).is_zero() {
            self.ask_server(now, attempt.server, attempt.round, attempt.index, true);
        } else {
            self.ask(now, attempt.round, attempt.index + 1);
        }
    }
}

/// Returns the calling base URL of the server that has the device: its URL without `devices/{id}`.
fn home(device: &MobiusDevice) -> Option<Url> {
    let base = device.uri.path().strip_suffix(&format!("devices/{}", device.device_id))?;
    let mut server = device.uri.clone();
    server.set_path(base);
    Some(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_a_device_is_in_its_address() {
        let device = |uri: &str| {
            let json = serde_json::json!({"deviceId": "d-1", "uri": uri});
            home(&serde_json::from_value(json).unwrap())
        };
        assert_eq!(
            device("https://m/api/v1/calling/web/devices/d-1").unwrap().as_str(),
            "https://m/api/v1/calling/web/"
        );
        assert_eq!(device("https://m/elsewhere"), None);
    }
}
