//! Texts from a server, made safe to show.
//!
//! Every text that comes from a server and can reach a terminal, a log line or an error first
//! becomes a [`ServerText`]. Only there is everything removed that could do harm: characters that
//! control a terminal or change the text direction, secrets of the request that the server quotes,
//! and excessive length.

use std::{fmt, ops::Range};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret, SecretString};

/// A printable text from a server: one line of at most [`LIMIT`](Self::LIMIT) bytes, without
/// control and bidirectional characters, and without the given secrets.
///
/// ```
/// use webex_auth::ServerText;
///
/// let text = ServerText::without("token\u{1b}[2J aGVsbG8\r\nis s3cret%2Dvalue", ["s3cret-value"]);
/// assert_eq!(text.as_str(), "token\u{fffd}[2J aGVsbG8 is [redacted]");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct ServerText(Box<str>);

impl ServerText {
    /// Longest text kept, in bytes: a message is a line, not a page.
    pub const LIMIT: usize = 300;

    /// Makes a printable text, for a request without secrets.
    pub fn new(text: &str) -> Self {
        Self(printable(text).into())
    }

    /// Makes a printable text and removes every secret in it: plain, percent-encoded (also twice),
    /// and in base64 or base64url at any offset. Invisible characters in between do not hide a
    /// secret.
    pub fn without<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let found = quoted(text, secrets);
        if found.is_empty() { Self::new(text) } else { Self::new(&replaced(text, found)) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for ServerText {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<ServerText> for String {
    fn from(text: ServerText) -> Self {
        text.0.into_string()
    }
}

/// Replacement of a secret.
const REDACTED: &str = "[redacted]";

/// One line without harmful characters, cut at the limit.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(ServerText::LIMIT + 4));
    for c in text.trim().chars() {
        match c {
            '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                if !shown.ends_with(' ') {
                    shown.push(' ');
                }
            }
            c if is_harmful(c) => shown.push(char::REPLACEMENT_CHARACTER),
            c => shown.push(c),
        }
        if shown.len() > ServerText::LIMIT {
            let end = shown.floor_char_boundary(ServerText::LIMIT - ELLIPSIS.len_utf8());
            shown.truncate(end);
            shown.push(ELLIPSIS);
            break;
        }
    }
    shown
}

const ELLIPSIS: char = '…';

/// Whether a character controls the terminal, changes the text direction, or is invisible.
///
/// Joiners (U+200C, U+200D) are allowed, because names in some scripts need them.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' // soft hyphen
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // bidi
            | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}' // no width
            | '\u{2028}' | '\u{2029}' // line and paragraph separators
            | '\u{fff9}'..='\u{fffb}' // annotations
            | '\u{e0000}'..='\u{e0fff}') // tags
}

/// Replaces the given ranges of `text`. They may be unordered and overlap.
fn replaced(text: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_by_key(|range| range.start);
    let mut clean = String::with_capacity(text.len());
    let mut end = 0;
    for range in ranges {
        if range.start >= end {
            clean.push_str(&text[end..range.start]);
            clean.push_str(REDACTED);
        }
        end = end.max(range.end);
    }
    clean.push_str(&text[end..]);
    clean
}

/// The ranges of secrets in `text`.
fn quoted<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> Vec<Range<usize>> {
    let forms: Vec<Form> = secrets.into_iter().flat_map(Form::all).collect();
    let mut found = Vec::new();
    if forms.is_empty() {
        return found;
    }
    let mut bytes = visible(text);
    for level in 0..=PERCENT_LEVELS {
        if level > 0 {
            let decoded = percent_decoded(&bytes);
            if decoded.len() == bytes.len() {
                break;
            }
            bytes = decoded;
        }
        for form in &forms {
            find(&bytes, form, &mut found);
        }
    }
    found
}

/// How often a text may have been percent-encoded.
const PERCENT_LEVELS: usize = 2;

/// A byte of a text, and its position.
#[derive(Clone)]
struct Byte {
    value: u8,
    from: Range<usize>,
}

/// The bytes of `text` without those of invisible characters.
fn visible(text: &str) -> Vec<Byte> {
    let shown = text.char_indices().filter(|(_, c)| !is_harmful(*c));
    shown
        .flat_map(|(at, c)| {
            let from = at..at + c.len_utf8();
            text[from.clone()].bytes().map(move |value| Byte { value, from: from.clone() })
        })
        .collect()
}

fn percent_decoded(bytes: &[Byte]) -> Vec<Byte> {
    let hex = |byte: &Byte| char::from(byte.value).to_digit(16);
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if first.value == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(digit)) = (hex(high), hex(low))
        {
            let value = u8::try_from(high * 16 + digit).expect("two hexadecimal digits");
            decoded.push(Byte { value, from: first.from.start..low.from.end });
            rest = after;
        } else {
            decoded.push(first.clone());
        }
    }
    decoded
}

/// One way to write a secret.
struct Form {
    text: SecretString,
    /// Part of a base64 word: the whole word around it is secret, too.
    is_piece: bool,
}

