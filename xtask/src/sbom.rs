//! Lists the components (CycloneDX) and licences of what we ship.
//!
//! `cargo xtask sbom` and `cargo xtask notices` write both for each shipped program and library to
//! `target/dist`. They list the crates that are linked in on this platform; macros and build
//! scripts leave nothing behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::workspace::{self, Workspace};

/// The shipped packages.
const SHIPPED: &[&str] = &["webex-ffi", "webex-cli"];

/// A crate that is linked in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Component {
    name: String,
    version: String,
}

/// Writes `target/dist/<package>.cdx.json` for each shipped package.
///
/// # Errors
/// When cargo fails, or a crate states no licence.
pub(crate) fn sbom(workspace: &Workspace) -> Result<()> {
    let folder = dist(workspace)?;
    let lock = fs::read_to_string(workspace.root().join("Cargo.lock")).context("Cargo.lock")?;
    let checksums = checksums(&lock);
    let known = Known::read(workspace)?;
    for package in SHIPPED {
        let graph = linked(workspace, package)?;
        let bom = bom(package, &graph, &known, &checksums)?;
        let path = folder.join(format!("{package}.cdx.json"));
        let text = serde_json::to_string_pretty(&bom).context("CycloneDX")? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}: {} components", path.display(), graph.len() - 1);
    }
    Ok(())
}

/// Writes `target/dist/<package>-NOTICES.txt` for each shipped package.
///
/// # Errors
/// When cargo fails, or a crate states no licence. A crate without a licence text is listed all the same.
pub(crate) fn notices(workspace: &Workspace) -> Result<()> {
    let folder = dist(workspace)?;
    let known = Known::read(workspace)?;
    for package in SHIPPED {
        let graph = linked(workspace, package)?;
        let others = graph.keys().filter(|component| !known.own(component));
        let mut list = Vec::new();
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for component in others {
            let Component { name, version } = component;
            list.push(format!("{name} {version}: {}", known.licence(component)?));
            for text in licence_texts(&known.folder(component)?)? {
                texts.entry(text).or_default().push(format!("{name} {version}"));
            }
        }
        let mut document = vec![format!(
            "{package} contains the following third-party crates.\n\n{}",
            list.join("\n")
        )];
        for (text, users) in texts {
            document.push(format!("{}\n\n{}", users.join(", "), text.trim()));
        }
        let path = folder.join(format!("{package}-NOTICES.txt"));
        let rule = format!("\n\n{}\n\n", "-".repeat(100));
        fs::write(&path, document.join(&rule) + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}: {} crates", path.display(), list.len());
    }
    Ok(())
}

