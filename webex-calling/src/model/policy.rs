//! What an application may choose about a line's registration.

use std::{fmt, time::Duration};

/// Time between the failure of all servers and the next attempt, by default. The reference client
/// makes none. Five minutes: soon enough for people, rare enough for a service in trouble.
pub const SLOW_RETRY: Duration = Duration::from_secs(300);

/// The shortest such time that an application may choose. Each attempt asks all servers, so it must
/// not come sooner than the rounds of a normal search, which are at least 30 s apart.
pub const SLOW_RETRY_MIN: Duration = Duration::from_secs(30);

/// Choices about how a line is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrationPolicy {
    /// What to do when the user has as many devices as allowed. Default:
    /// [`DeviceLimit::PreferOwn`].
    pub device_limit: DeviceLimit,
    /// Time between the failure of all servers and the next attempt, varied by up to a fifth. Each
    /// attempt discovers the servers again. `None`: no attempt until
    /// [`Line::register`](crate::Line::register). Default:
    /// [`SLOW_RETRY`](crate::timings::SLOW_RETRY), 5 min. The minimum is
    /// [`SLOW_RETRY_MIN`](crate::timings::SLOW_RETRY_MIN).
    pub slow_retry: Option<Duration>,
}

impl Default for RegistrationPolicy {
    fn default() -> Self {
        Self { device_limit: DeviceLimit::default(), slow_retry: Some(SLOW_RETRY) }
    }
}

/// What to do when Mobius answers that the user has as many devices as allowed (403 with code 101)
/// and lists them.
///
/// The default is a compromise. Deleting the first listed device, as the reference client does, ends
/// somebody's session without asking, and two clients that both do it evict each other for ever.
/// Always failing would lock a client out by a registration of its own, left behind by a crash or a
/// lost answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DeviceLimit {
    /// Delete the first device that the server lists, whoever owns it, and register in its place.
    /// The reference client does this.
    TakeOver,
    /// End with the documented error, "Device limit exceeded".
    Fail,
    /// Delete a listed registration of this client (the same `clientDeviceUri`) and register in its
    /// place. Without one, do as [`Fail`](Self::Fail).
    #[default]
    PreferOwn,
}

/// Tells whether calls are active. While there are any, a line does not move between servers and
/// does not register again: both would end the calls.
pub trait CallActivity: fmt::Debug + Send + Sync + 'static {
    /// Whether the line has a call. Called before a move, and every few seconds while one waits.
    fn is_active(&self) -> bool;
}
