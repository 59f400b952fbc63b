//! One process on a leash, and the signals a test breaks it with.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::leash::Leash;
use crate::wait::wait_within;

/// A running child, killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    record: PathBuf,
    farewell: Signal,
}

impl Process {
    /// Spawns `command`, which [`Leash::command`] made under the same `name`.
    pub(crate) fn spawn(leash: &Leash, name: &str, mut command: Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut process = Self {
            child,
            record: leash.record(name),
            farewell: Signal::KILL,
        };
        process.wait_for_record();
        Ok(process)
    }

    /// Until it is on record nobody would end it after us. That takes a shell's start, some milliseconds.
    fn wait_for_record(&mut self) {
        let started = Instant::now();
        let on_record = |path: &PathBuf| fs::metadata(path).is_ok_and(|record| record.len() > 0);
        while !on_record(&self.record)
            && self.child.try_wait().is_ok_and(|ended| ended.is_none())
            && started.elapsed() < Duration::from_secs(10)
        {
            std::thread::yield_now();
        }
    }

    /// Says goodbye on drop with `signal` instead of `KILL`.
    pub(crate) fn parting_with(mut self, signal: Signal) -> Self {
        self.farewell = signal;
        self
    }

    /// The child itself, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.try_wait().ok().flatten();
        if ended.is_some() {
            Leash::strike(&self.record);
        }
        ended
    }

    /// Sends `signal` to the process alone. One that has ended gets none: its number may
    /// belong to somebody else by now.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended().is_some() {
            return Ok(());
        }
        send(self.pid(), signal)
    }

    /// Ends the process and its descendants at once, as a crash of the machine would, and waits
    /// until all are gone: Postgres does not start again while a child of the old one lives.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.freeze()?;
        let family = descendants(self.pid());
        self.signal_family(Signal::KILL)?;
        self.child
            .wait()
            .context("cannot wait for a killed process")?;
        Leash::strike(&self.record);
        poll(|| !family.iter().any(|&pid| is_running(pid)));
        Ok(())
    }

    /// Stops the process and its descendants where they are: sockets open, nobody home.
    pub(crate) fn freeze(&mut self) -> Result<()> {
        // The parent first: a frozen parent has no more children behind our back.
        self.signal(Signal::STOP)?;
        self.signal_family(Signal::STOP)
    }

    pub(crate) fn thaw(&mut self) -> Result<()> {
        self.signal_family(Signal::CONT)
    }

    /// Waits for the end; `None` when the deadline came first.
    pub(crate) async fn wait(&mut self, deadline: Duration) -> Option<ExitStatus> {
        wait_within(deadline, || std::future::ready(self.ended())).await
    }

    fn signal_family(&mut self, signal: Signal) -> Result<()> {
        if self.ended().is_some() {
            return Ok(());
        }
        for descendant in descendants(self.pid()) {
            // It may have ended since it was listed; that is what we are after anyway.
            let _ = send(descendant, signal);
        }
        self.signal(signal)
    }

    fn part(&mut self) -> Result<()> {
        if self.farewell != Signal::KILL {
            self.thaw()?;
            self.signal(self.farewell)?;
            poll(|| self.ended().is_some());
        }
        if self.ended().is_none() {
            self.kill()
        } else {
            Ok(())
        }
    }
}

/// Looks until the answer is yes or [`PATIENCE`] is over. For a `kill` and a drop, which are not
/// async; both wait for the kernel, not for another task.
fn poll(mut look: impl FnMut() -> bool) {
    let started = Instant::now();
    while !look() && started.elapsed() < PATIENCE {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// These ends take milliseconds; longer than this and something is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a process still has its memory: one that has ended may stay listed for a while.
fn is_running(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog ends whatever this could not.
        let _ = self.part();
    }
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("not a process number")?;
    kill_process(pid, signal).with_context(|| format!("cannot signal process {pid:?}"))
}

/// Children, their children and so on, from `/proc`; nobody where there is no `/proc`.
///
/// The group would not do: the children of Postgres lead groups of their own.
fn descendants(ancestor: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = processes().collect();
    let mut family = vec![ancestor];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    family.split_off(1)
}

/// Every process with its parent.
fn processes() -> impl Iterator<Item = (u32, u32)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // "pid (name) state parent …", where the name may hold anything, a ')' included.
            let parent = stat
                .rsplit_once(')')?
                .1
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            Some((pid, parent))
        })
}
