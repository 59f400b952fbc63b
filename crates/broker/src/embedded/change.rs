//! What can happen within one transaction of the store. All of the broker's SQL is here.

use super::store::{EventRow, QueueId, Row, count};
use crate::{Journal, QueueName};
use bytes::Bytes;
use envelope::UnixMicros;
use rusqlite::{OptionalExtension, Params, Transaction, params};

/// A transaction under way.
pub(super) struct Change<'a>(pub(super) &'a Transaction<'a>);

/// What was taken out of a queue to be handed out.
#[derive(Debug)]
pub(super) struct Taken {
    /// Its place.
    pub row: Row,
    /// Its event.
    pub event: EventRow,
    /// Its properties and headers, JSON. As bytes: another process's mistake in one of them must not keep
    /// the others from being handed out (I6).
    pub wire: Vec<u8>,
    /// Its body.
    pub body: Bytes,
    /// How often it was handed out before.
    pub deliveries: u32,
}

impl Change<'_> {
    /// The numbers of queues, given to those that have none yet.
    pub fn declare(&self, queue: &QueueName) -> rusqlite::Result<QueueId> {
        let name = queue.as_str();
        self.run("INSERT OR IGNORE INTO queue (name) VALUES (?1)", [name])?;
        self.0
            .prepare_cached("SELECT id FROM queue WHERE name = ?1")?
            .query_row([name], |row| row.get(0).map(QueueId))
    }

    /// The number of a queue, if it has one.
    pub fn number(&self, queue: &QueueName) -> rusqlite::Result<Option<QueueId>> {
        self.0
            .prepare_cached("SELECT id FROM queue WHERE name = ?1")?
            .query_row([queue.as_str()], |row| row.get(0).map(QueueId))
            .optional()
    }

    /// Stores an event. Something has to refer to it in the same transaction.
    pub fn store(&self, wire: &str, body: &[u8]) -> rusqlite::Result<EventRow> {
        self.run(
            "INSERT INTO event (wire, body) VALUES (?1, ?2)",
            params![wire, body],
        )?;
        Ok(EventRow(self.0.last_insert_rowid()))
    }

    /// Enters a stored event into the journal.
    pub fn journal(&self, event: EventRow, now: UnixMicros, bytes: usize) -> rusqlite::Result<()> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.run(
            "INSERT INTO journal (event, stored_at, bytes) VALUES (?1, ?2, ?3)",
            params![event.0, now.0, bytes],
        )
    }

    /// Puts a stored event at the end of a queue, with headers of its own where they differ.
    pub fn queue(
        &self,
        queue: QueueId,
        event: EventRow,
        wire: Option<&str>,
    ) -> rusqlite::Result<()> {
        self.run(
            "INSERT INTO queued (queue, event, wire) VALUES (?1, ?2, ?3)",
            params![queue.0, event.0, wire],
        )
    }

    /// Lets a stored event wait until it is due to join a queue.
    pub fn delay(
        &self,
        queue: QueueId,
        event: EventRow,
        wire: Option<&str>,
        due_at: UnixMicros,
    ) -> rusqlite::Result<()> {
        self.run(
            "INSERT INTO delayed (queue, event, wire, due_at) VALUES (?1, ?2, ?3, ?4)",
            params![queue.0, event.0, wire, due_at.0],
        )
    }

    /// Moves at most `max` events that are due to the end of their queues, and names the queues.
    pub fn join_due(&self, now: UnixMicros, max: usize) -> rusqlite::Result<Vec<QueueId>> {
        let mut select = self.0.prepare_cached(
            "SELECT id, queue FROM delayed WHERE due_at <= ?1 ORDER BY due_at, id LIMIT ?2",
        )?;
        let due: Vec<(i64, QueueId)> = select
            .query_map(params![now.0, limit(max)], |row| {
                Ok((row.get(0)?, QueueId(row.get(1)?)))
            })?
            .collect::<Result<_, _>>()?;
        for (id, _) in &due {
            self.run(
                "INSERT INTO queued (queue, event, wire)
                 SELECT queue, event, wire FROM delayed WHERE id = ?1",
                [id],
            )?;
            self.run("DELETE FROM delayed WHERE id = ?1", [id])?;
        }
        Ok(due.into_iter().map(|(_, queue)| queue).collect())
    }

    /// When the next delayed event is due.
    pub fn next_due(&self) -> rusqlite::Result<Option<UnixMicros>> {
        self.0
            .prepare_cached("SELECT min(due_at) FROM delayed")?
            .query_row([], |row| Ok(row.get::<_, Option<i64>>(0)?.map(UnixMicros)))
    }

    /// Takes one event by its place; nothing if it is gone.
    pub fn take(&self, row: Row) -> rusqlite::Result<Option<Taken>> {
        let mut select = self.0.prepare_cached(concat!(
            "SELECT q.id, q.event, coalesce(q.wire, e.wire), e.body, q.deliveries ",
            "FROM queued q JOIN event e ON e.id = q.event WHERE q.id = ?1"
        ))?;
        let taken = select.query_row([row.0], taken).optional()?;
        self.run(
            "UPDATE queued SET deliveries = deliveries + 1 WHERE id = ?1",
            [row.0],
        )?;
        Ok(taken)
    }

    /// Takes the first events of a queue after a place, at most `max`, in their order.
    pub fn take_after(
        &self,
        queue: QueueId,
        after: Row,
        max: usize,
    ) -> rusqlite::Result<Vec<Taken>> {
        let mut select = self.0.prepare_cached(concat!(
            "SELECT q.id, q.event, coalesce(q.wire, e.wire), e.body, q.deliveries ",
            "FROM queued q JOIN event e ON e.id = q.event ",
            "WHERE q.queue = ?1 AND q.id > ?2 ORDER BY q.id LIMIT ?3"
        ))?;
        let found: Vec<Taken> = select
            .query_map(params![queue.0, after.0, limit(max)], taken)?
            .collect::<Result<_, _>>()?;
        if let Some(last) = found.last() {
            // The whole range was taken, so the range is what to count.
            self.run(
                "UPDATE queued SET deliveries = deliveries + 1
                 WHERE queue = ?1 AND id > ?2 AND id <= ?3",
                params![queue.0, after.0, last.row.0],
            )?;
        }
        Ok(found)
    }

    /// Erases an event's place in a queue, and the event with the last thing that refers to it.
    pub fn erase(&self, row: Row, event: EventRow) -> rusqlite::Result<()> {
        self.run("DELETE FROM queued WHERE id = ?1", [row.0])?;
        self.forget(event)
    }

    /// Takes at most `max` entries out of the journal that are beyond its bounds, the oldest first.
    pub fn prune(&self, bounds: Journal, now: UnixMicros, max: usize) -> rusqlite::Result<usize> {
        let beyond = self.beyond(bounds, now, max)?;
        for event in &beyond {
            self.run("DELETE FROM journal WHERE event = ?1", [event.0])?;
            self.forget(*event)?;
        }
        Ok(beyond.len())
    }

    fn beyond(
        &self,
        bounds: Journal,
        now: UnixMicros,
        max: usize,
    ) -> rusqlite::Result<Vec<EventRow>> {
        let mut excess = self.journal_bytes()?.saturating_sub(bounds.max_bytes);
        let mut select = self
            .0
            .prepare_cached("SELECT event, stored_at, bytes FROM journal ORDER BY event")?;
        let mut entries = select.query([])?;
        let mut beyond = Vec::new();
        while let Some(entry) = entries.next()? {
            let age = now.since(UnixMicros(entry.get(1)?));
            let inside = excess == 0 && age <= bounds.max_age;
            if inside || beyond.len() == max {
                break;
            }
            excess = excess.saturating_sub(count(entry, 2)?);
            beyond.push(EventRow(entry.get(0)?));
        }
        Ok(beyond)
    }

    fn journal_bytes(&self) -> rusqlite::Result<u64> {
        self.0
            .prepare_cached("SELECT bytes FROM journal_size")?
            .query_row([], |row| count(row, 0))
    }

    /// Erases an event that neither a queue nor the journal refers to any more.
    fn forget(&self, event: EventRow) -> rusqlite::Result<()> {
        self.run(
            "DELETE FROM event WHERE id = ?1
                AND NOT EXISTS (SELECT 1 FROM journal WHERE event = ?1)
                AND NOT EXISTS (SELECT 1 FROM queued WHERE event = ?1)
                AND NOT EXISTS (SELECT 1 FROM delayed WHERE event = ?1)",
            [event.0],
        )
    }

    /// Notes how much of a queue is in somebody's hands, for whoever asks for its depth.
    pub fn note_unacked(&self, queue: QueueId, unacked: usize) -> rusqlite::Result<()> {
        let unacked = limit(unacked);
        self.run(
            "UPDATE queue SET unacked = ?2 WHERE id = ?1",
            params![queue.0, unacked],
        )
    }

    /// Nothing is in anybody's hands.
    pub fn note_all_released(&self) -> rusqlite::Result<()> {
        self.run("UPDATE queue SET unacked = 0 WHERE unacked <> 0", [])
    }

    /// Fails if there is no room for another event.
    pub fn probe(&self) -> rusqlite::Result<()> {
        let event = self.store("{}", &[0; 8_192])?;
        self.forget(event)
    }

    fn run(&self, sql: &str, params: impl Params) -> rusqlite::Result<()> {
        self.0.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }
}

fn taken(row: &rusqlite::Row<'_>) -> rusqlite::Result<Taken> {
    Ok(Taken {
        row: Row(row.get(0)?),
        event: EventRow(row.get(1)?),
        wire: row.get_ref(2)?.as_bytes()?.to_vec(),
        body: Bytes::from(row.get::<_, Vec<u8>>(3)?),
        deliveries: u32::try_from(row.get::<_, i64>(4)?).unwrap_or(u32::MAX),
    })
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}
