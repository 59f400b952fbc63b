//! `[worker] max_rate`: no more events a second than the database should get from one worker.

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// A batch is at most a tenth of a second's worth, so that the rate holds in each second and not only on
/// average.
const BATCHES_PER_SECOND: u32 = 10;

/// Lets batches through at a bounded rate, or as they come.
#[derive(Debug)]
pub(crate) struct Pace(Option<Bounded>);

#[derive(Debug)]
struct Bounded {
    limiter: DefaultDirectRateLimiter,
    batch_max: NonZeroU32,
}

impl Pace {
    pub(crate) fn new(max_rate: Option<NonZeroU32>) -> Self {
        Self(max_rate.map(|rate| {
            let tenth = NonZeroU32::new(rate.get() / BATCHES_PER_SECOND);
            let batch_max = tenth.unwrap_or(NonZeroU32::MIN);
            let quota = Quota::per_second(rate).allow_burst(batch_max);
            let limiter = RateLimiter::direct(quota);
            Bounded { limiter, batch_max }
        }))
    }

    /// How large a batch may be.
    pub(crate) fn batch_max(&self, otherwise: usize) -> usize {
        let bounded = self.0.as_ref().map(|it| it.batch_max.get() as usize);
        bounded.map_or(otherwise, |batch_max| batch_max.min(otherwise))
    }

    /// Waits until a batch of so many may begin.
    pub(crate) async fn wait(&self, events: usize) {
        let events = u32::try_from(events).ok().and_then(NonZeroU32::new);
        if let (Some(bounded), Some(events)) = (&self.0, events) {
            let events = events.min(bounded.batch_max);
            let waited = bounded.limiter.until_n_ready(events).await;
            waited.expect("no more than the burst");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn a_bounded_rate_holds_and_an_unbounded_one_does_not_wait() {
        let bounded = Pace::new(NonZeroU32::new(1_000));
        assert_eq!(bounded.batch_max(256), 100);
        assert_eq!(bounded.batch_max(8), 8);
        let began = Instant::now();
        for _ in 0..6 {
            bounded.wait(100).await;
        }
        // The first batch is free.
        assert!(began.elapsed() >= Duration::from_millis(490));
        let free = Pace::new(None);
        assert_eq!(free.batch_max(256), 256);
        let began = Instant::now();
        free.wait(1_000_000).await;
        assert!(began.elapsed() < Duration::from_millis(100));
    }

    #[test]
    fn a_rate_below_ten_is_one_by_one() {
        assert_eq!(Pace::new(NonZeroU32::new(3)).batch_max(256), 1);
    }
}
