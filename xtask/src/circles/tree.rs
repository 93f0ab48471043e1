//! The modules of one target (a library, a program, a test), and which file imports which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    slice,
};

use anyhow::{Context, Result};

use super::source::{self, Declared, Named};

/// An import: its line and its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) line: usize,
    pub(super) path: String,
    /// Whether the file only re-exports the names.
    pub(super) re_export: bool,
}

/// Files, and for each pair of them an import from one to the other.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) imports: BTreeMap<PathBuf, BTreeMap<PathBuf, Import>>,
    /// The folder that a file belongs to: that of its submodules, if it has any.
    pub(super) folders: BTreeMap<PathBuf, PathBuf>,
}

/// Reads the target whose root file is `root`; files are named relative to `base`.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn read(base: &Path, root: &Path) -> Result<Graph> {
    let mut tree = Tree { base: base.to_path_buf(), ..Tree::default() };
    let folder = root.parent().unwrap_or(base).to_path_buf();
    tree.file(None, root, folder)?;
    Ok(tree.graph())
}

struct Module {
    parent: Option<usize>,
    file: PathBuf,
    children: BTreeMap<String, usize>,
    /// Names of other modules, from `use`.
    aliases: BTreeMap<String, usize>,
    named: Vec<Named>,
}

#[derive(Default)]
struct Tree {
    base: PathBuf,
    modules: Vec<Module>,
    folders: BTreeMap<PathBuf, PathBuf>,
}

impl Tree {
    /// Adds the module of a file, with all its submodules, which are in `folder`.
    fn file(&mut self, parent: Option<usize>, file: &Path, folder: PathBuf) -> Result<usize> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let source = source::read(&text);
        let name = self.relative(file);
        let module = self.module(parent, name.clone());
        let mut inline: BTreeMap<Vec<String>, usize> = BTreeMap::from([(Vec::new(), module)]);
        let mut has_files = false;
        for declared in &source.declared {
            let Some(&outer) = inline.get(&declared.within) else { continue };
            let child = if declared.inline {
                let child = self.module(Some(outer), name.clone());
                let path = [declared.within.as_slice(), slice::from_ref(&declared.name)].concat();
                inline.insert(path, child);
                child
            } else {
                // A module of another platform may have no file here.
                let Some((path, below)) = find(file, &folder, declared) else { continue };
                has_files |= declared.path.is_none();
                self.file(Some(outer), &path, below)?
            };
            self.modules[outer].children.insert(declared.name.clone(), child);
        }
        for named in source.named {
            if let Some(&within) = inline.get(&named.within) {
                self.modules[within].named.push(named);
            }
        }
        let own = if has_files { folder } else { file.parent().unwrap_or(file).to_path_buf() };
        let own = self.relative(&own);
        self.folders.insert(name, own);
        Ok(module)
    }

    fn module(&mut self, parent: Option<usize>, file: PathBuf) -> usize {
        self.modules.push(Module {
            parent,
            file,
            children: BTreeMap::new(),
            aliases: BTreeMap::new(),
            named: Vec::new(),
        });
        self.modules.len() - 1
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.base).unwrap_or(path).to_path_buf()
    }

    fn graph(mut self) -> Graph {
        self.find_aliases();
        let mut graph = Graph { folders: self.folders.clone(), ..Graph::default() };
        for (id, module) in self.modules.iter().enumerate() {
            let edges = graph.imports.entry(module.file.clone()).or_default();
            for named in &module.named {
                let Some((target, _)) = self.resolve(id, &named.segments) else { continue };
                let target = &self.modules[target].file;
                if *target == module.file {
                    continue;
                }
                let import = Import {
                    line: named.line,
                    path: named.segments.join("::"),
                    re_export: named.re_export,
                };
                let known = edges.entry(target.clone()).or_insert_with(|| import.clone());
                if known.re_export && !import.re_export {
                    *known = import;
                }
            }
        }
        graph
    }

    /// Records which names are modules. An alias may refer to another one, so it runs twice.
    fn find_aliases(&mut self) {
        for _ in 0..2 {
            for id in 0..self.modules.len() {
                let mut found = BTreeMap::new();
                for named in &self.modules[id].named {
                    let Some(alias) = &named.alias else { continue };
                    if let Some((target, true)) = self.resolve(id, &named.segments) {
                        found.insert(alias.clone(), target);
                    }
                }
                self.modules[id].aliases.extend(found);
            }
        }
    }

    /// Returns the module in which the path ends, and whether the path is that of the module
    /// itself; `None` when the path leads out of this target.
    ///
    /// A name that a module only re-exports belongs to the file of that module: an import from
    /// there depends on everything that the module needs.
    fn resolve(&self, from: usize, segments: &[String]) -> Option<(usize, bool)> {
        let mut rest = segments.iter().map(String::as_str).peekable();
        let mut module = match rest.next()? {
            "crate" => 0,
            "self" => from,
            "super" => self.modules[from].parent?,
            first => {
                let own = &self.modules[from];
                *own.children.get(first).or_else(|| own.aliases.get(first))?
            }
        };
        while let Some(&segment) = rest.peek() {
            module = match segment {
                "super" => self.modules[module].parent?,
                _ => match self.modules[module].children.get(segment) {
                    Some(&child) => child,
                    None => return Some((module, false)),
                },
            };
            rest.next();
        }
        Some((module, true))
    }
}

