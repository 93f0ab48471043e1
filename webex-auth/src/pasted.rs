//! Pasted texts: secrets and certificates from files, variables and command lines.
//!
//! An editor, a shell or a chat program often adds something around a secret: a byte order mark,
//! quotes, `NAME=`, a line feed. Harmless additions are dropped. Any other character that cannot be
//! part of a secret is refused with its position, before a server can refuse the secret as wrong.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::server_text::is_harmful;

/// Why a pasted text is unusable. Shows at most one character of it, which cannot be part of a
/// secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PasteError {
    /// Nothing is left after dropping what was around it.
    #[error("it is empty")]
    Empty,
    /// A character that cannot be part of a secret.
    #[error("{} at {place} does not belong there: visible ASCII characters only", Named(*.character))]
    Character {
        /// The character.
        character: char,
        /// Its position in the pasted text.
        place: Place,
    },
    /// The bytes are neither UTF-8 nor UTF-16 with a byte order mark.
    #[error("byte {0} is not text: save it as UTF-8")]
    NotText(usize),
    /// There is no certificate in it.
    #[error("there is no certificate in it: it should have a line `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
}

/// A position in a text, counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            1 => write!(f, "character {}", self.column),
            line => write!(f, "line {line}, character {}", self.column),
        }
    }
}

/// A token or secret without what was pasted around it: white space, a byte order mark, invisible
/// characters, quotes, `NAME=` or `export NAME=`.
///
/// ```
/// use webex_auth::pasted;
///
/// assert_eq!(pasted::secret("\u{feff}export TOKEN='abc=='\r\n"), Ok("abc=="));
/// let error = pasted::secret("two words").unwrap_err();
/// assert!(error.to_string().starts_with("a space at character 4"));
/// ```
///
/// # Errors
/// [`PasteError::Empty`], or [`PasteError::Character`] for one that is not visible ASCII.
pub fn secret(text: &str) -> Result<&str, PasteError> {
    let secret = unwrapped(text);
    check(text, secret)?;
    Ok(secret)
}

/// The text of a file: UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it.
///
/// # Errors
/// [`PasteError::NotText`] with the position of the first bad byte.
pub fn text(bytes: &[u8]) -> Result<SecretString, PasteError> {
    let wide = |from_bytes: fn([u8; 2]) -> u16| {
        let units = bytes[2..].chunks_exact(2).map(|pair| from_bytes([pair[0], pair[1]]));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.map(SecretString::from).map_err(|_| PasteError::NotText(3))
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => match str::from_utf8(bytes) {
            Ok(text) => Ok(SecretString::from(text.trim_start_matches('\u{feff}'))),
            Err(error) => Err(PasteError::NotText(error.valid_up_to() + 1)),
        },
    }
}

