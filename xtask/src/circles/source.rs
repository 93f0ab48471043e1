//! The modules that a source file declares, and the paths it names.

use crate::tokens::{Token, tokens};

/// A module that a file declares.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared {
    /// The inline modules around the declaration, outermost first.
    pub(super) within: Vec<String>,
    pub(super) name: String,
    /// The value of `#[path]`.
    pub(super) path: Option<String>,
    /// Whether its content is in this file.
    pub(super) inline: bool,
}

/// A path that a file names, in a `use` or elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The inline modules around it.
    pub(super) within: Vec<String>,
    pub(super) segments: Vec<String>,
    /// The name it has in the rest of the module, for a `use`.
    pub(super) alias: Option<String>,
    /// Whether it only re-exports the name: a `pub use` of a name that the file itself does not need.
    pub(super) re_export: bool,
    pub(super) line: usize,
}

#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) declared: Vec<Declared>,
    pub(super) named: Vec<Named>,
}

/// Reads a file. Inline tests count: a file whose tests need another file needs that file. Tests in
/// a file of their own are a module that nothing imports, so they may use everything.
pub(super) fn read(text: &str) -> Source {
    let mut reader = Reader {
        tokens: tokens(text),
        at: 0,
        depth: 0,
        inline: Vec::new(),
        path: None,
        public: false,
        found: Source::default(),
    };
    reader.run();
    let Reader { tokens, mut found, .. } = reader;
    for named in found.named.iter_mut().filter(|named| named.re_export) {
        let occurs = |alias: &String| tokens.iter().filter(|token| token.text == *alias).count();
        named.re_export = named.alias.as_ref().is_none_or(|alias| occurs(alias) == 1);
    }
    found
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// Names of the inline modules that are open, with the depth of their brace.
    inline: Vec<(String, usize)>,
    /// The `#[path]` of the next item.
    path: Option<String>,
    /// Whether the next `use` is a `pub use`.
    public: bool,
    found: Source,
}

