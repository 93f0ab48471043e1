//! The result of a call, as a number.

use std::ffi::CStr;

use safer_ffi::derive_ReprC;
use webex_sdk::core::ErrorKind;

/// The result of a call or an operation. Zero is success.
///
/// Numbers are never reused; later versions add some, so handle unknown ones as failures. Below 16
/// the program used this interface wrongly or the SDK is broken; from 16 on the program can react
/// to what happened.
#[derive_ReprC]
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Success.
    Ok = 0,
    /// The handle is invalid, was freed, or is of another kind.
    InvalidHandle = 1,
    /// An argument is NULL where it must not be, not UTF-8, out of range, or of a version that this
    /// library does not support.
    InvalidArgument = 2,
    /// The SDK failed internally. This is a bug; the object may no longer be usable.
    Panic = 3,
    /// The operating system refused something the SDK needs, such as a thread; or the failure is of
    /// a kind without a number in this version. See the message.
    Internal = 4,
    /// The service does not accept the token, and there is no other. Sign in again.
    Unauthorized = 16,
    /// The user may not do this. Retrying does not help; an administrator might.
    Forbidden = 17,
    /// The requested object does not exist, or no longer does.
    NotFound = 18,
    /// Too many requests. Wait; the JSON of the event has `retryAfterMs` if the service gave a
    /// time.
    RateLimited = 19,
    /// The service could not be reached. Retrying helps once the network is back.
    Network = 20,
    /// It took longer than allowed.
    Timeout = 21,
    /// The service failed. Retrying later helps.
    Server = 22,
    /// The service rejected the request.
    Rejected = 23,
    /// The program cancelled the operation, or freed its object.
    Cancelled = 24,
    /// Not possible in the present state.
    InvalidState = 25,
    /// The service sent something that does not follow the protocol.
    Protocol = 26,
    /// The options are wrong.
    Configuration = 27,
    /// The service may not serve the user where the user is, for legal reasons. The user has been
    /// signed out.
    Embargoed = 28,
    /// The certificate of the service is not trusted, usually because of a proxy that inspects TLS.
    /// Trust its root with `ca_file` or `ca_pem`; retrying does not help.
    Untrusted = 29,
    /// The store of tokens is damaged, or cannot be read or written.
    Store = 30,
    /// The authorization server refused the application itself, its client secret for example. The
    /// user's sign-in is not at fault.
    ClientRefused = 31,
    /// The user has the maximum number of calling devices.
    DeviceLimit = 32,
    /// This machine has no network. Retrying helps once it has one.
    NoNetwork = 33,
}

impl Status {
    /// All of them, with their names.
    const NAMES: &'static [(Self, &'static CStr)] = &[
        (Self::Ok, c"ok"),
        (Self::InvalidHandle, c"invalid_handle"),
        (Self::InvalidArgument, c"invalid_argument"),
        (Self::Panic, c"panic"),
        (Self::Internal, c"internal"),
        (Self::Unauthorized, c"unauthorized"),
        (Self::Forbidden, c"forbidden"),
        (Self::NotFound, c"not_found"),
        (Self::RateLimited, c"rate_limited"),
        (Self::Network, c"network"),
        (Self::Timeout, c"timeout"),
        (Self::Server, c"server"),
        (Self::Rejected, c"rejected"),
        (Self::Cancelled, c"cancelled"),
        (Self::InvalidState, c"invalid_state"),
        (Self::Protocol, c"protocol"),
        (Self::Configuration, c"configuration"),
        (Self::Embargoed, c"embargoed"),
        (Self::Untrusted, c"untrusted"),
        (Self::Store, c"store"),
        (Self::ClientRefused, c"client_refused"),
        (Self::DeviceLimit, c"device_limit"),
        (Self::NoNetwork, c"no_network"),
    ];

    /// A stable lower-case name.
    pub fn name(self) -> &'static CStr {
        name(self as i32)
    }
}

impl From<ErrorKind> for Status {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unauthorized => Self::Unauthorized,
            ErrorKind::Forbidden => Self::Forbidden,
            ErrorKind::Embargoed => Self::Embargoed,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::RateLimited { .. } => Self::RateLimited,
            ErrorKind::Network => Self::Network,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Server => Self::Server,
            ErrorKind::Rejected => Self::Rejected,
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::InvalidState => Self::InvalidState,
            ErrorKind::Protocol => Self::Protocol,
            ErrorKind::Configuration => Self::Configuration,
            ErrorKind::Untrusted => Self::Untrusted,
            ErrorKind::Store => Self::Store,
            ErrorKind::ClientRefused => Self::ClientRefused,
            ErrorKind::DeviceLimit => Self::DeviceLimit,
            ErrorKind::NoNetwork => Self::NoNetwork,
            _ => Self::Internal,
        }
    }
}

/// The name of a number; `unknown` when it is not a status.
pub(crate) fn name(status: i32) -> &'static CStr {
    let known = Status::NAMES.iter().find(|(known, _)| *known as i32 == status);
    known.map_or(c"unknown", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_sdk() {
        for kind in [
            ErrorKind::Unauthorized,
            ErrorKind::Forbidden,
            ErrorKind::NotFound,
            ErrorKind::RateLimited { retry_after: None },
            ErrorKind::Network,
            ErrorKind::Timeout,
            ErrorKind::Server,
            ErrorKind::Rejected,
            ErrorKind::Cancelled,
            ErrorKind::InvalidState,
            ErrorKind::Protocol,
            ErrorKind::Configuration,
            ErrorKind::Embargoed,
            ErrorKind::Untrusted,
            ErrorKind::NoNetwork,
            ErrorKind::Store,
            ErrorKind::ClientRefused,
            ErrorKind::DeviceLimit,
        ] {
            assert_eq!(Status::from(kind).name().to_str(), Ok(kind.name()));
        }
    }

    #[test]
    fn an_unknown_number_has_a_name_too() {
        for number in [-1, 5, 15, 34, i32::MAX, i32::MIN] {
            assert_eq!(name(number), c"unknown", "{number}");
        }
    }
}
