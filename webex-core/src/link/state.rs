//! The readable state of the link.

use std::sync::Arc;

use super::{error::LinkError, machine::Phase};
use crate::device::record::Device;

/// The state of the link.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LinkState {
    /// Its phase.
    pub phase: Phase,
    /// The device, while one is registered.
    pub device: Option<Arc<Device>>,
    /// Whether the socket is online.
    pub online: bool,
    /// The latest failure of the current attempt.
    pub failure: Option<LinkError>,
    /// The error of the last [`LinkEvent::Retrying`](super::event::LinkEvent::Retrying), while several
    /// attempts have failed and they go on.
    pub trouble: Option<LinkError>,
}
