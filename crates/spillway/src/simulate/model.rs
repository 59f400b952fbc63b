//! A queue, its workers, and whoever decides how many there are: second by second. Pure.

use super::hpa::{Hpa, Rules};
use super::profile::Profile;
use resilience::{Decision, Scaler, ScalingPolicy, Seen};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So long after the last line of a curve the queue is drained, or never will be.
const PATIENCE: u64 = 3_600;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) policy: ScalingPolicy,
    /// Events a second of one worker.
    pub(super) per_worker: f64,
    /// Seconds from the order of a worker to its first event.
    pub(super) start_time: u64,
    /// By what the policy's number is carried out; nothing carries it out at once, as `spillway fleet` does.
    pub(super) hpa: Option<Rules>,
}

/// One second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) second: u64,
    pub(super) offered: f64,
    pub(super) depth: f64,
    pub(super) desired: u32,
    pub(super) ordered: u32,
    pub(super) working: u32,
    pub(super) oldest_age: u64,
}

/// A whole run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) rows: Vec<Row>,
    /// The longest time from a backlog above the upper threshold to one below the lower; nothing where one was
    /// never drained.
    pub(super) time_to_drain: Option<u64>,
}

impl Run {
    pub(super) fn of(profile: &Profile, plan: &Plan) -> Self {
        let mut rows = Vec::new();
        let mut world = World::new(plan);
        for second in 0..=profile.end() + PATIENCE {
            rows.push(world.pass(second, profile.rate(second)));
            if second > profile.end() && world.is_at_rest() {
                break;
            }
        }
        Self {
            time_to_drain: time_to_drain(&rows, &plan.policy),
            rows,
        }
    }

    pub(super) fn deepest(&self) -> f64 {
        self.rows.iter().map(|row| row.depth).fold(0.0, f64::max)
    }

    pub(super) fn most_workers(&self) -> u32 {
        self.rows.iter().map(|row| row.working).max().unwrap_or(0)
    }

    pub(super) fn oldest(&self) -> u64 {
        self.rows
            .iter()
            .map(|row| row.oldest_age)
            .max()
            .unwrap_or(0)
    }

    /// What the run costs: workers that ran or started, summed over seconds.
    pub(super) fn worker_seconds(&self) -> u64 {
        self.rows.iter().map(|row| u64::from(row.ordered)).sum()
    }
}

fn time_to_drain(rows: &[Row], policy: &ScalingPolicy) -> Option<u64> {
    let (mut longest, mut since) = (0, None);
    for row in rows {
        if row.depth > policy.up_above as f64 {
            since.get_or_insert(row.second);
        } else if row.depth < policy.down_below as f64
            && let Some(since) = since.take()
        {
            longest = longest.max(row.second - since);
        }
    }
    since.is_none().then_some(longest)
}

struct World<'a> {
    plan: &'a Plan,
    begin: Instant,
    scaler: Scaler,
    desired: u32,
    hpa: Option<Hpa>,
    /// When each worker takes its first event, the earliest first.
    workers: Vec<u64>,
    /// What waits, by the second it came in, the oldest first.
    waiting: VecDeque<(u64, f64)>,
}

impl<'a> World<'a> {
    /// With the fewest workers, all at work.
    fn new(plan: &'a Plan) -> Self {
        let (begin, min) = (Instant::now(), plan.policy.min);
        Self {
            plan,
            begin,
            scaler: Scaler::new(plan.policy, min, begin),
            desired: min,
            hpa: plan.hpa.map(|rules| Hpa::new(rules, min)),
            workers: vec![0; min as usize],
            waiting: VecDeque::new(),
        }
    }

    fn pass(&mut self, second: u64, offered: f64) -> Row {
        self.waiting.push_back((second, offered));
        let working = self.workers.iter().filter(|first| **first <= second);
        let working = working.count() as u32;
        self.apply(f64::from(working) * self.plan.per_worker);
        self.decide(second);
        self.order(second);
        Row {
            second,
            offered,
            depth: self.depth(),
            desired: self.desired,
            ordered: self.workers.len() as u32,
            working,
            oldest_age: self.waiting.front().map_or(0, |(came, _)| second - came),
        }
    }

