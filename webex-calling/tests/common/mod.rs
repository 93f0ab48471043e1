//! A calling client at a sandbox, and its events.

#![allow(dead_code)] // each test program uses its part

use webex_calling::{CallingClient, CallingConfig, Line, LineEvent};
use webex_core::{Endpoints, Subscription, Webex};
use webex_sandbox::Sandbox;
use webex_tests::{user::builder, wait::next};

/// The sandbox as a cloud with further origins.
pub(crate) fn cloud(sandbox: &Sandbox, places: &[&str]) -> Endpoints {
    let own = Endpoints::at(sandbox.origin().as_str()).unwrap();
    let trusting = |cloud: Endpoints, at: &&str| cloud.trusting(&format!("https://{at}")).unwrap();
    places.iter().fold(own, trusting)
}

/// The sandbox's user. Its cloud includes the further Mobius servers of tests.
pub(crate) fn client(sandbox: &Sandbox) -> Webex {
    let port = sandbox.origin().port().unwrap();
    let cloud = cloud(sandbox, &[&format!("localhost:{port}"), "127.0.0.1:1"]);
    builder(sandbox).endpoints(cloud).build().unwrap()
}

pub(crate) async fn calling(sandbox: &Sandbox) -> (CallingClient, Line, Subscription<LineEvent>) {
    configured(sandbox, CallingConfig::default()).await
}

pub(crate) async fn configured(
    sandbox: &Sandbox,
    config: CallingConfig,
) -> (CallingClient, Line, Subscription<LineEvent>) {
    let calling = CallingClient::new(&client(sandbox), config).await.unwrap();
    let line = calling.lines().remove(0);
    let events = line.subscribe();
    (calling, line, events)
}

/// The names of the next events.
pub(crate) async fn names<const N: usize>(
    events: &mut Subscription<LineEvent>,
) -> [&'static str; N] {
    let mut names = [""; N];
    for name in &mut names {
        *name = next(events).await.name();
    }
    names
}
