//! How many workers a pipeline should have: by its backlog, with two thresholds and patience in between. Pure:
//! the clock is passed in (I10).
//!
//! Steps go from the last number that was *desired* and never from the workers there are: who carries the
//! number out may ignore a small change (Kubernetes' HPA ignores 10 %), and only steps that accumulate get
//! through.

use std::time::{Duration, Instant};

/// When to grow, when to shrink, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingPolicy {
    /// A backlog above this grows the fleet, to a worker for each so many events at once.
    pub up_above: u64,
    /// A backlog below this shrinks it, if it lasts.
    pub down_below: u64,
    /// Never fewer workers.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// Between two changes.
    pub cool_down: Duration,
    /// How long the backlog has to have been below `down_below`.
    pub calm: Duration,
}

/// What was seen of a pipeline just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Events ready and in hand. What waits in retry queues is not among them: more workers cannot hurry it.
    pub backlog: u64,
    /// Whether everybody's hands are known. Where they are not, the backlog may be larger than it looks.
    pub is_complete: bool,
    /// Whether any worker's breaker is open: its dependency would meet more workers with more faults.
    pub is_breaker_open: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// So many workers are desired from now on.
    Change(u32),
    /// The number stands.
    Hold(Hold),
}

/// Why the number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// The backlog is between the thresholds.
    Steady,
    /// The last change is too fresh.
    CoolingDown,
    /// The backlog is small, and was not for long enough yet.
    NotCalmYet,
    /// As many as may be.
    AtMax,
    /// As few as may be.
    AtMin,
    /// A worker's breaker is open.
    BreakerOpen,
    /// Somebody consumes of whom no pulse tells: the backlog looks small, and may not be.
    HandsUnknown,
    /// Nothing is known of the pipeline now.
    Stale,
}

impl Hold {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Steady,
        Self::CoolingDown,
        Self::NotCalmYet,
        Self::AtMax,
        Self::AtMin,
        Self::BreakerOpen,
        Self::HandsUnknown,
        Self::Stale,
    ];

    /// The word operators read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::CoolingDown => "cooling_down",
            Self::NotCalmYet => "not_calm_yet",
            Self::AtMax => "at_max",
            Self::AtMin => "at_min",
            Self::BreakerOpen => "breaker_open",
            Self::HandsUnknown => "hands_unknown",
            Self::Stale => "stale",
        }
    }
}

/// One pipeline's number and its history.
#[derive(Clone, Debug)]
pub struct Scaler {
    policy: ScalingPolicy,
    desired: u32,
    changed_at: Instant,
    /// Since when every look has found less than `down_below`.
    calm_since: Option<Instant>,
}

impl Scaler {
    /// With the last number that was desired, by whomever. When that was is unknown, so it counts as just now.
    pub fn new(policy: ScalingPolicy, desired: u32, now: Instant) -> Self {
        Self {
            policy,
            desired,
            changed_at: now,
            calm_since: None,
        }
    }

    /// The number has changed: here, or somewhere else.
    pub fn changed(&mut self, desired: u32, now: Instant) {
        self.desired = desired;
        self.changed_at = now;
    }

    /// What to do after a look; nothing was seen where the look failed. Whoever carries a change out says so
    /// with [`Scaler::changed`].
    pub fn decide(&mut self, seen: Option<Seen>, now: Instant) -> Decision {
        self.watch_calm(seen, now);
        let ScalingPolicy { min, max, .. } = self.policy;
        let within = self.desired.clamp(min, max);
        if within != self.desired {
            // The bounds are the operator's word: no cool-down, whatever is seen.
            return Decision::Change(within);
        }
        match self.wanted(seen, now) {
            Ok(_) if self.is_cooling_down(now) => Decision::Hold(Hold::CoolingDown),
            Ok(desired) => Decision::Change(desired),
            Err(why) => Decision::Hold(why),
        }
    }

    /// The number that would be right now, if it is another one.
    fn wanted(&self, seen: Option<Seen>, now: Instant) -> Result<u32, Hold> {
        let policy = &self.policy;
        let seen = seen.ok_or(Hold::Stale)?;
        if seen.is_breaker_open {
            Err(Hold::BreakerOpen)
        } else if seen.backlog > policy.up_above {
            let wanted = policy.for_backlog(seen.backlog).max(self.desired + 1);
            (self.desired < policy.max)
                .then_some(wanted.min(policy.max))
                .ok_or(Hold::AtMax)
        } else if seen.backlog >= policy.down_below {
            Err(Hold::Steady)
        } else if !seen.is_complete {
            Err(Hold::HandsUnknown)
        } else if self.desired <= policy.min {
            Err(Hold::AtMin)
        } else if self.calm_for(now) < policy.calm {
            Err(Hold::NotCalmYet)
        } else {
            Ok(self.desired - 1)
        }
    }

