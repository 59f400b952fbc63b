//! One consumer: what it holds, what it has settled, what it does not want back yet.

use super::change::Taken;
use super::dispatch::ReaderId;
use super::store::{EventRow, QueueId, Row};
use crate::in_hand::HandLine;
use crate::{Content, Delivery, Ending, Feed, Hand, Tag};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a consumer that released an event does not get it again. Without it an event that nobody can
/// settle now would go round thousands of times a second; measured on RabbitMQ, which has no such pause.
pub(super) const SHUN: Duration = Duration::from_secs(1);

/// A consumer and everything in its hands.
#[derive(Debug)]
pub(super) struct Reader {
    pub queue: QueueId,
    pub feed: Feed,
    prefetch: usize,
    hand: Arc<Hand>,
    settled: Arc<Settled>,
    held: HashMap<Tag, Held>,
    acked: Vec<Held>,
    shunned: HashMap<Row, Instant>,
    lent: HashMap<BodyAt, EventRow>,
    next_tag: Tag,
    line: HandLine,
}

/// One delivery in a consumer's hands.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub row: Row,
    pub event: EventRow,
    body: Bytes,
}

/// What a consumer may still be given.
#[derive(Debug)]
pub(super) struct Room<'a> {
    pub id: ReaderId,
    pub reader: &'a Reader,
    pub left: usize,
}

/// Where a body lies in memory. As long as it is held, nothing else can lie there, and it never changes:
/// the same place is the same body.
type BodyAt = (usize, usize);

/// Counts endings, and says when they are worth a transaction.
#[derive(Debug)]
struct Settled {
    count: AtomicUsize,
    enough: usize,
}

impl Reader {
    /// A consumer of a queue. `ring` is called when it has settled something, and again when that is a
    /// quarter of what it may hold: not for every ending, since each call may wake a thread.
    pub fn new(
        queue: QueueId,
        prefetch: u16,
        feed: Feed,
        line: HandLine,
        ring: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let prefetch = usize::from(prefetch.max(1));
        let settled = Arc::new(Settled {
            count: AtomicUsize::new(0),
            enough: prefetch.div_ceil(4),
        });
        let counter = settled.clone();
        let hand = Hand::new(move || {
            let before = counter.count.fetch_add(1, Ordering::SeqCst);
            if before == 0 || before + 1 == counter.enough {
                ring();
            }
        });
        Self {
            queue,
            feed,
            prefetch,
            hand,
            settled,
            held: HashMap::new(),
            acked: Vec::new(),
            shunned: HashMap::new(),
            lent: HashMap::new(),
            next_tag: 1,
            line,
        }
    }

    /// Nothing more is to be handed out; what is held is still settled.
    pub fn has_closed(&self) -> bool {
        self.feed.stop_reading.is_cancelled() || self.feed.deliveries.is_closed()
    }

    /// It has closed, and every ending is durable.
    pub fn is_finished(&self) -> bool {
        self.has_closed() && self.held.is_empty() && self.acked.is_empty()
    }

    /// Whether something was settled that is not written down yet.
    pub fn has_endings(&self) -> bool {
        !self.acked.is_empty() || self.settled.count.load(Ordering::SeqCst) > 0
    }

    /// Whether that should not wait for a transaction that comes along anyway.
    pub fn has_enough_endings(&self) -> bool {
        let count = self.settled.count.load(Ordering::SeqCst);
        let enough = count + self.acked.len() >= self.settled.enough || self.has_closed();
        enough && self.has_endings()
    }

    /// Lets it go, and says so once nothing of it is left.
    pub fn let_go(self) {
        drop(self.line);
        self.feed.close();
    }

    /// Takes the endings since the last time; returns what was released.
    pub fn collect_endings(&mut self, now: Instant) -> Vec<Row> {
        // Before taking: an ending that comes in between then rings once too often, not once too seldom.
        self.settled.count.store(0, Ordering::SeqCst);
        let mut released = Vec::new();
        let settled = self.hand.take_settled();
        self.line.give(settled.iter().map(|(tag, _)| *tag));
        for (tag, ending) in settled {
            let Some(held) = self.held.remove(&tag) else {
                continue;
            };
            self.lent.remove(&body_at(&held.body));
            match ending {
                Ending::Ack => self.acked.push(held),
                Ending::Release => {
                    self.shunned.insert(held.row, now + SHUN);
                    released.push(held.row);
                }
            }
        }
        released
    }

    /// Forgets what was shunned for long enough; says whether there was any.
    pub fn forgive(&mut self, now: Instant) -> bool {
        let before = self.shunned.len();
        self.shunned.retain(|_, until| *until > now);
        self.shunned.len() < before
    }

    /// When it may be given again what it released first.
    pub fn next_forgiven(&self) -> Option<Instant> {
        self.shunned.values().min().copied()
    }

    /// What is acked and not yet erased.
    pub fn acked(&self) -> &[Held] {
        &self.acked
    }

    /// The acked are erased, durably.
    pub fn forget_acked(&mut self) {
        self.acked.clear();
    }

    /// How many deliveries are in its hands.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// How many more it may be given. What it shuns counts: a consumer that releases everything gets its
    /// prefetch once a second, and the released do not pile up.
    pub fn room(&self) -> usize {
        if self.has_closed() {
            return 0;
        }
        self.prefetch
            .saturating_sub(self.held.len() + self.shunned.len())
    }

    /// Its room, if there is any.
    pub fn as_room(&self, id: ReaderId) -> Option<Room<'_>> {
        let left = self.room();
        (left > 0).then_some(Room {
            id,
            reader: self,
            left,
        })
    }

    /// Whether it released this a moment ago.
    pub fn shuns(&self, row: Row) -> bool {
        self.shunned.contains_key(&row)
    }

    /// Hands out what was taken.
    pub fn hand_out(&mut self, taken: Taken) {
        let tag = self.next_tag;
        self.next_tag += 1;
        let body = taken.body.clone();
        if !body.is_empty() {
            self.lent.insert(body_at(&body), taken.event);
        }
        let held = Held {
            row: taken.row,
            event: taken.event,
            body,
        };
        self.held.insert(tag, held);
        // What cannot be read as our wire form has none of our headers: it is foreign, and kept as evidence.
        let wire = serde_json::from_slice(&taken.wire).unwrap_or_default();
        let content = Content::of_wire(wire, taken.body);
        self.line.take(content.received_at());
        let delivery = Delivery::new(content, taken.deliveries, self.hand.clone(), tag);
        // The channel holds a whole prefetch, so it fails only where the consumer has closed; the delivery
        // is dropped with the error, and thereby released.
        drop(self.feed.deliveries.try_send(delivery));
    }

    /// The event whose body this is, if it is in this consumer's hands.
    pub fn lent(&self, body: &Bytes) -> Option<EventRow> {
        self.lent.get(&body_at(body)).copied()
    }
}

fn body_at(body: &Bytes) -> BodyAt {
    (body.as_ptr().addr(), body.len())
}
