//! Kubernetes' HorizontalPodAutoscaler by its documented rules, on an external metric with an average value of 1,
//! as `k8s/overlays` set it up: <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/>,
//! "Algorithm details" and "Configurable scaling behavior". Pure.

/// The rules and their numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Seconds between two looks (`--horizontal-pod-autoscaler-sync-period`).
    pub(super) sync_period: u64,
    /// A metric within this share of the fleet changes nothing (`--horizontal-pod-autoscaler-tolerance`).
    pub(super) tolerance: f64,
    pub(super) up: Behavior,
    pub(super) down: Behavior,
    pub(super) min: u32,
    pub(super) max: u32,
}

/// How fast in one direction. Of the two policies the one that allows more counts (`selectPolicy: Max`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Behavior {
    /// `stabilizationWindowSeconds`: the most cautious recommendation of so many seconds counts.
    pub(super) window: u64,
    pub(super) percent: u32,
    pub(super) pods: u32,
    /// `periodSeconds` of both policies.
    pub(super) period: u64,
}

/// The autoscaler and the fleet it has ordered.
#[derive(Clone, Debug)]
pub(super) struct Hpa {
    rules: Rules,
    replicas: u32,
    recommendations: Vec<(u64, u32)>,
    /// Pods that came (or went, negative) in each second.
    changes: Vec<(u64, i64)>,
}