    /// What could not be seen may have been anything: calm starts anew.
    fn watch_calm(&mut self, seen: Option<Seen>, now: Instant) {
        let below = |seen: Seen| seen.is_complete && seen.backlog < self.policy.down_below;
        if seen.is_some_and(below) {
            self.calm_since.get_or_insert(now);
        } else {
            self.calm_since = None;
        }
    }

    fn calm_for(&self, now: Instant) -> Duration {
        let since = self.calm_since;
        since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    fn is_cooling_down(&self, now: Instant) -> bool {
        now.duration_since(self.changed_at) < self.policy.cool_down
    }
}

impl ScalingPolicy {
    /// A worker for each `up_above` events, begun ones too.
    fn for_backlog(&self, backlog: u64) -> u32 {
        u32::try_from(backlog.div_ceil(self.up_above.max(1))).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: ScalingPolicy = ScalingPolicy {
        up_above: 1_000,
        down_below: 100,
        min: 1,
        max: 50,
        cool_down: Duration::from_secs(15),
        calm: Duration::from_secs(60),
    };
    const LONG_AGO: u64 = 3_600;

    fn seen(backlog: u64) -> Seen {
        Seen {
            backlog,
            is_complete: true,
            is_breaker_open: false,
        }
    }

    /// The decision with `desired` workers `since_change` seconds after the last change, when the backlog has
    /// been what is seen for `lasting` seconds.
    #[track_caller]
    fn check(
        desired: u32,
        since_change: u64,
        lasting: u64,
        found: Option<Seen>,
        expected: Decision,
    ) {
        let start = Instant::now();
        let now = start + Duration::from_secs(since_change.max(lasting));
        let mut scaler = Scaler::new(POLICY, desired, start);
        let before = |seconds| now - Duration::from_secs(seconds);
        scaler.decide(found, before(lasting));
        scaler.changed(desired, before(since_change));
        assert_eq!(scaler.decide(found, now), expected);
    }

    #[test]
    fn a_backlog_above_the_upper_threshold_grows_to_a_worker_for_each_thousand() {
        let grows = |desired, backlog, to| {
            check(
                desired,
                LONG_AGO,
                0,
                Some(seen(backlog)),
                Decision::Change(to),
            );
        };
        grows(1, 1_001, 2);
        grows(1, 5_000, 5);
        grows(1, 5_001, 6);
        grows(1, 49_001, 50);
        grows(1, u64::MAX, 50);
        // By one at least: the fleet there is does not keep up.
        grows(20, 1_001, 21);
        grows(49, 1_001, 50);
        check(
            50,
            LONG_AGO,
            0,
            Some(seen(90_000)),
            Decision::Hold(Hold::AtMax),
        );
    }

    #[test]
    fn a_backlog_between_the_thresholds_holds_whatever_it_came_from() {
        for backlog in [100, 500, 1_000] {
            check(
                7,
                LONG_AGO,
                LONG_AGO,
                Some(seen(backlog)),
                Decision::Hold(Hold::Steady),
            );
        }
    }

    #[test]
    fn a_minute_below_the_lower_threshold_shrinks_by_one() {
        let calm = Some(seen(99));
        check(7, LONG_AGO, 59, calm, Decision::Hold(Hold::NotCalmYet));
        check(7, LONG_AGO, 60, calm, Decision::Change(6));
        check(2, LONG_AGO, 60, calm, Decision::Change(1));
        check(1, LONG_AGO, 60, calm, Decision::Hold(Hold::AtMin));
    }

    #[test]
    fn fifteen_seconds_lie_between_two_changes_in_either_direction() {
        let (flood, calm) = (Some(seen(9_000)), Some(seen(0)));
        check(2, 14, 0, flood, Decision::Hold(Hold::CoolingDown));
        check(2, 15, 0, flood, Decision::Change(9));
        check(2, 14, LONG_AGO, calm, Decision::Hold(Hold::CoolingDown));
        check(2, 15, LONG_AGO, calm, Decision::Change(1));
    }

    #[test]
    fn nothing_changes_while_a_breaker_is_open_or_nothing_is_known() {
        for backlog in [0, 90_000] {
            let broken = Seen {
                is_breaker_open: true,
                ..seen(backlog)
            };
            check(
                7,
                LONG_AGO,
                LONG_AGO,
                Some(broken),
                Decision::Hold(Hold::BreakerOpen),
            );
        }
        check(7, LONG_AGO, LONG_AGO, None, Decision::Hold(Hold::Stale));
    }

    #[test]
    fn hands_nobody_knows_hold_up_a_shrinking_and_no_growing() {
        let unknown = |backlog| {
            Some(Seen {
                is_complete: false,
                ..seen(backlog)
            })
        };
        check(
            7,
            LONG_AGO,
            LONG_AGO,
            unknown(0),
            Decision::Hold(Hold::HandsUnknown),
        );
        check(7, LONG_AGO, LONG_AGO, unknown(9_000), Decision::Change(9));
    }

    #[test]
    fn what_was_not_seen_does_not_count_as_calm() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut scaler = Scaler::new(POLICY, 7, start);
        scaler.decide(Some(seen(0)), at(0));
        scaler.decide(None, at(30));
        let hold = scaler.decide(Some(seen(0)), at(60));
        assert_eq!(hold, Decision::Hold(Hold::NotCalmYet));
        scaler.decide(Some(seen(0)), at(119));
        assert_eq!(scaler.decide(Some(seen(0)), at(120)), Decision::Change(6));
    }

