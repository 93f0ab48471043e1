//! Style rules beyond rustfmt: imports, derives and calls of tracing.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// The order of the standard library's derives. Others follow in their own order.
const DERIVES: &[&str] =
    &["Debug", "Clone", "Copy", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash", "Default"];

/// The start of an attribute with derives.
const OPENING: &str = "#[derive(";

/// The macros of tracing.
const TRACING: &[&str] = &["error!", "warn!", "info!", "debug!", "trace!"];

/// Puts the derives of every source file in order.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn order_all(workspace: &Workspace) -> Result<()> {
    for file in sources(workspace)? {
        let path = workspace.root().join(&file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let ordered = ordered(&text);
        if ordered != text {
            fs::write(&path, ordered).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// Fails when [`order_all`] would change a file.
///
/// # Errors
/// Names the files.
pub(crate) fn check_order(workspace: &Workspace) -> Result<()> {
    let mut found = Vec::new();
    for file in sources(workspace)? {
        let path = workspace.root().join(&file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        if ordered(&text) != text {
            found.push(file.display().to_string());
        }
    }
    ensure!(
        found.is_empty(),
        "derives are not in the order {}; `cargo xtask fmt` puts them so:\n  {}",
        DERIVES.join(", "),
        found.join("\n  ")
    );
    Ok(())
}

/// Returns the errors in the imports of a file and in its calls of tracing.
pub(crate) fn check(file: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut say =
        |line: usize, what: &str| found.push(format!("{}:{line}: {what}", file.display()));
    let mut previous: Option<&Import<'_>> = None;
    let imports = imports(text);
    for import in &imports {
        if let Some(before) = previous {
            let joined = before.end + 1 == import.line;
            if joined && before.block != import.block {
                say(
                    import.line,
                    "imports of std, others and the crate stand in blocks of their own",
                );
            } else if !joined && before.block == import.block && only_space(text, before, import) {
                say(import.line, "imports of one kind stand in one block");
            } else if before.block > import.block {
                say(import.line, "imports: first std, then others, then the crate");
            }
        }
        previous = Some(import);
    }
    for (index, import) in imports.iter().enumerate() {
        if imports[..index].iter().any(|other| other.root == import.root && !import.attribute) {
            say(import.line, "one `use` for each crate, with braces");
        }
    }
    for (index, line) in text.lines().enumerate() {
        if TRACING.iter().any(|call| line.contains(&format!("tracing::{call}"))) {
            say(index + 1, "macros of tracing are imported, and called by their name");
        }
    }
    found
}

fn sources(workspace: &Workspace) -> Result<Vec<std::path::PathBuf>> {
    let mut files = workspace.files()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    Ok(files)
}

fn ordered(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(OPENING) {
        let (before, from) = rest.split_at(at);
        // In a comment or a string it is not an attribute.
        let line = before.rsplit('\n').next().unwrap_or_default();
        let end = from.find(")]").filter(|_| line.trim().is_empty());
        let Some(end) = end else {
            result.push_str(&rest[..at + OPENING.len()]);
            rest = &rest[at + OPENING.len()..];
            continue;
        };
        let names = &from[OPENING.len()..end];
        let mut sorted: Vec<&str> =
            names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let place = |name: &&str| DERIVES.iter().position(|derive| derive == name);
        let before_sorting = sorted.clone();
        sorted.sort_by_key(|name| place(name).unwrap_or(DERIVES.len()));
        result.push_str(before);
        result.push_str(OPENING);
        if sorted == before_sorting {
            result.push_str(names);
        } else {
            result.push_str(&sorted.join(", "));
        }
        rest = &from[end..];
    }
    result + rest
}

/// A private `use` at the top level.
struct Import<'a> {
    root: &'a str,
    /// 0: std, 1: other crates, 2: this crate.
    block: u8,
    /// First and last line.
    line: usize,
    end: usize,
    /// Whether it has an attribute, such as `cfg`.
    attribute: bool,
}

fn imports(text: &str) -> Vec<Import<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut index = 0;
    while index < lines.len() {
        let Some(path) = lines[index].strip_prefix("use ") else {
            index += 1;
            continue;
        };
        let start = index;
        while !lines[index].ends_with(';') && index + 1 < lines.len() {
            index += 1;
        }
        let root = path.split([':', ';', ' ']).next().unwrap_or_default();
        index += 1;
        // Imports from this file, or from one that it declares, go where rustfmt puts them.
        let own = |line: &&str| line.trim_end() == format!("mod {root};");
        if root.starts_with(char::is_uppercase) || lines.iter().any(own) {
            continue;
        }
        let block = match root {
            "std" | "core" | "alloc" => 0,
            "crate" | "self" | "super" => 2,
            _ => 1,
        };
        let attribute = start > 0 && lines[start - 1].starts_with("#[");
        found.push(Import { root, block, line: start + 1, end: index, attribute });
    }
    found
}

/// Whether there are only empty lines between two imports.
fn only_space(text: &str, before: &Import<'_>, after: &Import<'_>) -> bool {
    let between = after.line.saturating_sub(before.end + 1);
    text.lines().skip(before.end).take(between).all(str::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_are_put_in_order_and_others_follow() {
        let text = "#[derive(Serialize, Clone, Debug)]\nstruct A;\n    #[derive(Copy, Clone)]\n";
        let expected =
            "#[derive(Debug, Clone, Serialize)]\nstruct A;\n    #[derive(Clone, Copy)]\n";
        assert_eq!(ordered(text), expected);
        assert_eq!(ordered(expected), expected);
        let comment = "// #[derive(Clone, Debug)]\n";
        assert_eq!(ordered(comment), comment);
    }

    #[test]
    fn three_blocks_with_a_use_for_each_crate_pass() {
        let text = "//! Doc.\n\nmod a;\n\nuse std::{fs, io};\n\nuse anyhow::Result;\nuse b::{\n    C,\n};\n\n\
                    use crate::d::E;\nuse self::a::F;\n";
        assert_eq!(check(Path::new("x.rs"), text), [""; 0]);
    }

    #[test]
    fn mixed_split_and_repeated_imports_are_found() {
        let found = |text: &str| check(Path::new("x.rs"), text).join("\n");
        assert!(found("use std::fs;\nuse a::B;\n").contains("x.rs:2: imports of std"));
        assert!(found("use a::B;\n\nuse c::D;\n").contains("x.rs:3: imports of one kind"));
        assert!(found("use crate::a;\n\nuse std::fs;\n").contains("x.rs:3: imports: first std"));
        assert!(found("use a::B;\nuse a::C;\n").contains("x.rs:2: one `use`"));
        assert_eq!(found("use a::B;\n#[cfg(unix)]\nuse a::C;\n"), "");
    }

    #[test]
    fn a_macro_of_tracing_is_called_by_its_name() {
        let text = concat!("    tracing", "::debug!(\"x\");\n    debug!(\"x\");\n");
        assert_eq!(check(Path::new("x.rs"), text).len(), 1);
    }
}
