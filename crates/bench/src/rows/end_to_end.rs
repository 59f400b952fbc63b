//! Everything on this machine, quorum queue and journal, Postgres that fsyncs, Redis, one worker: 5,000 a second held
//! for five minutes, the queue not growing, p99 from receipt to commit under a second, nothing lost or doubled; ingest
//! within 64 MiB and the worker within 128.

use super::{Figures, all_cores, books_agree, cost, figure, millis, per_second, seen};
use crate::lab::{Corner, Lab};
use crate::load::{accepted, load, window};
use crate::meter::{Meter, Readings};
use crate::results::Row;
use anyhow::Result;
use loadtest::Outcome;

const RATE: f64 = 5_000.0;
const INGEST_MIB_MOST: u64 = 64;
const WORKER_MIB_MOST: u64 = 128;

/// A load on a door, a worker and all servers.
pub struct Whole {
    pub outcome: Outcome,
    pub readings: Readings,
}

/// Runs a load through everything.
pub async fn whole(lab: &Lab, arguments: &[&str]) -> Result<Whole> {
    let corner: Corner = lab.corner(true).await?;
    let (worker, ingest) = (corner.worker().await?, corner.ingest().await?);
    let mut parts = lab.servers();
    parts.extend([("ingest", ingest.pid()), ("worker", worker.pid())]);
    let meter = Meter::start(parts);
    let admins = ["--metrics", &worker.admin, "--metrics", &ingest.admin];
    let outcome = load(
        corner.program("spillway-loadtest"),
        &ingest.url,
        &[&admins[..], arguments].concat(),
    )
    .await?;
    let readings = meter.finish();
    ingest.stop().await?;
    worker.stop().await?;
    Ok(Whole { outcome, readings })
}

pub async fn measure(lab: &Lab) -> Result<Row> {
    let length = lab.choose("5m", "5s");
    let whole = whole(lab, &["--rate", "5000", "--duration", length]).await?;
    let outcome = &whole.outcome;
    let age = outcome
        .audit
        .as_ref()
        .map(|found| found.age_seconds)
        .unwrap_or_default();
    let drained = outcome
        .audit
        .as_ref()
        .map_or(f64::NAN, |found| found.drained_seconds);
    let mut figures = seen(outcome);
    let (parts, sum) = cost(
        &whole.readings.cpu_seconds(window(outcome)),
        outcome.run.generator_cpu_seconds,
        accepted(outcome),
    );
    figures.extend(parts);
    figures.push(figure(
        "what that would allow on all cores",
        per_second(all_cores(sum)),
    ));
    figures.extend(memory(&whole.readings));
    let rate = outcome.requests.accepted_per_second;
    let is_small = whole.readings.peak_mib("ingest") <= INGEST_MIB_MOST
        && whole.readings.peak_mib("worker") <= WORKER_MIB_MOST;
    Ok(Row {
        asked: "5,000/s for 5 min, received → committed p99 < 1 s, lost 0, doubled 0, ingest ≤ 64 MiB, worker ≤ 128 MiB".to_owned(),
        reached: format!(
            "{}, received → committed p99 {}, drained in {}",
            per_second(rate),
            millis(age.p99),
            millis(drained)
        ),
        // Every event applied within a second of its receipt is a queue that did not grow.
        held: rate >= RATE * 0.99 && age.p99 < 1.0 && drained < 2.0 && books_agree(outcome) && is_small,
        figures,
    })
}

fn memory(readings: &Readings) -> Figures {
    let of = |name: &str| {
        format!(
            "{} MiB at most, {} MiB at half time",
            readings.peak_mib(name),
            readings.mib_at(name, 0.5)
        )
    };
    vec![
        figure("memory: ingest", of("ingest")),
        figure("memory: worker", of("worker")),
    ]
}
