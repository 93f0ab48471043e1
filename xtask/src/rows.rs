//! Checks that every row of `docs/differences.md` has a test, whose name starts with `row_` and the
//! number in two digits.

use std::collections::BTreeSet;

/// The document with the rows.
pub(crate) const DOCUMENT: &str = "docs/differences.md";

/// The rows that a source file has tests for.
pub(crate) fn tested(source: &str) -> impl Iterator<Item = u32> + '_ {
    source.lines().filter_map(|line| {
        let (_, name) = line.split_once("fn row_")?;
        name.split_once('_')?.0.parse().ok()
    })
}

/// Returns the errors: a row without a test, a test without a row.
pub(crate) fn check(document: &str, tested: &BTreeSet<u32>) -> Vec<String> {
    let rows: BTreeSet<u32> = document.lines().filter_map(row).collect();
    let untested =
        rows.difference(tested).map(|row| format!("{DOCUMENT}: no test shows row {row}"));
    let unknown = tested.difference(&rows).map(|row| format!("{DOCUMENT}: a test names row {row}"));
    untested.chain(unknown).collect()
}

/// The number that begins a row of a table.
fn row(line: &str) -> Option<u32> {
    line.strip_prefix('|')?.split('|').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| Row | Ours |\n|---|---|\n| 3 | better |\n| 14 | better |\n";

    #[test]
    fn a_row_needs_a_test_and_a_test_a_row() {
        let source =
            "async fn row_03_one_thing() {}\n  fn row_03_another() {}\n fn row_99_gone() {}";
        let tests = tested(source).collect();
        let found = check(TABLE, &tests);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].ends_with("no test shows row 14"), "{found:?}");
        assert!(found[1].ends_with("a test names row 99"), "{found:?}");
    }

    #[test]
    fn other_functions_are_no_tests_of_rows() {
        assert_eq!(tested("fn row(line: &str) {}\nfn row_of_seats() {}").count(), 0);
    }
}
