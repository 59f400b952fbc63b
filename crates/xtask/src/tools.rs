//! Tools of other ecosystems, installed under `target/`; and what it means that one is not here.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::report::Ending;
use crate::steps::shown;

/// What pip, npm and cargo write where they reach no registry: the resolver's words, and the kernel's.
const UNREACHED: [&str; 12] = [
    "name resolution",
    "Could not resolve host",
    "EAI_AGAIN",
    "ENOTFOUND",
    "ECONNREFUSED",
    "ECONNRESET",
    "ENETUNREACH",
    "ETIMEDOUT",
    "Connection refused",
    "Connection timed out",
    "Network is unreachable",
    "Read timed out",
];

/// How a step ends that has no tools. Elsewhere somebody reads why it was skipped; in CI nobody does, and a
/// check that is never made would pass for ever.
pub fn without(why: &anyhow::Error) -> Result<Ending> {
    ending(why, std::env::var("CI").is_ok_and(|set| set == "true"))
}

fn ending(why: &anyhow::Error, in_ci: bool) -> Result<Ending> {
    if in_ci {
        bail!("{why:#}; in CI that is a failure");
    }
    Ok(Ending::Skipped(format!("{why:#}")))
}

/// Whether a program is here and answers.
pub fn answers(mut question: Command) -> bool {
    question
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    question.status().is_ok_and(|status| status.success())
}

/// Runs an installer. Its failure says whether there was nothing to install from, or the install is broken.
pub fn install(mut installer: Command) -> Result<()> {
    let shown = shown(&installer);
    println!("$ {shown}");
    let output = installer
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{shown}`"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    print!("{said}");
    if !output.status.success() {
        bail!("{}", reason(&shown, &said));
    }
    Ok(())
}

fn reason(shown: &str, said: &str) -> String {
    if UNREACHED.iter().any(|words| said.contains(words)) {
        return format!("no registry is reached: `{shown}`");
    }
    let mut lines = said.lines().map(str::trim);
    let last = lines.rfind(|line| !line.is_empty()).unwrap_or("no word");
    format!("broken install: `{shown}`: {last}")
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_is_not_reached_is_told_apart_from_a_broken_install() {
        for said in [
            "WARNING: Retrying … Failed to establish a new connection: [Errno -3] Temporary failure in name \
             resolution')': /simple/x/\nERROR: Could not find a version that satisfies the requirement x==1 (from \
             versions: none)\nERROR: No matching distribution found for x==1",
            "npm error code EAI_AGAIN\nnpm error request to … failed, reason: getaddrinfo EAI_AGAIN",
            "Caused by:\n  [6] Could not resolve hostname (Could not resolve host: index.example)",
        ] {
            let reason = reason("pip install x==1", said);
            assert_eq!(reason, "no registry is reached: `pip install x==1`");
        }
        for (said, last) in [
            (
                "ERROR: Could not find a version that satisfies the requirement x==9 (from versions: 1.0, 1.1)\n\
                 ERROR: No matching distribution found for x==9\n\n",
                "ERROR: No matching distribution found for x==9",
            ),
            (
                "npm error code ETARGET\nnpm error notarget No matching version found for x@9.",
                "npm error notarget No matching version found for x@9.",
            ),
            ("", "no word"),
        ] {
            let reason = reason("npm install x@9", said);
            assert_eq!(reason, format!("broken install: `npm install x@9`: {last}"));
        }
    }

    #[test]
    fn a_tool_that_cannot_be_installed_fails_in_ci_and_is_skipped_with_its_reason_elsewhere() {
        let mut installer = Command::new("sh");
        installer.args(["-c", "echo no such version >&2; exit 1"]);
        let why = install(installer).unwrap_err();
        let Ending::Skipped(told) = ending(&why, false).unwrap() else {
            panic!("not skipped: {why:#}");
        };
        assert!(told.starts_with("broken install: "), "{told}");
        assert!(told.ends_with("no such version"), "{told}");
        let failure = ending(&why, true).unwrap_err().to_string();
        assert!(failure.contains("no such version"), "{failure}");
        let missing = install(Command::new("/not/there")).unwrap_err();
        assert!(format!("{missing:#}").contains("cannot run `there`"));
    }

    #[test]
    fn an_installer_that_ends_well_is_done_whatever_it_says() {
        let mut installer = Command::new("sh");
        installer.args(["-c", "echo ETIMEDOUT once, then it came"]);
        assert!(install(installer).is_ok());
    }
}
