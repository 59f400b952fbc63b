//! The load tester as a child, and what it found.

use crate::lab::SECRET;
use anyhow::{Context, Result};
use loadtest::Outcome;
use std::time::Duration;
use testkit::Program;

/// Loads, and after them audits of millions of ids.
const PATIENCE: Duration = Duration::from_secs(3 * 3_600);

/// Runs the load tester with these arguments. What it finds wanting is part of what it found.
pub async fn load(program: Program, url: &str, arguments: &[&str]) -> Result<Outcome> {
    let program = program
        .args(["--json", "--url", url])
        .args(arguments)
        .env("WEBHOOK_SECRET", SECRET);
    let mut running = program.spawn()?;
    running.wait(PATIENCE).await?;
    let output = running.complete_output().await;
    serde_json::from_str(&output).with_context(|| format!("the load tester said: {output}"))
}

/// When requests were on their way, in seconds since 1970.
pub fn window(outcome: &Outcome) -> (f64, f64) {
    (
        outcome.run.ended_at - outcome.run.took_seconds,
        outcome.run.ended_at,
    )
}

/// Requests that were accepted.
pub fn accepted(outcome: &Outcome) -> f64 {
    (outcome.requests.accepted + outcome.requests.spooled) as f64
}
