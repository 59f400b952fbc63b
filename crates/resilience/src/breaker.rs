//! A circuit breaker: after a few faults in a row nobody asks the dependency any more but one probe at a
//! time. Pure: the clock and the randomness are passed in (I10).
//!
//! It guards *consumption* and not single calls: while it is open the queue keeps the events.

use crate::Backoff;
use std::time::{Duration, Instant};

/// Faults in a row that open it. Fewer would open it at one lost connection per pooled connection.
const FAULTS_TO_OPEN: u32 = 5;
/// A probe that has not answered by then has failed: a breaker whose probe hangs must not stay half-open.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait between probes: soon at first, and never more than five seconds late when the dependency is
/// back.
const PROBE_BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(500),
    cap: Duration::from_secs(5),
};
/// The wait after a fault that has not opened it yet.
const RETRY_BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_secs(1),
};

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// The dependency answers.
    Closed,
    /// It does not; nobody asks.
    Open,
    /// One probe asks.
    HalfOpen,
}

impl BreakerState {
    /// Every state, for metrics that are there at zero.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// One dependency's breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: BreakerState,
    faults: u32,
    /// When the next try, or the next probe, is due.
    due: Instant,
}

impl Breaker {
    /// A closed one.
    pub fn new(now: Instant) -> Self {
        Self {
            state: BreakerState::Closed,
            faults: 0,
            due: now,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// The dependency answered.
    pub fn succeeded(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// The dependency failed, in a try or in the probe. `random` is uniform in 0.0..1.0.
    pub fn failed(&mut self, now: Instant, random: f64) {
        self.faults = self.faults.saturating_add(1);
        match self.state {
            BreakerState::Closed if self.faults < FAULTS_TO_OPEN => {
                self.due = now + RETRY_BACKOFF.wait(self.faults - 1, random);
            }
            BreakerState::Closed | BreakerState::Open | BreakerState::HalfOpen => {
                self.open(now, random)
            }
        }
    }

    /// Opens it at once: what failed was not a single try.
    pub fn open(&mut self, now: Instant, random: f64) {
        self.faults = self.faults.max(FAULTS_TO_OPEN);
        self.state = BreakerState::Open;
        // Half of the wait is certain: full jitter alone could probe in a tight loop.
        let bound = PROBE_BACKOFF.wait(self.faults - FAULTS_TO_OPEN, 1.0);
        self.due = now + bound.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
    }

    /// When to ask again.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Whether the caller may ask now. From open it becomes half-open for exactly one caller; from
    /// half-open nobody may, until the probe has answered or its timeout has passed.
    pub fn try_pass(&mut self, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open | BreakerState::HalfOpen => {
                self.state = BreakerState::HalfOpen;
                self.due = now + PROBE_TIMEOUT;
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn five_faults_in_a_row_open_it_and_a_success_in_between_starts_over() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        for _ in 0..4 {
            breaker.failed(now, 0.5);
        }
        breaker.succeeded(now);
        for faults in 1..=5 {
            assert_eq!(
                breaker.state(),
                BreakerState::Closed,
                "after {} faults",
                faults - 1
            );
            breaker.failed(now, 0.5);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn half_open_is_one_probe_and_a_probe_that_hangs_is_given_up() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        breaker.open(now, 1.0);
        assert!(!breaker.try_pass(now));
        let later = breaker.due();
        assert!(breaker.try_pass(later));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(!breaker.try_pass(later), "a second probe");
        assert!(
            breaker.try_pass(later + PROBE_TIMEOUT),
            "the first one hangs"
        );
    }

    #[derive(Clone, Debug)]
    enum Step {
        Pass,
        Succeed,
        Fail,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Pass),
            1 => Just(Step::Succeed),
            3 => Just(Step::Fail),
            3 => (0..3_000u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn it_never_lets_two_probes_through_and_always_one_in_time(
            steps in prop::collection::vec((step(), 0.0..1.0), 0..200),
        ) {
            let mut now = Instant::now();
            let mut breaker = Breaker::new(now);
            let mut probe_since = None;
            for (step, random) in steps {
                match step {
                    Step::Wait(millis) => now += Duration::from_millis(millis),
                    Step::Succeed => { breaker.succeeded(now); probe_since = None; }
                    Step::Fail => { breaker.failed(now, random); probe_since = None; }
                    Step::Pass => {
                        let was = breaker.state();
                        if breaker.try_pass(now) && was != BreakerState::Closed {
                            let free = probe_since.is_none_or(|since| now >= since + PROBE_TIMEOUT);
                            prop_assert!(free, "a second probe");
                            probe_since = Some(now);
                        }
                    }
                }
                prop_assert!(breaker.due() <= now + PROBE_TIMEOUT, "nobody would ask in time");
            }
            prop_assert!(breaker.try_pass(now + PROBE_TIMEOUT));
        }
    }
}
