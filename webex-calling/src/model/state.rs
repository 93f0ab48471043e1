//! Where the registration of a line stands, and what comes next.

/// Where a line's registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LineState {
    /// Not registered, and not meant to be.
    #[default]
    Idle,
    /// A request to register is under way.
    Connecting,
    /// Waiting before the next request, also after all servers have refused.
    Waiting,
    /// Registered.
    Registered,
    /// The registration is being deleted.
    Deregistering,
    /// Ended by an error; [`Line::register`](crate::Line::register) tries again.
    Failed,
}

impl LineState {
    /// Whether the line is not registered and nothing is under way.
    pub(crate) fn is_at_rest(self) -> bool {
        matches!(self, Self::Idle | Self::Failed)
    }
}

/// What a line does next by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Upcoming {
    /// Send a keepalive.
    Keepalive,
    /// Ask the servers again.
    Retry,
    /// Try to move from a backup to a primary.
    Failback,
}
