//! A host outside the cloud: a port of this machine that must not even get a connection.

use std::net::TcpListener;

/// A listener that accepts nothing by itself, so that every connection to it is still waiting when
/// the test asks.
pub struct Stranger(TcpListener);

impl Stranger {
    /// Listens on a free port.
    ///
    /// # Panics
    /// When the machine has none.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket option");
        Self(listener)
    }

    /// Host and port.
    ///
    /// # Panics
    /// When the listener has no address.
    pub fn authority(&self) -> String {
        self.0.local_addr().expect("its address").to_string()
    }

    /// An address on it; `path` begins with a slash.
    pub fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.authority())
    }

    /// Asserts that nobody has connected.
    ///
    /// # Panics
    /// When somebody has; the message ends with `why`.
    #[track_caller]
    pub fn assert_alone(&self, why: &str) {
        assert!(self.0.accept().is_err(), "somebody came: {why}");
    }
}