impl Form {
    fn all(secret: &str) -> Vec<Self> {
        let mut forms = Vec::new();
        if secret.is_empty() {
            return forms;
        }
        forms.push(Self { text: SecretString::from(secret), is_piece: false });
        if secret.len() < SHORTEST_ENCODED {
            return forms;
        }
        // Three bytes become four characters, so a secret can have three alignments in the encoded
        // text. Characters shared with neighbouring bytes are left out.
        for lead in 0..3 {
            let mut bytes = vec![0; lead];
            bytes.extend_from_slice(secret.as_bytes());
            let whole = bytes.len() / 3 * 4;
            let shared = [0, 2, 3][lead];
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let encoded = SecretString::from(engine.encode(&bytes));
                let piece = &encoded.expose_secret()[shared..whole];
                forms.push(Self { text: SecretString::from(piece), is_piece: true });
            }
        }
        forms
    }
}

/// Shorter pieces of base64 would be found in ordinary words.
const SHORTEST_ENCODED: usize = 8;

fn find(bytes: &[Byte], form: &Form, found: &mut Vec<Range<usize>>) {
    let wanted = form.text.expose_secret().as_bytes();
    let is_word =
        |byte: &Byte| byte.value.is_ascii_alphanumeric() || b"+/-_=".contains(&byte.value);
    let mut at = 0;
    while at + wanted.len() <= bytes.len() {
        let here = &bytes[at..at + wanted.len()];
        if !here.iter().map(|byte| byte.value).eq(wanted.iter().copied()) {
            at += 1;
            continue;
        }
        let (mut start, mut end) = (at, at + wanted.len());
        if form.is_piece {
            start -= bytes[..start].iter().rev().take_while(|byte| is_word(byte)).count();
            end += bytes[end..].iter().take_while(|byte| is_word(byte)).count();
        }
        found.push(bytes[start].from.start..bytes[end - 1].from.end);
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "s3cr&t/value==ü";

    fn shown(text: &str) -> String {
        ServerText::without(text, [SECRET]).into()
    }

    #[test]
    fn terminal_and_text_direction_controls_are_removed() {
        let text = "\u{1b}]0;title\u{7}a\u{202e}b\u{2066}c\u{200b}\u{feff}\u{9b}1mx\u{e0041}\u{ad}";
        let text = ServerText::new(text);
        assert_eq!(text.as_str().replace(char::REPLACEMENT_CHARACTER, ""), "]0;titleabc1mx");
        assert_eq!(ServerText::new(" one\r\n\ttwo\u{2028}three\n").as_str(), "one two three");
        assert_eq!(ServerText::new("Zoë 王 👩\u{200d}💻").as_str(), "Zoë 王 👩\u{200d}💻");
    }

    #[test]
    fn a_page_becomes_a_line() {
        let text = ServerText::new(&"é".repeat(1_000));
        assert!(text.as_str().len() <= ServerText::LIMIT && text.as_str().ends_with("é…"));
        let exact = "x".repeat(ServerText::LIMIT);
        assert_eq!(ServerText::new(&exact).as_str(), exact);
    }

    #[test]
    fn a_quoted_secret_is_found_in_every_form() {
        let percent =
            SECRET.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let twice = percent.replace('%', "%25");
        let some = SECRET.replace('&', "%26").replace('/', "%2F");
        let hidden = SECRET.replace('&', "\u{200b}&\u{7}");
        for form in [SECRET, &percent, &twice, &some, &hidden] {
            assert_eq!(shown(&format!("bad {form}!")), "bad [redacted]!", "{form}");
        }
        for before in ["", "a", "id", "id:"] {
            for after in ["", "x", "xy"] {
                let pair = format!("{before}{SECRET}{after}");
                for encoded in [STANDARD_NO_PAD.encode(&pair), URL_SAFE_NO_PAD.encode(&pair)] {
                    for encoded in [encoded.clone(), encoded.replace('/', "%2F")] {
                        let text = shown(&format!("Basic {encoded}== no"));
                        assert_eq!(text, "Basic [redacted] no", "{pair}");
                    }
                }
            }
        }
        assert_eq!(shown("s3cr&t is fine"), "s3cr&t is fine");
        assert_eq!(ServerText::without("100 % ok %zz", [""]).as_str(), "100 % ok %zz");
    }

    #[test]
    fn a_secret_beyond_the_limit_stays_hidden_when_others_are_removed() {
        let text = format!("{}{}", SECRET.repeat(50), SECRET);
        assert!(!shown(&text).contains("s3c"));
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_harmless_line(text in any::<String>(), secret in "[0-9]{8,20}") {
            let shown = ServerText::without(&format!("{text}{secret}{text}"), [&*secret]);
            prop_assert!(!shown.as_str().chars().any(is_harmful));
            prop_assert!(shown.as_str().len() <= ServerText::LIMIT);
            prop_assert!(!shown.as_str().contains(&secret));
        }
    }
}
