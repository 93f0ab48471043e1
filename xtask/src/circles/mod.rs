//! Finds files that import each other in a circle: `cargo xtask circles`.
//!
//! There must be none across folders. Inside a folder a circle is allowed when [`NAMED`] lists it
//! with the reason why its files are better read together. A file that imports a name from the
//! `mod.rs` or `lib.rs` that re-exports it depends on that file, and therefore on everything that
//! file imports: import the name from the file that defines it. Inline tests count; tests in a file
//! of their own may import anything.

mod source;
mod tree;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use self::tree::Graph;
use crate::workspace::{self, Workspace};

/// The allowed circles: all files of each, and the reason. A listed circle that is gone, has grown
/// or has shrunk is a failure, so that the list stays true.
const NAMED: &[(&[&str], &str)] = &[];

/// Returns the circles of all targets of the workspace, a text for each.
///
/// # Errors
/// When a source file cannot be read.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for (target, root) in targets(workspace)? {
        let graph = tree::read(workspace.root(), &root)?;
        for group in graph.groups() {
            let named = NAMED.iter().position(|(files, _)| same(files, &group));
            if let Some(index) = named.filter(|_| graph.in_one_folder(&group)) {
                used.insert(index);
            } else {
                found.push(describe(&target, &graph, &group));
            }
        }
    }
    for (index, (files, _)) in NAMED.iter().enumerate() {
        if !used.contains(&index) {
            let files = files.join(", ");
            found.push(format!("named as a circle, but none, or no longer this one: {files}"));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Name and root file of each target.
fn targets(workspace: &Workspace) -> Result<Vec<(String, PathBuf)>> {
    let metadata = workspace.metadata()?;
    let mut found = Vec::new();
    for package in workspace::array(&metadata["packages"]) {
        for target in workspace::array(&package["targets"]) {
            let text = |value: &Value| value.as_str().map(str::to_owned).context("cargo metadata");
            let name = format!(
                "{} ({} {})",
                text(&package["name"])?,
                text(&target["kind"][0])?,
                text(&target["name"])?
            );
            found.push((name, PathBuf::from(text(&target["src_path"])?)));
        }
    }
    Ok(found)
}

fn same(files: &[&str], group: &BTreeSet<PathBuf>) -> bool {
    files.len() == group.len() && files.iter().all(|file| group.contains(Path::new(file)))
}

/// Describes a circle: its files, and the imports of the shortest way round.
fn describe(target: &str, graph: &Graph, group: &BTreeSet<PathBuf>) -> String {
    let place = if graph.in_one_folder(group) { "inside one folder" } else { "across folders" };
    let way = graph.shortest(group);
    let files = group.iter().map(|file| format!("      {}", file.display()));
    let imports = way.iter().enumerate().map(|(index, from)| {
        let import = &graph.imports[from][&way[(index + 1) % way.len()]];
        format!("      {}:{}: {}", from.display(), import.line, import.path)
    });
    let mut lines = vec![format!("{target}: {} files in a circle {place}:", group.len())];
    lines.extend(files);
    lines.push("    shortest way round:".to_owned());
    lines.extend(imports);
    lines.join("\n")
}
