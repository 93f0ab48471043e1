//! The Mobius servers of a line.

use url::Url;

/// The servers to register with, best first. Each is a calling base URL, ending in `/calling/web/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Servers {
    /// The servers of the user's region.
    pub primary: Vec<Url>,
    /// The servers to use while no primary accepts the line.
    pub backup: Vec<Url>,
}

impl Servers {
    /// Whether there is no server at all.
    pub fn is_empty(&self) -> bool {
        self.primary.is_empty() && self.backup.is_empty()
    }

    /// All servers, primaries first. A server in both lists comes twice.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Url> {
        self.primary.iter().chain(&self.backup)
    }
}
