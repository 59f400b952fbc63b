//! One worker and a million events that wait: at least half of what a bare consumer or a bare writer does, whichever
//! is slower, and memory that stays.

use super::{all_cores, cost, figure, per_second};
use crate::drain::{drain, fill};
use crate::lab::Lab;
use crate::results::Row;
use anyhow::{Context, Result};
use std::time::Duration;
use testkit::Program;

const SHARE_LEAST: f64 = 0.5;
/// What a batch more or less in hand takes.
const MIB_SLACK: u64 = 16;

pub async fn measure(lab: &Lab) -> Result<Row> {
    let events = lab.choose(1_000_000, 100_000);
    let corner = lab.corner(true).await?;
    let events = fill(&corner, events).await?;
    let drained = drain(lab, &corner, events).await?;
    let consumer = consumer(lab, events).await?;
    let writer = writer(lab, events).await?;
    let slower = consumer.min(writer);
    let share = drained.events_per_second / slower;
    let (early, peak) = (
        drained.readings.mib_at("worker", 0.25),
        drained.readings.peak_mib("worker"),
    );
    let cpu = drained.readings.cpu_seconds(drained.window);
    let (parts, sum) = cost(&cpu, None, drained.events);
    let mut figures = vec![
        figure("events", events.to_string()),
        figure("one worker", per_second(drained.events_per_second)),
        figure("a bare consumer, multiple acks", per_second(consumer)),
        figure("a bare writer of the same rows, UNNEST", per_second(writer)),
        figure(
            "memory: worker",
            format!("{early} MiB after a quarter, {peak} MiB at most"),
        ),
    ];
    figures.extend(parts);
    figures.push(figure(
        "what that would allow on all cores",
        per_second(all_cores(sum)),
    ));
    Ok(Row {
        asked: format!(
            "{SHARE_LEAST} × the slower of a bare consumer and a bare writer; memory flat"
        ),
        reached: format!("{}, {share:.2} ×", per_second(drained.events_per_second)),
        held: share >= SHARE_LEAST && peak <= early + MIB_SLACK,
        figures,
    })
}

async fn consumer(lab: &Lab, events: u64) -> Result<f64> {
    let corner = lab.corner(true).await?;
    let events = fill(&corner, events).await?;
    let program = Program::new("yardstick-consumer")
        .env("AMQP_URL", corner.vhost.url())
        .env("QUEUE", "spillway.payments")
        .env("COUNT", events.to_string());
    rate(program).await
}

async fn writer(lab: &Lab, events: u64) -> Result<f64> {
    let corner = lab.corner(true).await?;
    corner.migrate().await?;
    let program = Program::new("yardstick-writer")
        .env("POSTGRES_URL", corner.database.url())
        .env("COUNT", events.to_string());
    rate(program).await
}

/// What a yardstick prints.
async fn rate(program: Program) -> Result<f64> {
    let mut running = program.spawn()?;
    running.wait(Duration::from_secs(3_600)).await?;
    let said = running.complete_output().await;
    said.trim()
        .parse()
        .with_context(|| format!("it said: {said}"))
}
