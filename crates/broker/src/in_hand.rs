//! What this process has in hand, queue by queue: for its pulse.
//!
//! Counted where the tags are known, next to the acks. It costs a lock that nobody else wants and a push into
//! a deque for each delivery; the oldest is looked for only when somebody asks.

use crate::{QueueName, Tag};
use envelope::UnixMicros;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a process has in hand of one queue, over all its consumers of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InHand {
    /// Taken from the broker and not yet given back or acked. In RabbitMQ what was released counts too: it
    /// stays with its channel until that closes.
    pub unacked: u64,
    /// When the oldest of them was received, as far as it can be read.
    pub oldest_received_at: Option<UnixMicros>,
    /// Deliveries taken since the process began; never goes down. Where it is the same at two looks, nothing
    /// came into these hands in between.
    pub taken_total: u64,
    /// Consumers that stand with the broker now.
    pub consumers: u64,
}

/// The books of all queues. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandBook(Arc<Mutex<HashMap<QueueName, Arc<Mutex<Page>>>>>);

/// One queue's page.
#[derive(Debug, Default)]
struct Page {
    taken_total: u64,
    next: u64,
    hands: BTreeMap<u64, Held>,
}

/// What one session of one consumer holds.
#[derive(Debug)]
struct Held {
    standing: bool,
    lowest: Tag,
    slots: VecDeque<Slot>,
    unacked: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Held(Option<UnixMicros>),
    Gone,
}

/// One session's line in the book; what it holds is out of the process's hands when it is dropped.
#[derive(Debug)]
pub(crate) struct HandLine {
    page: Arc<Mutex<Page>>,
    number: u64,
}

impl HandBook {
    /// A consumer begins a session. Its tags count from 1, without gaps.
    pub(crate) fn begin(&self, queue: &QueueName) -> HandLine {
        let page = lock(&self.0).entry(queue.clone()).or_default().clone();
        let mut open = lock(&page);
        let number = open.next;
        open.next += 1;
        let held = Held {
            standing: true,
            lowest: 1,
            slots: VecDeque::new(),
            unacked: 0,
        };
        open.hands.insert(number, held);
        drop(open);
        HandLine { page, number }
    }

    /// What is in hand of a queue.
    pub(crate) fn in_hand(&self, queue: &QueueName) -> InHand {
        let page = lock(&self.0).get(queue).cloned();
        page.map(|page| lock(&page).in_hand()).unwrap_or_default()
    }
}

impl HandLine {
    /// A delivery came: the next tag.
    pub(crate) fn take(&self, received_at: Option<UnixMicros>) {
        let mut page = lock(&self.page);
        // Counted together: nobody sees the one without the other.
        page.taken_total += 1;
        if let Some(held) = page.hands.get_mut(&self.number) {
            held.slots.push_back(Slot::Held(received_at));
            held.unacked += 1;
        }
    }

    /// These are out of our hands.
    pub(crate) fn give(&self, tags: impl IntoIterator<Item = Tag>) {
        let mut page = lock(&self.page);
        if let Some(held) = page.hands.get_mut(&self.number) {
            tags.into_iter().for_each(|tag| held.give(tag));
        }
    }

    /// The broker hands out nothing more; what is held is still held.
    pub(crate) fn cancelled(&self) {
        if let Some(held) = lock(&self.page).hands.get_mut(&self.number) {
            held.standing = false;
        }
    }
}

impl Drop for HandLine {
    fn drop(&mut self) {
        lock(&self.page).hands.remove(&self.number);
    }
}

impl Held {
    fn give(&mut self, tag: Tag) {
        let index = tag.checked_sub(self.lowest);
        let index = index.and_then(|index| usize::try_from(index).ok());
        let slot = index.and_then(|index| self.slots.get_mut(index));
        if let Some(slot @ Slot::Held(_)) = slot {
            *slot = Slot::Gone;
            self.unacked -= 1;
        }
        while self.slots.front() == Some(&Slot::Gone) {
            self.slots.pop_front();
            self.lowest += 1;
        }
    }

    fn oldest(&self) -> Option<UnixMicros> {
        let received_at = |slot: &Slot| match slot {
            Slot::Held(received_at) => *received_at,
            Slot::Gone => None,
        };
        self.slots.iter().filter_map(received_at).min()
    }
}

impl Page {
    fn in_hand(&self) -> InHand {
        let hands = || self.hands.values();
        InHand {
            unacked: hands().map(|held| held.unacked).sum(),
            oldest_received_at: hands().filter_map(Held::oldest).min(),
            taken_total: self.taken_total,
            consumers: hands().map(|held| u64::from(held.standing)).sum(),
        }
    }
}

/// Whoever panicked with it has at worst left a count of one that is not there.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> QueueName {
        QueueName::unrouted()
    }

    fn check(book: &HandBook, unacked: u64, oldest: Option<i64>, taken_total: u64) {
        let found = book.in_hand(&queue());
        let expected = InHand {
            unacked,
            oldest_received_at: oldest.map(UnixMicros),
            taken_total,
            consumers: found.consumers,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn the_oldest_of_what_is_left_is_found_whatever_the_order_of_endings() {
        let book = HandBook::default();
        check(&book, 0, None, 0);
        let line = book.begin(&queue());
        for received_at in [Some(30), Some(10), None, Some(20)] {
            line.take(received_at.map(UnixMicros));
        }
        check(&book, 4, Some(10), 4);
        line.give([2]);
        check(&book, 3, Some(20), 4);
        // A tag that is gone already, and one that never was.
        line.give([2, 9]);
        line.give([4, 1]);
        check(&book, 1, None, 4);
        line.take(Some(UnixMicros(5)));
        check(&book, 2, Some(5), 5);
    }

    #[test]
    fn all_sessions_count_and_an_ended_one_holds_nothing() {
        let book = HandBook::default();
        let (first, second) = (book.begin(&queue()), book.begin(&queue()));
        first.take(Some(UnixMicros(1)));
        second.take(Some(UnixMicros(2)));
        check(&book, 2, Some(1), 2);
        assert_eq!(book.in_hand(&queue()).consumers, 2);
        second.cancelled();
        assert_eq!(book.in_hand(&queue()).consumers, 1);
        drop(first);
        check(&book, 1, Some(2), 2);
    }
}
