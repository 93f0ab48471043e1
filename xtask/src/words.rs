//! Words that this project does not use in names, comments and documents, with what to write instead.
//!
//! The list is short on purpose: private metaphors that once named types and functions, and phrases
//! that make a native reader stumble. Add one only with a better word beside it.

use std::path::Path;

use crate::tokens::tokens;

/// Words of names, in lower case: each part of `snake_case` and `CamelCase` counts.
const IN_NAMES: &[(&str, &str)] = &[
    ("conduct", "behaviour, or the step that is meant"),
    ("farewell", "shutdown"),
    ("forgive", "reset or forget"),
    ("hope", "may or expect"),
    ("obey", "handle or follow"),
    ("undialled", "dial error"),
];

/// Whole names.
const NAMES: &[(&str, &str)] = &[
    ("Kept", "what is saved: SavedCatalog, StoredProfile"),
    ("Told", "what is known or reported"),
    ("Voice", "the command or event that is meant"),
];

/// Phrases of comments and documents.
const PHRASES: &[(&str, &str)] = &[
    ("anew", "again"),
    ("are told", "get, or are notified"),
    ("for want of", "for lack of"),
    ("in the place of", "instead of"),
    ("is told", "gets, or is reported"),
    ("to be had", "available"),
    ("told apart", "distinguished"),
    ("who asks", "the caller"),
];

/// Returns the words of a file that have to be replaced: of names and comments in Rust, of prose in
/// a document.
pub(crate) fn check(file: &Path, text: &str) -> Vec<String> {
    let is_rust = file.extension().is_some_and(|extension| extension == "rs");
    let mut found = Vec::new();
    let mut say = |line: usize, word: &str, instead: &str| {
        found.push(format!("{}:{line}: `{word}`; write {instead}", file.display()));
    };
    if is_rust {
        for token in tokens(text) {
            let whole = NAMES.iter().filter(|(name, _)| token.text == *name);
            let parts = parts(&token.text);
            let part = IN_NAMES.iter().filter(|(word, _)| parts.iter().any(|part| part == word));
            for (_, instead) in whole.chain(part) {
                say(token.line, &token.text, instead);
            }
        }
    }
    for (index, line) in text.lines().enumerate() {
        if is_rust && !line.trim_start().starts_with("//") {
            continue;
        }
        for (phrase, instead) in PHRASES.iter().filter(|(phrase, _)| has_phrase(line, phrase)) {
            say(index + 1, phrase, instead);
        }
    }
    found
}

/// The parts of a name, in lower case. A string literal is not a name.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return parts;
    }
    let mut after_lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && after_lower) {
            parts.push(String::new());
        }
        after_lower = c.is_lowercase();
        if let Some(part) = parts.last_mut().filter(|_| c != '_') {
            part.extend(c.to_lowercase());
        }
    }
    parts
}

/// Whether the phrase is in the line, on word boundaries and in any case.
fn has_phrase(line: &str, phrase: &str) -> bool {
    let line = line.to_lowercase();
    line.match_indices(phrase).any(|(at, _)| {
        !line[..at].ends_with(char::is_alphanumeric)
            && !line[at + phrase.len()..].starts_with(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<String> {
        check(Path::new(file), text)
    }

    #[test]
    fn metaphors_in_names_are_found_with_what_to_write() {
        let metaphor = concat!("ob", "ey");
        let text = format!("fn {metaphor}_command() {{}}\nstruct Set{};\n", "Conduct");
        let found = found("a.rs", &text);
        assert_eq!(found[0], format!("a.rs:1: `{metaphor}_command`; write handle or follow"));
        assert!(found[1].starts_with("a.rs:2: `SetConduct`"), "{found:?}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn longer_words_and_strings_are_not_names() {
        let text = "fn hopeful(voice_portal_number: u8) { say(\"hope\"); } struct Semiconductor;";
        assert_eq!(found("a.rs", text), [""; 0]);
        assert_eq!(found("a.rs", &format!("enum {} {{}}", concat!("Vo", "ice"))).len(), 1);
    }

    #[test]
    fn phrases_are_found_in_comments_and_documents_only() {
        let phrase = concat!("an", "ew");
        let comment = format!("    /// Starts {phrase}.\n");
        assert_eq!(found("a.rs", &comment), [format!("a.rs:1: `{phrase}`; write again")]);
        assert_eq!(found("a.md", &format!("Renewed, and An{}.\n", "ew")).len(), 1);
        assert_eq!(found("a.rs", &format!("let text = \"{phrase}\";\n")), [""; 0]);
        assert_eq!(found("a.md", "Renewal\n"), [""; 0]);
    }
}
