//! What follows when the user has as many devices as allowed (403 with code 101).

use std::{sync::Arc, time::Instant};

use url::Url;
use webex_core::HttpError;

use super::{
    machine::{Action, Machine, Refusal},
    policy::DeviceLimit,
    state::{State, Trying},
};
use crate::{line::LineError, mobius::MobiusDevice};

/// What to do about it.
enum Way {
    /// Delete this device, and register in its place.
    Free(Box<MobiusDevice>),
    /// Ask the next server.
    Next,
    /// Tell the documented error.
    Fail,
}

impl Machine {
    pub(super) fn limited(&mut self, now: Instant, mut trying: Trying, refusal: Refusal) {
        let Refusal { error, devices } = refusal;
        match self.way(devices, trying.freed) {
            Way::Fail => self.fail(error),
            Way::Next => {
                self.failed_at(&trying.server, &error);
                self.ask(now, trying.round, trying.index + 1);
            }
            Way::Free(device) => {
                self.failed_at(&trying.server, &error);
                let server = home(&device).unwrap_or_else(|| trying.server.clone());
                let op = self.op();
                self.act(Action::Deregister(op, server.clone(), Arc::new(*device)));
                (trying.server, trying.freed) = (server, true);
                self.state = State::Freeing { op, trying: Box::new(trying) };
            }
        }
    }

    fn way(&self, mut devices: Vec<(MobiusDevice, bool)>, freed: bool) -> Way {
        let free = |device: Option<(MobiusDevice, bool)>, otherwise| {
            device.map_or(otherwise, |(device, _)| Way::Free(Box::new(device)))
        };
        match self.policy.device_limit {
            // Making room once did not help: no second victim.
            _ if freed => Way::Next,
            DeviceLimit::Fail => Way::Fail,
            DeviceLimit::TakeOver => free(devices.drain(..).next(), Way::Next),
            DeviceLimit::PreferOwn => free(devices.into_iter().find(|(_, ours)| *ours), Way::Fail),
        }
    }

    /// The other device is gone, or could not be deleted: the answer to the registration tells.
    pub(super) fn freed(&mut self, now: Instant, trying: Trying, answer: Result<(), HttpError>) {
        if let Err(error) = answer {
            self.note_busy(now, &trying.server, &LineError::from(error));
        }
        if self.busy_for(now, &trying.server).is_zero() {
            self.ask_server(now, trying.server, trying.round, trying.index, true);
        } else {
            self.ask(now, trying.round, trying.index + 1);
        }
    }
}

/// The calling base of the server that has the device: its address without `devices/{id}`.
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
