//! The corpus of every target, and thousands of ways to spoil it, with every test run.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use fuzzing::mutation::spoiled;
use fuzzing::{TARGETS, Taken, Target};

/// Some four seconds for the slowest target in a debug build, and less than one for each other. `cargo fuzz` is
/// for the search that goes on for hours.
const MUTATIONS: u64 = 8_000;

/// Fewer shapes than this are no corpus.
const FILES_MIN: usize = 8;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// In the order of their names, so that a seed means the same on every machine.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|why| panic!("{folder:?}: {why}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// Says what was being read when a target fails: an input is not worth much that nobody can repeat.
struct Reading<'a> {
    what: String,
    bytes: &'a [u8],
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}:\n{}", self.what, self.bytes.escape_ascii());
        }
    }
}

fn run(target: Target, what: impl Into<String>, bytes: &[u8]) -> Taken {
    let _reading = Reading {
        what: what.into(),
        bytes,
    };
    target(bytes)
}

fn holds(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|its| its.0 == name).unwrap();
    let files = corpus(name);
    let (mut taken, mut refused) = (0, 0);
    for (path, bytes) in &files {
        match run(target, path.display().to_string(), bytes) {
            true => taken += 1,
            false => refused += 1,
        }
    }
    assert!(files.len() >= FILES_MIN, "{name}: {} files", files.len());
    assert!(
        taken > 0 && refused > 0,
        "{name}: {taken} taken, {refused} not"
    );
    // Most of what is spoiled is refused at once; as long as some is not, the mutations reach what lies behind.
    let mut taken = 0;
    for seed in 0..MUTATIONS {
        let mut random = Rng::with_seed(seed);
        let (path, file) = &files[random.usize(..files.len())];
        let (_, other) = &files[random.usize(..files.len())];
        let bytes = spoiled(&mut random, file, other);
        let what = format!("{} spoiled with seed {seed}", path.display());
        taken += u64::from(run(target, what, &bytes));
    }
    assert!(taken > 0, "{name}: no mutation is taken");
    println!("{name}: {taken} of {MUTATIONS} mutations taken");
}

#[test]
fn a_delivery_of_ours_is_kept_and_one_of_others_is_told_apart() {
    holds("amqp");
}

#[test]
fn a_key_that_is_not_ours_is_refused_and_no_pasted_secret_repeated() {
    holds("config");
}

#[test]
fn a_body_is_accepted_by_the_rules_and_refused_without_a_part_of_it() {
    holds("payload");
}

#[test]
fn nothing_is_let_in_that_was_not_signed() {
    holds("signature");
}

#[test]
fn twelve_digits_are_a_timestamp_and_nothing_else_is() {
    holds("timestamp");
}

#[test]
fn a_row_of_the_embedded_broker_is_kept() {
    holds("wire");
}

/// `cargo fuzz` finds its targets by these files.
#[test]
fn every_target_can_be_searched_for_longer() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(fuzz().join("README.md")).unwrap();
    let listed = manifest.matches("[[bin]]").count();
    assert_eq!(listed, TARGETS.len());
    let folders = fs::read_dir(fuzz().join("corpus")).unwrap().count();
    assert_eq!(folders, TARGETS.len());
    for (name, _) in TARGETS {
        let path = format!("fuzz_targets/{name}.rs");
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{name}");
        let target = fs::read_to_string(fuzz().join(path)).unwrap();
        assert!(target.contains(&format!("fuzzing::{name}(data)")), "{name}");
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
    }
}
