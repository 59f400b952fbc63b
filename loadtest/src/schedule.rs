//! When arrivals are due. Pure: a schedule is made before the run, and nothing that happens in it moves an
//! arrival. That is the open model: a slow server does not make its senders wait, so its slowness is measured.

use std::time::Duration;

/// Rates, one after the other. Each holds from its moment until the next one's.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    stages: Vec<Stage>,
    length: Duration,
}

/// A rate, and from when on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// From the start of the run.
    pub from: Duration,
    /// Arrivals a second, evenly spaced.
    pub rate: f64,
}

impl Schedule {
    /// Stages in the order of time. The first begins at zero.
    pub fn new(stages: Vec<Stage>, length: Duration) -> Self {
        Self { stages, length }
    }

    /// One rate from beginning to end.
    pub fn steady(rate: f64, length: Duration) -> Self {
        let from = Duration::ZERO;
        Self::new(vec![Stage { from, rate }], length)
    }

    /// `base`, then `peak` for a time, then `base`.
    pub fn spike(base: f64, peak: f64, calm: Duration, length: Duration) -> Self {
        let stage = |from, rate| Stage { from, rate };
        let stages = vec![
            stage(Duration::ZERO, base),
            stage(calm, peak),
            stage(calm + length, base),
        ];
        Self::new(stages, calm + length + calm)
    }

    /// Up to `highest` in so many equal steps of equal length.
    pub fn ramp(highest: f64, steps: u32, length: Duration) -> Self {
        let stage = |step: u32| Stage {
            from: length * step / steps,
            rate: highest * f64::from(step + 1) / f64::from(steps),
        };
        Self::new((0..steps).map(stage).collect(), length)
    }

    /// When the last stage ends.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// How many arrivals there are in all, about.
    pub fn arrivals(&self) -> u64 {
        let spans = self.spans();
        spans
            .map(|(stage, until)| stage.rate * (until - stage.from).as_secs_f64())
            .sum::<f64>()
            .ceil() as u64
    }

    /// The stages with their ends.
    pub fn spans(&self) -> impl Iterator<Item = (Stage, Duration)> {
        let ends = self.stages.iter().skip(1).map(|stage| stage.from);
        let ends = ends.chain([self.length]);
        self.stages.iter().copied().zip(ends)
    }

    /// Every arrival's moment, in order.
    pub fn due(&self) -> Due {
        Due {
            schedule: self.clone(),
            stage: 0,
            in_stage: 0,
            phase: 0.0,
        }
    }
}

/// The moments at which arrivals are due.
///
/// Each is counted from the beginning of its stage and not from the arrival before, so that no rounding adds up.
/// What part of an arrival a stage leaves over, the next one begins with.
#[derive(Clone, Debug)]
pub struct Due {
    schedule: Schedule,
    stage: usize,
    in_stage: u64,
    phase: f64,
}

impl Iterator for Due {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        loop {
            let stage = *self.schedule.stages.get(self.stage)?;
            let next = self.schedule.stages.get(self.stage + 1);
            let until = next.map_or(self.schedule.length, |next| next.from);
            let seconds = (self.phase + self.in_stage as f64) / stage.rate;
            let length = (until - stage.from).as_secs_f64();
            if stage.rate > 0.0 && seconds < length {
                self.in_stage += 1;
                return Some(stage.from + Duration::from_secs_f64(seconds));
            }
            if stage.rate > 0.0 {
                // How far into the next stage, in arrivals, the one that no longer fits has to wait.
                self.phase = (seconds - length) * stage.rate;
            }
            self.in_stage = 0;
            self.stage += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(of: f64) -> Duration {
        Duration::from_secs_f64(of)
    }

    fn stages() -> impl Strategy<Value = Schedule> {
        let stage = (0.05..3.0_f64, prop_oneof![Just(0.0), 0.5..3_000.0_f64]);
        proptest::collection::vec(stage, 1..6).prop_map(|spans| {
            let mut from = Duration::ZERO;
            let stages = spans.into_iter().map(|(length, rate)| {
                let stage = Stage { from, rate };
                from += seconds(length);
                stage
            });
            let stages: Vec<Stage> = stages.collect();
            Schedule::new(stages, from)
        })
    }

    proptest! {
        #[test]
        fn as_many_are_due_as_the_rates_ask_for(schedule in stages()) {
            let due = schedule.due().count() as f64;
            let asked: f64 = schedule.spans().map(|(stage, until)| stage.rate * (until - stage.from).as_secs_f64()).sum();
            prop_assert!((due - asked).abs() <= 1.0 + 1e-6, "{due} of {asked}");
        }

        #[test]
        fn arrivals_are_in_order_and_within_the_run(schedule in stages()) {
            let due: Vec<Duration> = schedule.due().collect();
            prop_assert!(due.is_sorted());
            prop_assert!(due.iter().all(|moment| *moment < schedule.length()));
        }
    }

    #[test]
    fn a_rate_is_evenly_spaced_and_never_drifts() {
        let due: Vec<Duration> = Schedule::steady(5_000.0, seconds(60.0)).due().collect();
        assert_eq!(due.len(), 300_000);
        for (number, moment) in due.iter().enumerate() {
            let exact = seconds(number as f64 / 5_000.0);
            assert!(moment.abs_diff(exact) < Duration::from_nanos(2), "{number}");
        }
    }

    #[test]
    fn a_spike_is_calm_before_and_after() {
        let spike = Schedule::spike(100.0, 5_000.0, seconds(10.0), seconds(60.0));
        let within = |from: f64, until: f64| {
            let is_within = |due: &Duration| (seconds(from)..seconds(until)).contains(due);
            spike.due().filter(is_within).count()
        };
        assert_eq!(
            [within(0.0, 10.0), within(10.0, 70.0), within(70.0, 80.0)],
            [1_000, 300_000, 1_000]
        );
        assert_eq!(spike.arrivals(), 302_000);
    }

    #[test]
    fn a_ramp_ends_at_its_highest() {
        let ramp = Schedule::ramp(1_000.0, 4, seconds(8.0));
        let rates: Vec<f64> = ramp.spans().map(|(stage, _)| stage.rate).collect();
        assert_eq!(rates, [250.0, 500.0, 750.0, 1_000.0]);
        assert_eq!(ramp.due().count(), 5_000);
    }
}
