//! The rows of the suite. Each is a file, with what it has to reach in its first lines.

mod alone;
mod backlog;
mod end_to_end;
mod fleet;
mod growth;
mod knee;
mod open;
mod retention;
mod serve;
mod spike;

use crate::lab::Lab;
use crate::load::accepted;
use crate::results::Row;
use anyhow::Result;
use clap::ValueEnum;
use loadtest::Outcome;
use std::collections::BTreeMap;
use std::fmt;

/// Which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Name {
    /// The door alone, as fast as it goes, in turn with the yardstick
    IngestAlone,
    /// How quickly the door answers at 5,000 a second, in turn with the yardstick
    AckLatency,
    /// Everything on this machine at 5,000 a second for five minutes, one worker
    EndToEnd,
    /// The highest rate everything keeps up with
    Knee,
    /// 100 → 5,000 → 100 a second
    Spike,
    /// 100 → 5,000 → 100 a second, and a fleet of workers that follows the queue
    Fleet,
    /// One worker and a million events that wait
    Backlog,
    /// The same with ten million rows in the table
    Growth,
    /// One worker while `spillway control` deletes what is too old
    Retention,
    /// `spillway serve`, embedded
    Serve,
}

impl Name {
    pub fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// What it measures, as the help says.
    pub fn about(self) -> String {
        let value = self.to_possible_value();
        let help = value.and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }

    pub async fn measure(self, lab: &Lab) -> Result<Row> {
        match self {
            Self::IngestAlone => alone::measure(lab).await,
            Self::AckLatency => open::measure(lab).await,
            Self::EndToEnd => end_to_end::measure(lab).await,
            Self::Knee => knee::measure(lab).await,
            Self::Spike => spike::measure(lab).await,
            Self::Fleet => fleet::measure(lab).await,
            Self::Backlog => backlog::measure(lab).await,
            Self::Growth => growth::measure(lab).await,
            Self::Retention => retention::measure(lab).await,
            Self::Serve => serve::measure(lab).await,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.write_str(value.as_ref().map_or("?", |value| value.get_name()))
    }
}

type Figures = Vec<(String, String)>;

fn figure(what: &str, value: String) -> (String, String) {
    (what.to_owned(), value)
}

fn millis(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

fn per_second(rate: f64) -> String {
    format!("{rate:.0}/s")
}

/// What the sender and the auditor saw.
fn seen(outcome: &Outcome) -> Figures {
    let (ack, requests) = (&outcome.ack_seconds, &outcome.requests);
    let failed = requests.offered - requests.accepted - requests.spooled;
    let mut figures = vec![
        figure(
            "accepted",
            format!(
                "{} of {}, {}",
                accepted(outcome),
                requests.offered,
                per_second(requests.accepted_per_second)
            ),
        ),
        figure("refused, unanswered, unsent", failed.to_string()),
        figure(
            "ack p50, p99, p99.9, max",
            [ack.p50, ack.p99, ack.p999, ack.max].map(millis).join(", "),
        ),
        figure(
            "sent late by, p50 and p99",
            [outcome.lag_seconds.p50, outcome.lag_seconds.p99]
                .map(millis)
                .join(", "),
        ),
    ];
    if let Some(found) = &outcome.audit {
        let age = &found.age_seconds;
        figures.extend([
            figure(
                "received → applied p50, p99, p99.9, max",
                [age.p50, age.p99, age.p999, age.max].map(millis).join(", "),
            ),
            figure(
                "drained after the last answer in",
                millis(found.drained_seconds),
            ),
            figure(
                "lost, doubled, unexpected",
                format!(
                    "{}, {}, {}",
                    found.lost.count, found.doubled.count, found.unexpected.count
                ),
            ),
        ]);
    }
    figures
}

/// Whether the books are in order.
fn books_agree(outcome: &Outcome) -> bool {
    outcome.audit.as_ref().is_some_and(|found| {
        let lists = [
            &found.lost,
            &found.doubled,
            &found.unexpected,
            &found.crooked_orders,
        ];
        lists.iter().all(|list| list.count == 0)
    })
}

/// How many a second all cores could do, were there nothing but these microseconds of each event.
fn all_cores(micros: f64) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores as f64 * 1e6 / micros
}

/// Microseconds of processor an event for each part, and all of them.
fn cost(cpu: &BTreeMap<&'static str, f64>, generator: Option<f64>, events: f64) -> (Figures, f64) {
    let mut parts: Vec<(&str, f64)> = cpu
        .iter()
        .map(|(name, seconds)| (*name, *seconds))
        .collect();
    parts.extend(generator.map(|seconds| ("generator", seconds)));
    let micros = |seconds: f64| seconds * 1e6 / events;
    let sum: f64 = parts.iter().map(|(_, seconds)| micros(*seconds)).sum();
    let mut figures: Figures = parts
        .iter()
        .map(|(name, seconds)| {
            figure(
                &format!("processor an event: {name}"),
                format!("{:.0} µs", micros(*seconds)),
            )
        })
        .collect();
    figures.push(figure("processor an event: all", format!("{sum:.0} µs")));
    (figures, sum)
}
