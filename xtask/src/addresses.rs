//! `docs/addresses.md` is complete: every place has a test, and every file that makes an address of
//! what comes from outside is listed.

use std::{collections::BTreeSet, path::Path};

/// The document with the tables.
pub(crate) const DOCUMENT: &str = "docs/addresses.md";

/// Crates whose code receives addresses.
const CRATES: [&str; 4] = ["webex-auth", "webex-core", "webex-meetings", "webex-calling"];

/// How an address is made of a text, one of which is in every file that does so.
const MAKES: [&str; 4] = ["Url::parse(", "url.join(", "with_authority(", "parse_authority("];

/// Whether a source file of these crates makes an address of a text, or reads one from JSON.
pub(crate) fn makes_addresses(file: &Path, source: &str) -> bool {
    let name = file.to_string_lossy();
    let library = CRATES.iter().any(|it| file.starts_with(Path::new(it).join("src")));
    if !library || name.contains("test") || name.contains("simulation") || name.contains("fuzz") {
        return false;
    }
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or(source);
    let field = |line: &str| {
        [": Url,", ": Option<Url>,", ": Vec<Url>,"].iter().any(|kind| line.ends_with(kind))
    };
    MAKES.iter().any(|way| code.contains(way))
        || (code.contains("Url") && code.contains(".parse().ok()"))
        || (code.contains("Deserialize") && code.lines().any(field))
}

/// Returns what is wrong: a row without a test, a test or a file that does not exist, a file that is
/// not listed.
pub(crate) fn check(
    document: &str,
    tests: &BTreeSet<String>,
    files: &BTreeSet<String>,
) -> Vec<String> {
    let (mut found, mut listed, mut rows) = (Vec::new(), BTreeSet::new(), 0);
    for line in document.lines() {
        let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            continue;
        };
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        match cells[..] {
            [address, _, named] if named.contains('`') || named == "the same" => {
                rows += 1;
                let quoted = named.split('`').skip(1).step_by(2);
                // The rest are files.
                let gone =
                    quoted.filter(|it| !it.contains('.')).filter(|name| !tests.contains(*name));
                found.extend(gone.map(|name| format!("{DOCUMENT}: {address}: no test `{name}`")));
            }
            [address, _, named] if !matches!(named, "Test" | "---") => {
                found.push(format!("{DOCUMENT}: no test for: {address}"));
            }
            [file, _] if file.starts_with('`') => {
                listed.insert(file.trim_matches('`').to_owned());
            }
            _ => {}
        }
    }
    if rows == 0 {
        found.push(format!("{DOCUMENT}: no rows"));
    }
    let missing = files.difference(&listed);
    found.extend(
        missing.map(|file| format!("{DOCUMENT}: {file} makes addresses, and is not listed")),
    );
    let stale = listed.difference(files);
    found.extend(stale.map(|file| format!("{DOCUMENT}: {file} makes no addresses")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_file_that_makes_addresses_is_found() {
        let makes = |file: &str, source: &str| makes_addresses(Path::new(file), source);
        let file = "webex-core/src/x.rs";
        assert!(makes(file, "let url = Url::parse(text)?;"));
        assert!(makes(file, "#[derive(Deserialize)]\nstruct A {\n    url: Url,\n}"));
        assert!(makes(file, "fn x() -> Option<Url> { text.parse().ok() }"));
        assert!(!makes(file, "struct A {\n    url: Url,\n}"));
        assert!(!makes(file, "#[cfg(test)]\nmod tests {\n let url = Url::parse(text)?;\n}"));
        assert!(!makes("webex-core/tests/x.rs", "Url::parse(text)"));
        assert!(!makes("webex-sandbox/src/x.rs", "Url::parse(text)"));
    }

    #[test]
    fn a_row_needs_tests_and_a_file_its_row() {
        let document = "| Address | Asked about | Test |\n|---|---|---|\n| a | x | `f.rs`: `t` |\n\
                        | b | x | the same |\n| c | x | `gone` |\n| d | x | none |\n\n\
                        | File | Addresses |\n|---|---|\n| `a.rs` | a |\n| `old.rs` | b |\n";
        assert_eq!(
            check(document, &set(&["t"]), &set(&["a.rs", "new.rs"])),
            [
                "docs/addresses.md: c: no test `gone`",
                "docs/addresses.md: no test for: d",
                "docs/addresses.md: new.rs makes addresses, and is not listed",
                "docs/addresses.md: old.rs makes no addresses",
            ]
        );
        assert_eq!(check("", &set(&[]), &set(&[])), ["docs/addresses.md: no rows"]);
    }
}
