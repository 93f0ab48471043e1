//! Which servers to trust: by the operating system's roots, by roots that the application adds, or
//! (for tests) all.
//!
//! Added roots are checked first. The operating system's are loaded only when those do not decide:
//! reading the system's store takes 1–4 ms, more than the rest of a connection to a host whose root
//! was added.

use std::sync::Arc;

use once_cell::sync::OnceCell;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, ServerName, UnixTime,
        pem::{Error as PemError, PemObject},
    },
};
use rustls_platform_verifier::Verifier as PlatformVerifier;
use thiserror::Error;
use webex_auth::ServerText;

/// Which servers are trusted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    pub(crate) extra_roots: Vec<CertificateDer<'static>>,
    pub(crate) accept_invalid: bool,
}

/// A root certificate that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RootError {
    /// The text is not PEM, or has no certificate.
    #[error("the root certificates are not PEM certificates: {0}")]
    Pem(String),
    /// A certificate in it cannot be a root.
    #[error("a root certificate cannot be used: {0}")]
    Unusable(String),
}

impl Trust {
    /// Adds the certificates of a PEM text.
    pub(crate) fn add_pem(&mut self, pem: &[u8]) -> Result<(), RootError> {
        let roots = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, PemError>>()
            .map_err(|error| RootError::Pem(error.to_string()))?;
        if roots.is_empty() {
            return Err(RootError::Pem("no certificate in it".to_owned()));
        }
        self.extra_roots.extend(roots);
        Ok(())
    }

    /// The TLS settings for HTTP; the socket uses the same with its own ALPN.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, RootError> {
        config(self.verifier()?)
    }

    /// Does not read the operating system's store.
    fn verifier(&self) -> Result<Arc<Verifier>, RootError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(Arc::new(Verifier {
            extra: self.extra_verifier(&provider)?,
            accept_invalid: self.accept_invalid,
            platform: OnceCell::new(),
            provider,
        }))
    }

    fn extra_verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<WebPkiServerVerifier>>, RootError> {
        if self.extra_roots.is_empty() {
            return Ok(None);
        }
        let mut store = RootCertStore::empty();
        for root in &self.extra_roots {
            store.add(root.clone()).map_err(|error| RootError::Unusable(error.to_string()))?;
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
            .build()
            .map(Some)
            .map_err(|error| RootError::Unusable(error.to_string()))
    }
}

fn config(verifier: Arc<Verifier>) -> Result<ClientConfig, RootError> {
    let config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| RootError::Unusable(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// Added roots first, then the operating system's.
#[derive(Debug)]
struct Verifier {
    extra: Option<Arc<WebPkiServerVerifier>>,
    accept_invalid: bool,
    platform: OnceCell<PlatformVerifier>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn platform(&self) -> Result<&PlatformVerifier, Error> {
        self.platform.get_or_try_init(|| PlatformVerifier::new(Arc::clone(&self.provider)))
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(extra) = &self.extra {
            match extra.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
                // Not issued by an added root: the only result that the system's store can change.
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                settled => return settled,
            }
        }
        self.platform()?.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
    }
}

/// A certificate that is not trusted, and its issuer.
#[derive(Debug, Error)]
#[error("the certificate{} is not trusted: {cause}", .issuer.as_ref().map(|by| format!(" issued by \"{by}\"")).unwrap_or_default())]
struct NotTrusted {
    issuer: Option<ServerText>,
    cause: CertificateError,
}

/// The name of the issuer in a certificate, if it has one: its common name, or its organisation.
/// Only for messages to people; nothing depends on it.
pub(super) fn issuer(certificate: &[u8]) -> Option<ServerText> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    const ORGANISATION: &[u8] = &[0x55, 0x04, 0x0a];
    // Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version OPTIONAL, serial, algorithm, issuer, ... } }
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    let (tag, _, after_version) = element(rest)?;
    if tag == 0xa0 {
        rest = after_version;
    }
    let (_, _, rest) = element(rest)?;
    let (_, _, rest) = element(rest)?;
    let (_, name, _) = element(rest)?;
    let find = |wanted: &[u8]| {
        let mut sets = name;
        while let Some((_, set, more)) = element(sets) {
            sets = more;
            let (_, attribute, _) = element(set)?;
            let (_, kind, value) = element(attribute)?;
            if kind == wanted {
                let (_, text, _) = element(value)?;
                return Some(ServerText::new(&String::from_utf8_lossy(text)));
            }
        }
        None
    };
    find(COMMON_NAME).or_else(|| find(ORGANISATION))
}

/// The first DER element: its tag, its content, and the rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = der else { return None };
    let (length, rest) = match usize::from(*first) {
        short @ 0..=0x7f => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long & 0x7f)?;
            let digits = digits.iter().try_fold(0_usize, |length, digit| {
                length.checked_mul(256)?.checked_add(usize::from(*digit))
            });
            (digits?, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.accept_invalid {
            return Ok(ServerCertVerified::assertion());
        }
        self.verify(end_entity, intermediates, server_name, ocsp, now).map_err(
            |error| match error {
                Error::InvalidCertificate(cause) => {
                    let error = NotTrusted { issuer: issuer(end_entity), cause };
                    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
                }
                other => other,
            },
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use webex_sandbox::Sandbox;

    use super::*;

    #[test]
    fn refuses_text_without_roots() {
        for pem in ["", "not pem", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"] {
            let refused = Trust::default().add_pem(pem.as_bytes());
            assert!(matches!(refused, Err(RootError::Pem(_))), "{pem}");
        }
        let junk = CertificateDer::from(vec![1, 2, 3]);
        let trust = Trust { extra_roots: vec![junk], ..Trust::default() };
        assert!(matches!(trust.client_config(), Err(RootError::Unusable(_))));
    }

    #[tokio::test]
    async fn the_system_store_is_read_only_when_added_roots_do_not_settle_it() {
        let sandbox = Sandbox::start().await.unwrap();
        let at = sandbox.origin().socket_addrs(|| None).unwrap()[0];
        let connect = async |verifier: &Arc<Verifier>| {
            let tls = TlsConnector::from(Arc::new(config(Arc::clone(verifier)).unwrap()));
            let name = ServerName::try_from("127.0.0.1").unwrap();
            tls.connect(name, TcpStream::connect(at).await.unwrap()).await
        };
        let mut trust = Trust::default();
        trust.add_pem(sandbox.ca_pem().unwrap().as_bytes()).unwrap();
        let added = trust.verifier().unwrap();
        connect(&added).await.unwrap();
        assert!(added.platform.get().is_none(), "an added root has settled it");
        let system = Trust::default().verifier().unwrap();
        assert!(system.platform.get().is_none(), "nor is it read ahead");
        connect(&system).await.unwrap_err();
        assert!(system.platform.get().is_some());
    }

    #[test]
    fn other_bytes_than_a_certificate_have_no_issuer() {
        for odd in
            [&b""[..], b"\x30", b"\x30\x80", b"\x30\xff", b"\x30\x84\xff\xff\xff\xff", &[0x30; 64]]
        {
            assert_eq!(issuer(odd), None, "{odd:?}");
        }
    }
}