    #[test]
    fn other_bounds_hold_at_once() {
        let start = Instant::now();
        for (desired, within) in [(80, 50), (0, 1)] {
            let mut scaler = Scaler::new(POLICY, desired, start);
            assert_eq!(scaler.decide(None, start), Decision::Change(within));
        }
    }

    fn anything_seen() -> impl Strategy<Value = Option<Seen>> {
        let backlog = prop_oneof![0..100u64, 100..=1_000u64, 1_001..200_000u64];
        let found = (
            backlog,
            prop::bool::weighted(0.9),
            prop::bool::weighted(0.1),
        );
        prop::option::weighted(
            0.9,
            found.prop_map(|(backlog, is_complete, is_breaker_open)| Seen {
                backlog,
                is_complete,
                is_breaker_open,
            }),
        )
    }

    proptest! {
        #[test]
        fn every_change_is_within_bounds_in_time_and_for_a_reason(
            looks in prop::collection::vec((anything_seen(), 1..20u64), 1..200),
        ) {
            let mut now = Instant::now();
            let mut scaler = Scaler::new(POLICY, 5, now);
            let (mut desired, mut changed_at) = (5, now);
            // The looks of the last minute and a little before.
            let mut past: Vec<(Instant, Option<Seen>)> = Vec::new();
            for (found, seconds) in looks {
                now += Duration::from_secs(seconds);
                past.push((now, found));
                let Decision::Change(to) = scaler.decide(found, now) else { continue };
                let found = found.expect("a change without anything seen");
                prop_assert!(!found.is_breaker_open);
                prop_assert!((POLICY.min..=POLICY.max).contains(&to));
                prop_assert!(now - changed_at >= POLICY.cool_down);
                if to > desired {
                    prop_assert!(found.backlog > POLICY.up_above);
                    let enough = u64::from(to) * POLICY.up_above >= found.backlog;
                    prop_assert!(enough || to == POLICY.max);
                } else {
                    prop_assert_eq!(to, desired - 1);
                    let calm = |seen: &Option<Seen>| seen.is_some_and(|seen| {
                        seen.is_complete && seen.backlog < POLICY.down_below
                    });
                    let window = past.iter().rev().take_while(|(at, _)| now - *at < POLICY.calm);
                    prop_assert!(window.map(|(_, seen)| seen).all(calm));
                }
                (desired, changed_at) = (to, now);
                scaler.changed(to, now);
            }
        }

        #[test]
        fn a_backlog_that_stays_large_reaches_the_maximum_and_one_that_stays_small_the_minimum(
            start in 1..=50u32,
        ) {
            for (backlog, end) in [(1_001, POLICY.max), (0, POLICY.min)] {
                let mut now = Instant::now();
                let mut scaler = Scaler::new(POLICY, start, now);
                let mut desired = start;
                for _ in 0..(60 + 50 * 15) {
                    now += Duration::from_secs(1);
                    if let Decision::Change(to) = scaler.decide(Some(seen(backlog)), now) {
                        desired = to;
                        scaler.changed(to, now);
                    }
                }
                prop_assert_eq!(desired, end);
            }
        }
    }
}
