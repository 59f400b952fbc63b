//! The pulse: once a second the worker says what it has in hand.

use crate::busy::Busy;
use crate::run::Worker;
use broker::{Broker, Pulse, QueueName};
use envelope::UnixMicros;
use ledger::{Handler, Ledger};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// Tells of itself through `broker` from now on, until that stops.
    pub fn pulse(&self, broker: &Broker) {
        let (worker, pipeline) = (self.name.clone(), self.pipeline.clone());
        let queue = QueueName::main(&pipeline);
        let (source, busy, state) = (
            broker.clone(),
            self.events.busy().clone(),
            self.gate.watch(),
        );
        let last = Mutex::new((Instant::now(), Duration::ZERO));
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
fn share(last: &Mutex<(Instant, Duration)>, busy: &Busy) -> f64 {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let busy = busy.so_far(now);
    let (then, before) = std::mem::replace(&mut *last, (now, busy));
    let passed = now.duration_since(then).as_secs_f64();
    ((busy - before).as_secs_f64() / passed.max(1e-6)).min(1.0)
}
