//! The pulse: once a second the worker says what it has in hand.

use crate::run::Worker;
use broker::{Broker, Pulse, QueueName};
use envelope::UnixMicros;
use ledger::{Handler, Ledger};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How long a worker was at work, since it began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<AtomicU64>);

impl Busy {
    /// Adds what a batch took.
    pub(crate) fn add(&self, taken: Duration) {
        let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::Relaxed);
    }

    fn micros(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// Tells of itself through `broker` from now on, until that stops.
    pub fn pulse(&self, broker: &Broker) {
        let (worker, pipeline) = (self.name.clone(), self.pipeline.clone());
        let queue = QueueName::main(&pipeline);
        let (source, busy, state) = (broker.clone(), self.busy.clone(), self.gate.watch());
        let last = Mutex::new((Instant::now(), 0));
        broker.pulse(move || {
            let hand = source.in_hand(&queue);
            let state = state.borrow().as_str().to_owned();
            Pulse {
                worker: worker.clone(),
                pipeline: pipeline.clone(),
                queue: queue.to_string(),
                at: UnixMicros::from(SystemTime::now()),
                unacked: hand.unacked,
                oldest_received_at: hand.oldest_received_at,
                taken_total: hand.taken_total,
                consumers: hand.consumers,
                busy: share(&last, &busy),
                breakers: [("ledger".to_owned(), state)].into(),
            }
        });
    }
}

/// The share of the time since the last pulse that was spent on batches.
fn share(last: &Mutex<(Instant, u64)>, busy: &Busy) -> f64 {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let (now, micros) = (Instant::now(), busy.micros());
    let (then, before) = std::mem::replace(&mut *last, (now, micros));
    let passed = now.duration_since(then).as_secs_f64() * 1e6;
    // One batch may have taken several seconds, all of which are added at its end.
    ((micros - before) as f64 / passed.max(1.0)).min(1.0)
}
