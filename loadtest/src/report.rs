//! What a run looks like: one HTML page.

use crate::outcome::{Outcome, Row};
use crate::verdict::Verdict;
use plot::{Figure, Page, Panel, Series, Table, Unit};

/// The page of a run.
pub fn page(outcome: &Outcome) -> String {
    let run = &outcome.run;
    let lead = format!(
        "{} model, {} connections, {} to {}",
        run.model,
        run.connections,
        Unit::Seconds.format(run.took_seconds),
        run.url
    );
    let verdicts: Vec<plot::Verdict> = outcome.verdicts.iter().map(card).collect();
    let totals = Table {
        headings: Vec::new(),
        rows: outcome.totals().into_iter().map(Vec::from).collect(),
    };
    Page::new(format!("Load test: {}", run.profile))
        .lead(&lead)
        .verdicts(&verdicts)
        .heading("Over time")
        .figure(&figure(outcome))
        .heading("Totals")
        .table(&totals)
        .to_html()
}

fn card(verdict: &Verdict) -> plot::Verdict {
    plot::Verdict {
        name: verdict.name.clone(),
        value: verdict.value_in_words(),
        rule: verdict.rule(),
        kept: verdict.kept,
    }
}

/// Rates, latencies, queue, workers and age over time, as far as they are known.
pub fn figure(outcome: &Outcome) -> Figure {
    let rows = &outcome.timeline;
    let mut figure = Figure::new("The run over time")
        .panel(rates(rows))
        .panel(latencies(outcome));
    let knows = |value: fn(&Row) -> Option<f64>| rows.iter().any(|row| value(row).is_some());
    if knows(|row| row.ready) {
        let queue = Panel::new("queue", Unit::Count)
            .series(Series::area("ready", points(rows, |row| row.ready)))
            .series(Series::line("in hand", points(rows, |row| row.unacked)));
        figure = figure.panel(queue);
    }
    if knows(|row| row.workers) {
        let mut workers = Panel::new("workers", Unit::Count)
            .series(Series::steps("there", points(rows, |row| row.workers)));
        if knows(|row| row.desired_workers) {
            let desired = points(rows, |row| row.desired_workers);
            workers = workers.series(Series::steps("wanted", desired));
        }
        figure = figure.panel(workers);
    }
    if knows(|row| row.oldest_age_seconds) {
        let age = points(rows, |row| row.oldest_age_seconds);
        let oldest = Panel::new("oldest event", Unit::Seconds);
        figure = figure.panel(oldest.series(Series::line("age", age)));
    }
    // While the queue drains there is nothing left to send.
    if rows.len() as f64 > outcome.run.took_seconds + 2.0 {
        figure = figure.mark(outcome.run.took_seconds, "last answer");
    }
    figure
}

fn rates(rows: &[Row]) -> Panel {
    let mut panel = Panel::new("events", Unit::PerSecond)
        .series(Series::line(
            "offered",
            points(rows, |row| Some(row.offered as f64)),
        ))
        .series(Series::line(
            "accepted",
            points(rows, |row| Some(row.accepted as f64)),
        ));
    if rows.iter().any(|row| row.applied_per_second.is_some()) {
        panel = panel.series(Series::line(
            "applied",
            points(rows, |row| row.applied_per_second),
        ));
    }
    if rows.iter().any(|row| row.failed > 0) {
        panel = panel.series(Series::line(
            "failed",
            points(rows, |row| Some(row.failed as f64)),
        ));
    }
    panel
}

fn latencies(outcome: &Outcome) -> Panel {
    let rows = &outcome.timeline;
    let mut panel = Panel::new("ack latency, from when it was due", Unit::Seconds)
        .logarithmic()
        .shaded()
        .series(Series::line("p50", points(rows, |row| row.ack_p50_seconds)))
        .series(Series::line("p90", points(rows, |row| row.ack_p90_seconds)))
        .series(Series::line("p99", points(rows, |row| row.ack_p99_seconds)))
        .series(Series::line("max", points(rows, |row| row.ack_max_seconds)));
    for verdict in outcome
        .verdicts
        .iter()
        .filter(|verdict| verdict.name.starts_with("ack "))
    {
        let name = verdict.name.trim_start_matches("ack ");
        panel = panel.threshold(format!("{name} at most"), verdict.limit);
    }
    panel
}

/// What nobody knows is a gap.
fn points(rows: &[Row], value: impl Fn(&Row) -> Option<f64>) -> Vec<(f64, f64)> {
    rows.iter()
        .map(|row| (row.second as f64, value(row).unwrap_or(f64::NAN)))
        .collect()
}
