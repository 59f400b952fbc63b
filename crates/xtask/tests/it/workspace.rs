//! What the tests here know about the workspace.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// The folder of the workspace.
pub fn root() -> PathBuf {
    // Asked at run time: what was built may have been built in another checkout that shares the
    // target folder.
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for tests");
    let root = Path::new(&package).join("../..");
    root.canonicalize().expect("the workspace")
}

/// The text of a file of the workspace.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Rust source of these crates, all files in one string.
pub fn source_of(crates: &[&str]) -> String {
    let mut source = String::new();
    for name in crates {
        collect(&root().join("crates").join(name).join("src"), &mut source);
    }
    source
}

/// The Rust source of every crate, its tests included, all files in one string.
pub fn tests() -> String {
    let mut source = String::new();
    for folder in ["crates", "loadtest"] {
        collect(&root().join(folder), &mut source);
    }
    source
}

fn collect(folder: &Path, source: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, source);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            source.push_str(&std::fs::read_to_string(&path).expect("UTF-8"));
        }
    }
}

/// The part of `cargo metadata` that is asked for here.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub struct Package {
    pub id: String,
    pub name: String,
    pub manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
    pub targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub name: String,
    /// `None` is a normal dependency; the others are `dev` and `build`.
    pub kind: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Target {
    pub name: String,
    pub kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    /// `None` is a normal dependency; the others are `dev` and `build`.
    kind: Option<String>,
}

impl Edge {
    fn is_linked(&self) -> bool {
        self.dep_kinds.iter().any(|edge| edge.kind.is_none())
    }
}

impl Metadata {
    /// Asks cargo, which must not change the lock file for it.
    pub fn ask() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("cargo's own format")
    }

    /// Our own packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The names of everything linked into the package `name`.
    pub fn linked_into(&self, name: &str) -> HashSet<&str> {
        let nodes: HashMap<&str, &Node> = self
            .resolve
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node))
            .collect();
        let start = self
            .members()
            .find(|package| package.name == name)
            .expect("a member");
        let mut seen = HashSet::new();
        let mut left = vec![start.id.as_str()];
        while let Some(id) = left.pop() {
            if seen.insert(id) {
                let linked = nodes[id].deps.iter().filter(|edge| edge.is_linked());
                left.extend(linked.map(|edge| edge.pkg.as_str()));
            }
        }
        let linked = self
            .packages
            .iter()
            .filter(|package| seen.contains(package.id.as_str()));
        linked.map(|package| package.name.as_str()).collect()
    }
}