/// The file of a declared module, and the folder of that module's own submodules.
fn find(file: &Path, folder: &Path, declared: &Declared) -> Option<(PathBuf, PathBuf)> {
    if let Some(path) = &declared.path {
        let path = normal(&file.parent()?.join(path));
        let below = path.parent()?.to_path_buf();
        return path.is_file().then_some((path, below));
    }
    let mut folder = folder.to_path_buf();
    folder.extend(&declared.within);
    let below = folder.join(&declared.name);
    let candidates = [folder.join(format!("{}.rs", declared.name)), below.join("mod.rs")];
    candidates.into_iter().find(|path| path.is_file()).map(|path| (path, below))
}

/// `a/../b` is `b`.
fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        if part.as_os_str() == ".." {
            result.pop();
        } else {
            result.push(part);
        }
    }
    result
}

impl Graph {
    /// The groups of files that import each other in a circle: within a group every file reaches
    /// every other. Inside a folder, a `mod.rs` that only re-exports what its neighbours define is
    /// not part of a circle.
    pub(super) fn groups(&self) -> Vec<BTreeSet<PathBuf>> {
        let mut found = Vec::new();
        for group in self.connected() {
            if self.in_one_folder(&group) {
                found.extend(self.without_re_exports(&group).connected());
            } else {
                found.push(group);
            }
        }
        found
    }

    /// The imports among the files of a group, without re-exports.
    fn without_re_exports(&self, group: &BTreeSet<PathBuf>) -> Self {
        let mut graph = Self::default();
        for file in group {
            let imports = self.imports.get(file).into_iter().flatten();
            let kept = imports.filter(|(to, import)| group.contains(*to) && !import.re_export);
            let kept = kept.map(|(to, import)| (to.clone(), import.clone())).collect();
            graph.imports.insert(file.clone(), kept);
        }
        graph
    }

    fn connected(&self) -> Vec<BTreeSet<PathBuf>> {
        let reach: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
            self.imports.keys().map(|file| (file, self.reachable(file))).collect();
        let mut groups = Vec::new();
        let mut placed: BTreeSet<&PathBuf> = BTreeSet::new();
        for (file, reached) in &reach {
            if !reached.contains(*file) || placed.contains(*file) {
                continue;
            }
            let group: BTreeSet<PathBuf> = reached
                .iter()
                .filter(|other| reach.get(*other).is_some_and(|back| back.contains(*file)))
                .map(|other| (*other).clone())
                .collect();
            placed.extend(reach.keys().copied().filter(|file| group.contains(*file)));
            groups.push(group);
        }
        groups
    }

    fn reachable(&self, file: &PathBuf) -> BTreeSet<&PathBuf> {
        let mut found = BTreeSet::new();
        let mut open = vec![file];
        while let Some(next) = open.pop() {
            for target in self.imports.get(next).into_iter().flat_map(BTreeMap::keys) {
                if found.insert(target) {
                    open.push(target);
                }
            }
        }
        found
    }

    /// The shortest way from `file` back to itself within a group, as files.
    pub(super) fn shortest(&self, group: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let ways = group.iter().filter_map(|file| self.way_back(file, group));
        ways.min_by_key(Vec::len).unwrap_or_default()
    }

    fn way_back(&self, file: &PathBuf, group: &BTreeSet<PathBuf>) -> Option<Vec<PathBuf>> {
        let mut came_from: BTreeMap<&PathBuf, &PathBuf> = BTreeMap::new();
        let mut layer = vec![file];
        while !layer.is_empty() {
            let mut next = Vec::new();
            for from in layer {
                for target in self.imports.get(from)?.keys().filter(|to| group.contains(*to)) {
                    if target == file {
                        let mut way = vec![file.clone()];
                        let mut at = from;
                        while at != file {
                            way.insert(1, at.clone());
                            at = came_from[at];
                        }
                        return Some(way);
                    }
                    if !came_from.contains_key(target) {
                        came_from.insert(target, from);
                        next.push(target);
                    }
                }
            }
            layer = next;
        }
        None
    }

