//! Failures that end the program: one line of text, and an exit code for the kind of failure.

use std::{fmt, process::ExitCode};

use webex_sdk::core::ErrorKind;

/// Every exit code, and what it means. The help, the README and the documentation show this table.
pub(crate) const CODES: [(u8, &str); 11] = [
    (0, "done, and nothing is left registered"),
    (
        1,
        "failed; also when it ended before everything was registered, or a server did not confirm a deletion",
    ),
    (2, "wrong usage, or a setting that cannot be used"),
    (3, "not authorized: the token was refused"),
    (4, "the cloud cannot be reached"),
    (5, "the stored sign-in is damaged, or cannot be read or written"),
    (6, "the application was refused: its client id, secret, redirect URI or scopes"),
    (7, "the user has the maximum number of devices"),
    (8, "the certificate of the cloud is not trusted"),
    (9, "not allowed: the user is not entitled, or the service may not serve this place"),
    (10, "the cloud failed, or asked to wait: try again later"),
];

/// A failure that ends the program.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// A failure with one of the [`CODES`].
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The command was used wrongly.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(2, message)
    }

    /// Nobody is signed in, or no longer.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(3, message)
    }

    /// Something else.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::new(1, message)
    }

    /// An error of the SDK, with advice.
    pub(crate) fn sdk(kind: ErrorKind, error: &dyn fmt::Display) -> Self {
        let (code, advice) = of(kind);
        Self::new(code, format!("{advice} ({error})"))
    }

    /// The code, one of the [`CODES`].
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// The same, for the end of the program.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The exit code of a kind of failure, and what to do about it.
pub(crate) fn of(kind: ErrorKind) -> (u8, &'static str) {
    match kind {
        ErrorKind::Configuration => (2, "a setting cannot be used"),
        ErrorKind::Unauthorized => (
            3,
            "not authorized: get a new access token and pass it with --token-file or $WEBEX_ACCESS_TOKEN",
        ),
        ErrorKind::Network | ErrorKind::Timeout => {
            (4, "the cloud cannot be reached: check the network and --cloud")
        }
        ErrorKind::NoNetwork => (4, "there is no network"),
        ErrorKind::Store => (5, "the stored sign-in cannot be used"),
        ErrorKind::ClientRefused => (
            6,
            "the application was refused, not the user: check client id, secret, redirect URI and scopes",
        ),
        ErrorKind::DeviceLimit => (
            7,
            "the user has as many devices as allowed: give one up, or for calling use --on-device-limit take-over",
        ),
        ErrorKind::Untrusted => (8, "this may not be the cloud"),
        ErrorKind::Forbidden => (9, "not allowed: an administrator has to entitle this user"),
        ErrorKind::Embargoed => (9, "not available here, for legal reasons"),
        ErrorKind::RateLimited { .. } => (10, "too many requests: wait a while and try again"),
        ErrorKind::Server => (10, "the cloud failed: try again later"),
        _ => (1, "failed"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The rows of the first table of a page that is headed `| Exit code |`.
    fn documented(page: &str) -> Vec<(u8, String)> {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
        let text = fs::read_to_string(page).unwrap();
        let table = text.lines().skip_while(|line| !line.starts_with("| Exit code |")).skip(2);
        let rows = table.take_while(|line| line.starts_with('|')).map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            (cells[1].parse().unwrap(), cells[2].to_owned())
        });
        rows.collect()
    }

    #[test]
    fn the_readmes_have_every_exit_code() {
        let known = CODES.map(|(code, meaning)| (code, meaning.to_owned()));
        for page in ["README.md", "webex-cli/README.md"] {
            assert_eq!(documented(page), known, "{page}");
        }
    }

    #[test]
    fn each_kind_of_failure_has_the_code_that_says_what_to_do() {
        let retry_after = None;
        for (kind, code) in [
            (ErrorKind::Configuration, 2),
            (ErrorKind::Unauthorized, 3),
            (ErrorKind::Network, 4),
            (ErrorKind::NoNetwork, 4),
            (ErrorKind::Timeout, 4),
            (ErrorKind::Store, 5),
            (ErrorKind::ClientRefused, 6),
            (ErrorKind::DeviceLimit, 7),
            (ErrorKind::Untrusted, 8),
            (ErrorKind::Forbidden, 9),
            (ErrorKind::Embargoed, 9),
            (ErrorKind::RateLimited { retry_after }, 10),
            (ErrorKind::Server, 10),
            (ErrorKind::NotFound, 1),
            (ErrorKind::Rejected, 1),
            (ErrorKind::Cancelled, 1),
            (ErrorKind::InvalidState, 1),
            (ErrorKind::Protocol, 1),
        ] {
            assert_eq!(of(kind).0, code, "{kind:?}");
            assert!(CODES.iter().any(|(known, _)| *known == code), "{code} is not documented");
        }
    }
}