impl Hpa {
    pub(super) fn new(rules: Rules, replicas: u32) -> Self {
        Self {
            rules,
            replicas,
            recommendations: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// How many pods there should be after this second, in which the metric is this.
    pub(super) fn tick(&mut self, second: u64, metric: u32) -> u32 {
        if second.is_multiple_of(self.rules.sync_period) {
            let wanted = self.stabilized(second, self.wanted(metric));
            let allowed = self.limited(second, wanted);
            let bounded = allowed.clamp(self.rules.min, self.rules.max);
            let change = i64::from(bounded) - i64::from(self.replicas);
            if change != 0 {
                self.changes.push((second, change));
            }
            self.replicas = bounded;
        }
        self.replicas
    }

    /// "desiredReplicas = ceil[currentReplicas × (currentMetricValue / desiredMetricValue)]", skipped where the
    /// ratio is close to 1.
    fn wanted(&self, metric: u32) -> u32 {
        let ratio = f64::from(metric) / f64::from(self.replicas.max(1));
        let tolerance = self.rules.tolerance;
        let is_close = (1.0 - tolerance..=1.0 + tolerance).contains(&ratio);
        if is_close { self.replicas } else { metric }
    }

    /// Up by no more than the lowest recommendation of the window, down by no more than the highest.
    fn stabilized(&mut self, second: u64, wanted: u32) -> u32 {
        self.recommendations.push((second, wanted));
        let (up, down) = (self.rules.up.window, self.rules.down.window);
        self.recommendations
            .retain(|(at, _)| at + up.max(down) >= second);
        let within = |window: u64| {
            let recent = self.recommendations.iter();
            recent
                .filter(move |(at, _)| *at == second || at + window > second)
                .map(|(_, wanted)| *wanted)
        };
        let lowest = within(up).min().unwrap_or(wanted);
        let highest = within(down).max().unwrap_or(wanted);
        self.replicas.max(lowest).min(highest)
    }

    /// What the policies allow, counted from how many pods there were when their period began.
    fn limited(&self, second: u64, wanted: u32) -> u32 {
        if wanted > self.replicas {
            let began = self.replicas_before(second, self.rules.up.period, i64::is_positive);
            wanted.min(self.rules.up.most(began)).max(self.replicas)
        } else {
            let began = self.replicas_before(second, self.rules.down.period, i64::is_negative);
            wanted.max(self.rules.down.least(began)).min(self.replicas)
        }
    }

    fn replicas_before(&self, second: u64, period: u64, of: fn(i64) -> bool) -> u32 {
        let recent = self.changes.iter().filter(|(at, _)| at + period > second);
        let changed: i64 = recent.map(|(_, change)| *change).filter(|it| of(*it)).sum();
        u32::try_from(i64::from(self.replicas) - changed).unwrap_or(0)
    }
}

impl Behavior {
    fn most(&self, began: u32) -> u32 {
        let by_percent = f64::from(began) * (1.0 + f64::from(self.percent) / 100.0);
        (by_percent.ceil() as u32).max(began.saturating_add(self.pods))
    }

    fn least(&self, began: u32) -> u32 {
        let by_percent = f64::from(began) * (1.0 - f64::from(self.percent) / 100.0);
        (by_percent.floor() as u32).min(began.saturating_sub(self.pods))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Behavior = Behavior {
        window: 0,
        percent: 400,
        pods: 100,
        period: 15,
    };
    const RULES: Rules = Rules {
        sync_period: 15,
        tolerance: 0.1,
        up: AT_ONCE,
        down: AT_ONCE,
        min: 1,
        max: 50,
    };

    /// The fleet after the metric has been each of these for one sync period.
    #[track_caller]
    fn check(rules: Rules, replicas: u32, metrics: &[u32], expected: &[u32]) {
        let mut hpa = Hpa::new(rules, replicas);
        let seconds = (0..).step_by(15);
        let fleet = metrics.iter().zip(seconds);
        let fleet: Vec<u32> = fleet.map(|(metric, at)| hpa.tick(at, *metric)).collect();
        assert_eq!(fleet, expected);
    }

    #[test]
    fn at_twenty_workers_steps_have_to_add_up_to_three() {
        check(RULES, 20, &[21, 22, 23], &[20, 20, 23]);
        check(RULES, 20, &[19, 18, 17], &[20, 20, 17]);
    }

    #[test]
    fn at_fifty_workers_steps_have_to_add_up_to_six() {
        check(
            RULES,
            50,
            &[49, 48, 47, 46, 45, 44],
            &[50, 50, 50, 50, 50, 44],
        );
        // Close to the maximum the last few are never ordered.
        check(RULES, 46, &[47, 48, 49, 50, 50], &[46; 5]);
        check(RULES, 45, &[50], &[50]);
    }

    #[test]
    fn below_ten_workers_every_step_gets_through() {
        check(
            RULES,
            1,
            &[2, 3, 4, 5, 6, 7, 8, 9, 10],
            &[2, 3, 4, 5, 6, 7, 8, 9, 10],
        );
        check(RULES, 9, &[8, 7, 6], &[8, 7, 6]);
    }

    #[test]
    fn the_policies_bound_what_one_period_brings() {
        let up = Behavior {
            percent: 100,
            pods: 4,
            ..AT_ONCE
        };
        let down = Behavior {
            percent: 0,
            pods: 5,
            ..AT_ONCE
        };
        let rules = Rules { up, down, ..RULES };
        check(rules, 1, &[50, 50, 50, 50], &[5, 10, 20, 40]);
        check(rules, 40, &[1, 1, 1], &[35, 30, 25]);
        check(rules, 4, &[1], &[1]);
    }

    #[test]
    fn the_window_keeps_the_most_cautious_recommendation() {
        let down = Behavior {
            window: 45,
            ..AT_ONCE
        };
        let rules = Rules { down, ..RULES };
        check(rules, 10, &[10, 2, 2, 2, 2], &[10, 10, 10, 2, 2]);
        let up = Behavior {
            window: 30,
            ..AT_ONCE
        };
        let rules = Rules { up, ..RULES };
        check(rules, 2, &[2, 20, 9, 20], &[2, 2, 9, 9]);
    }

    #[test]
    fn nothing_happens_between_two_looks() {
        let mut hpa = Hpa::new(RULES, 2);
        assert_eq!(hpa.tick(14, 20), 2);
        assert_eq!(hpa.tick(15, 20), 20);
    }
}
