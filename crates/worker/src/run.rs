//! The loop: take what is there, process it, until told to stop.

use crate::events::Events;
use crate::gate::Gate;
use crate::guard::Guards;
use crate::pace::Pace;
use crate::process::{Decided, Ready};
use crate::settle::Outbox;
use crate::suspects::Returned;
use broker::{Consumer, Delivery, Publisher};
use envelope::{PipelineName, UnixMicros};
use ledger::{Handler, Ledger, Recall};
use ops::config::WorkerConfig;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Applies the events of one pipeline.
#[derive(Debug)]
pub struct Worker<L, H> {
    pub(crate) name: String,
    pub(crate) pipeline: PipelineName,
    pub(crate) ledger: L,
    pub(crate) recall: Recall,
    pub(crate) handler: H,
    pub(crate) gate: Gate,
    pub(crate) guards: Guards,
    pub(crate) returned: Returned,
    pub(crate) outbox: Outbox,
    pub(crate) events: Events,
    pub(crate) now: fn() -> UnixMicros,
    pub(crate) remembered: Duration,
    pace: Pace,
    bounds: Bounds,
}

/// The bounds of one worker (I8).
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Deliveries in hand.
    pub prefetch: u16,
    /// Events in one transaction.
    pub batch_max: usize,
    /// Events a second, where that is bounded.
    pub max_rate: Option<NonZeroU32>,
    /// How long a stop waits for the batch in hand.
    pub drain_timeout: Duration,
}

impl From<&WorkerConfig> for Bounds {
    fn from(config: &WorkerConfig) -> Self {
        let &WorkerConfig {
            prefetch,
            batch_max,
            max_rate,
            drain_timeout,
            ..
        } = config;
        Self {
            prefetch,
            batch_max,
            max_rate,
            drain_timeout,
        }
    }
}

/// A name no other worker has: claims of a worker that died must not look like ours.
pub fn unique_name() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "worker".to_owned());
    format!("{host}-{}-{:08x}", std::process::id(), fastrand::u32(..))
}

/// The default of `[retention] processed`.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long the events in hand are kept while the ledger is away: long enough for a failover, and far
/// below the 30 minutes after which RabbitMQ closes the channel of a consumer that does not ack.
const HOLD_MAX: Duration = Duration::from_secs(30);

