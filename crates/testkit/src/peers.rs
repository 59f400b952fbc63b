//! Other people's programs that ours have to agree with: the webhook libraries of vendors, installed once under
//! `target/` by their ecosystems' own tools.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Pinned: a new version of theirs should not turn an old commit of ours red.
const PYTHON: [&str; 3] = ["standardwebhooks==1.1.0", "svix==2.9.1", "stripe==16.1.0"];
const NODE: [&str; 3] = [
    "standardwebhooks@1.1.1",
    "stripe@23.1.0",
    "@octokit/webhooks-methods@6.0.0",
];

/// What to say where [`python`] is nobody.
pub const WITHOUT_PYTHON: &str = "python3 with venv is not here, or could not fetch the libraries";
/// What to say where [`node`] is nobody.
pub const WITHOUT_NODE: &str = "node and npm are not here, or could not fetch the libraries";

/// The Python that knows the libraries.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let install = |folder: &Path| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let pip = ["-m", "pip", "install", "--quiet"];
        run(Command::new(folder.join("bin/python"))
            .args(pip)
            .args(PYTHON))
    };
    Some(installed("peers-python", &PYTHON, install)?.join("bin/python"))
}

/// The folder in which node finds the libraries.
#[must_use]
pub fn node() -> Option<PathBuf> {
    let install = |folder: &Path| {
        std::fs::create_dir_all(folder)?;
        let quiet = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
        run(Command::new("npm").args(quiet).arg(folder).args(NODE))
    };
    installed("peers-node", &NODE, install)
}

/// A folder for each choice of versions, filled by whoever comes first.
fn installed(
    name: &str,
    versions: &[&str],
    install: impl Fn(&Path) -> Result<()>,
) -> Option<PathBuf> {
    let choice = versions.join("-").replace(['=', '/', '@'], "");
    let folder = target().join(format!("{name}-{choice}"));
    let done = folder.join("installed");
    let filled = || -> Result<()> {
        std::fs::create_dir_all(target())?;
        // Tests run beside each other in processes of their own.
        let lock = File::create(target().join(format!("{name}.lock")))?;
        lock.lock()?;
        if !done.exists() {
            install(&folder)?;
            File::create(&done)?;
        }
        Ok(())
    };
    match filled() {
        Ok(()) => Some(folder),
        Err(why) => {
            println!("cannot install {name}: {why:#}");
            None
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}

fn target() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(own, PathBuf::from)
}