    /// Whether all files of a group belong to one folder.
    pub(super) fn in_one_folder(&self, group: &BTreeSet<PathBuf>) -> bool {
        let folders: BTreeSet<_> = group.iter().map(|file| self.folders.get(file)).collect();
        folders.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the files, reads the target with the root `lib.rs`, and returns its groups.
    fn groups(name: &str, files: &[(&str, &str)]) -> (Graph, Vec<Vec<String>>) {
        let base = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        for (file, text) in files {
            let path = base.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let graph = read(&base, &base.join("lib.rs")).unwrap();
        fs::remove_dir_all(&base).unwrap();
        let names = |group: BTreeSet<PathBuf>| {
            group.into_iter().map(|file| file.display().to_string()).collect()
        };
        let found = graph.groups().into_iter().map(names).collect();
        (graph, found)
    }

    #[test]
    fn a_circle_is_found_through_folders_and_names_its_files() {
        let (graph, found) = groups(
            "across",
            &[
                ("lib.rs", "mod a; mod b; pub use a::A;"),
                ("a/mod.rs", "mod c; pub struct A;"),
                ("a/c.rs", "use crate::b; fn f() { b::g() }"),
                ("b.rs", "use crate::a::c::f;"),
            ],
        );
        assert_eq!(found, [["a/c.rs", "b.rs"]]);
        let group = graph.groups().remove(0);
        assert!(!graph.in_one_folder(&group));
        assert_eq!(graph.shortest(&group).len(), 2);
        let import = &graph.imports[Path::new("b.rs")][Path::new("a/c.rs")];
        assert_eq!((import.line, import.path.as_str()), (1, "crate::a::c::f"));
    }

    #[test]
    fn a_name_taken_from_the_root_brings_the_root_along() {
        let (graph, found) = groups(
            "root",
            &[
                ("lib.rs", "mod a; mod b; pub use b::B; pub use a::c::A;"),
                ("a/mod.rs", "pub(crate) mod c;"),
                ("a/c.rs", "use crate::B;"),
                ("b.rs", "pub struct B;"),
            ],
        );
        assert_eq!(found, [["a/c.rs", "lib.rs"]]);
        assert!(!graph.in_one_folder(&graph.groups()[0]));
    }

    #[test]
    fn inside_a_folder_handing_on_is_no_circle_and_needing_is_one() {
        let files =
            |root: &'static str| [("lib.rs", root), ("a.rs", "use crate::B; pub struct A;")];
        let (_, found) = groups("handing", &files("mod a; pub use a::A; pub struct B;"));
        assert!(found.is_empty(), "{found:?}");
        let (_, found) = groups("needing", &files("mod a; pub use a::A; pub struct B(A);"));
        assert_eq!(found, [["a.rs", "lib.rs"]]);
    }

    #[test]
    fn a_file_with_submodules_belongs_to_their_folder() {
        let (graph, found) = groups(
            "folder",
            &[
                ("lib.rs", "mod a;"),
                ("a.rs", "mod b; use b::B; struct A;"),
                ("a/b.rs", "use super::A; struct B;"),
            ],
        );
        assert_eq!(found, [["a/b.rs", "a.rs"]]);
        assert!(graph.in_one_folder(&graph.groups()[0]));
    }

    #[test]
    fn tests_of_their_own_and_one_way_imports_are_no_circle() {
        let (_, found) = groups(
            "none",
            &[
                ("lib.rs", "mod a; mod b; mod c { pub use super::b::B; }"),
                ("a.rs", "use crate::b::B; struct A; #[cfg(test)] mod tests;"),
                ("a/tests.rs", "use super::*;"),
                ("b.rs", "struct B; #[cfg(test)] mod tests;"),
                ("b/tests.rs", "use crate::a::A;"),
            ],
        );
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn an_inline_test_that_imports_back_is_a_circle() {
        let (_, found) = groups(
            "inline",
            &[
                ("lib.rs", "mod a; mod b;"),
                ("a.rs", "use crate::b; struct A;"),
                ("b.rs", "struct B; #[cfg(all(test, unix))] mod tests { use crate::a::A; }"),
            ],
        );
        assert_eq!(found, [["a.rs", "b.rs"]]);
    }
}
