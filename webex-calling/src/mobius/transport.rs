//! What a line needs from the network.
//!
//! Every request names its server. A line connects before its first request to a server and
//! disconnects after the last, so that a transport may hold a connection per server.

use std::{fmt, future::Future, pin::Pin};

use futures_util::{Stream, future};
use url::Url;
use webex_core::HttpError;

use super::wire::{MobiusDevice, Registration};

/// The answer to a request. It comes in bounded time.
pub(crate) type MobiusFuture<T, E = HttpError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Why there is no registration.
#[derive(Debug)]
pub(crate) struct RegisterError {
    pub(crate) error: HttpError,
    /// A registration that the server made although its answer cannot be used.
    pub(crate) unusable: Option<MobiusDevice>,
}

impl From<HttpError> for RegisterError {
    fn from(error: HttpError) -> Self {
        Self { error, unusable: None }
    }
}

/// Events, until the transport is closed.
pub(crate) type MobiusEvents = Pin<Box<dyn Stream<Item = MobiusEvent> + Send>>;

/// What a transport reports unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MobiusEvent {
    /// The server has dropped a registration: `registration.down`.
    RegistrationDown {
        /// Id of the Mobius device; `None` means every line of this transport.
        device_id: Option<String>,
    },
    /// The network, or the connection to it, has changed.
    Network(NetworkHint),
    /// There is a new token.
    TokenAvailable,
    /// The user's WDM device was registered again, with this address.
    DeviceReplaced(String),
}

/// A sign of a change of the network, from the event socket or from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NetworkHint {
    /// The event socket is closed.
    Offline,
    /// The event socket is open (again).
    Online,
    /// The host reports a change of the network.
    Changed,
    /// The host, or its clock, reports that the machine was asleep.
    Resumed,
}

/// The requests of a line. Servers are named by their calling base URL.
///
/// Dropping a future withdraws the request if it has not been sent yet.
pub(crate) trait MobiusTransport: fmt::Debug + Send + Sync + 'static {
    /// Prepares for requests to a server. Makes one attempt only, so that the next server is tried
    /// soon. Does nothing when already connected.
    fn connect(&self, _server: &Url) -> MobiusFuture<()> {
        Box::pin(future::ready(Ok(())))
    }

    /// Registers the user's line with a server.
    fn register(&self, server: &Url) -> MobiusFuture<Registration, RegisterError>;

    /// Sends a keepalive.
    fn keepalive(&self, server: &Url, device: &MobiusDevice) -> MobiusFuture<()>;

    /// Deletes a registration.
    fn unregister(&self, server: &Url, device: &MobiusDevice) -> MobiusFuture<()>;

    /// Asks a server whether it is up. Works without [`connect`](Self::connect).
    fn ping(&self, server: &Url) -> MobiusFuture<()>;

    /// Releases what [`connect`](Self::connect) prepared: nothing is registered with the server.
    fn disconnect(&self, _server: &Url) {}

    /// Whether a listed registration is of this client: it names a WDM device that was sent in a
    /// registration request.
    fn is_ours(&self, device: &MobiusDevice) -> bool;

    /// Returns the events from now on.
    fn events(&self) -> MobiusEvents;
}
