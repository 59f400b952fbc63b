//! What a run says to a program: the JSON of `--json`. The README describes it; a field may be added, none changes
//! its meaning.

use crate::audit::Findings;
use crate::ramp::Step;
use crate::tally::{Second, Tally};
use crate::verdict::Verdict;
use crate::watch::Sample;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether every verdict is kept.
    pub passed: bool,
    /// What was asked, and how it came out.
    pub verdicts: Vec<Verdict>,
    /// What was run.
    pub run: About,
    /// What became of the requests.
    pub requests: Requests,
    /// From when a request was due until its 200 or 202; one that got no answer counts with the time it waited.
    pub ack_seconds: Quantiles,
    /// From when a request was due until it was written: the generator's own part of that.
    pub lag_seconds: Quantiles,
    /// What the database said; nothing where it was not asked.
    pub audit: Option<Findings>,
    /// The steps of a ramp; empty without one.
    pub steps: Vec<Step>,
    /// The last step that held.
    pub knee: Option<Step>,
    /// Second by second.
    pub timeline: Vec<Row>,
}

/// What was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What the run's event ids begin with.
    pub id: String,
    /// The shape of its load.
    pub profile: String,
    /// `open` or `closed`.
    pub model: String,
    /// Where it was sent.
    pub url: String,
    /// As which source.
    pub source: String,
    /// How many requests could be on their way at a time.
    pub connections: usize,
    /// What the mix was drawn from.
    pub seed: u64,
    /// From the first moment to the last answer.
    pub took_seconds: f64,
    /// When the last answer was there, in seconds since 1970.
    pub ended_at: f64,
    /// Stopped by hand.
    pub was_stopped: bool,
    /// What the generator took of the processor while it sent, where the system tells.
    pub generator_cpu_seconds: Option<f64>,
}

/// What became of the requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// Were due.
    pub offered: u64,
    /// Were written to a connection.
    pub sent: u64,
    /// Were copies of events that had been sent before.
    pub copies: u64,
    /// Were answered 200.
    pub accepted: u64,
    /// Were answered 202.
    pub spooled: u64,
    /// 200 and 202, a second.
    pub accepted_per_second: f64,
    /// Were answered otherwise, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Were forged, and refused with 403.
    pub repelled: u64,
    /// Were forged, and accepted.
    pub let_in: u64,
    /// Got no answer in time.
    pub unanswered: u64,
    /// Were not sent: no connection, or no turn before the end.
    pub unsent: u64,
    /// The first reason why one was not sent or not answered.
    pub first_failure: Option<String>,
    /// Different events that were accepted.
    pub events_accepted: u64,
}

/// Of many times, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half are this or less.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// Ninety-nine in a hundred.
    pub p99: f64,
    /// All but one in a thousand.
    pub p999: f64,
    /// All.
    pub max: f64,
}

/// One second of a run. What no admin page told is null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Since the beginning.
    pub second: u64,
    /// Requests that were due in it.
    pub offered: u64,
    /// Requests that were accepted in it.
    pub accepted: u64,
    /// Requests that failed in it.
    pub failed: u64,
    /// Of the acknowledgements in it; null where there was none.
    pub ack_p50_seconds: Option<f64>,
    /// Nine in ten.
    pub ack_p90_seconds: Option<f64>,
    /// Ninety-nine in a hundred.
    pub ack_p99_seconds: Option<f64>,
    /// All.
    pub ack_max_seconds: Option<f64>,
    /// Events in the pipelines' queues.
    pub ready: Option<f64>,
    /// Events in the hands of workers.
    pub unacked: Option<f64>,
    /// Events applied a second.
    pub applied_per_second: Option<f64>,
    /// Workers that are there.
    pub workers: Option<f64>,
    /// Workers that are wanted.
    pub desired_workers: Option<f64>,
    /// Since the oldest event that is not applied was received.
    pub oldest_age_seconds: Option<f64>,
}

