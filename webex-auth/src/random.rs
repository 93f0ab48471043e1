//! Unpredictable values: `state` and PKCE verifiers.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;

/// `length` characters of the base64url alphabet, six random bits each.
pub(crate) fn text(length: usize) -> SecretString {
    let mut bytes = vec![0; length.div_ceil(4) * 3];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    let mut text = URL_SAFE_NO_PAD.encode(bytes);
    text.truncate(length);
    SecretString::from(text)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn has_the_asked_length_and_never_repeats() {
        for length in [1, 10, 22, 43, 128] {
            assert_eq!(text(length).expose_secret().len(), length);
        }
        assert_ne!(text(22).expose_secret(), text(22).expose_secret());
    }
}
