//! A user of a sandbox with a link, and helpers that wait for its events.

#![allow(dead_code)] // each test file uses its part

use std::time::Duration;

use webex_core::{
    Credentials, Endpoints, Lease, LinkEvent, Subscription, Transport, Webex, events::Lossy,
};
use webex_sandbox::{Sandbox, Socket};

/// Longest wait for anything that should happen soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user without anything registered.
pub(crate) fn client(sandbox: &Sandbox) -> Webex {
    client_with(sandbox, Credentials::access_token(sandbox.token()))
}

/// A user with these credentials.
pub(crate) fn client_with(sandbox: &Sandbox, credentials: Credentials) -> Webex {
    let ca = sandbox.ca_pem().unwrap().as_bytes();
    Webex::builder()
        .credentials(credentials)
        .endpoints(Endpoints::at(sandbox.origin().as_str()).unwrap())
        .transport(Transport::builder().extra_roots_pem(ca).unwrap().build().unwrap())
        .build()
        .unwrap()
}

/// A user whose link is up.
pub(crate) struct Linked {
    pub(crate) sandbox: Sandbox,
    pub(crate) webex: Webex,
    pub(crate) lease: Lease,
    pub(crate) events: Subscription<LinkEvent>,
}

impl Linked {
    pub(crate) async fn start() -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let webex = client(&sandbox);
        let mut events = webex.link().subscribe();
        let lease = webex.link().acquire().await.unwrap();
        lease.online().await.unwrap();
        until(&mut events, |event| matches!(event, LinkEvent::Online)).await;
        Self { sandbox, webex, lease, events }
    }

    /// The newest socket.
    pub(crate) fn socket(&self) -> Socket {
        self.sandbox.sockets().pop().expect("a socket")
    }

    pub(crate) fn close(&self, code: u16, reason: &str) {
        assert!(self.sandbox.close_socket(self.socket().id, code, reason));
    }

    /// Waits for the next event that `wanted` accepts.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&LinkEvent) -> bool) -> LinkEvent {
        until(&mut self.events, wanted).await
    }

    pub(crate) async fn online(&mut self) {
        self.until(|event| matches!(event, LinkEvent::Online)).await;
    }

    /// Gives everything up, and asserts that nothing is left.
    pub(crate) async fn end(self) {
        self.lease.release("done").await.unwrap();
        let empty = |s: &Sandbox| s.sockets().is_empty() && s.devices().is_empty();
        self.sandbox.wait_for(empty).await.unwrap();
    }
}

/// Waits for the next event of a subscription that `wanted` accepts.
pub(crate) async fn until<E: Lossy>(
    events: &mut Subscription<E>,
    wanted: impl Fn(&E) -> bool,
) -> E {
    let search = async {
        loop {
            let event = events.next().await.expect("the source is there");
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("in time")
}
