//! What a consumer has in hand in its session: who may still settle, and which tags that acks.

use super::epoch::Handed;
use super::watermark::{Ack, Watermark};
use crate::in_hand::{HandBook, HandLine};
use crate::{Delivery, Ending, Hand, QueueName, Tag};
use failpoints::{Mutant, mutated};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

/// The tags of one session, and the hand in which their deliveries are settled.
pub struct Holding {
    prefetch: u16,
    hand: Arc<Hand>,
    settled: Arc<Notify>,
    watermark: Watermark,
    queue: QueueName,
    book: HandBook,
    /// What this session holds, and until it begins the last one: what was released, or not settled in time,
    /// is still the broker's only once the session is closed.
    line: Option<HandLine>,
}

impl Holding {
    /// Nothing yet, for a consumer of this queue with this prefetch.
    pub fn new(prefetch: u16, queue: QueueName) -> Self {
        Self::in_book(prefetch, queue, HandBook::default())
    }

    /// The same, and what is held is written down in the process's book.
    pub(super) fn in_book(prefetch: u16, queue: QueueName, book: HandBook) -> Self {
        let settled = Arc::new(Notify::new());
        Self {
            prefetch,
            hand: hand(&settled),
            settled,
            watermark: Watermark::new(prefetch),
            queue,
            book,
            line: None,
        }
    }

    /// A session begins. Tags mean nothing beyond their own: whoever still holds a delivery of the session
    /// before settles it in a hand nobody reads.
    pub(super) fn renew(&mut self) {
        self.watermark = Watermark::new(self.prefetch);
        // The old one first: what it held is the broker's again.
        self.line = None;
        self.line = Some(self.book.begin(&self.queue));
        if !mutated(Mutant::AckOldEpoch) {
            self.hand = hand(&self.settled);
        }
    }

    pub(super) fn hand_out(&mut self, handed: Handed) -> Delivery {
        let Handed {
            tag,
            content,
            delivery_count,
        } = handed;
        self.watermark.deliver(tag);
        if let Some(line) = &self.line {
            line.take(content.received_at());
        }
        Delivery::new(content, delivery_count, self.hand.clone(), tag)
    }

    /// Returns once something was settled since the last call of [`Holding::acks`].
    pub(super) async fn settled(&self) {
        self.settled.notified().await;
    }

    /// The acks to send now.
    pub(super) fn acks(&mut self, now: Instant) -> Vec<Ack> {
        let settled = self.hand.take_settled();
        let acked = |(tag, ending): &(Tag, Ending)| (*ending == Ending::Ack).then_some(*tag);
        if let Some(line) = &self.line {
            line.give(settled.iter().filter_map(acked));
        }
        for (tag, ending) in settled {
            self.watermark.settle(tag, ending);
        }
        self.watermark.acks(now)
    }

    /// The broker hands out nothing more; what is held is still held.
    pub(super) fn cancelled(&self) {
        if let Some(line) = &self.line {
            line.cancelled();
        }
    }

    /// Everything is over: the acks of what is settled, gap or not.
    pub(super) fn last_acks(&mut self) -> Vec<Ack> {
        self.watermark.last_acks()
    }

    /// How many deliveries have not met their ending.
    pub(super) fn held(&self) -> usize {
        self.watermark.held()
    }

    /// When a gap will have lasted long enough, where there is one.
    pub(super) fn due(&self) -> Option<Instant> {
        self.watermark.due()
    }
}

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watermark = &self.watermark;
        f.debug_struct("Holding")
            .field("watermark", watermark)
            .finish_non_exhaustive()
    }
}

fn hand(settled: &Arc<Notify>) -> Arc<Hand> {
    let wake = settled.clone();
    Hand::new(move || wake.notify_one())
}