/// The components of a list that [`sbom`] has written, each as name and version.
///
/// # Errors
/// When there is none.
pub(crate) fn listed(folder: &Path, package: &str) -> Result<BTreeSet<String>> {
    let path = folder.join(format!("{package}.cdx.json"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let bom: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let components = workspace::array(&bom["components"]).map(|component| {
        let text = |key: &str| component[key].as_str().unwrap_or_default();
        format!("{} {}", text("name"), text("version"))
    });
    Ok(components.collect())
}

fn dist(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target()?.join("dist");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The crates that are linked into a package, itself included, with what each depends on.
fn linked(
    workspace: &Workspace,
    package: &str,
) -> Result<BTreeMap<Component, BTreeSet<Component>>> {
    let text = workspace::capture(workspace.cargo("tree").args([
        "-p",
        package,
        "-e",
        "normal,no-proc-macro",
        "--prefix",
        "depth",
        "--no-dedupe",
        "-f",
        " {p}",
    ]))?;
    graph(&text)
}

/// Reads cargo's tree: each line is a depth, a name and `v` with the version.
fn graph(tree: &str) -> Result<BTreeMap<Component, BTreeSet<Component>>> {
    let mut graph: BTreeMap<Component, BTreeSet<Component>> = BTreeMap::new();
    let mut above: Vec<Component> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let mut word = || words.next().with_context(|| format!("cargo tree: {line}"));
        let depth: usize = word()?.parse().with_context(|| format!("cargo tree: {line}"))?;
        let name = word()?.to_owned();
        let version = word()?.trim_start_matches('v').to_owned();
        let component = Component { name, version };
        above.truncate(depth);
        if let Some(parent) = above.last() {
            graph.entry(parent.clone()).or_default().insert(component.clone());
        }
        graph.entry(component.clone()).or_default();
        above.push(component);
    }
    ensure!(!graph.is_empty(), "cargo tree printed nothing");
    Ok(graph)
}

/// The metadata of every crate.
struct Known(BTreeMap<Component, Value>);

impl Known {
    fn read(workspace: &Workspace) -> Result<Self> {
        let text = workspace::capture(workspace.cargo("metadata").args(["--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
        let packages = workspace::array(&metadata["packages"]).map(|package| {
            let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
            (Component { name: text("name"), version: text("version") }, package.clone())
        });
        Ok(Self(packages.collect()))
    }

    fn package(&self, component: &Component) -> Result<&Value> {
        self.0.get(component).with_context(|| format!("cargo does not know {}", component.name))
    }

    /// Whether it is a crate of this workspace.
    fn own(&self, component: &Component) -> bool {
        self.0.get(component).is_some_and(|package| package["source"].is_null())
    }

    fn licence(&self, component: &Component) -> Result<&str> {
        let licence = self.package(component)?["license"].as_str();
        licence.with_context(|| format!("{} states no licence", component.name))
    }

    fn folder(&self, component: &Component) -> Result<PathBuf> {
        let manifest = self.package(component)?["manifest_path"].as_str().unwrap_or_default();
        Ok(Path::new(manifest).parent().context("a manifest without a folder")?.to_path_buf())
    }
}

fn bom(
    package: &str,
    graph: &BTreeMap<Component, BTreeSet<Component>>,
    known: &Known,
    checksums: &BTreeMap<Component, String>,
) -> Result<Value> {
    let describe = |component: &Component| -> Result<Value> {
        let mut description = json!({
            "type": if component.name == package { "application" } else { "library" },
            "bom-ref": purl(component),
            "name": component.name,
            "version": component.version,
            "purl": purl(component),
            "licenses": [{"expression": known.licence(component)?}],
        });
        if let Some(checksum) = checksums.get(component) {
            description["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        Ok(description)
    };
    let root = graph.keys().find(|component| component.name == package).context("no such crate")?;
    let others = graph.keys().filter(|component| *component != root);
    let components: Vec<Value> = others.map(describe).collect::<Result<_>>()?;
    let dependencies: Vec<Value> = graph
        .iter()
        .map(|(component, needs)| {
            let needs: Vec<String> = needs.iter().map(purl).collect();
            json!({"ref": purl(component), "dependsOn": needs})
        })
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": describe(root)?},
        "components": components,
        "dependencies": dependencies,
    }))
}

fn purl(component: &Component) -> String {
    format!("pkg:cargo/{}@{}", component.name, component.version)
}

/// The checksums of the lock file.
fn checksums(lock: &str) -> BTreeMap<Component, String> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (value("name"), value("version"), value("checksum"))
        {
            found.insert(Component { name, version }, checksum);
        }
    }
    found
}

/// The texts of licences and notices in a crate's folder.
fn licence_texts(folder: &Path) -> Result<BTreeSet<String>> {
    let mut texts = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let legal = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
        if legal.iter().any(|word| name.starts_with(word)) && path.is_file() {
            let text = fs::read(&path).with_context(|| path.display().to_string())?;
            texts.insert(String::from_utf8_lossy(&text).replace("\r\n", "\n"));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, version: &str) -> Component {
        Component { name: name.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn a_tree_is_read_with_its_edges() {
        let tree = "0 a v1.0.0 (/src/a)\n1 b v2.0.0\n2 c v3.0.0\n1 c v3.0.0\n";
        let graph = graph(tree).unwrap();
        assert_eq!(graph.len(), 3);
        let needs = |name, version| &graph[&component(name, version)];
        assert_eq!(needs("a", "1.0.0").len(), 2);
        assert_eq!(needs("b", "2.0.0").iter().next(), Some(&component("c", "3.0.0")));
        assert!(needs("c", "3.0.0").is_empty());
    }

    #[test]
    fn a_bom_names_component_licence_checksum_and_edges() {
        let graph = graph("0 a v1.0.0 (/src/a)\n1 b v2.0.0\n").unwrap();
        let package = |licence: &str| json!({"license": licence, "source": null});
        let known = Known(BTreeMap::from([
            (component("a", "1.0.0"), package("MIT")),
            (component("b", "2.0.0"), package("ISC")),
        ]));
        let lock = "[[package]]\nname = \"b\"\nversion = \"2.0.0\"\nchecksum = \"00ff\"\n";
        let bom = bom("a", &graph, &known, &checksums(lock)).unwrap();
        assert_eq!(bom["metadata"]["component"]["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(bom["components"][0]["licenses"][0]["expression"], "ISC");
        assert_eq!(bom["components"][0]["hashes"][0]["content"], "00ff");
        assert_eq!(bom["dependencies"][0]["dependsOn"][0], "pkg:cargo/b@2.0.0");
    }

    #[test]
    fn a_crate_without_a_licence_is_refused() {
        let known = Known(BTreeMap::from([(component("a", "1.0.0"), json!({}))]));
        assert!(known.licence(&component("a", "1.0.0")).is_err());
    }
}
