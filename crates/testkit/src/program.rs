//! Our own programs as children of a test.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::leash::Leash;
use crate::process::Process;
use crate::wait::wait_within;

/// One of our binaries with its arguments and environment, not yet running.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    path: Option<PathBuf>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// The binary `name` (for example `spillway-ingest`) that was built beside the running test.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: None,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// A program that is not ours, by its path.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self {
            path: Some(path),
            ..Self::new(&name)
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Sets an environment variable of the program.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts it on a leash.
    ///
    /// # Errors
    /// When the binary has not been built.
    pub fn spawn(&self) -> Result<Running> {
        let path = self.path.clone().map_or_else(|| built(&self.name), Ok)?;
        let leash = Leash::new(&self.name)?;
        let mut command = leash.command(&self.name, "KILL", &path);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::spawn(&leash, &self.name, command)?;
        let lines = Lines::default();
        lines.follow(process.child().stdout.take());
        lines.follow(process.child().stderr.take());
        Ok(Running {
            process,
            lines,
            name: self.name.clone(),
            _leash: leash,
        })
    }
}

/// A running program: killed, with all its children, when this is dropped.
#[derive(Debug)]
pub struct Running {
    // Dropped in this order: the process first, then the folder of its leash.
    process: Process,
    lines: Lines,
    name: String,
    _leash: Leash,
}

impl Running {
    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits for a line, on either output, that contains `pattern`, and hands it back. Lines
    /// printed before the call count.
    ///
    /// # Errors
    /// At the deadline, or when the program ends without the line; the error quotes its output.
    pub async fn wait_for_line(&mut self, pattern: &str, deadline: Duration) -> Result<String> {
        let (process, lines) = (&mut self.process, &self.lines);
        let outcome = wait_within(deadline, || {
            // Asked before the lines are searched: what it printed last is not missed.
            let ended = process.ended().is_some() && lines.are_complete();
            let found = lines.find(pattern);
            std::future::ready(if found.is_some() || ended {
                Some(found)
            } else {
                None
            })
        });
        match outcome.await {
            Some(Some(line)) => Ok(line),
            Some(None) => bail!(
                "{} ended without a line {pattern:?}:\n{}",
                self.name,
                self.output()
            ),
            None => bail!(
                "no line {pattern:?} from {} in {deadline:?}:\n{}",
                self.name,
                self.output()
            ),
        }
    }

    /// Everything printed so far on both outputs, in the order it was read.
    #[must_use]
    pub fn output(&self) -> String {
        self.lines.all()
    }

    /// [`output`](Self::output) of a program that has ended, to its last line.
    pub async fn complete_output(&self) -> String {
        wait_within(LAST_LINES, || {
            std::future::ready(self.lines.are_complete().then_some(()))
        })
        .await;
        self.output()
    }

    /// `SIGKILL`, for the program and its children, and waits for the end.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// `SIGTERM`, as an orchestrator sends it; [`wait`](Self::wait) for the end.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn terminate(&mut self) -> Result<()> {
        self.process.signal(Signal::TERM)
    }

    /// `SIGSTOP`.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn freeze(&mut self) -> Result<()> {
        self.process.freeze()
    }

    /// `SIGCONT` after [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn thaw(&mut self) -> Result<()> {
        self.process.thaw()
    }

    /// Waits for the program to end by itself.
    ///
    /// # Errors
    /// At the deadline; the error quotes the program's output.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let ended = self.process.wait(deadline).await;
        ended.with_context(|| {
            format!(
                "{} did not end in {deadline:?}:\n{}",
                self.name,
                self.output()
            )
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failing test shows what its programs said; a passing one stays quiet.
        if std::thread::panicking() {
            eprintln!("--- output of {} ---\n{}", self.name, self.output());
        }
    }
}

/// A program that has ended has closed its pipes; a reader needs a moment for what is in them.
const LAST_LINES: Duration = Duration::from_secs(5);

/// The lines of both outputs, read by a thread each so that the program never blocks on a pipe.
#[derive(Debug, Clone, Default)]
struct Lines {
    read: Arc<Mutex<Vec<String>>>,
}

impl Lines {
    fn follow(&self, output: Option<impl Read + Send + 'static>) {
        let Some(output) = output else { return };
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                lines.push(String::from_utf8_lossy(&line).into_owned());
            }
        });
    }

    fn push(&self, line: String) {
        self.lock().push(line);
    }

    /// Each reader holds a clone until its pipe has ended.
    fn are_complete(&self) -> bool {
        Arc::strong_count(&self.read) == 1
    }

    fn find(&self, pattern: &str) -> Option<String> {
        self.lock()
            .iter()
            .find(|line| line.contains(pattern))
            .cloned()
    }

    fn all(&self) -> String {
        self.lock().join("\n")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        // Lines are pushed whole: a panicking reader leaves nothing half done.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Test binaries are built into `<profile>/deps`, programs one folder up.
fn built(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("no path of the running test")?;
    let folder = test.parent().context("the running test has no folder")?;
    let profile = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    let program = profile.join(name);
    if !program.is_file() {
        bail!(
            "{name} has not been built: run `cargo build --workspace` first (`cargo xtask test` does)"
        );
    }
    Ok(program)
}
