//! A user of a sandbox with a link, and helpers that wait for its events.

#![allow(dead_code)] // each test file uses its part

use webex_core::{Credentials, Lease, LinkEvent, Subscription, Webex};
use webex_sandbox::{Sandbox, Socket};
pub(crate) use webex_tests::{user::client, wait::until};

/// A user with these credentials.
pub(crate) fn client_with(sandbox: &Sandbox, credentials: Credentials) -> Webex {
    webex_tests::user::builder(sandbox).credentials(credentials).build().unwrap()
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
