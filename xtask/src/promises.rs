//! Checks that every row of `docs/promises.md` names tests, and that these tests exist.

use std::collections::BTreeSet;

/// The document with the rows.
pub(crate) const DOCUMENT: &str = "docs/promises.md";

/// The names of the tests in a source file: functions with a test attribute.
pub(crate) fn tests(source: &str) -> impl Iterator<Item = String> + '_ {
    let mut attribute = false;
    source.lines().filter_map(move |line| {
        let line = line.trim_start();
        if line.starts_with("#[") {
            attribute |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            return None;
        }
        let name = line.split_once("fn ").and_then(|(_, rest)| rest.split(['(', '<']).next());
        // Property tests are inside a macro, and keep their attribute.
        std::mem::take(&mut attribute).then_some(name?.to_owned())
    })
}

/// Returns the errors: a row without a test, a missing test, a missing number.
pub(crate) fn check(document: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut last = 0;
    for line in document.lines() {
        let Some((row, named)) = row(line) else { continue };
        if row != last + 1 {
            found.push(format!("{DOCUMENT}: row {row} follows row {last}"));
        }
        last = row;
        if named.is_empty() {
            found.push(format!("{DOCUMENT}: no test holds row {row}"));
        }
        let gone = named.into_iter().filter(|name| !tests.contains(*name));
        found.extend(gone.map(|name| format!("{DOCUMENT}: row {row}: no test `{name}`")));
    }
    if last == 0 {
        found.push(format!("{DOCUMENT}: no rows"));
    }
    found
}

/// Number and tests of a row of a table.
fn row(line: &str) -> Option<(u32, Vec<&str>)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
    let number = cells.first()?.trim().parse().ok()?;
    Some((number, cells.last()?.split('`').skip(1).step_by(2).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_functions_that_are_tests_count() {
        let source = "#[test]\nfn a() {}\nfn b() {}\n#[tokio::test(start_paused = true)]\n\
                      #[allow(x)]\nasync fn c() {}\n#[derive(Debug)]\nstruct D;\n";
        assert_eq!(tests(source).collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn a_row_needs_tests_that_exist_and_its_number() {
        let document = "| Row | P | T |\n|---|---|---|\n| 1 | `x` | `a`, `gone` |\n| 3 | y | |\n";
        let found = check(document, &BTreeSet::from(["a".to_owned()]));
        assert_eq!(
            found,
            [
                "docs/promises.md: row 1: no test `gone`",
                "docs/promises.md: row 3 follows row 1",
                "docs/promises.md: no test holds row 3",
            ]
        );
        assert_eq!(check("", &BTreeSet::new()), ["docs/promises.md: no rows"]);
    }
}
