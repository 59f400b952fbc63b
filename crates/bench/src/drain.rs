//! A backlog, and how quickly one worker is through with it.

use crate::lab::{Corner, Lab};
use crate::load::load;
use crate::meter::{Meter, Readings};
use anyhow::{Context, Result};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::{Program, wait_within};

/// How a drain went.
#[derive(Debug)]
pub struct Drained {
    pub events_per_second: f64,
    pub events: f64,
    /// When, in seconds since 1970.
    pub window: (f64, f64),
    pub readings: Readings,
}

const APPLIED: (&str, &str) = ("spillway_worker_events_total", "outcome=\"applied\"");
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Puts so many events into the queue of a corner, by the door. How many it took: a door refuses what comes too
/// quickly for its broker.
pub async fn fill(corner: &Corner, events: u64) -> Result<u64> {
    let door = corner.ingest().await?;
    let count = events.to_string();
    let arguments = [
        "--no-audit",
        "--closed",
        "--duration",
        "1h",
        "--connections",
        "256",
        "--count",
        &count,
    ];
    let outcome = load(Program::new("spillway-loadtest"), &door.url, &arguments).await?;
    door.stop().await?;
    Ok(outcome.requests.events_accepted)
}

/// Starts a worker on what lies there, and waits until it has applied all of it.
pub async fn drain(lab: &Lab, corner: &Corner, events: u64) -> Result<Drained> {
    let worker = corner.worker().await?;
    let mut parts = lab.servers();
    parts.push(("worker", worker.pid()));
    let meter = Meter::start(parts);
    // From what it had when it was first looked at: its start is not its speed.
    let before = worker.metric(APPLIED.0, APPLIED.1).await?;
    let (started, from) = (Instant::now(), since_1970());
    let done = wait_within(PATIENCE, async || {
        let applied = worker.metric(APPLIED.0, APPLIED.1).await;
        applied.is_ok_and(|applied| applied as u64 >= events)
    });
    done.await
        .context("the backlog was not drained in an hour")?;
    let took = started.elapsed().as_secs_f64();
    let readings = meter.finish();
    worker.stop().await?;
    Ok(Drained {
        events_per_second: (events as f64 - before) / took,
        events: events as f64 - before,
        window: (from, from + took),
        readings,
    })
}

fn since_1970() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}
