//! Ends devices and lines whose lifetime is over.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::World;
use crate::state::expiry::Expiring;

/// Runs for the life of the sandbox.
pub(crate) async fn run(world: Arc<World>) {
    loop {
        end_expired(&world);
        let wake = world.expiry.wake.notified();
        match world.expiry.next() {
            Some(at) => tokio::select! {
                () = sleep_until(at) => {}
                () = wake => {}
            },
            None => wake.await,
        }
    }
}

fn end_expired(world: &Arc<World>) {
    let now = Instant::now();
    while let Some(record) = world.expiry.pop_due(now) {
        let expires = match &record {
            Expiring::Device(id) => world.devices.lock().get(id).map(|entry| entry.expires),
            Expiring::Line(id) => world.lines.lock().get(id).map(|entry| entry.expires),
        };
        match (expires, &record) {
            (None, _) => {}
            (Some(expires), _) if expires > now => world.expiry.arm(expires, record),
            (Some(_), Expiring::Device(id)) => {
                world.remove_device(id, true);
            }
            (Some(_), Expiring::Line(id)) => {
                world.remove_line(id, true);
            }
        }
    }
}
