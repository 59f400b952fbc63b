//! Brings events back to their pipeline: past the journal and past other pipelines, which have had them.

use broker::{Broker, Confirmed, Destination, Publisher, QueueName};
use envelope::{Attempt, Envelope, PipelineName};
use futures_util::{StreamExt, stream};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use resilience::Backoff;
use std::num::NonZeroU32;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Unconfirmed at a time: as many as one channel confirms together at its best.
const IN_FLIGHT: usize = 64;

/// Between two tries of one event while the broker does not take it.
const BETWEEN_TRIES: Backoff = Backoff {
    base: std::time::Duration::from_millis(100),
    cap: std::time::Duration::from_secs(2),
};

/// Publishes events to the queues of their pipelines, no faster than told.
pub(crate) struct Republisher {
    publisher: Publisher,
    pace: Option<DefaultDirectRateLimiter>,
    stop: CancellationToken,
}

impl Republisher {
    pub(crate) fn new(broker: &Broker, rate: Option<NonZeroU32>, stop: CancellationToken) -> Self {
        let one_by_one = NonZeroU32::MIN;
        let pace = |rate| RateLimiter::direct(Quota::per_second(rate).allow_burst(one_by_one));
        Self {
            publisher: broker.publisher(),
            pace: rate.map(pace),
            stop,
        }
    }

    /// Publishes each until it is confirmed, and says of each whether it was: not where told to stop before.
    pub(crate) async fn publish(&self, batch: Vec<(PipelineName, Envelope)>) -> Vec<bool> {
        stream::iter(batch)
            .map(|(pipeline, envelope)| self.one(pipeline, envelope))
            .buffered(IN_FLIGHT)
            .collect()
            .await
    }

    async fn one(&self, pipeline: PipelineName, envelope: Envelope) -> bool {
        if let Some(pace) = &self.pace {
            tokio::select! {
                () = pace.until_ready() => {}
                () = self.stop.cancelled() => return false,
            }
        }
        let queue = queue_of(&pipeline);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            _proof = self.until_confirmed(queue, anew(envelope)) => true,
        }
    }

    /// A try without a verdict may have been stored: a copy too many is a duplicate.
    async fn until_confirmed(&self, queue: QueueName, envelope: Envelope) -> Confirmed {
        let mut failures = 0;
        loop {
            let to = Destination::Queue(queue.clone());
            match self.publisher.publish(to, envelope.clone()).await {
                Ok(confirmed) => return confirmed,
                Err(why) => tracing::debug!(event.id = %envelope.event_id, "not taken yet: {why}"),
            }
            sleep(BETWEEN_TRIES.wait(failures, fastrand::f64())).await;
            failures += 1;
        }
    }
}

/// An event that comes back has all its tries before it.
fn anew(envelope: Envelope) -> Envelope {
    Envelope {
        attempt: Attempt::FIRST,
        parked: 0,
        note: None,
        ..envelope
    }
}

/// Letters of `unrouted` are no pipeline's: their event goes back to where it lay.
fn queue_of(pipeline: &PipelineName) -> QueueName {
    if *pipeline == crate::reconcile::unrouted() {
        QueueName::unrouted()
    } else {
        QueueName::main(pipeline)
    }
}
