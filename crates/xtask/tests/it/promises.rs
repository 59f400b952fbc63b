//! A promise in a document names the test that keeps it, and that test exists.

use crate::workspace::{read, tests};

/// What stands between backticks in the last column of a table's rows.
fn named_tests(document: &str, heading: &str) -> Vec<String> {
    let section = document
        .split(heading)
        .nth(1)
        .expect("the heading is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let last = rows.filter_map(|row| {
        row.trim_end_matches('|')
            .rsplit('|')
            .next()
            .map(str::to_owned)
    });
    last.flat_map(|cell| {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    })
    .collect()
}

fn check(path: &str, heading: &str) {
    let (document, code) = (read(path), tests());
    let named = named_tests(&document, heading);
    assert!(named.len() >= 10, "{path} names only {named:?}");
    let exists = |name: &String| match name.strip_suffix("::") {
        Some(module) => code.contains(&format!("mod {module};")),
        None if name.ends_with(".rs") => true,
        None => {
            let function = name.rsplit("::").next().unwrap_or(name);
            ["(", "<"]
                .iter()
                .any(|after| code.contains(&format!("fn {function}{after}")))
        }
    };
    let missing: Vec<_> = named.into_iter().filter(|name| !exists(name)).collect();
    assert!(
        missing.is_empty(),
        "{path} names tests that are not there: {missing:?}"
    );
}

#[test]
fn every_guarantee_of_the_readme_names_a_test_that_exists() {
    check("README.md", "## Guarantees");
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    check("crates/ARCHITECTURE.md", "## Invariants");
}

#[test]
fn every_attack_names_a_test_that_exists() {
    check("docs/security.md", "## Hostile input");
}

#[test]
fn the_readme_is_short_and_starts_with_the_command() {
    let readme = read("README.md");
    assert!(readme.split_whitespace().count() <= 1_200);
    let first = readme
        .lines()
        .take(25)
        .any(|line| line == "cargo run --release -- serve");
    assert!(first, "the first command stands within 25 lines");
}
