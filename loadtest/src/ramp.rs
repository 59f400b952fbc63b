//! Where a ramp stops: the knee is the last step that held.

use crate::tally::Stage;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The steps of a ramp, judged as they end.
#[derive(Clone, Debug)]
pub struct Ramp {
    /// The ends of the steps and their rates, those to come.
    steps: Vec<(Duration, f64)>,
    /// What 99 in 100 acknowledgements must not exceed.
    p99_most: Duration,
}

/// One step, and whether it held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Events a second that were due.
    pub offered_per_second: f64,
    /// Events a second that were accepted.
    pub accepted_per_second: f64,
    /// Half of the acknowledgements were this quick.
    pub ack_p50_seconds: f64,
    /// Ninety-nine in a hundred.
    pub ack_p99_seconds: f64,
    /// By how much the queue grew, where an admin page tells.
    pub queue_growth: Option<f64>,
    /// Why it did not hold; nothing where it did.
    pub broken: Option<String>,
}

/// Below this share of what is offered the door keeps up no longer: what is on its way at the end of a step was
/// also on its way at its beginning.
const ACCEPTED_LEAST: f64 = 0.97;
/// A queue that takes more than this share of a step would be full one day.
const GROWTH_MOST: f64 = 0.05;
/// What lies in a queue by chance.
const GROWTH_SLACK: f64 = 500.0;

impl Ramp {
    /// Steps in the order of their ends.
    pub fn new(mut steps: Vec<(Duration, f64)>, p99_most: Duration) -> Self {
        steps.reverse();
        Self { steps, p99_most }
    }

    /// The rate of the step that is over, where one is.
    pub(crate) fn over(&mut self, now: Duration) -> Option<f64> {
        let (end, rate) = *self.steps.last()?;
        if now < end {
            return None;
        }
        self.steps.pop();
        Some(rate)
    }

    /// How a step came out, given what was counted in it and by how much the queue grew.
    pub(crate) fn judge(&self, rate: f64, stage: &Stage, queue_growth: Option<f64>) -> Step {
        let quantile = |q| stage.ack.value_at_quantile(q) as f64 / 1e6;
        let (p50, p99) = (quantile(0.5), quantile(0.99));
        let share = stage.accepted as f64 / (stage.offered.max(1)) as f64;
        let growth_most = stage.offered as f64 * GROWTH_MOST + GROWTH_SLACK;
        let broken = if share < ACCEPTED_LEAST {
            Some(format!("{:.0} % of it was accepted", share * 100.0))
        } else if p99 > self.p99_most.as_secs_f64() {
            Some(format!("its ack p99 was {:.0} ms", p99 * 1e3))
        } else {
            let grown = queue_growth.filter(|growth| *growth > growth_most);
            grown.map(|growth| format!("the queue grew by {growth:.0}"))
        };
        Step {
            offered_per_second: rate,
            accepted_per_second: rate * share,
            ack_p50_seconds: p50,
            ack_p99_seconds: p99,
            queue_growth,
            broken,
        }
    }
}

/// The last step before the first that did not hold.
pub fn knee(steps: &[Step]) -> Option<&Step> {
    steps.iter().take_while(|step| step.broken.is_none()).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accepted: u64, micros: u64, queue_growth: Option<f64>) -> Option<String> {
        let mut stage = Stage {
            offered: 10_000,
            accepted,
            ..Stage::default()
        };
        for _ in 0..100 {
            stage.ack.saturating_record(micros);
        }
        let ramp = Ramp::new(Vec::new(), Duration::from_millis(100));
        ramp.judge(2_000.0, &stage, queue_growth).broken
    }

    #[test]
    fn a_step_holds_while_acks_are_quick_and_nothing_piles_up() {
        assert_eq!(check(9_900, 50_000, None), None);
        assert_eq!(check(10_000, 50_000, Some(900.0)), None);
        let broken = |found: Option<String>, why: &str| assert!(found.unwrap().contains(why));
        broken(check(9_600, 50_000, None), "96 % of it was accepted");
        broken(check(10_000, 150_000, None), "p99 was");
        broken(
            check(10_000, 50_000, Some(1_100.0)),
            "the queue grew by 1100",
        );
    }

    #[test]
    fn the_knee_is_the_last_step_that_held() {
        let step = |rate: f64, broken: Option<&str>| Step {
            offered_per_second: rate,
            accepted_per_second: rate,
            ack_p50_seconds: 0.0,
            ack_p99_seconds: 0.0,
            queue_growth: None,
            broken: broken.map(str::to_owned),
        };
        let steps = [
            step(1.0, None),
            step(2.0, None),
            step(3.0, Some("why")),
            step(4.0, None),
        ];
        assert_eq!(knee(&steps), Some(&steps[1]));
        assert_eq!(knee(&steps[2..]), None);
    }

    #[test]
    fn steps_are_over_one_after_the_other() {
        let second = Duration::from_secs;
        let mut ramp = Ramp::new(vec![(second(5), 100.0), (second(10), 200.0)], second(1));
        assert_eq!(ramp.over(second(4)), None);
        assert_eq!(
            [ramp.over(second(5)), ramp.over(second(5))],
            [Some(100.0), None]
        );
        assert_eq!(
            [ramp.over(second(11)), ramp.over(second(99))],
            [Some(200.0), None]
        );
    }
}
