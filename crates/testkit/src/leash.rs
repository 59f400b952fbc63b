//! The leash: whatever is started on it dies with this process, and its folder goes too.
//!
//! A small `sh` holds the read end of a pipe whose write end only we have. When our end closes,
//! be it by a drop, a panic, an `exit`, a static that is never dropped or a `kill -9`, the shell
//! reads end-of-file, ends what hangs on the leash and removes the folder. Nothing has to run in
//! our process for that, which is the point: a killed process runs nothing.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// Waits for our end, then ends every process on record and everyone who works in the folder.
const WATCHDOG: &str = include_str!("watchdog.sh");

/// Writes down who it is and becomes the command: the record stands before the command runs, so
/// there is no moment in which a process exists that the watchdog cannot know of.
const ON_RECORD: &str = r#"echo "$$ $2" > "$1"; shift 2; exec "$@""#;

/// A temporary folder and the watchdog that removes it, with all processes started on it.
#[derive(Debug)]
pub struct Leash {
    folder: PathBuf,
    /// Its standard input is the pipe; it is taken, and so closed, when the leash is dropped.
    watchdog: Child,
}

impl Leash {
    /// A new leash with an empty folder of its own; `name` only makes the folder recognisable.
    ///
    /// # Errors
    /// When the temporary folder cannot be made or there is no `sh`.
    pub fn new(name: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("spillway-{name}-"))
            .tempdir()
            .context("no temporary folder")?
            // From here on the watchdog removes it: it outlives us, a `TempDir` does not.
            .keep();
        fs::create_dir(folder.join(RECORDS)).context("no folder for the leash's records")?;
        let watchdog = watchdog(&folder).context("no watchdog (is `sh` there?)")?;
        Ok(Self { folder, watchdog })
    }

    /// The folder that is removed when the leash ends.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `program` as a command that puts itself on record under `name` before it runs.
    ///
    /// `farewell` is the signal (without `SIG`) that ends it: `KILL`, unless the program leaves
    /// something in the machine which only an orderly end takes away.
    pub(crate) fn command(&self, name: &str, farewell: &str, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", ON_RECORD, "sh"])
            .arg(self.record(name))
            .arg(farewell)
            .arg(program)
            // A group of its own, so that a Ctrl-C in the terminal meant for the tests does not
            // reach it, and so that its helpers can be ended with it.
            .process_group(0)
            .stdin(Stdio::null());
        command
    }

    /// Forgets a process that has ended, before its number can belong to somebody else.
    pub(crate) fn strike(record: &Path) {
        // A record that is gone already is as good as struck.
        let _ = fs::remove_file(record);
    }

    /// Where the process called `name` is on record.
    pub(crate) fn record(&self, name: &str) -> PathBuf {
        self.folder.join(RECORDS).join(name)
    }

    /// Lets an unprivileged server write into the folder, and its record with it.
    pub(crate) fn hand_over(&self, uid: u32, gid: u32) -> Result<()> {
        for folder in [self.folder.clone(), self.folder.join(RECORDS)] {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))
                .with_context(|| format!("cannot hand {} over", folder.display()))?;
        }
        Ok(())
    }
}

const RECORDS: &str = "leash";

/// Where a small disk is mounted, in a folder whose server has one; the watchdog takes it away.
pub(crate) const DISK: &str = "disk";

fn watchdog(folder: &Path) -> std::io::Result<Child> {
    Command::new("sh")
        .args(["-c", WATCHDOG, "spillway-watchdog"])
        .arg(folder)
        // Not in our group: what ends us (a test runner's timeout) must not end it first.
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::piped())
        // No inherited output: a test runner waits for whoever still holds it.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // Waiting makes "dropped" mean "gone"; the watchdog bounds its own work.
        let _ = self.watchdog.wait();
    }
}
