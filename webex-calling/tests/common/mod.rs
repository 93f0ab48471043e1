//! A calling client at a sandbox, and what it tells.

#![allow(dead_code)] // each test program uses its part

use std::time::Duration;

use webex_calling::{CallingClient, CallingConfig, Line, LineEvent};
use webex_core::{Credentials, Endpoints, Subscription, Transport, Webex};
use webex_sandbox::Sandbox;

/// Longest wait for anything that should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The sandbox as a cloud that has further places.
pub(crate) fn cloud(sandbox: &Sandbox, places: &[&str]) -> Endpoints {
    let own = Endpoints::at(sandbox.origin().as_str()).unwrap();
    let trusting = |cloud: Endpoints, at: &&str| cloud.trusting(&format!("https://{at}")).unwrap();
    places.iter().fold(own, trusting)
}

/// The sandbox's user. Its cloud is also where tests place further Mobius servers.
pub(crate) fn client(sandbox: &Sandbox) -> Webex {
    let ca = sandbox.ca_pem().unwrap().as_bytes();
    let port = sandbox.origin().port().unwrap();
    Webex::builder()
        .credentials(Credentials::access_token(sandbox.token()))
        .endpoints(cloud(sandbox, &[&format!("localhost:{port}"), "127.0.0.1:1"]))
        .transport(Transport::builder().extra_roots_pem(ca).unwrap().build().unwrap())
        .build()
        .unwrap()
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

pub(crate) async fn next(events: &mut Subscription<LineEvent>) -> LineEvent {
    tokio::time::timeout(PATIENCE, events.next()).await.expect("in time").expect("open")
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

pub(crate) fn assert_empty(sandbox: &Sandbox) {
    let counts = sandbox.counts();
    assert_eq!((counts.devices, counts.sockets, counts.lines), (0, 0, 0));
}
