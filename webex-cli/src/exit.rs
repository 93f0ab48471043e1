//! Failures that end the program: one line of text, and an exit code for the kind of failure.

use std::{fmt, process::ExitCode};

use webex_sdk::core::ErrorKind;

/// A failure that ends the program.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The command was used wrongly.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// Nobody is signed in, or no longer.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self { code: 3, message: message.into() }
    }

    /// Something else.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// An error of the SDK, with advice.
    pub(crate) fn sdk(kind: ErrorKind, error: &dyn fmt::Display) -> Self {
        let (code, advice) = match kind {
            ErrorKind::Unauthorized => (
                3,
                "not authorized: get a new access token and pass it with --token-file or $WEBEX_ACCESS_TOKEN",
            ),
            ErrorKind::Store => (5, "the stored sign-in cannot be used"),
            ErrorKind::ClientRefused => (
                6,
                "the application was refused, not the user: check client id, secret, redirect URI and scopes",
            ),
            ErrorKind::DeviceLimit => (
                7,
                "the user has as many devices as allowed: give one up, or use --on-device-limit take-over",
            ),
            ErrorKind::Untrusted => (8, "this may not be the cloud"),
            ErrorKind::Network | ErrorKind::Timeout => {
                (4, "the cloud cannot be reached: check the network and --cloud")
            }
            ErrorKind::NoNetwork => (4, "there is no network"),
            ErrorKind::Forbidden => (1, "not allowed: an administrator has to entitle this user"),
            ErrorKind::RateLimited { .. } => (1, "too many requests: wait a while and try again"),
            ErrorKind::Server => (1, "the cloud failed: try again later"),
            _ => (1, "failed"),
        };
        Self { code, message: format!("{advice} ({error})") }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
