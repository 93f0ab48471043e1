//! What can be read of the link at any moment.

use std::sync::Arc;

use super::{error::LinkError, machine::Phase};
use crate::device::record::Device;

/// What the link is at.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LinkState {
    /// Where it is.
    pub phase: Phase,
    /// The device, while one is registered.
    pub device: Option<Arc<Device>>,
    /// Whether the socket is online.
    pub online: bool,
    /// The latest failure of the present attempt.
    pub failure: Option<LinkError>,
}
