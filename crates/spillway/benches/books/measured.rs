//! A command of the operator's, run to its end, with the time and the memory it took.

use crate::house::Site;
use anyhow::{Context, ensure};
use std::fmt;
use std::time::{Duration, Instant};
use testkit::Running;

/// Between two looks at its memory. The peak is kept by the system, so only the last moments are missed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What it took.
pub struct Measured {
    elapsed: Duration,
    peak_kibibytes: u64,
    last_line: String,
}

/// Runs a command that has to be content.
pub async fn run(site: &Site, arguments: &[&str]) -> anyhow::Result<Measured> {
    let started = Instant::now();
    let mut running = site.command(arguments).spawn()?;
    let mut peak_kibibytes = 0;
    loop {
        peak_kibibytes = peak(&running).unwrap_or(0).max(peak_kibibytes);
        if let Ok(status) = running.wait(LOOK_EVERY).await {
            let elapsed = started.elapsed();
            let said = running.complete_output().await;
            ensure!(status.success(), "{arguments:?}: {status}\n{said}");
            let last_line = said.lines().last().unwrap_or_default().to_owned();
            return Ok(Measured {
                elapsed,
                peak_kibibytes,
                last_line,
            });
        }
    }
}

/// The most memory a process has had so far.
fn peak(running: &Running) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid()))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.context("it has no memory any more")?.parse()?)
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, mebibytes) = (self.elapsed.as_secs_f64(), self.peak_kibibytes / 1024);
        write!(out, "{seconds:.1} s, {mebibytes} MiB ({})", self.last_line)
    }
}