/// How long a stop waits for events on their way to another queue, and for the last acks.
const LAST_ACKS_TIMEOUT: Duration = Duration::from_secs(3);

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// A worker; `name` tells it from the others in claims and rows.
    #[expect(
        clippy::too_many_arguments,
        reason = "wiring: each is one thing the worker is made of"
    )]
    pub fn new(
        name: String,
        pipeline: PipelineName,
        ledger: L,
        recall: Recall,
        handler: H,
        publisher: Publisher,
        events: Events,
        bounds: Bounds,
    ) -> Self {
        let pace = Pace::new(bounds.max_rate);
        let batch_max = pace.batch_max(bounds.batch_max);
        let bounds = Bounds {
            batch_max,
            ..bounds
        };
        // Half of the hand at most waits for another queue; the other half goes on being applied.
        let outbox = Outbox::new(publisher, usize::from(bounds.prefetch / 2));
        let now = || UnixMicros::from(std::time::SystemTime::now());
        if recall.is_there() {
            events.recall(false);
        }
        Self {
            name,
            pipeline,
            ledger,
            recall,
            handler,
            gate: Gate::new(events.clone()),
            guards: Guards::default(),
            returned: Returned::default(),
            outbox,
            events,
            now,
            remembered: REMEMBERED,
            pace,
            bounds,
        }
    }

    /// With so long a memory of what was applied, in place of 30 days. What was received longer ago is given
    /// up: whether it was applied before, nobody can tell any more.
    #[must_use]
    pub fn remembering(mut self, remembered: Duration) -> Self {
        self.remembered = remembered;
        self
    }

    /// With another clock than the system's.
    #[doc(hidden)]
    #[must_use]
    pub fn with_clock(mut self, now: fn() -> UnixMicros) -> Self {
        self.now = now;
        self
    }

    /// Works until `stop`, then finishes what is in hand and returns.
    ///
    /// `consume` starts to consume the queue, with the prefetch of the bounds. It is called again after
    /// the ledger was away for long: what was in hand has gone back to the broker by then.
    pub async fn run(self, consume: impl Fn() -> Consumer + Send, stop: CancellationToken) {
        info!(worker = self.name, pipeline = %self.pipeline, "working on pipeline {}", self.pipeline);
        let mut ramp = Ramp::full(self.bounds.batch_max);
        while self.gate.pass(|| self.ledger.ping(), &stop).await {
            match self.work_through(consume(), ramp, &stop).await {
                Ended::LedgerAway => {
                    info!("not consuming while the ledger is away");
                    ramp = Ramp::after_an_outage(self.bounds.batch_max);
                }
                Ended::Stopped => break,
            }
        }
        self.outbox.close(LAST_ACKS_TIMEOUT).await;
        self.clear_last().await;
    }

    /// Takes batches until told to stop, or until the ledger's breaker has opened.
    async fn work_through(
        &self,
        consumer: Consumer,
        ramp: Ramp,
        stop: &CancellationToken,
    ) -> Ended {
        let mut ended = Ended::Stopped;
        let mut inbox = Inbox::new(consumer, ramp);
        let mut ahead = None;
        let mut overdue = pin!(self.overdue(stop));
        loop {
            let first = match ahead.take() {
                Some(both) => InHand::Ahead(both),
                None => match inbox.next(stop).await {
                    Some(batch) => InHand::Taken(batch),
                    None => break,
                },
            };
            let second = inbox.next_if_whole(stop);
            tokio::select! {
                // A batch that is done is done, whatever else has come to pass.
                biased;
                next = self.process(first, second, stop) => ahead = next,
                () = self.pause_while_open(&mut inbox.consumer) => {
                    warn!("the ledger is away for longer than {HOLD_MAX:?}: what is in hand goes back");
                }
                () = &mut overdue => {
                    warn!("stopped with a batch in hand: it is released");
                    break;
                }
            }
            // Open by the last event of the batch, nobody was there to see it open.
            if inbox.consumer.has_stopped_reading() || self.gate.is_open() {
                ended = Ended::LedgerAway;
                break;
            }
        }
        // What is decided is not left to be decided again.
        if let Some(before) = ahead.and_then(|ahead| ahead.before) {
            let _ = timeout(LAST_ACKS_TIMEOUT, self.finish(before)).await;
        }
        let mut consumer = inbox.close();
        consumer.stop_reading();
        if stop.is_cancelled() {
            self.outbox.close(LAST_ACKS_TIMEOUT).await;
        }
        if timeout(LAST_ACKS_TIMEOUT, consumer.close()).await.is_err() {
            warn!(
                "the broker could not be told of the last acks: their events come again, as duplicates"
            );
        }
        ended
    }

    /// Takes the first batch to the ledger. Meanwhile the one before it is acked and the second made ready.
    ///
    /// One transaction after the other all the same: a batch learns what became of the one before it, and a
    /// ledger that comes back is asked by one.
    async fn process<'a>(
        &'a self,
        first: InHand<'a, H::Effect>,
        second: Option<Vec<Delivery>>,
        stop: &CancellationToken,
    ) -> Option<Ahead<'a, H::Effect>> {
        let Ahead { ready, before } = match first {
            InHand::Ahead(ahead) => ahead,
            InHand::Taken(batch) => Ahead {
                ready: self.make_ready(batch).await,
                before: None,
            },
        };
        let before = async {
            if let Some(before) = before {
                self.finish(before).await;
            }
        };
        let Some(second) = second else {
            tokio::join!(before, self.apply(ready, stop));
            return None;
        };
        // Beside an event that may be why workers died nothing else is begun.
        if ready.is_suspected() {
            tokio::join!(before, self.apply(ready, stop));
            return Some(Ahead {
                ready: self.make_ready(second).await,
                before: None,
            });
        }
        let ((decided, suspects), (), ready) = tokio::join!(
            // The ledger is asked first: it works while the processor is ours.
            biased;
            self.decide(ready, stop),
            before,
            self.make_ready(second)
        );
        self.try_suspects(suspects, stop).await;
        Some(Ahead {
            ready,
            before: Some(decided),
        })
    }

    /// Prepares a batch once the pace lets it.
    async fn make_ready(&self, batch: Vec<Delivery>) -> Ready<'_, H::Effect> {
        self.pace.wait(batch.len()).await;
        self.prepare(batch).await
    }

    /// Stops reading when the breaker opens, and returns when what is in hand has been held for long
    /// enough. Never a nack: under an active consumer that is a hot loop through the broker.
    async fn pause_while_open(&self, consumer: &mut Consumer) {
        self.gate.opened().await;
        consumer.stop_reading();
        tokio::time::sleep(HOLD_MAX).await;
    }

    /// Returns when a stop has waited long enough.
    async fn overdue(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        tokio::time::sleep(self.bounds.drain_timeout).await;
    }
}

/// A batch that is ready, and the one before it, whose endings are decided.
struct Ahead<'a, E> {
    ready: Ready<'a, E>,
    before: Option<Decided<'a>>,
}

/// A batch, as far as it has come.
enum InHand<'a, E> {
    Taken(Vec<Delivery>),
    Ahead(Ahead<'a, E>),
}

/// What has come from the broker and is not in work yet.
struct Inbox {
    consumer: Consumer,
    ramp: Ramp,
    /// Of a batch whose bodies are too large for one transaction.
    parts: VecDeque<Vec<Delivery>>,
}

