//! The consuming end: deliveries come out, and each is settled exactly once.

use bytes::Bytes;
use envelope::{Envelope, Fields, Foreign, UnixMicros, Wire};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The broker's number for one handing-over; it means something only within its session.
pub type Tag = u64;

/// Takes events from one queue.
#[derive(Debug)]
pub struct Consumer {
    deliveries: mpsc::Receiver<Delivery>,
    reading: CancellationToken,
    closed: CancellationToken,
}

/// The serving end of a [`Consumer`].
#[derive(Debug)]
pub struct Feed {
    /// Where deliveries go. Holds as many as may be unsettled, so that sending never waits for long.
    pub deliveries: mpsc::Sender<Delivery>,
    /// Cancelled when no more deliveries are wanted; those handed over are still settled.
    pub stop_reading: CancellationToken,
    closed: tokio_util::sync::DropGuard,
}

/// One handing-over of an event by the broker.
///
/// It ends with its [`Receipt`].
#[derive(Debug)]
pub struct Delivery {
    /// What was inside.
    pub content: Content,
    /// How often it was handed over before. Raised by every crash of a neighbour, so only a hint.
    pub delivery_count: u32,
    /// The way to end it.
    pub receipt: Receipt,
}

/// The one ending of a delivery: [`Receipt::ack`]. Dropped without it, the delivery is released: it stays
/// with the broker, which hands it out again, to somebody, later (I3).
#[derive(Debug)]
pub struct Receipt {
    hand: Arc<Hand>,
    tag: Tag,
    ending: Ending,
}

/// What a delivery holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An event of ours.
    Event(Envelope),
    /// Something that is not ours. It is kept as evidence, never applied.
    Foreign {
        /// Its properties and headers.
        wire: Wire,
        /// Its body.
        body: Bytes,
        /// What it lacks.
        why: Foreign,
    },
}

/// What became of a delivery, as far as the broker is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Erase it: its next state is durable elsewhere (I7).
    Ack,
    /// Keep it.
    Release,
}

/// The deliveries of one session that are in our hands.
///
/// A hand belongs to one epoch. When the session ends the broker forgets its tags, and so does whoever
/// served it: an ending that comes later goes to a hand nobody reads any more, and is thereby discarded.
pub struct Hand {
    settled: Mutex<Vec<(Tag, Ending)>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Hand {
    /// A hand whose endings are announced by `wake`, which must not block.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            settled: Mutex::default(),
            wake: Box::new(wake),
        })
    }

    /// Takes the endings since the last call, in the order they came.
    ///
    /// Bounded by what was handed over, which the prefetch bounds (I8).
    pub fn take_settled(&self) -> Vec<(Tag, Ending)> {
        std::mem::take(&mut *self.settled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn settle(&self, tag: Tag, ending: Ending) {
        self.settled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((tag, ending));
        (self.wake)();
    }
}

impl fmt::Debug for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}

/// A consumer with at most `prefetch` deliveries waiting in it, and the end that feeds it.
pub fn consumer(prefetch: u16) -> (Consumer, Feed) {
    let (sender, deliveries) = mpsc::channel(usize::from(prefetch.max(1)));
    let (reading, closed) = (CancellationToken::new(), CancellationToken::new());
    let feed = Feed {
        deliveries: sender,
        stop_reading: reading.clone(),
        closed: closed.clone().drop_guard(),
    };
    (
        Consumer {
            deliveries,
            reading,
            closed,
        },
        feed,
    )
}

impl Consumer {
    /// Takes what is there, up to `max`, waiting only for the first. Nothing once reading has stopped.
    pub async fn next_batch(&mut self, max: usize) -> Option<Vec<Delivery>> {
        let mut batch = Vec::new();
        tokio::select! {
            // Stopping comes first: what still waits in the channel goes back to the broker untouched.
            biased;
            () = self.reading.cancelled() => None,
            taken = self.deliveries.recv_many(&mut batch, max) => (taken > 0).then_some(batch),
        }
    }

    /// Takes `size` deliveries if as many are there, and none otherwise.
    pub fn take_whole(&mut self, size: usize) -> Option<Vec<Delivery>> {
        if self.has_stopped_reading() || self.deliveries.len() < size {
            return None;
        }
        let mut batch = Vec::with_capacity(size);
        while batch.len() < size {
            // Nobody else takes from the channel, so what was counted is there.
            batch.push(self.deliveries.try_recv().ok()?);
        }
        Some(batch)
    }

    /// Whether [`Consumer::stop_reading`] has been called.
    pub fn has_stopped_reading(&self) -> bool {
        self.reading.is_cancelled()
    }

