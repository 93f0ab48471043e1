//! An access token: parsed from the forms that people paste, never printed.

use std::{fmt, sync::Arc};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    org::{self, OrgIdError},
    pasted::{self, PasteError},
    token_error::TokenError,
};

/// The token type that Webex services use; assumed when the text has none (RFC 6750).
const BEARER: &str = "Bearer";

/// Precedes the type when a whole header was copied.
const HEADER: &str = "Authorization:";

/// An OAuth access token.
///
/// Cloning is cheap (one reference count). The value is a secret: `Debug` does not show it, it is
/// erased from memory when the last clone is dropped, and it can be read only with
/// [`expose`](Self::expose) or [`authorization`](Self::authorization).
#[derive(Clone)]
pub struct AccessToken(Arc<Inner>);

struct Inner {
    /// The whole `Authorization` value, so that sending it needs no formatting.
    authorization: SecretString,
    /// Start of the bare token in it.
    start: usize,
}

impl AccessToken {
    /// Parses a token in any usual form: bare, `Bearer x`, `Bearerx`, a whole `Authorization`
    /// header, with surplus white space, and with what is often pasted around one
    /// ([`pasted::secret`](crate::pasted::secret)).
    ///
    /// # Errors
    /// [`TokenError::Empty`] when nothing is left after trimming, [`TokenError::Malformed`] when
    /// the rest has characters that no token has (white space inside, control characters,
    /// non-ASCII), with the first one and its position.
    ///
    /// ```
    /// # use webex_auth::AccessToken;
    /// let token = AccessToken::parse("  Bearer   abc ")?;
    /// assert_eq!(token.authorization(), "Bearer abc");
    /// assert_eq!(token.expose(), "abc");
    /// # Ok::<(), webex_auth::TokenError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let bare = pasted::unwrapped(text);
        let bare = after(bare, HEADER).map_or(bare, pasted::unwrapped);
        let bare = after(bare, BEARER).map_or(bare, pasted::unwrapped);
        match pasted::check(text, bare) {
            Ok(()) => {}
            Err(PasteError::Empty) => return Err(TokenError::Empty),
            Err(error) => return Err(TokenError::Malformed(error)),
        }
        let authorization = SecretString::from(format!("{BEARER} {bare}"));
        Ok(Self(Arc::new(Inner { authorization, start: BEARER.len() + 1 })))
    }

    /// The value of an `Authorization` header: `Bearer …`. A secret.
    pub fn authorization(&self) -> &str {
        self.0.authorization.expose_secret()
    }

    /// The bare token, without its type. A secret.
    pub fn expose(&self) -> &str {
        &self.authorization()[self.0.start..]
    }

    /// The id of the organisation that issued the token.
    ///
    /// # Errors
    /// [`OrgIdError`] when the token is neither a JWT with a `realm` claim nor three `_`-separated
    /// parts.
    pub fn org_id(&self) -> Result<String, OrgIdError> {
        org::org_id(self.expose())
    }
}

/// Strips `word` from the start of `text`, ignoring case.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

/// Two tokens are equal when their values are.
impl PartialEq for AccessToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.authorization() == other.authorization()
    }
}

impl Eq for AccessToken {}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_forms_people_paste() {
        for form in [
            "abc",
            "Bearer abc",
            "bearer abc",
            "Bearerabc",
            " Bearer \t abc\n",
            "authorization: Bearer abc",
            "\u{feff}WEBEX_ACCESS_TOKEN=\"Bearer abc\"\r\n",
            "Bearer 'abc'",
        ] {
            assert_eq!(AccessToken::parse(form).unwrap().authorization(), "Bearer abc", "{form:?}");
        }
    }

    #[test]
    fn a_token_is_the_same_when_it_is_read_again() {
        for odd in ["=A", "'", "a=", "a==", "bearerbearer", "\"a"] {
            let token = AccessToken::parse(odd).unwrap();
            assert_eq!(AccessToken::parse(token.authorization()).unwrap(), token, "{odd}");
        }
    }

    #[test]
    fn refuses_text_that_is_not_a_token() {
        for (form, error) in [("", TokenError::Empty), ("  Bearer ", TokenError::Empty)] {
            assert_eq!(AccessToken::parse(form).unwrap_err(), error, "{form:?}");
        }
        for (form, said) in [
            ("two words", "a space at character 4"),
            (" Bearer two words", "a space at character 12"),
            ("line\r\nbreak", "a line break at character 5"),
            ("schlüssel", "`ü` (U+00FC) at character 5"),
        ] {
            let error = AccessToken::parse(form).unwrap_err();
            assert!(matches!(error, TokenError::Malformed(_)), "{error}");
            let error = error.to_string();
            assert!(error.contains(said) && !error.contains("sign in"), "{error}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_value() {
        let token = AccessToken::parse("very-secret-value").unwrap();
        assert_eq!(format!("{token:?}"), "AccessToken([redacted])");
    }
}
