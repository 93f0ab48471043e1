//! What the HTTP client asks about hosts, and tells about them.

use std::fmt;

use url::Url;

use crate::error::HttpError;

/// What is known of the hosts of services: the client asks before a request and tells after it. The
/// service catalog implements it.
pub(crate) trait HostPolicy: fmt::Debug + Send + Sync {
    /// Whether a service is listed at this host and port.
    fn lists(&self, host: &str, port: u16) -> bool;

    /// Where to send a request for this URL: to its own host, or to another one that serves the
    /// same while that one has failed.
    fn place(&self, url: &Url) -> Url;

    /// Reports what came of a request to this URL, after [`place`](Self::place): `None` for an
    /// answer below 400.
    fn observe(&self, url: &Url, failure: Option<&HttpError>);

    /// Reports that the host of this URL does not work.
    fn mark_failed(&self, url: &Url);

    /// Reports that the network is another one: what failed before says nothing any more.
    fn forgive(&self);
}
