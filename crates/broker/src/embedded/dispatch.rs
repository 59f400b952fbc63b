//! Who gets what: the consumers, what is in their hands, and what is ready for them.
//!
//! All of this is memory. It is planned within a transaction, which raises the delivery counts, and carried
//! out once that is committed; a plan whose commit failed is dropped, and nothing has happened.

use super::change::{Change, Taken};
use super::reader::{Reader, Room};
use super::store::{EventRow, QueueId, Row};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

/// A consumer's number.
pub(super) type ReaderId = u64;

/// Handed out at most in one transaction, so that the publishes behind it do not wait for long.
const HANDED_OUT_MAX: usize = 512;

/// Everybody who consumes, and every queue somebody consumes from.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    pub(super) readers: BTreeMap<ReaderId, Reader>,
    queues: BTreeMap<QueueId, Line>,
    next_reader: ReaderId,
}

/// The reading side of a queue.
#[derive(Debug, Default)]
struct Line {
    /// Everything up to here was handed out once, in this process.
    handed_up_to: Row,
    /// Of those, the ones that were released. Bounded by what all prefetches have ever held at once,
    /// since the released go out before anything new does.
    released: BTreeSet<Row>,
    /// Nothing was there for the room there was; until something comes.
    dry: bool,
    /// As noted in the file.
    unacked: usize,
}

/// What is to be handed out once it is committed.
#[derive(Debug, Default)]
pub(super) struct Plan {
    handed: Vec<(ReaderId, Taken)>,
    gone: Vec<(QueueId, Row)>,
    dry: Vec<QueueId>,
    unacked: Vec<(QueueId, usize)>,
}

impl Dispatch {
    /// A consumer begins to read.
    pub fn join(&mut self, reader: Reader) {
        self.queues.entry(reader.queue).or_default().dry = false;
        self.readers.insert(self.next_reader, reader);
        self.next_reader += 1;
    }

    /// Something new lies in these queues.
    pub fn filled(&mut self, queues: impl IntoIterator<Item = QueueId>) {
        for queue in queues {
            if let Some(line) = self.queues.get_mut(&queue) {
                line.dry = false;
            }
        }
    }

    /// Something new may lie in any queue.
    pub fn all_filled(&mut self) {
        self.queues.values_mut().for_each(|line| line.dry = false);
    }

    /// Whether a transaction would hand something out, or has something to write down that should not wait.
    pub fn has_work(&self) -> bool {
        let fed = |reader: &Reader| reader.room() > 0 && !self.dry(reader.queue);
        self.readers
            .values()
            .any(|reader| reader.has_enough_endings() || reader.is_finished() || fed(reader))
    }

    /// Whether there are endings to write down at all.
    pub fn has_endings(&self) -> bool {
        self.readers.values().any(Reader::has_endings)
    }

    fn dry(&self, queue: QueueId) -> bool {
        self.queues.get(&queue).is_none_or(|line| line.dry)
    }

    /// Takes the endings out of the hands: the released are ready again, the acked wait to be erased.
    pub fn collect_endings(&mut self, now: Instant) {
        for reader in self.readers.values_mut() {
            let released = reader.collect_endings(now);
            let line = self.queues.entry(reader.queue).or_default();
            line.dry &= released.is_empty();
            line.released.extend(released);
        }
    }

    /// What was released long enough ago may go back to who released it.
    pub fn forgive(&mut self, now: Instant) {
        for reader in self.readers.values_mut() {
            if reader.forgive(now) {
                self.queues.entry(reader.queue).or_default().dry = false;
            }
        }
    }

    /// When something is to be forgiven next.
    pub fn next_forgiven(&self) -> Option<Instant> {
        self.readers
            .values()
            .filter_map(Reader::next_forgiven)
            .min()
    }

    /// Hands out nothing more.
    pub fn close(&mut self) {
        self.readers
            .values()
            .for_each(|reader| reader.feed.stop_reading.cancel());
    }

    /// Lets every consumer go, whatever it holds: the broker ends, and starts again with all of it ready.
    pub fn abandon(&mut self) {
        self.readers.clear();
    }

    /// Erases what was acked.
    pub fn erase_acked(&self, change: &Change<'_>) -> rusqlite::Result<()> {
        let acked = self.readers.values().flat_map(Reader::acked);
        acked
            .into_iter()
            .try_for_each(|held| change.erase(held.row, held.event))
    }

