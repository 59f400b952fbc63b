//! What a run is measured by.

use crate::audit::Findings;
use crate::outcome::Quantiles;
use crate::tally::Tally;
use plot::Unit;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is asked of a run. What is not given is not asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thresholds {
    /// Ninety-nine in a hundred acknowledgements.
    pub ack_p99: Option<Duration>,
    /// Every acknowledgement.
    pub ack_max: Option<Duration>,
    /// The share of requests that were not accepted.
    pub failed: Option<f64>,
    /// Events that were accepted and are nowhere.
    pub lost: u64,
    /// Events that were applied more than once.
    pub doubled: u64,
    /// From the last answer until everything is applied.
    pub drained: Option<Duration>,
}

/// One thing that was asked, and how it came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What was measured.
    pub name: String,
    /// What came out: seconds, a number, or a share of one.
    pub value: f64,
    /// What it may be at most, or at least.
    pub limit: f64,
    /// `seconds`, `count` or `share`.
    pub unit: Measure,
    /// Whether the limit is the least and not the most.
    pub at_least: bool,
    /// Whether it was kept.
    pub kept: bool,
}

/// What a verdict's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Seconds.
    Seconds,
    /// Things.
    Count,
    /// A share of one.
    Share,
}

impl Verdict {
    fn at_most(name: &str, unit: Measure, value: f64, limit: f64) -> Self {
        Self {
            name: name.to_owned(),
            value,
            limit,
            unit,
            at_least: false,
            kept: value <= limit,
        }
    }

    fn at_least(name: &str, unit: Measure, value: f64, limit: f64) -> Self {
        Self {
            at_least: true,
            kept: value >= limit,
            ..Self::at_most(name, unit, value, limit)
        }
    }

    /// What came out, for a reader.
    pub fn value_in_words(&self) -> String {
        self.in_words(self.value)
    }

    /// What was asked, for a reader.
    pub fn rule(&self) -> String {
        match (self.at_least, self.limit) {
            (false, 0.0) => "none".to_owned(),
            (false, limit) => format!("at most {}", self.in_words(limit)),
            (true, limit) => format!("at least {}", self.in_words(limit)),
        }
    }

    fn in_words(&self, value: f64) -> String {
        match self.unit {
            Measure::Seconds => Unit::Seconds.format(value),
            Measure::Share => Unit::Share.format(value),
            // A lost event is one, and not 0.001k.
            Measure::Count => format!("{value:.0}"),
        }
    }
}

