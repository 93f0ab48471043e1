//! The interface between the HTTP client and the catalog's hosts.

use std::fmt;

use url::Url;

use crate::error::HttpError;

/// Knowledge about the hosts of services. The client asks before a request and reports after it.
/// The service catalog implements it.
pub(crate) trait HostPolicy: fmt::Debug + Send + Sync {
    /// Whether a service is listed at this host and port.
    fn lists(&self, host: &str, port: u16) -> bool;

    /// Where to send a request for this URL: to its own host, or to another host of the same
    /// service while that one has failed.
    fn place(&self, url: &Url) -> Url;

    /// Reports the outcome of a request to this URL, after [`place`](Self::place): `None` for an
    /// answer below 400.
    fn observe(&self, url: &Url, failure: Option<&HttpError>);

    /// Reports that the host of this URL does not work.
    fn mark_failed(&self, url: &Url);

    /// Reports that the network has changed, so that earlier failures no longer count.
    fn forget_failures(&self);
}
