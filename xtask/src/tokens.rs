//! Splits Rust source into tokens: enough to find modules and paths, also in macros.
//!
//! Comments and characters are left out: a link in a documentation comment is not an import.

/// One token and the line it begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// Returns the tokens of a source file. `::` is one token; every other punctuation mark is one by
/// itself. A string literal is the token `"` with its content, which `#[path = "…"]` needs.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: source, line: 1, found: Vec::new() };
    while lexer.step() {}
    lexer.found
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Token>,
}

impl Lexer<'_> {
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        if self.rest.starts_with("//") {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip(block_comment(self.rest));
        } else if let Some((content, length)) = string(self.rest) {
            let text = format!("\"{content}");
            self.push(text, length);
        } else if first == '\'' {
            self.skip(character(self.rest));
        } else if first.is_alphanumeric() || first == '_' {
            self.word();
        } else if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else if self.rest.starts_with("::") {
            self.push("::".to_owned(), 2);
        } else {
            self.push(first.to_string(), first.len_utf8());
        }
        true
    }

    fn word(&mut self) {
        let raw = self.rest.strip_prefix("r#").unwrap_or(self.rest);
        let prefix = self.rest.len() - raw.len();
        let end = raw.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(raw.len());
        let text = raw[..end].to_owned();
        self.push(text, prefix + end);
    }

    fn push(&mut self, text: String, length: usize) {
        self.found.push(Token { text, line: self.line });
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        let (skipped, rest) = self.rest.split_at(length);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}

/// The length of a block comment, which may be nested.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Content and length of the string literal that `text` begins with: plain, byte, C or raw.
fn string(text: &str) -> Option<(&str, usize)> {
    let body = text.trim_start_matches(['b', 'c']);
    let kind = text.len() - body.len();
    if kind > 1 {
        return None;
    }
    if let Some(raw) = body.strip_prefix('r') {
        let quoted = raw.trim_start_matches('#');
        let hashes = raw.len() - quoted.len();
        let content = quoted.strip_prefix('"')?;
        let end = content.find(&format!("\"{}", "#".repeat(hashes))).unwrap_or(content.len());
        let length = kind + 1 + hashes + 1 + end + 1 + hashes;
        return Some((&content[..end], length.min(text.len())));
    }
    let content = body.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in content.char_indices() {
        match c {
            '"' if !escaped => return Some((&content[..at], kind + 1 + at + 1)),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    Some((content, text.len()))
}

/// The length of a character literal, or of the quotation mark that begins a lifetime.
fn character(text: &str) -> usize {
    let content = &text[1..];
    if let Some(escape) = content.strip_prefix('\\') {
        let first = escape.chars().next().map_or(0, char::len_utf8);
        return escape[first..].find('\'').map_or(text.len(), |at| 1 + 1 + first + at + 1);
    }
    let Some(first) = content.chars().next() else { return 1 };
    if content[first.len_utf8()..].starts_with('\'') { 1 + first.len_utf8() + 1 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn what_is_no_code_is_left_out() {
        let source = r"
            a // b::c
            /* d /* e */ f */ 'g' '\'' '\u{1}' 'h: &'static str
            g";
        assert_eq!(words(source), ["a", "h", ":", "&", "static", "str", "g"]);
    }

    #[test]
    fn strings_end_where_they_end() {
        let source = "\"a\\\"b\" x r\"\\\" y r#\"c\"d\"# b\"e\" z";
        assert_eq!(words(source), ["\"a\\\"b", "x", "\"\\", "y", "\"c\"d", "\"e", "z"]);
    }

    #[test]
    fn a_path_is_words_and_double_colons() {
        assert_eq!(
            words("crate::r#type::X<'a>"),
            ["crate", "::", "type", "::", "X", "<", "a", ">"]
        );
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let found = tokens("/*\n*/ a \"\n\n\" b");
        assert_eq!((found[0].line, found[2].line), (2, 4));
    }
}
