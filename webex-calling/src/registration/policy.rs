//! What an application may choose about a line's registration.

use std::{fmt, time::Duration};

use super::timings::SLOW_RETRY;

/// Choices about how a line is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrationPolicy {
    /// What to do when the user has as many devices as allowed. Default:
    /// [`DeviceLimit::PreferOwn`].
    pub device_limit: DeviceLimit,
    /// How long after all servers have refused the line they are tried again, give or take a fifth;
    /// which servers there are is asked for anew each time. `None`: not until
    /// [`Line::register`](crate::Line::register). Default: [`SLOW_RETRY`], 5 min; less than
    /// [`SLOW_RETRY_MIN`](super::timings::SLOW_RETRY_MIN) counts as that.
    pub slow_retry: Option<Duration>,
}

impl Default for RegistrationPolicy {
    fn default() -> Self {
        Self { device_limit: DeviceLimit::default(), slow_retry: Some(SLOW_RETRY) }
    }
}

/// What to do when Mobius answers that the user has as many devices as allowed (403 with code
/// 101), and names them.
///
/// The default is the middle way. Taking the first device listed, as the reference client does,
/// ends somebody's session unasked, and two clients that both do it throw each other out for ever.
/// Failing always would lock a client out by its own earlier registration, when it has crashed or
/// a lost answer left one behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum DeviceLimit {
    /// Delete the first device that the server lists, whosever it is, and register in its place:
    /// what the reference client does.
    TakeOver,
    /// End with the documented error, "Device limit exceeded".
    Fail,
    /// Delete the listed registration of this very client (the same `clientDeviceUri`) and register
    /// in its place; when there is none, as [`Fail`](Self::Fail).
    #[default]
    PreferOwn,
}

/// Tells whether calls are going on. While there are any, a line is not moved between servers and
/// not registered anew: both would end the calls.
pub trait CallActivity: fmt::Debug + Send + Sync + 'static {
    /// Whether the line has a call. Asked before a move, and every few seconds while one waits.
    fn is_active(&self) -> bool;
}
