//! How busy the workers of a process are: for the metrics page and for the pulse.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Opts};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The least time over which the ratio is taken: a page read twice in a second would show one batch.
const WINDOW_MIN: Duration = Duration::from_secs(10);
/// Looks remembered, each at least a second after the one before it: at that pace more than [`WINDOW_MIN`].
const LOOKS_MAX: usize = 16;
const LOOKS_APART: Duration = Duration::from_secs(1);

/// How long one worker was at work since it began, with what it is at work on now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<Mutex<Work>>);

#[derive(Debug, Default)]
struct Work {
    done: Duration,
    batches: usize,
    since: Option<Instant>,
}

/// A batch is in work until this is dropped, however its work ends.
#[derive(Debug)]
pub(crate) struct AtWork<'a>(&'a Busy);

impl Busy {
    /// A batch is in work from now on.
    pub(crate) fn begin(&self) -> AtWork<'_> {
        locked(&self.0).begin(Instant::now());
        AtWork(self)
    }

    /// How long at least one batch was in work, up to now.
    pub(crate) fn so_far(&self, now: Instant) -> Duration {
        locked(&self.0).so_far(now)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        locked(&self.0.0).end(Instant::now());
    }
}

impl Work {
    fn begin(&mut self, now: Instant) {
        self.batches += 1;
        self.since.get_or_insert(now);
    }

    fn end(&mut self, now: Instant) {
        self.batches -= 1;
        if self.batches == 0 {
            self.done = self.so_far(now);
            self.since = None;
        }
    }

    fn so_far(&self, now: Instant) -> Duration {
        self.done + self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

/// The share of the time that the workers of this process were at work, over the time since the page was last
/// read, or ten seconds where it is read more often. Nothing ticks: it is counted when somebody looks.
#[derive(Clone, Debug)]
pub(crate) struct Utilization {
    gauge: Gauge,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    workers: Vec<Busy>,
    looks: Looks,
}

/// When somebody looked, and how long all workers had been at work by then.
#[derive(Debug)]
struct Looks(VecDeque<(Instant, Duration)>);

impl Utilization {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let inner = Inner {
            workers: Vec::new(),
            looks: Looks::since(Instant::now()),
        };
        Ok(Self {
            gauge: Gauge::with_opts(Opts::new(
                "worker_utilization_ratio",
                "Share of the time spent on batches, from 0 to 1, since the page was last read.",
            ))?,
            inner: Arc::new(Mutex::new(inner)),
        })
    }

    /// Counts one more worker.
    pub(crate) fn watch(&self, worker: Busy) {
        locked(&self.inner).workers.push(worker);
    }
}

impl Inner {
    fn ratio(&mut self, now: Instant) -> f64 {
        let busy = self.workers.iter().map(|worker| worker.so_far(now)).sum();
        self.looks.share(now, busy) / self.workers.len().max(1) as f64
    }
}

impl Looks {
    fn since(start: Instant) -> Self {
        Self(VecDeque::from([(start, Duration::ZERO)]))
    }

    /// Work in a second, since the last look that is old enough.
    fn share(&mut self, now: Instant, busy: Duration) -> f64 {
        let is_old = |(then, _): &&(Instant, Duration)| now - *then >= WINDOW_MIN;
        let before = self.0.iter().rev().find(is_old).or(self.0.front());
        let (then, before) = before.copied().unwrap_or((now, busy));
        let is_new = |(last, _): &(Instant, Duration)| now - *last >= LOOKS_APART;
        if self.0.back().is_none_or(is_new) {
            self.0.push_back((now, busy));
        }
        if self.0.len() > LOOKS_MAX {
            self.0.pop_front();
        }
        let passed = (now - then).as_secs_f64();
        let spent = busy.saturating_sub(before).as_secs_f64();
        if passed > 0.0 { spent / passed } else { 0.0 }
    }
}

impl Collector for Utilization {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(locked(&self.inner).ratio(Instant::now()));
        self.gauge.collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_batch_counts_while_it_is_in_work_and_two_at_once_count_once() {
        let (start, mut work) = (Instant::now(), Work::default());
        let at = |seconds| start + SECOND * seconds;
        work.begin(at(0));
        assert_eq!(work.so_far(at(3)), SECOND * 3);
        work.begin(at(3));
        work.end(at(4));
        work.end(at(5));
        assert_eq!(work.so_far(at(9)), SECOND * 5);
        work.begin(at(10));
        assert_eq!(work.so_far(at(11)), SECOND * 6);
    }

    #[test]
    fn a_batch_that_is_given_up_half_way_is_not_in_work_any_more() {
        let busy = Busy::default();
        drop(busy.begin());
        let now = Instant::now();
        assert_eq!(busy.so_far(now), busy.so_far(now + SECOND));
    }

    #[test]
    fn utilization_is_the_share_since_the_page_was_last_read() {
        let start = Instant::now();
        let (at, mut looks) = (|seconds| start + SECOND * seconds, Looks::since(start));
        assert_eq!(looks.share(at(0), Duration::ZERO), 0.0);
        assert_eq!(looks.share(at(15), SECOND * 15), 1.0);
        assert_eq!(looks.share(at(30), SECOND * 15), 0.0);
        assert_eq!(looks.share(at(40), SECOND * 20), 0.5);
        // Somebody reads it once a second: the window does not shrink below ten seconds.
        for second in 41..70 {
            looks.share(at(second), SECOND * 20 + SECOND / 4 * (second - 40));
        }
        let busy = SECOND * 20 + SECOND / 4 * 30;
        assert_eq!(looks.share(at(70), busy), 0.25);
    }
}
