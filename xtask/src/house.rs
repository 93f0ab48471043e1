//! House rules that no other tool checks: files stay short, no unfinished work is committed, names
//! and comments use the field's words, no files import each other in a circle, links between
//! documents lead somewhere, and what documents promise is tested.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{addresses, circles, links, promises, rows, style, words, workspace::Workspace};

/// A file longer than this has more than one subject.
const MAX_LINES: usize = 600;

/// Generated files, which nobody reads from top to bottom.
const GENERATED: &[&str] = &["include/webex.h"];

/// Extensions of source files.
const SOURCE: &[&str] = &[
    "rs", "c", "h", "cc", "cpp", "hpp", "swift", "kt", "kts", "java", "js", "mjs", "cjs", "ts",
    "py", "sh",
];

/// Words that mean the work is not finished. Written in two halves, or this file would fail.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!"),
    concat!("un", "implemented!"),
    concat!("db", "g!"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("#[ig", "nore"),
];

/// Checks every file of the checkout.
///
/// # Errors
/// Lists every violation as `file:line: what`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = workspace.files()?;
    let mut found = Vec::new();
    let mut tested = BTreeSet::new();
    let mut tests = BTreeSet::new();
    let mut addressing = BTreeSet::new();
    for file in &files {
        let extension = file.extension().and_then(|extension| extension.to_str());
        let source = extension.is_some_and(|extension| SOURCE.contains(&extension));
        let document = extension == Some("md");
        if !source && !document {
            continue;
        }
        let text = fs::read_to_string(workspace.root().join(file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        if source {
            found.extend(check_source(file, &text));
            if extension == Some("rs") {
                found.extend(style::check(file, &text));
                found.extend(words::check(file, &text));
            }
            if !file.starts_with("xtask") {
                tested.extend(rows::tested(&text));
                tests.extend(promises::tests(&text));
                if addresses::makes_addresses(file, &text) {
                    addressing.insert(file.to_string_lossy().into_owned());
                }
            }
        } else {
            found.extend(links::check(workspace.root(), file, &text));
            found.extend(words::check(file, &text));
        }
    }
    let differences = fs::read_to_string(workspace.root().join(rows::DOCUMENT))
        .with_context(|| format!("cannot read {}", rows::DOCUMENT))?;
    found.extend(rows::check(&differences, &tested));
    let promised = fs::read_to_string(workspace.root().join(promises::DOCUMENT))
        .with_context(|| format!("cannot read {}", promises::DOCUMENT))?;
    found.extend(promises::check(&promised, &tests));
    let listed = fs::read_to_string(workspace.root().join(addresses::DOCUMENT))
        .with_context(|| format!("cannot read {}", addresses::DOCUMENT))?;
    found.extend(addresses::check(&listed, &tests, &addressing));
    found.extend(circles::check(workspace)?);
    if !found.is_empty() {
        bail!("{} broken:\n  {}", count(found.len(), "house rule"), found.join("\n  "));
    }
    eprintln!("    {} looked at", count(files.len(), "file"));
    Ok(())
}

fn check_source(file: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES && !GENERATED.iter().any(|generated| file == Path::new(generated)) {
        found.push(format!("{}: {lines} lines, at most {MAX_LINES}", file.display()));
    }
    for (index, line) in text.lines().enumerate() {
        for word in UNFINISHED.iter().filter(|word| has_word(line, word)) {
            found.push(format!("{}:{}: `{word}`", file.display(), index + 1));
        }
    }
    found
}

/// Whether `line` has `word` on its own, not as part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let joined_before = word.starts_with(part_of_name) && line[..at].ends_with(part_of_name);
        let joined_after =
            word.ends_with(part_of_name) && line[at + word.len()..].starts_with(part_of_name);
        !joined_before && !joined_after
    })
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_work_is_found_with_its_line() {
        let line = format!("fn later() {{ {}() }}", UNFINISHED[0]);
        let found = check_source(Path::new("a.rs"), &format!("\n{line}\n"));
        assert_eq!(found, [format!("a.rs:2: `{}`", UNFINISHED[0])]);
    }

    #[test]
    fn an_ignored_test_is_found_with_and_without_a_reason() {
        assert!(has_word(&format!("    {}]", UNFINISHED[5]), UNFINISHED[5]));
        assert!(has_word(&format!("{} = \"slow\"]", UNFINISHED[5]), UNFINISHED[5]));
    }

    #[test]
    fn longer_names_are_not_unfinished_work() {
        assert!(!has_word(&format!("my_{}(1)", UNFINISHED[2]), UNFINISHED[2]));
        assert!(!has_word(&format!("{}S", UNFINISHED[3]), UNFINISHED[3]));
        assert!(has_word(&format!("// {}: x", UNFINISHED[3]), UNFINISHED[3]));
    }

    #[test]
    fn the_longest_file_allowed_passes_and_one_line_more_does_not() {
        assert!(check_source(Path::new("a.c"), &"x\n".repeat(MAX_LINES)).is_empty());
        let found = check_source(Path::new("a.c"), &"x\n".repeat(MAX_LINES + 1));
        assert_eq!(found, ["a.c: 601 lines, at most 600"]);
    }

    #[test]
    fn a_generated_file_may_be_long() {
        assert!(check_source(Path::new(GENERATED[0]), &"x\n".repeat(5_000)).is_empty());
    }
}
