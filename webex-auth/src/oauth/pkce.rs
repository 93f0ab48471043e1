//! PKCE (RFC 7636): proof that a code is used by the program that requested it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::random;

/// How the challenge is derived from the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PkceMethod {
    /// The challenge is the verifier's SHA-256. Every current service accepts it.
    S256,
    /// The challenge is the verifier itself. Only for the old Meetings service: it protects against
    /// a guessed code, but not against someone who saw the link.
    Plain,
}

impl PkceMethod {
    /// The value of `code_challenge_method`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S256 => "S256",
            Self::Plain => "plain",
        }
    }
}

/// Characters of a verifier for S256. RFC 7636 allows 43 to 128; 86 carry 512 bits.
const VERIFIER: usize = 86;

/// Characters of a verifier for the Meetings service, which accepts no more.
const PLAIN_VERIFIER: usize = 10;

/// A verifier and the method of its challenge.
#[derive(Clone)]
pub(crate) struct Pkce {
    verifier: SecretString,
    method: PkceMethod,
}

impl Pkce {
    pub(crate) fn generate(method: PkceMethod) -> Self {
        let length = match method {
            PkceMethod::S256 => VERIFIER,
            PkceMethod::Plain => PLAIN_VERIFIER,
        };
        Self { verifier: random::text(length), method }
    }

    pub(crate) fn method(&self) -> PkceMethod {
        self.method
    }

    pub(crate) fn challenge(&self) -> String {
        let verifier = self.verifier.expose_secret();
        match self.method {
            PkceMethod::S256 => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
            PkceMethod::Plain => verifier.to_owned(),
        }
    }

    pub(crate) fn into_verifier(self) -> SecretString {
        self.verifier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s256_follows_the_standard() {
        // RFC 7636, appendix B.
        let verifier = SecretString::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let pkce = Pkce { verifier, method: PkceMethod::S256 };
        assert_eq!(pkce.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn plain_fits_the_meetings_service() {
        let pkce = Pkce::generate(PkceMethod::Plain);
        let challenge = pkce.challenge();
        assert_eq!(challenge.len(), 10);
        assert_eq!(challenge, pkce.into_verifier().expose_secret());
    }

    #[test]
    fn a_verifier_is_used_once() {
        let [one, two] = [(); 2].map(|()| Pkce::generate(PkceMethod::S256));
        assert_ne!(one.challenge(), two.challenge());
        assert!((43..=128).contains(&one.into_verifier().expose_secret().len()));
    }
}
