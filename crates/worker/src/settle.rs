//! Settling: each delivery to its one ending, and the next state durable before the last is erased (I7).

use crate::disposition::{Disposition, Held, Settlement, bounded_by_age};
use crate::run::Worker;
use broker::{Destination, Publisher, QueueName, Receipt};
use envelope::{DeadLetterNote, Envelope, ErrorText};
use failpoints::{Mutant, mutated};
use ledger::{Handler, Ledger};
use resilience::{Backoff, Fault, RETRY_DELAYS};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// Brings decided deliveries to their endings.
    pub(crate) async fn settle(&self, settlements: Vec<Settlement>) {
        let now = (self.now)();
        for Settlement {
            held,
            disposition,
            key: _,
        } in settlements
        {
            let disposition = bounded_by_age(disposition, held.envelope.received_at, now);
            self.events.settled(&held.envelope, &disposition, now);
            self.end(held, disposition).await;
        }
    }

    async fn end(&self, held: Held, disposition: Disposition) {
        let Held { envelope, receipt } = held;
        match disposition {
            // It takes the ledger's proof to get here (I2).
            Disposition::Ack { proof: _, fresh: _ } => {
                failpoints::crash("worker.before_ack");
                receipt.ack();
            }
            Disposition::Release => drop(receipt),
            Disposition::Park => {
                let queue = QueueName::retry(&self.pipeline, RETRY_DELAYS[0]);
                let parked = Envelope {
                    parked: envelope.parked.saturating_add(1),
                    ..envelope
                };
                self.outbox.send(queue, parked, receipt).await;
            }
            Disposition::Retry(delay, fault) => {
                let queue = QueueName::retry(&self.pipeline, delay);
                let attempt = envelope.attempt.next();
                self.outbox
                    .send(
                        queue,
                        Envelope {
                            attempt,
                            ..noted(envelope, &fault)
                        },
                        receipt,
                    )
                    .await;
            }
            Disposition::DeadLetter(fault) => {
                let queue = QueueName::dead(&self.pipeline);
                self.outbox
                    .send(queue, noted(envelope, &fault), receipt)
                    .await;
            }
        }
    }
}

fn noted(envelope: Envelope, fault: &Fault) -> Envelope {
    let note = DeadLetterNote {
        class: fault.class.as_str().to_owned(),
        reason: fault.reason.as_str().to_owned(),
        error: ErrorText::cut(&fault.message),
    };
    Envelope {
        note: Some(note),
        ..envelope
    }
}

/// Events on their way to another queue: each is kept in hand, unacked, until the broker has confirmed it
/// there. One that waits for a blocked broker does not hold back the acks of the others.
#[derive(Debug)]
pub(crate) struct Outbox {
    publisher: Publisher,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Outbox {
    /// Room for `in_hand_max` events; above it [`Outbox::send`] waits, and so the worker stops reading.
    pub(crate) fn new(publisher: Publisher, in_hand_max: usize) -> Self {
        Self {
            publisher,
            room: Arc::new(Semaphore::new(in_hand_max.max(1))),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Publishes to a queue, and acks once that is confirmed. Waits only for room.
    async fn send(&self, queue: QueueName, envelope: Envelope, receipt: Receipt) {
        let Ok(room) = self.room.clone().acquire_owned().await else {
            return;
        };
        let (publisher, closing) = (self.publisher.clone(), self.closing.clone());
        let mut receipt = Some(receipt);
        if mutated(Mutant::EraseBeforeConfirm) {
            receipt.take().into_iter().for_each(Receipt::ack);
        }
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                // Released: its next owner decides again, and finds the same.
                () = closing.cancelled() => drop(receipt),
                () = publish_until_confirmed(&publisher, &queue, &envelope) => {
                    failpoints::crash("worker.between_retry_publish_and_ack");
                    receipt.into_iter().for_each(Receipt::ack);
                }
            }
            drop(room);
        });
    }

    /// Waits for what is in hand, then releases the rest.
    pub(crate) async fn close(&self, patience: Duration) {
        self.tasks.close();
        if timeout(patience, self.tasks.wait()).await.is_err() {
            warn!(
                "{} events could not be moved to their next queue: released",
                self.tasks.len()
            );
            self.closing.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Drop for Outbox {
    /// Whoever is gone moves nothing any more: what it had in hand is released.
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// A copy too many is a duplicate, which the ledger absorbs; one too few would be a loss.
async fn publish_until_confirmed(publisher: &Publisher, queue: &QueueName, envelope: &Envelope) {
    let mut failures = 0;
    while let Err(why) = publisher
        .publish(Destination::Queue(queue.clone()), envelope.clone())
        .await
    {
        warn!(event.id = %envelope.event_id, "cannot move an event to {queue}: {why}");
        sleep(Backoff::RECONNECT.wait(failures, fastrand::f64())).await;
        failures += 1;
    }
}
