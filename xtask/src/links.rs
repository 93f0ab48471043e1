//! Checks links between documents: a relative link in a Markdown file must name a file of the
//! checkout.
//!
//! Links to other sites are not checked, since a gate must not depend on other people's servers.

use std::path::Path;

/// Returns the dead relative links of `text`, the content of `file` under `root`.
pub(crate) fn check(root: &Path, file: &Path, text: &str) -> Vec<String> {
    let folder = root.join(file).parent().map_or_else(|| root.to_path_buf(), Path::to_path_buf);
    links(text)
        .into_iter()
        .filter(|(_, target)| !folder.join(target).exists())
        .map(|(line, target)| format!("{}:{line}: no such file `{target}`", file.display()))
        .collect()
}

/// Line and target of each inline link to another file, outside code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second piece between back-ticks is code.
        for prose in line.split('`').step_by(2) {
            for (at, opening) in prose.match_indices("](") {
                let rest = &prose[at + opening.len()..];
                let Some(end) = rest.find([')', ' ']) else { continue };
                let target = rest[..end].split('#').next().unwrap_or_default();
                let external = target.contains("://") || target.starts_with("mailto:");
                if !target.is_empty() && !external {
                    found.push((index + 1, target));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_to_files_count() {
        let text = "\
See [a](docs/a.md#part) and [b](https://b.example/x) and [c](#here).
Code `[d](d.md)` is not a link.
```
[e](e.md)
```
[f](../f.md \"title\")
";
        assert_eq!(links(text), [(1, "docs/a.md"), (6, "../f.md")]);
    }

    #[test]
    fn a_link_is_resolved_from_its_own_folder() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let file = Path::new("xtask/README.md");
        assert!(check(root, file, "[x](src/links.rs) [y](../Cargo.toml)").is_empty());
        assert_eq!(
            check(root, file, "\n[z](nowhere.md)"),
            ["xtask/README.md:2: no such file `nowhere.md`"]
        );
    }
}