impl Inbox {
    fn new(consumer: Consumer, ramp: Ramp) -> Self {
        Self {
            consumer,
            ramp,
            parts: VecDeque::new(),
        }
    }

    /// The next batch, when there is one. Nothing once reading has stopped.
    async fn next(&mut self, stop: &CancellationToken) -> Option<Vec<Delivery>> {
        if self.parts.is_empty() {
            let batch = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                batch = self.consumer.next_batch(self.ramp.batch_max()) => batch,
            };
            self.parts = parts(batch?).into();
        }
        self.parts.pop_front()
    }

    /// The next batch, if a whole one is there by now. Taken earlier it would only be smaller, and cost a
    /// transaction more.
    fn next_if_whole(&mut self, stop: &CancellationToken) -> Option<Vec<Delivery>> {
        if self.parts.is_empty() && !stop.is_cancelled() {
            let size = self.ramp.full_size()?;
            self.parts = parts(self.consumer.take_whole(size)?).into();
        }
        self.parts.pop_front()
    }

    /// What is left in it is released.
    fn close(self) -> Consumer {
        self.consumer
    }
}

/// Why a consumer is done with.
enum Ended {
    /// The breaker opened.
    LedgerAway,
    /// We were told to stop, or the broker was.
    Stopped,
}

/// How large the next batches may be.
struct Ramp {
    sizes: std::vec::IntoIter<usize>,
    full: usize,
}

impl Ramp {
    fn full(full: usize) -> Self {
        Self {
            sizes: vec![].into_iter(),
            full,
        }
    }

    /// Small batches come first: one event that shows whether the ledger applies again what it answers
    /// about, and a few that warm it up.
    fn after_an_outage(full: usize) -> Self {
        Self {
            sizes: vec![1, 8].into_iter(),
            full,
        }
    }

    fn batch_max(&mut self) -> usize {
        self.sizes
            .next()
            .map_or(self.full, |size| size.min(self.full))
    }

    /// Nothing while small batches are still to come.
    fn full_size(&self) -> Option<usize> {
        self.sizes.as_slice().is_empty().then_some(self.full)
    }
}

/// A batch goes to the database as one message, so large bodies make it shorter (I8).
const BATCH_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Splits a batch where its bodies exceed the bound; a single body may, alone.
fn parts(batch: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut parts: Vec<Vec<Delivery>> = Vec::new();
    let mut bytes = 0;
    for delivery in batch {
        let size = delivery.content.body().len();
        match parts.last_mut() {
            Some(part) if bytes + size <= BATCH_MAX_BYTES => {
                bytes += size;
                part.push(delivery);
            }
            Some(_) | None => {
                bytes = size;
                parts.push(vec![delivery]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::{Content, Hand};
    use bytes::Bytes;
    use envelope::Wire;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_keep_the_order_and_the_bound_and_are_no_shorter_than_they_must(
            sizes in prop::collection::vec(0..=10 * 1024 * 1024usize, 0..40),
        ) {
            // All bodies are views of one: forty large ones would be slow to make.
            let bytes = Bytes::from(vec![0; 10 * 1024 * 1024]);
            let hand = Hand::new(|| {});
            let delivery = |&size: &usize| {
                Delivery::new(Content::of_wire(Wire::default(), bytes.slice(..size)), 0, hand.clone(), 1)
            };
            let parts: Vec<Vec<usize>> = parts(sizes.iter().map(delivery).collect())
                .iter()
                .map(|part| part.iter().map(|it| it.content.body().len()).collect())
                .collect();
            prop_assert_eq!(parts.concat(), sizes);
            for part in &parts {
                prop_assert!(part.len() == 1 || part.iter().sum::<usize>() <= BATCH_MAX_BYTES);
            }
            for pair in parts.windows(2) {
                prop_assert!(pair[0].iter().sum::<usize>() + pair[1][0] > BATCH_MAX_BYTES);
            }
        }
    }

    #[test]
    fn large_bodies_make_a_batch_shorter_and_none_is_left_out() {
        let hand = Hand::new(|| {});
        let delivery = |megabytes: usize| {
            let body = Bytes::from(vec![0; megabytes * 1024 * 1024]);
            Delivery::new(Content::of_wire(Wire::default(), body), 0, hand.clone(), 1)
        };
        let sizes = |batch: &[usize]| -> Vec<usize> {
            parts(batch.iter().copied().map(delivery).collect())
                .iter()
                .map(Vec::len)
                .collect()
        };
        assert_eq!(sizes(&[1; 8]), [8]);
        assert_eq!(sizes(&[1; 9]), [8, 1]);
        assert_eq!(sizes(&[20, 1, 7, 1]), [1, 2, 1]);
        assert_eq!(sizes(&[]), [0; 0]);
    }
}
