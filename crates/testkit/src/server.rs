//! What the three servers share: a start that is awaited, and a log to quote when it is in vain.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::leash::Leash;
use crate::process::Process;
use crate::wait::wait_within;

/// RabbitMQ starts in 5 s on an idle machine; three nodes beside somebody else's build were seen to need more
/// than 90.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(180);

/// An orderly stop that takes longer than this is a finding, not a slow machine.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Enough for a start-up failure and its reason.
const LOG_TAIL: usize = 40;

/// One server process which can be started again in the same folder.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    farewell: Signal,
    log: PathBuf,
    /// `None` between a stop or a kill and the next start.
    process: Option<Process>,
}

impl Server {
    pub(crate) fn new(leash: &Leash, name: &'static str, farewell: Signal) -> Self {
        let log = leash.folder().join(format!("{name}.log"));
        Self {
            name,
            farewell,
            log,
            process: None,
        }
    }

    /// Starts `command` with its output in the log, and waits until `ready` says so.
    pub(crate) async fn start<R, F>(
        &mut self,
        leash: &Leash,
        mut command: Command,
        ready: R,
    ) -> Result<()>
    where
        R: FnMut() -> F,
        F: Future<Output = bool>,
    {
        let log = self.open_log()?;
        command
            .current_dir(leash.folder())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Process::spawn(leash, self.name, command)?.parting_with(self.farewell);
        self.process = Some(process);
        self.wait_until_ready(ready).await
    }

    async fn wait_until_ready<R, F>(&mut self, mut ready: R) -> Result<()>
    where
        R: FnMut() -> F,
        F: Future<Output = bool>,
    {
        let process = self.process.as_mut().context("not started")?;
        let standing = wait_within(START_DEADLINE, || {
            let ended = process
                .ended()
                .map(|status| Standing::Ended(status.to_string()));
            let look = ready();
            async {
                if ended.is_some() {
                    ended
                } else {
                    look.await.then_some(Standing::Ready)
                }
            }
        });
        match standing.await {
            Some(Standing::Ready) => Ok(()),
            Some(Standing::Ended(how)) => {
                bail!("{} ended at its start ({how}):\n{}", self.name, self.tail())
            }
            None => bail!(
                "{} was not ready in {START_DEADLINE:?}:\n{}",
                self.name,
                self.tail()
            ),
        }
    }

    fn open_log(&self) -> Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))
    }

    pub(crate) fn process(&mut self) -> Result<&mut Process> {
        self.process
            .as_mut()
            .with_context(|| format!("{} is not running", self.name))
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process()?.kill()?;
        self.process = None;
        Ok(())
    }

    /// Asks with `signal` for an orderly end and waits for it.
    pub(crate) async fn stop(&mut self, signal: Signal) -> Result<()> {
        let name = self.name;
        let process = self.process()?;
        process.signal(signal)?;
        if process.wait(STOP_DEADLINE).await.is_none() {
            bail!("{name} did not stop in {STOP_DEADLINE:?}:\n{}", self.tail());
        }
        self.process = None;
        Ok(())
    }

    fn tail(&self) -> String {
        tail(&self.log)
    }
}

enum Standing {
    Ready,
    Ended(String),
}

/// The last lines of a log, or why there are none.
fn tail(log: &Path) -> String {
    match fs::read(log) {
        Ok(text) => {
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
        }
        Err(error) => format!("(no log: {error})"),
    }
}

/// The first of `candidates` that exists, else `program` on the PATH.
pub(crate) fn find_program(program: &str, candidates: &[PathBuf]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(program));
    candidates
        .iter()
        .cloned()
        .chain(on_path)
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!(
                "{program} is not installed (`cargo xtask test` installs it on Debian and Ubuntu)"
            )
        })
}
