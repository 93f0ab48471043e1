//! Counts the `unsafe` in our own code for the gate's summary, so that a growing number is noticed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::{
    tokens::tokens,
    workspace::{Notes, Workspace},
};

/// Counts `unsafe` in the sources of every crate.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn count(workspace: &Workspace) -> Result<Notes> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in workspace.files()? {
        let mut parts = file.iter().map(|part| part.to_string_lossy().into_owned());
        let krate = parts.next().unwrap_or_default();
        let source = parts.next().is_some_and(|folder| folder == "src");
        if source && file.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(workspace.root().join(&file))
                .with_context(|| format!("cannot read {}", file.display()))?;
            *counts.entry(krate).or_default() += occurrences(&text);
        }
    }
    let used = counts.iter().filter(|(_, count)| **count > 0);
    let used: Vec<String> = used.map(|(krate, count)| format!("{count} in {krate}")).collect();
    let used = if used.is_empty() { "none".to_owned() } else { used.join(", ") };
    Ok(vec![format!("unsafe blocks, functions and implementations: {used}")])
}

/// Counts the keyword `unsafe`, without `#[unsafe(no_mangle)]`.
fn occurrences(source: &str) -> usize {
    let tokens = tokens(source);
    let keyword = |pair: &&[crate::tokens::Token]| {
        pair[0].text == "unsafe" && matches!(pair[1].text.as_str(), "{" | "fn" | "impl" | "extern")
    };
    tokens.windows(2).filter(keyword).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_count_and_words_do_not() {
        let source = "// unsafe {\n#[unsafe(no_mangle)] unsafe extern \"C\" fn f() { unsafe { g() } }\n\
                      unsafe impl Send for X {} let text = \"unsafe {\";";
        assert_eq!(occurrences(source), 3);
    }
}