    fn apply(&mut self, mut capacity: f64) {
        while let Some((_, events)) = self.waiting.front_mut() {
            if *events > capacity {
                *events -= capacity;
                return;
            }
            capacity -= *events;
            self.waiting.pop_front();
        }
    }

    fn decide(&mut self, second: u64) {
        let now = self.begin + Duration::from_secs(second);
        let seen = Seen {
            backlog: self.depth() as u64,
            is_complete: true,
            is_breaker_open: false,
        };
        if let Decision::Change(desired) = self.scaler.decide(Some(seen), now) {
            self.scaler.changed(desired, now);
            self.desired = desired;
        }
    }

    fn order(&mut self, second: u64) {
        let ordered = match &mut self.hpa {
            Some(hpa) => hpa.tick(second, self.desired),
            None => self.desired,
        };
        // Those that came last go first: Kubernetes takes pods that are not ready yet.
        let first_event = second + 1 + self.plan.start_time;
        self.workers.resize(ordered as usize, first_event);
    }

    fn depth(&self) -> f64 {
        self.waiting
            .iter()
            .fold(0.0, |sum, (_, events)| sum + events)
    }

    fn is_at_rest(&self) -> bool {
        let low = self.plan.policy.down_below as f64;
        self.depth() < low && self.workers.len() as u32 == self.plan.policy.min
    }
}

#[cfg(test)]
mod tests {
    use super::super::{K8S, policy_for_tests};
    use super::*;

    fn run(curve: &[(u64, f64)], hpa: Option<Rules>) -> Run {
        let plan = Plan {
            policy: policy_for_tests(),
            per_worker: 400.0,
            start_time: 10,
            hpa,
        };
        Run::of(&Profile::for_tests(curve), &plan)
    }

    const SPIKE: [(u64, f64); 3] = [(0, 100.0), (60, 5_000.0), (360, 100.0)];

    #[test]
    fn what_arrives_is_applied_or_waits() {
        let run = run(&SPIKE, None);
        let (mut arrived, mut applied) = (0.0, 0.0);
        for row in &run.rows {
            arrived += row.offered;
            let capacity = f64::from(row.working) * 400.0;
            applied = f64::min(applied + capacity, arrived);
            // No more is gone than there was capacity for, and nothing comes from nowhere.
            assert!(row.depth >= arrived - applied - 1e-6, "{row:?}");
            assert!(row.depth <= arrived + 1e-6);
        }
        assert!(run.rows.last().unwrap().depth < 100.0);
    }

    #[test]
    fn a_spike_grows_the_fleet_to_what_it_needs_and_is_drained() {
        for hpa in [None, Some(K8S)] {
            let run = run(&SPIKE, hpa);
            assert!(run.most_workers() >= 13, "{}", run.most_workers());
            assert!(run.time_to_drain.is_some());
            let last = run.rows.last().unwrap();
            assert_eq!((last.desired, last.ordered), (1, 1), "and it shrinks again");
        }
    }

    #[test]
    fn a_fleet_that_cannot_grow_enough_is_never_drained() {
        let run = run(&[(0, 100_000.0)], Some(K8S));
        assert_eq!(run.time_to_drain, None);
        assert_eq!(run.most_workers(), 50);
    }

    #[test]
    fn the_autoscaler_is_never_ahead_of_the_policy() {
        let by_hpa = run(&SPIKE, Some(K8S));
        let at_once = run(&SPIKE, None);
        assert!(by_hpa.deepest() >= at_once.deepest());
        let lags = |row: &Row| row.desired > row.ordered;
        assert!(by_hpa.rows.iter().any(lags));
        assert!(!at_once.rows.iter().any(lags));
    }
}
