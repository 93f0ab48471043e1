//! Classifies failures of a connection.

use std::{error::Error, io};

use rustls::{CertificateError, OtherError};
use webex_auth::ServerText;

use crate::error::HttpError;

/// The error for a failed connection to `host`.
pub(super) fn failure(host: &str, error: &(dyn Error + 'static)) -> HttpError {
    let host = host.to_owned();
    // The innermost cause may quote a certificate, or the text of an HTTP/2 server.
    let shown = |reason: &str| ServerText::new(reason).into();
    match kind(error) {
        Kind::Certificate(reason) => HttpError::Certificate { host, reason: shown(&reason) },
        Kind::NoNetwork => HttpError::NoNetwork { host, reason: shown(&innermost(error)) },
        Kind::Other => HttpError::Network { host, reason: shown(&innermost(error)) },
    }
}

enum Kind {
    /// The peer's certificate is not trusted.
    Certificate(String),
    /// This machine has no network.
    NoNetwork,
    Other,
}

fn kind(error: &(dyn Error + 'static)) -> Kind {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(certificate)) = error.downcast_ref() {
            return Kind::Certificate(match certificate {
                CertificateError::Other(OtherError(known)) => known.to_string(),
                other => other.to_string(),
            });
        }
        let Some(system) = error.downcast_ref::<io::Error>() else {
            cause = error.source();
            continue;
        };
        let no_way =
            matches!(system.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown);
        if no_way || is_unresolvable(system) {
            return Kind::NoNetwork;
        }
        // The wrapped error is not the source itself, but has the source.
        cause = match system.get_ref() {
            Some(wrapped) => Some(wrapped),
            None => system.source(),
        };
    }
    Kind::Other
}

/// Whether no name can be looked up at all, as without a network: such errors of the resolver have
/// no kind of their own. A name that does not exist gives a different error.
fn is_unresolvable(error: &io::Error) -> bool {
    let text = error.to_string();
    ["Temporary failure in name resolution", "Try again"].iter().any(|known| text.ends_with(known))
}

/// The innermost cause of an error: "Connection refused" rather than "error sending request". The
/// layers in between would repeat the URL, whose query may hold secrets.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("with https://host/?secret")]
    struct Outer(#[source] io::Error);

    fn classified(error: io::Error) -> (&'static str, String) {
        let error = failure("h", &Outer(error));
        (error.kind().name(), error.to_string())
    }

    #[test]
    fn no_network_and_no_trust_have_their_own_errors() {
        let certificate = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let lookup =
            |text: &str| io::Error::other(format!("failed to lookup address information: {text}"));
        for (error, kind) in [
            (io::ErrorKind::NetworkUnreachable.into(), "no_network"),
            (io::ErrorKind::NetworkDown.into(), "no_network"),
            (lookup("Temporary failure in name resolution"), "no_network"),
            (lookup("Name or service not known"), "network"),
            (io::ErrorKind::ConnectionRefused.into(), "network"),
            (io::ErrorKind::HostUnreachable.into(), "network"),
            (io::Error::other(rustls::Error::DecryptError), "network"),
            (io::Error::other(io::Error::other(certificate.clone())), "untrusted"),
            (io::Error::other(certificate), "untrusted"),
        ] {
            let shown = format!("{error:?}");
            let (told, text) = classified(error);
            assert_eq!(told, kind, "{shown}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
