//! The way out of the spool: oldest first, at a bounded rate, acked only once the broker has confirmed (I7).

use broker::{Confirmed, Consumer, Content, Delivery, Destination, Publisher, Receipt, Spool};
use envelope::Envelope;
use futures_util::future::join_all;
use resilience::Backoff;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

/// Events in hand at most: with bodies of 1 MiB that is 32 MiB, and as many in flight at once are enough for
/// several thousand a second.
const PREFETCH: u16 = 32;

/// A batch is at most a tenth of a second's worth, so that the rate holds in each second and not only on
/// average.
const BATCHES_PER_SECOND: u32 = 10;

/// Between two tries of one event. While the broker is away a try costs nothing, so it is not long before
/// its return is seen.
const BETWEEN_TRIES: Backoff = Backoff {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(2),
};

/// What could not be acked by then comes again and is a duplicate.
const LAST_ACKS_TIMEOUT: Duration = Duration::from_secs(3);

/// Brings what lies in the spool to the broker until `stop`, at most `rate` events a second.
///
/// An event the broker does not take is tried again for ever, and what came after it waits. Told to stop, it
/// waits for the verdicts it has asked for.
pub async fn drain(spool: Spool, publisher: Publisher, rate: NonZeroU32, stop: CancellationToken) {
    drain_from(spool.consumer(PREFETCH), publisher, rate, stop).await;
}

/// The same, whatever kind of spool gives the events back.
#[doc(hidden)]
pub async fn drain_from(
    mut consumer: Consumer,
    publisher: Publisher,
    rate: NonZeroU32,
    stop: CancellationToken,
) {
    let batch_max = (rate.get() / BATCHES_PER_SECOND).clamp(1, PREFETCH.into());
    let mut set_aside = Vec::new();
    loop {
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            batch = consumer.next_batch(batch_max as usize) => batch,
        };
        let Some(batch) = batch else { break };
        let next_at = Instant::now() + Duration::from_secs(1) * batch.len() as u32 / rate.get();
        let brought = batch
            .into_iter()
            .map(|delivery| bring(&publisher, delivery, &stop));
        set_aside.extend(join_all(brought).await.into_iter().flatten());
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = sleep_until(next_at) => {}
        }
    }
    drop(set_aside);
    // Not an error where it takes too long: see the constant.
    let _ = timeout(LAST_ACKS_TIMEOUT, consumer.close()).await;
}

/// Brings one event to the broker and lets it leave the spool. Hands back the receipt of what cannot be
/// brought: it stays in hand, and so in the spool, without coming again every second.
async fn bring(
    publisher: &Publisher,
    delivery: Delivery,
    stop: &CancellationToken,
) -> Option<Receipt> {
    match delivery.content {
        Content::Event(envelope) => {
            if let Some(_proof) = publish(publisher, envelope, stop).await {
                failpoints::crash("spool.between_publish_and_ack");
                delivery.receipt.ack();
            }
            None
        }
        Content::Foreign { why, .. } => {
            error!("an event in the spool cannot be read and stays there: {why}");
            Some(delivery.receipt)
        }
    }
}

/// Publishes until the broker confirms; nothing where told to stop before that.
async fn publish(
    publisher: &Publisher,
    envelope: Envelope,
    stop: &CancellationToken,
) -> Option<Confirmed> {
    let mut failures = 0;
    loop {
        let verdict = publisher.publish(Destination::Events, envelope.clone());
        match verdict.await {
            Ok(confirmed) => return Some(confirmed),
            // Each of these passes, and the broker's client tells of it, once for all events.
            Err(why) => debug!(event.id = %envelope.event_id, "a spooled event waits: {why}"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            () = sleep(BETWEEN_TRIES.wait(failures, fastrand::f64())) => failures += 1,
        }
    }
}