impl Reader {
    fn run(&mut self) {
        while self.at < self.tokens.len() {
            match self.text(0) {
                "#" if self.text(1) == "[" => self.attribute(),
                "mod" => self.module(),
                "use" => self.import(),
                "pub" => self.visibility(),
                "{" => {
                    self.depth += 1;
                    self.at += 1;
                }
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.inline.last().is_some_and(|(_, depth)| *depth == self.depth) {
                        self.inline.pop();
                    }
                    self.at += 1;
                }
                _ => self.expression(),
            }
        }
    }

    /// The text of the token `ahead` of the current one; empty after the last.
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn within(&self) -> Vec<String> {
        self.inline.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The position after the bracket that closes the one at `from`.
    fn closed(&self, from: usize) -> usize {
        let mut depth = 0_usize;
        for (offset, token) in self.tokens[from..].iter().enumerate() {
            match token.text.as_str() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return from + offset + 1;
            }
        }
        self.tokens.len()
    }

    fn attribute(&mut self) {
        let end = self.closed(self.at + 1);
        let words: Vec<&str> =
            self.tokens[self.at + 2..end - 1].iter().map(|token| token.text.as_str()).collect();
        let path = match words.as_slice() {
            ["path", "=", value] => value.strip_prefix('"').map(str::to_owned),
            _ => None,
        };
        self.at = end;
        if path.is_some() {
            self.path = path;
        }
    }

    /// Skips `pub` with its restriction: `pub(in crate::a)` imports nothing.
    fn visibility(&mut self) {
        self.at += 1;
        if self.text(0) == "(" && matches!(self.text(1), "crate" | "super" | "self" | "in") {
            self.at = self.closed(self.at);
        }
        self.public = self.text(0) == "use";
    }

    fn module(&mut self) {
        let name = self.text(1).to_owned();
        let inline = match self.text(2) {
            "{" => true,
            ";" => false,
            _ => {
                self.at += 1;
                return;
            }
        };
        let within = self.within();
        let path = self.path.take();
        self.found.declared.push(Declared { within, name: name.clone(), path, inline });
        if inline {
            self.inline.push((name, self.depth));
            self.depth += 1;
        }
        self.at += 3;
    }

    fn import(&mut self) {
        self.at += 1;
        if self.text(0) == "<" || self.text(0) == "|" {
            return; // `use<'a>` in a type
        }
        self.tree(&[]);
        self.public = false;
    }

    /// One tree of a `use`, up to the `,`, `}` or `;` that ends it.
    fn tree(&mut self, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        while self.at < self.tokens.len() {
            match self.text(0) {
                "::" | "$" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "") {
                        self.tree(&segments);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "*" => {
                    self.at += 1;
                    return self.name(segments, None, line);
                }
                "as" => {
                    let alias = self.text(1).to_owned();
                    self.at += 2;
                    return self.name(segments, Some(alias), line);
                }
                "," | "}" | ";" => break,
                word => {
                    // `a::{self}` is `a`.
                    if word != "self" || segments.is_empty() {
                        segments.push(word.to_owned());
                    }
                    self.at += 1;
                }
            }
        }
        let alias = segments.last().cloned();
        self.name(segments, alias, line);
    }

    fn expression(&mut self) {
        let starts_path = self.text(1) == "::"
            && self.text(0).starts_with(|c: char| c.is_alphabetic() || c == '_')
            && (self.at == 0 || !matches!(self.tokens[self.at - 1].text.as_str(), "::" | "."));
        if !starts_path {
            self.at += 1;
            return;
        }
        let line = self.tokens[self.at].line;
        let mut segments = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::"
            && self.text(1).starts_with(|c: char| c.is_alphabetic() || c == '_')
        {
            segments.push(self.text(1).to_owned());
            self.at += 2;
        }
        self.name(segments, None, line);
    }

    fn name(&mut self, segments: Vec<String>, alias: Option<String>, line: usize) {
        if !segments.is_empty() {
            let within = self.within();
            let re_export = self.public;
            self.found.named.push(Named { within, segments, alias, re_export, line });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        read(text)
            .named
            .into_iter()
            .map(|named| match named.alias {
                Some(alias) => format!("{} as {alias}", named.segments.join("::")),
                None => named.segments.join("::"),
            })
            .collect()
    }

    #[test]
    fn a_use_names_each_of_its_leaves() {
        let text = "pub(crate) use crate::{a::{self, B as C}, d::*};\nuse super::e;";
        assert_eq!(paths(text), ["crate::a as a", "crate::a::B as C", "crate::d", "super::e as e"]);
    }

    #[test]
    fn paths_are_found_in_types_expressions_and_macros() {
        let text = "fn a(x: crate::b::C) -> Vec<super::D> { select! { _ = e::f::<crate::G>() => h.i() } $crate::j!() }";
        assert_eq!(paths(text), ["crate::b::C", "super::D", "e::f", "crate::G", "crate::j"]);
    }

    #[test]
    fn a_name_that_is_handed_on_and_not_needed_is_a_re_export() {
        let source = read("pub use a::{B, C}; pub(crate) use d::*; use e::F; fn f(c: C) {}");
        let re_exports: Vec<_> = source.named.iter().map(|named| named.re_export).collect();
        assert_eq!(re_exports, [true, false, true, false]);
    }

    #[test]
    fn visibility_imports_nothing() {
        assert!(paths("pub(in crate::a) fn b() {} pub(crate) struct C(u8);").is_empty());
    }

    #[test]
    fn inline_tests_and_functions_count() {
        let text = "\
#[cfg(test)] mod tests { use crate::d::E; fn f() { crate::g::h() } }
#[cfg(test)] #[path = \"i_tests.rs\"] mod i;
fn j() { use super::k::L; }
";
        let source = read(text);
        assert_eq!(paths(text), ["crate::d::E as E", "crate::g::h", "super::k::L as L"]);
        assert_eq!(source.declared.len(), 2);
        assert_eq!(source.declared[1].path.as_deref(), Some("i_tests.rs"));
    }

    #[test]
    fn inline_modules_are_around_what_they_hold() {
        let source = read("mod a { mod b { use super::C; } mod d; } use crate::E;");
        let within: Vec<_> = source.named.iter().map(|named| named.within.join("::")).collect();
        assert_eq!(within, ["a::b", ""]);
        let declared: Vec<_> =
            source.declared.iter().map(|d| (d.name.as_str(), d.within.len(), d.inline)).collect();
        assert_eq!(declared, [("a", 0, true), ("b", 1, true), ("d", 1, false)]);
    }
}
