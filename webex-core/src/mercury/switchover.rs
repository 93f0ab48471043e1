//! What is told of a change to another connection.

use super::close::Stop;

/// How the change to another connection goes: when the server of the present one announces its end,
/// or the device has another address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Switchover {
    /// A successor is being made.
    Announced,
    /// The successor has taken over.
    Complete,
    /// There will be no successor; the connection stays until the server ends it.
    Failed(Stop),
}
