//! When not to ask Redis at all. Pure: the time is passed in (I10).

use std::time::{Duration, Instant};

/// So many failures in a row mean that it is away and not merely slow once: 250 ms lost in total.
const FAILURES: u32 = 5;

/// How long it is left alone then. One batch a second pays 50 ms to find out whether it is back.
const PAUSE: Duration = Duration::from_secs(1);

/// The breaker in front of Redis. It bypasses and never pauses anything: without an answer the worker goes
/// on to the database.
#[derive(Debug, Default)]
pub(super) struct Bypass {
    failures: u32,
    until: Option<Instant>,
}

impl Bypass {
    /// Whether to ask now. During a bypass exactly one caller per pause may: the probe.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        match self.until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                // The others stay out until this one has its answer, or another pause has passed: it may
                // be cancelled and never report.
                self.until = Some(now + PAUSE);
                true
            }
        }
    }

    /// Redis answered. Whether that ended a bypass.
    pub(super) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.until.take().is_some()
    }

    /// Redis did not answer in time, or with an error. Whether that began a bypass.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES {
            return false;
        }
        self.until.replace(now + PAUSE).is_none()
    }

    /// Whether it is on.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tripped(now: Instant) -> Bypass {
        let mut bypass = Bypass::default();
        let begun: Vec<_> = (0..FAILURES).map(|_| bypass.failed(now)).collect();
        assert_eq!(begun, [false, false, false, false, true]);
        bypass
    }

    #[test]
    fn failures_that_are_not_in_a_row_bypass_nothing() {
        let (mut bypass, now) = (Bypass::default(), Instant::now());
        for _ in 0..3 {
            (1..FAILURES).for_each(|_| assert!(!bypass.failed(now)));
            assert!(!bypass.succeeded());
            assert!(bypass.admits(now));
        }
    }

    #[test]
    fn a_bypass_lets_one_probe_through_per_pause() {
        let now = Instant::now();
        let mut bypass = tripped(now);
        assert!(!bypass.admits(now + PAUSE / 2));
        assert!(bypass.admits(now + PAUSE));
        assert!(!bypass.admits(now + PAUSE));
        // The probe failed: nothing begins anew, and the pause does.
        assert!(!bypass.failed(now + PAUSE * 2));
        assert!(!bypass.admits(now + PAUSE * 5 / 2));
        assert!(bypass.admits(now + PAUSE * 3));
    }

    #[test]
    fn a_probe_that_is_answered_ends_the_bypass() {
        let now = Instant::now();
        let mut bypass = tripped(now);
        assert!(bypass.admits(now + PAUSE));
        assert!(bypass.succeeded());
        assert!(bypass.admits(now + PAUSE) && bypass.admits(now + PAUSE));
    }
}