/// Judges a run. Without an audit nothing is said of what only the database knows.
pub fn judge(asked: &Thresholds, tally: &Tally, audit: Option<&Findings>) -> Vec<Verdict> {
    let ack = Quantiles::of(&tally.ack);
    let seconds = |name: &str, value: f64, limit: Option<Duration>| {
        limit.map(|limit| Verdict::at_most(name, Measure::Seconds, value, limit.as_secs_f64()))
    };
    let mut verdicts: Vec<Verdict> = [
        seconds("ack p99", ack.p99, asked.ack_p99),
        seconds("ack max", ack.max, asked.ack_max),
    ]
    .into_iter()
    .flatten()
    .collect();
    let failed = tally.failed() as f64 / tally.offered.max(1) as f64;
    verdicts.extend(
        asked
            .failed
            .map(|limit| Verdict::at_most("failed", Measure::Share, failed, limit)),
    );
    // Of a run in which nothing was accepted nothing can be lost.
    let accepted = (tally.accepted + tally.spooled) as f64;
    verdicts.push(Verdict::at_least("accepted", Measure::Count, accepted, 1.0));
    if tally.let_in + tally.repelled > 0 {
        verdicts.push(Verdict::at_most(
            "forged and let in",
            Measure::Count,
            tally.let_in as f64,
            0.0,
        ));
    }
    if let Some(found) = audit {
        let count = |name: &str, value: u64, limit: u64| {
            Verdict::at_most(name, Measure::Count, value as f64, limit as f64)
        };
        verdicts.extend([
            count("lost", found.lost.count, asked.lost),
            count("doubled", found.doubled.count, asked.doubled),
            count("unexpected", found.unexpected.count, 0),
            count(
                "crooked orders",
                found.crooked_orders.count,
                asked.lost + asked.doubled,
            ),
        ]);
        verdicts.extend(seconds(
            "drained after",
            found.drained_seconds,
            asked.drained,
        ));
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Listed;
    use crate::tally::Ending;

    fn tally(millis: &[u64], endings: &[Ending]) -> Tally {
        let mut tally = Tally::default();
        let accepted = Ending::Accepted { spooled: false };
        let all = millis
            .iter()
            .map(|millis| (*millis, accepted))
            .chain(endings.iter().map(|ending| (1, *ending)));
        for (millis, ending) in all {
            tally.offer(Duration::ZERO);
            tally.end(ending, Duration::ZERO, Duration::from_millis(millis));
        }
        tally
    }

    fn broken(asked: &Thresholds, tally: &Tally, audit: Option<&Findings>) -> Vec<String> {
        let verdicts = judge(asked, tally, audit).into_iter();
        verdicts
            .filter(|verdict| !verdict.kept)
            .map(|verdict| verdict.name)
            .collect()
    }

    #[test]
    fn each_threshold_is_judged_by_itself() {
        let millis: Vec<u64> = (1..=100).collect();
        let one_in_a_hundred_is_late = tally(&millis, &[]);
        let asked = Thresholds {
            // A histogram of three digits may say 99.1 for 99.
            ack_p99: Some(Duration::from_micros(99_500)),
            ack_max: Some(Duration::from_micros(99_500)),
            ..Thresholds::default()
        };
        assert_eq!(broken(&asked, &one_in_a_hundred_is_late, None), ["ack max"]);
        let quicker = Thresholds {
            ack_p99: Some(Duration::from_millis(50)),
            ..Thresholds::default()
        };
        assert_eq!(
            broken(&quicker, &one_in_a_hundred_is_late, None),
            ["ack p99"]
        );
        let asked = Thresholds {
            failed: Some(0.01),
            ..Thresholds::default()
        };
        assert_eq!(
            broken(&asked, &tally(&millis, &[Ending::Refused(503)]), None),
            Vec::<String>::new()
        );
        assert_eq!(
            broken(
                &asked,
                &tally(&millis, &[Ending::Refused(503), Ending::Unsent]),
                None
            ),
            ["failed"]
        );
    }

    #[test]
    fn what_the_database_says_is_always_judged() {
        let one = Listed {
            count: 1,
            first: vec!["it".to_owned()],
        };
        let found =
            |findings: Findings| broken(&Thresholds::default(), &tally(&[1], &[]), Some(&findings));
        assert_eq!(found(Findings::default()), Vec::<String>::new());
        assert_eq!(
            found(Findings {
                lost: one.clone(),
                ..Findings::default()
            }),
            ["lost"]
        );
        assert_eq!(
            found(Findings {
                doubled: one.clone(),
                ..Findings::default()
            }),
            ["doubled"]
        );
        assert_eq!(
            found(Findings {
                unexpected: one.clone(),
                ..Findings::default()
            }),
            ["unexpected"]
        );
        assert_eq!(
            found(Findings {
                crooked_orders: one,
                ..Findings::default()
            }),
            ["crooked orders"]
        );
    }

    #[test]
    fn a_run_in_which_nothing_was_accepted_is_no_success() {
        assert_eq!(
            broken(
                &Thresholds::default(),
                &tally(&[], &[Ending::Refused(503)]),
                None
            ),
            ["accepted"]
        );
        assert_eq!(
            broken(&Thresholds::default(), &tally(&[1], &[Ending::LetIn]), None),
            ["forged and let in"]
        );
    }
}
