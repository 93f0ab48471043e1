//! Whom to trust: the operating system's roots, roots the application adds, or (for tests) anyone.
//!
//! Added roots are asked first, and the operating system's are loaded only when those do not
//! settle it: reading the system's store costs 1–4 ms, more than the whole rest of a connection to
//! a host whose root was given.

use std::sync::Arc;

use once_cell::sync::OnceCell;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
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
    /// The text is not PEM, or holds no certificate.
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
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(Verifier {
            extra: self.extra_verifier(&provider)?,
            accept_invalid: self.accept_invalid,
            platform: OnceCell::new(),
            provider: Arc::clone(&provider),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| RootError::Unusable(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(config)
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
        if let Some(extra) = &self.extra {
            match extra.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
                // Not issued by an added root: the only answer the system's store can change.
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                settled => return settled,
            }
        }
        self.platform()?.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
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
    use super::*;

    #[test]
    fn refuses_roots_that_are_none() {
        for pem in ["", "not pem", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"] {
            let refused = Trust::default().add_pem(pem.as_bytes());
            assert!(matches!(refused, Err(RootError::Pem(_))), "{pem}");
        }
        let junk = CertificateDer::from(vec![1, 2, 3]);
        let trust = Trust { extra_roots: vec![junk], ..Trust::default() };
        assert!(matches!(trust.client_config(), Err(RootError::Unusable(_))));
    }

    #[test]
    fn the_system_store_is_not_read_ahead() {
        let trust = Trust::default();
        assert!(trust.client_config().is_ok());
    }
}
