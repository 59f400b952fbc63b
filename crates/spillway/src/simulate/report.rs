//! What a run looked like: tables for a terminal, a picture for a document.

use super::model::{Row, Run};
use anyhow::Context;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use plot::{Figure, Panel, Series, Unit};
use resilience::ScalingPolicy;
use std::path::Path;
use std::time::Duration;

/// Lines of the table: a screen's worth.
const LINES: usize = 32;

const COLUMNS: [&str; 7] = [
    "second",
    "offered/s",
    "depth",
    "desired",
    "ordered",
    "working",
    "oldest",
];

pub(super) fn print(by_hpa: &Run, at_once: &Run) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(COLUMNS);
    let every = by_hpa.rows.len().div_ceil(LINES);
    table.add_rows(by_hpa.rows.iter().step_by(every.max(1)).map(row));
    println!("{table}\n");
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "carried out",
        "deepest",
        "most workers",
        "oldest",
        "time to drain",
        "worker-hours",
    ]);
    table.add_row(summary("by Kubernetes' autoscaler", by_hpa));
    table.add_row(summary("at once (spillway fleet)", at_once));
    println!("{table}");
}

fn row(row: &Row) -> [String; 7] {
    [
        row.second.to_string(),
        format!("{:.0}", row.offered),
        format!("{:.0}", row.depth),
        row.desired.to_string(),
        row.ordered.to_string(),
        row.working.to_string(),
        seconds(row.oldest_age),
    ]
}

fn summary(name: &str, run: &Run) -> [String; 6] {
    let never = || "never".to_owned();
    [
        name.to_owned(),
        format!("{:.0}", run.deepest()),
        run.most_workers().to_string(),
        seconds(run.oldest()),
        run.time_to_drain.map_or_else(never, seconds),
        format!("{:.2}", run.worker_seconds() as f64 / 3_600.0),
    ]
}

fn seconds(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// Offered rate, depth, workers and age, one above the other.
pub(super) fn draw(
    policy: &ScalingPolicy,
    by_hpa: &Run,
    at_once: &Run,
    file: &Path,
) -> anyhow::Result<()> {
    let line = |name, run, value| Series::line(name, points(run, value));
    let steps = |name, run, value| Series::steps(name, points(run, value));
    let offered =
        Panel::new("offered", Unit::PerSecond).series(steps("offered", by_hpa, |row| row.offered));
    let depth = Panel::new("depth", Unit::Count)
        .series(line("autoscaler", by_hpa, |row| row.depth))
        .series(line("at once", at_once, |row| row.depth))
        .threshold("up above", policy.up_above as f64);
    let workers = Panel::new("workers", Unit::Count)
        .series(steps("autoscaler", by_hpa, |row| row.working.into()))
        .series(steps("at once", at_once, |row| row.working.into()))
        .series(steps("desired", by_hpa, |row| row.desired.into()));
    let age = Panel::new("oldest age", Unit::Seconds)
        .series(line("autoscaler", by_hpa, |row| row.oldest_age as f64))
        .series(line("at once", at_once, |row| row.oldest_age as f64));
    let figure =
        Figure::new("The desired number, carried out by Kubernetes' autoscaler and at once")
            .panel(offered)
            .panel(depth)
            .panel(workers)
            .panel(age);
    std::fs::write(file, figure.to_svg())
        .with_context(|| format!("cannot write {}", file.display()))
}

fn points(run: &Run, value: fn(&Row) -> f64) -> Vec<(f64, f64)> {
    let point = |row: &Row| (row.second as f64, value(row));
    run.rows.iter().map(point).collect()
}
