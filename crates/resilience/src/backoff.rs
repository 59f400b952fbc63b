//! How long to wait before the next try.

use std::time::Duration;

/// The delays of the retry queues. One queue each, because a queue expires messages only at its head.
pub const RETRY_DELAYS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// The delay after attempt number `attempt` failed (from 1); nothing after the fifth retry.
pub fn retry_delay(attempt: u16) -> Option<Duration> {
    RETRY_DELAYS
        .get(usize::from(attempt).checked_sub(1)?)
        .copied()
}

/// Exponential backoff with full jitter, for reconnects: `rand(0, min(cap, base · 2ⁿ))`
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>). It never gives up.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The bound of the first wait.
    pub base: Duration,
    /// The bound of every wait.
    pub cap: Duration,
}

impl Backoff {
    /// For a server of ours that went away: quick at first, since most restarts take seconds, and never
    /// more than ten seconds late once it is back.
    pub const RECONNECT: Self = Self {
        base: Duration::from_millis(100),
        cap: Duration::from_secs(10),
    };

    /// The wait before try number `failures + 1`; `random` is uniform in 0.0..1.0.
    pub fn wait(self, failures: u32, random: f64) -> Duration {
        // 2^16 · any base is above any sensible cap; beyond it the shift would only overflow.
        let doubled = self.base.saturating_mul(1 << failures.min(16));
        doubled.min(self.cap).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn five_retries_double_from_one_second_and_there_is_no_sixth() {
        let delays: Vec<_> = (0..=7)
            .map(|attempt| retry_delay(attempt).map(|d| d.as_secs()))
            .collect();
        assert_eq!(
            delays,
            [
                None,
                Some(1),
                Some(2),
                Some(4),
                Some(8),
                Some(16),
                None,
                None
            ]
        );
    }

    proptest! {
        #[test]
        fn a_wait_is_never_above_its_cap(failures: u32, random in 0.0..1.0) {
            prop_assert!(Backoff::RECONNECT.wait(failures, random) <= Backoff::RECONNECT.cap);
        }
    }
}