impl Quantiles {
    /// Of a histogram of microseconds.
    pub fn of(micros: &Histogram<u64>) -> Self {
        let quantile = |q| micros.value_at_quantile(q) as f64 / 1e6;
        Self {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: micros.max() as f64 / 1e6,
        }
    }
}

impl Requests {
    /// What was counted, over the time it took.
    pub fn of(tally: &Tally, events_accepted: u64, took_seconds: f64) -> Self {
        Self {
            offered: tally.offered,
            sent: tally.sent,
            copies: tally.copies,
            accepted: tally.accepted,
            spooled: tally.spooled,
            accepted_per_second: (tally.accepted + tally.spooled) as f64 / took_seconds,
            refused: tally.refused.clone(),
            repelled: tally.repelled,
            let_in: tally.let_in,
            unanswered: tally.unanswered,
            unsent: tally.unsent,
            first_failure: tally.first_failure.clone(),
            events_accepted,
        }
    }
}

/// Puts the seconds of the sender and the samples of the pages side by side. The pages are read on after the last
/// answer, while the queue drains.
pub fn timeline(seconds: &[Second], samples: &[Sample]) -> Vec<Row> {
    let last = samples.last().map_or(0, |sample| sample.at as usize + 1);
    let mut rows: Vec<Row> = (0..seconds.len().max(last))
        .map(|at| row(at, seconds.get(at).copied().unwrap_or_default()))
        .collect();
    for sample in samples {
        if let Some(row) = rows.get_mut(sample.at as usize) {
            row.ready = sample.ready;
            row.unacked = sample.unacked;
            row.workers = sample.workers;
            row.desired_workers = sample.desired_workers;
            row.oldest_age_seconds = sample.oldest_age_seconds;
        }
    }
    // Between two samples lies the second that begins with the first.
    for pair in samples.windows(2) {
        if let Some(row) = rows.get_mut(pair[0].at as usize) {
            row.applied_per_second = applied_between(&pair[0], &pair[1]);
        }
    }
    rows
}

/// A worker that was started anew counts from zero again: that second is left out.
fn applied_between(before: &Sample, after: &Sample) -> Option<f64> {
    let applied = after.applied? - before.applied?;
    (applied >= 0.0).then(|| applied / (after.at - before.at))
}

fn row(at: usize, second: Second) -> Row {
    let seconds = |micros: u64| (micros > 0).then_some(micros as f64 / 1e6);
    Row {
        second: at as u64,
        offered: second.offered,
        accepted: second.accepted,
        failed: second.failed,
        ack_p50_seconds: seconds(second.p50),
        ack_p90_seconds: seconds(second.p90),
        ack_p99_seconds: seconds(second.p99),
        ack_max_seconds: seconds(second.max),
        ready: None,
        unacked: None,
        applied_per_second: None,
        workers: None,
        desired_workers: None,
        oldest_age_seconds: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeline_goes_on_while_the_queue_drains() {
        let second = Second {
            offered: 100,
            accepted: 90,
            failed: 10,
            p50: 2_000,
            ..Second::default()
        };
        let sample = |at: f64, applied: f64| Sample {
            at,
            applied: Some(applied),
            ready: Some(5.0),
            ..Sample::default()
        };
        let samples = [
            sample(0.1, 1_000.0),
            sample(1.1, 1_050.0),
            sample(2.1, 1_150.0),
            sample(3.1, 20.0),
        ];
        let rows = timeline(&[second, second], &samples);
        assert_eq!(rows.len(), 4);
        assert_eq!(
            (rows[1].offered, rows[1].ack_p50_seconds),
            (100, Some(0.002))
        );
        assert_eq!((rows[2].offered, rows[2].ack_p50_seconds), (0, None));
        let applied: Vec<_> = rows
            .iter()
            .map(|row| row.applied_per_second.map(f64::round))
            .collect();
        assert_eq!(applied, [Some(50.0), Some(100.0), None, None]);
    }
}