/// The certificates of a PEM file without the text around them. A literal `\n`, as in a single-line
/// variable, becomes a line feed.
///
/// # Errors
/// [`PasteError::NotText`], or [`PasteError::NoCertificate`].
pub fn certificates(bytes: &[u8]) -> Result<String, PasteError> {
    let text = text(bytes)?;
    let text = text.expose_secret();
    let begin = text.find(BEGIN).ok_or(PasteError::NoCertificate)?;
    let end = text.rfind(END).filter(|end| *end > begin).ok_or(PasteError::NoCertificate)?;
    let certificates = &text[begin..end + END.len()];
    let one_line = !certificates.contains('\n');
    let lines = if one_line { certificates.replace("\\n", "\n") } else { certificates.to_owned() };
    Ok(lines + "\n")
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// `text` without harmless additions around it.
pub(crate) fn unwrapped(text: &str) -> &str {
    let mut inner = text;
    loop {
        let before = inner.len();
        inner = inner.trim_matches(|c: char| c.is_whitespace() || is_harmful(c));
        inner = without_quotes(without_name(inner));
        if inner.len() == before {
            return inner;
        }
    }
}

/// Checks `part`, a part of `whole`, for characters that cannot be part of a secret.
pub(crate) fn check(whole: &str, part: &str) -> Result<(), PasteError> {
    if part.is_empty() {
        return Err(PasteError::Empty);
    }
    let Some((at, character)) = part.char_indices().find(|(_, c)| !c.is_ascii_graphic()) else {
        return Ok(());
    };
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    let before = &whole[..start + at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Err(PasteError::Character { character, place: Place { line, column } })
}

/// Drops `NAME=`, as written in a shell or an `.env` file. The `=` at the end of base64 starts no
/// value.
fn without_name(text: &str) -> &str {
    let Some((name, value)) = text.split_once('=') else { return text };
    // A space before the sign requires one after it, or `Bearer =x` would be a name and its value.
    let name = if value.starts_with(' ') { name.trim_end() } else { name };
    let name = ["export ", "set ", "$env:"]
        .iter()
        .find_map(|word| name.strip_prefix(word))
        .unwrap_or(name);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name && !value.trim_matches('=').trim().is_empty() { value } else { text }
}

/// Drops one pair of quotes, and a comma after it, as in JSON.
fn without_quotes(text: &str) -> &str {
    const PAIRS: [(char, char); 6] =
        [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’'), ('«', '»')];
    let quoted = PAIRS.iter().find_map(|(open, close)| {
        text.strip_prefix(*open)?.trim_end_matches([',', ';']).strip_suffix(*close)
    });
    quoted.unwrap_or(text)
}

/// Shows a character by its name, or by number and shape.
struct Named(char);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ' ' => f.write_str("a space"),
            '\t' => f.write_str("a tab"),
            '\n' | '\r' => f.write_str("a line break"),
            '\u{a0}' => f.write_str("a no-break space (U+00A0)"),
            c if is_harmful(c) || c.is_whitespace() => write!(f, "U+{:04X}", u32::from(c)),
            c => write!(f, "`{c}` (U+{:04X})", u32::from(c)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn harmless_text_around_a_secret_is_dropped() {
        for pasted in [
            "s3cret==",
            "\u{feff}s3cret==\r\n",
            " \"s3cret==\" ",
            "'s3cret=='",
            "“s3cret==”",
            "\u{200b}s3cret==\u{a0}",
            "WEBEX_CLIENT_SECRET=s3cret==",
            "export TOKEN=\"s3cret==\"\n",
            "$env:TOKEN = 's3cret=='",
            "token = `s3cret==`",
            "\"s3cret==\",",
        ] {
            assert_eq!(secret(pasted), Ok("s3cret=="), "{pasted:?}");
        }
        assert_eq!(secret("abc="), Ok("abc="), "the padding of base64 begins no value");
        assert_eq!(secret("a.b=c"), Ok("a.b=c"), "no name");
    }

    #[test]
    fn anything_else_is_refused_with_its_place() {
        for (pasted, said) in [
            ("", "it is empty"),
            ("TOKEN=\"\"", "it is empty"),
            (" \"two words\"", "a space at character 6 "),
            ("abc\u{2013}def", "`–` (U+2013) at character 4 "),
            ("abc\u{200b}def", "U+200B at character 4 "),
            ("\u{feff}\nTOKEN='ab\ncd'", "a line break at line 2, character 10 "),
            ("schlüssel", "`ü` (U+00FC) at character 5 "),
        ] {
            let error = secret(pasted).unwrap_err().to_string();
            assert!(error.starts_with(said), "{pasted:?}: {error}");
        }
    }

    #[test]
    fn files_of_other_systems_are_read() {
        let wide: Vec<u8> = "\u{feff}abc\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "\u{feff}abc\r\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [&wide[..], &big, b"\xef\xbb\xbfabc\r\n"] {
            let read = text(bytes).unwrap();
            assert_eq!(secret(read.expose_secret()), Ok("abc"));
        }
        assert_eq!(text(b"ab\xffc").unwrap_err(), PasteError::NotText(3));
    }

    #[test]
    fn certificates_are_found_in_other_text() {
        let body = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let one_line = format!("CA=\"{}\"", body.trim_end().replace('\n', "\\n"));
        for pasted in [body, &format!("\u{feff}# root\n{body}"), &format!("CA='{body}'"), &one_line]
        {
            assert_eq!(certificates(pasted.as_bytes()).unwrap(), body, "{pasted:?}");
        }
        for none in ["", "-----END CERTIFICATE----- -----BEGIN CERTIFICATE-----", "AAAA"] {
            assert_eq!(certificates(none.as_bytes()), Err(PasteError::NoCertificate), "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_secret_is_accepted_or_refused_with_the_position(pasted in any::<String>()) {
            match secret(&pasted) {
                Ok(secret) => {
                    prop_assert!(pasted.contains(secret));
                    prop_assert!(secret.bytes().all(|byte| byte.is_ascii_graphic()));
                }
                Err(PasteError::Character { character, place }) => {
                    let line = pasted.split('\n').nth(place.line - 1).unwrap();
                    let there = line.chars().nth(place.column - 1);
                    prop_assert_eq!(there.unwrap_or('\n'), character);
                }
                Err(error) => prop_assert_eq!(error, PasteError::Empty),
            }
        }
    }
}