    /// Plans what to hand out for the room there is.
    pub fn plan(&self, change: &Change<'_>) -> rusqlite::Result<Plan> {
        let mut plan = Plan::default();
        for (&queue, line) in &self.queues {
            let mut rooms = self.rooms(queue);
            if !line.dry && !rooms.is_empty() {
                line.plan(queue, &mut rooms, change, &mut plan)?;
            }
            self.note_unacked(queue, line, change, &mut plan)?;
        }
        Ok(plan)
    }

    fn rooms(&self, queue: QueueId) -> VecDeque<Room<'_>> {
        let mine = self
            .readers
            .iter()
            .filter(|(_, reader)| reader.queue == queue);
        mine.filter_map(|(&id, reader)| reader.as_room(id))
            .collect()
    }

    fn note_unacked(
        &self,
        queue: QueueId,
        line: &Line,
        change: &Change<'_>,
        plan: &mut Plan,
    ) -> rusqlite::Result<()> {
        let mine = |id: &ReaderId| self.readers.get(id).is_some_and(|r| r.queue == queue);
        let planned = plan.handed.iter().filter(|(id, _)| mine(id)).count();
        let held: usize = self
            .readers
            .values()
            .filter(|reader| reader.queue == queue)
            .map(Reader::held)
            .sum();
        if held + planned != line.unacked {
            change.note_unacked(queue, held + planned)?;
            plan.unacked.push((queue, held + planned));
        }
        Ok(())
    }

    /// The transaction is committed: what was acked is forgotten, what was planned is handed out, and
    /// consumers that have closed and hold nothing more are told so.
    pub fn carry_out(&mut self, plan: Plan) {
        self.readers.values_mut().for_each(Reader::forget_acked);
        for (queue, row) in plan.gone {
            self.line(queue).released.remove(&row);
        }
        for queue in plan.dry {
            self.line(queue).dry = true;
        }
        for (queue, unacked) in plan.unacked {
            self.line(queue).unacked = unacked;
        }
        for (id, taken) in plan.handed {
            self.hand_out(id, taken);
        }
        self.let_go();
    }

    fn line(&mut self, queue: QueueId) -> &mut Line {
        self.queues.entry(queue).or_default()
    }

    fn hand_out(&mut self, id: ReaderId, taken: Taken) {
        let Some(reader) = self.readers.get_mut(&id) else {
            return;
        };
        let line = self.queues.entry(reader.queue).or_default();
        line.handed_up_to = line.handed_up_to.max(taken.row);
        line.released.remove(&taken.row);
        reader.hand_out(taken);
    }

    fn let_go(&mut self) {
        let finished = |_: &ReaderId, reader: &mut Reader| reader.is_finished();
        for (_, reader) in self.readers.extract_if(.., finished) {
            reader.let_go();
        }
    }

    /// The stored event whose body this is, byte for byte the one that was handed out and is still held.
    pub fn lent(&self, body: &Bytes) -> Option<EventRow> {
        self.readers.values().find_map(|reader| reader.lent(body))
    }
}

impl Line {
    fn plan(
        &self,
        queue: QueueId,
        rooms: &mut VecDeque<Room<'_>>,
        change: &Change<'_>,
        plan: &mut Plan,
    ) -> rusqlite::Result<()> {
        self.plan_released(queue, rooms, change, plan)?;
        let room: usize = rooms.iter().map(|room| room.left).sum();
        if room == 0 {
            return Ok(());
        }
        let asked = room.min(HANDED_OUT_MAX);
        let taken = change.take_after(queue, self.handed_up_to, asked)?;
        if taken.len() < asked {
            plan.dry.push(queue);
        }
        for taken in taken {
            if let Some(id) = give(rooms, |_| true) {
                plan.handed.push((id, taken));
            }
        }
        Ok(())
    }

    fn plan_released(
        &self,
        queue: QueueId,
        rooms: &mut VecDeque<Room<'_>>,
        change: &Change<'_>,
        plan: &mut Plan,
    ) -> rusqlite::Result<()> {
        for &row in &self.released {
            let Some(id) = give(rooms, |room| !room.reader.shuns(row)) else {
                continue;
            };
            match change.take(row)? {
                Some(taken) => plan.handed.push((id, taken)),
                // Another process has erased it.
                None => plan.gone.push((queue, row)),
            }
        }
        Ok(())
    }
}

/// Gives one event to the first that may have it, and puts that one last.
fn give(rooms: &mut VecDeque<Room<'_>>, may: impl Fn(&Room<'_>) -> bool) -> Option<ReaderId> {
    let index = rooms.iter().position(may)?;
    let mut room = rooms.remove(index)?;
    let id = room.id;
    room.left -= 1;
    if room.left > 0 {
        rooms.push_back(room);
    }
    Some(id)
}
