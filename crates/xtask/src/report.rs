//! Steps with their times, and the table at the end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// How a step that did not fail ended.
#[derive(Debug)]
pub enum Ending {
    /// Everything was checked.
    Passed,
    /// Everything was checked but this, which the table says.
    PassedBut(String),
    /// Nothing was checked, for this reason.
    Skipped(String),
}

/// What has been run so far.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    step: &'static str,
    took: Duration,
    verdict: String,
}

impl Report {
    /// Runs one step, and says so before and after.
    pub fn step(&mut self, step: &'static str, run: impl FnOnce() -> Result<Ending>) -> Result<()> {
        println!("\n=== {step}");
        let started = Instant::now();
        let ending = run();
        let (took, verdict) = (started.elapsed(), verdict(&ending));
        println!("=== {step}: {verdict} ({:.1} s)", took.as_secs_f64());
        self.rows.push(Row {
            step,
            took,
            verdict,
        });
        ending
            .map(drop)
            .with_context(|| format!("step `{step}` failed"))
    }

    /// Prints the table.
    pub fn print(&self) {
        println!("\n{:<10} {:>8}  verdict", "step", "seconds");
        for Row {
            step,
            took,
            verdict,
        } in &self.rows
        {
            println!("{step:<10} {:>8.1}  {verdict}", took.as_secs_f64());
        }
        let all: Duration = self.rows.iter().map(|row| row.took).sum();
        println!("{:<10} {:>8.1}", "all", all.as_secs_f64());
    }
}

fn verdict(ending: &Result<Ending>) -> String {
    match ending {
        Ok(Ending::Passed) => "passed".to_owned(),
        Ok(Ending::PassedBut(what)) => format!("passed; {what}"),
        Ok(Ending::Skipped(why)) => format!("skipped: {why}"),
        Err(_) => "FAILED".to_owned(),
    }
}