    /// Stops reading; deliveries already taken may still be settled.
    pub fn stop_reading(&mut self) {
        self.reading.cancel();
        self.deliveries.close();
        while self.deliveries.try_recv().is_ok() {}
    }

    /// Stops reading and waits until the broker has been told of every ending.
    ///
    /// Call it when every delivery taken has met its ending, and under a timeout: a broker that is away
    /// cannot be told anything, and need not be (its redelivery is a duplicate).
    pub async fn close(mut self) {
        self.stop_reading();
        self.closed.cancelled().await;
    }
}

impl Delivery {
    /// A delivery of a broker implementation. Its ending will be found in `hand` under `tag`.
    pub fn new(content: Content, delivery_count: u32, hand: Arc<Hand>, tag: Tag) -> Self {
        Self {
            content,
            delivery_count,
            receipt: Receipt {
                hand,
                tag,
                ending: Ending::Release,
            },
        }
    }
}

impl Receipt {
    /// Ends the delivery: the broker may erase it, since its next state is durable elsewhere (I7).
    pub fn ack(mut self) {
        self.ending = Ending::Ack;
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.hand.settle(self.tag, self.ending);
    }
}

impl Content {
    /// The raw body.
    pub fn body(&self) -> &Bytes {
        match self {
            Self::Event(envelope) => &envelope.body,
            Self::Foreign { body, .. } => body,
        }
    }

    /// When it was received; unknown of what is not ours.
    pub fn received_at(&self) -> Option<UnixMicros> {
        match self {
            Self::Event(envelope) => Some(envelope.received_at),
            Self::Foreign { .. } => None,
        }
    }

    /// Reads what came over the wire; of what is not ours, `all` keeps everything.
    pub(crate) fn read<F: Fields>(fields: &F, body: Bytes, all: impl FnOnce(&F) -> Wire) -> Self {
        match Envelope::read(fields, body.clone()) {
            Ok(envelope) => Self::Event(envelope),
            Err(why) => Self::Foreign {
                wire: all(fields),
                body,
                why,
            },
        }
    }

    /// Reads what was kept in our own form.
    pub fn of_wire(wire: Wire, body: Bytes) -> Self {
        Self::read(&wire, body, Wire::clone)
    }
}

impl Feed {
    /// Returns when no more deliveries are wanted: reading was stopped, or the consumer dropped.
    pub async fn unwanted(&self) {
        tokio::select! {
            biased;
            () = self.stop_reading.cancelled() => {}
            () = self.deliveries.closed() => {}
        }
    }

    /// Tells the consumer that every ending has reached the broker, or that it never will.
    pub fn close(self) {
        drop(self.closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(hand: &Arc<Hand>, tag: Tag) -> Delivery {
        let content = Content::of_wire(Wire::default(), Bytes::new());
        Delivery::new(content, 0, hand.clone(), tag)
    }

    #[test]
    fn a_delivery_dropped_without_an_ending_is_released() {
        let hand = Hand::new(|| {});
        delivery(&hand, 1).receipt.ack();
        drop(delivery(&hand, 2));
        assert_eq!(
            hand.take_settled(),
            [(1, Ending::Ack), (2, Ending::Release)]
        );
        assert!(hand.take_settled().is_empty());
    }

    #[tokio::test]
    async fn a_batch_is_what_is_there() {
        let (mut consumer, feed) = consumer(8);
        let hand = Hand::new(|| {});
        for tag in 1..=3 {
            feed.deliveries.send(delivery(&hand, tag)).await.unwrap();
        }
        assert_eq!(consumer.next_batch(2).await.unwrap().len(), 2);
        assert_eq!(consumer.next_batch(256).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_whole_batch_is_taken_or_none() {
        let (mut consumer, feed) = consumer(8);
        let hand = Hand::new(|| {});
        for tag in 1..=3 {
            feed.deliveries.send(delivery(&hand, tag)).await.unwrap();
        }
        assert!(consumer.take_whole(4).is_none());
        assert_eq!(consumer.take_whole(2).unwrap().len(), 2);
        assert!(consumer.take_whole(2).is_none());
        assert_eq!(consumer.next_batch(8).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_waits_when_reading_stops_goes_back_untouched() {
        let (mut consumer, feed) = consumer(8);
        let hand = Hand::new(|| {});
        feed.deliveries.send(delivery(&hand, 1)).await.unwrap();
        consumer.stop_reading();
        assert!(consumer.next_batch(8).await.is_none());
        assert_eq!(hand.take_settled(), [(1, Ending::Release)]);
        assert!(feed.stop_reading.is_cancelled());
    }
}
