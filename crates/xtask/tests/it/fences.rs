//! Who may say which outside system's name: deny.toml holds it, this reads it.

use std::process::Command;

use serde::Deserialize;

use crate::workspace::{Metadata, read, root};

#[derive(Debug, Deserialize)]
struct Deny {
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Fence>,
}

#[derive(Debug, Deserialize)]
struct Fence {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    wrappers: Vec<String>,
    reason: String,
}

fn fences() -> Vec<Fence> {
    let deny: Deny = toml::from_str(&read("deny.toml")).expect("deny.toml");
    deny.bans.deny
}

#[test]
fn no_crate_of_ours_reaches_over_a_fence() {
    let metadata = Metadata::ask();
    let fences = fences();
    let mut breaches = Vec::new();
    for package in metadata.members() {
        // Development dependencies too: a test that says SQL is a test of the ledger.
        for fence in fences
            .iter()
            .filter(|fence| !fence.wrappers.contains(&package.name))
        {
            if package
                .dependencies
                .iter()
                .any(|dependency| dependency.name == fence.name)
            {
                breaches.push(format!(
                    "{} depends on {}: {}",
                    package.name, fence.name, fence.reason
                ));
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_fences_of_the_design_stand() {
    let fences = fences();
    for name in [
        "lapin",
        "tokio-postgres",
        "deadpool-postgres",
        "redis",
        "refinery",
        "rusqlite",
        "hmac",
        "age",
    ] {
        assert!(
            fences.iter().any(|fence| fence.name == name),
            "no fence around {name}"
        );
    }
}

/// Behind two fences these are let in for their tests: what ships must not come along.
#[test]
fn only_the_tests_of_the_programs_look_into_the_databases() {
    let metadata = Metadata::ask();
    let programs = metadata
        .members()
        .filter(|package| ["spillway", "worker"].contains(&package.name.as_str()));
    for program in programs {
        for dependency in &program.dependencies {
            let is_driver = ["tokio-postgres", "rusqlite"].contains(&dependency.name.as_str());
            let ships = dependency.kind.as_deref() != Some("dev");
            assert!(
                !(is_driver && ships),
                "{} ships {}",
                program.name,
                dependency.name
            );
        }
    }
}

/// The features that a release of the programs builds the fail points with.
fn armament(more: &[&str]) -> Vec<String> {
    let asked = ["tree", "--locked", "--edges", "no-dev", "--prefix", "none"];
    let programs = ["-p", "ingest", "-p", "worker", "-p", "spillway"];
    let output = Command::new(env!("CARGO"))
        .args(asked)
        .args(["--format", "{p}: {f}"])
        .args(programs)
        .args(more)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let ours = tree.lines().filter(|line| line.starts_with("failpoints v"));
    let features = ours.filter_map(|line| line.rsplit_once(": "));
    features.map(|(_, features)| features.to_owned()).collect()
}

/// The places to fail at, and the ten mistakes of `crates/sim`.
#[test]
fn no_release_is_built_with_what_makes_it_fail() {
    let released = armament(&[]);
    assert!(!released.is_empty(), "the programs have no such places");
    assert!(released.iter().all(String::is_empty), "{released:?}");
    let armed = armament(&["--features", "failpoints/armed"]);
    assert!(armed.contains(&"armed".to_owned()), "{armed:?}");
}

/// (I5)
#[test]
fn the_door_links_neither_the_ledger_nor_redis() {
    let metadata = Metadata::ask();
    let linked = metadata.linked_into("ingest");
    assert!(
        linked.contains("broker"),
        "the closure is empty: {linked:?}"
    );
    for name in [
        "ledger",
        "redis",
        "tokio-postgres",
        "deadpool-postgres",
        "refinery",
    ] {
        assert!(!linked.contains(name), "ingest links {name}");
    }
}
