//! The file as a store: transactions, each as durable as what is in it needs to be.
//!
//! The verbs of a transaction are in `change.rs`.

use super::change::Change;
use super::schema::{self, OpenError};
use super::spool::Standing;
use crate::QueueName;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::path::Path;

/// The file's number for a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct QueueId(pub i64);

/// The file's number for a stored event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct EventRow(pub i64);

/// The file's number for an event's place in a queue. Goes up in the order of arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Row(pub i64);

/// What a commit has to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// The machine: fsynced before the commit returns. For everything that is confirmed (I1).
    Machine,
    /// The process: written, and fsynced along with the next commit that is. For what may be lost by a
    /// power cut and is then merely a redelivery: acks, hand-outs, delivery counts.
    Process,
}

/// Why a transaction is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    /// It was not written.
    #[error("a write failed")]
    Unwritten(#[source] rusqlite::Error),
    /// The commit itself failed: a crash now might still find it in the log.
    #[error("a commit failed")]
    Unknown(#[source] rusqlite::Error),
}

/// How much lies in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// To be handed out now.
    pub ready: u64,
    /// Handed out and not acked.
    pub unacked: u64,
    /// To join the queue when they are due: they were published to one of its retry queues.
    pub delayed: u64,
}

/// The embedded broker's file, open for writing.
#[derive(Debug)]
pub(super) struct Store {
    db: Connection,
    durability: Option<Durability>,
}

impl Store {
    /// Opens the file, creating it if it is not there.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            db: schema::open(path)?,
            durability: None,
        })
    }

    /// Applies a change as a whole or not at all.
    pub fn change<T>(
        &mut self,
        durability: Durability,
        apply: impl FnOnce(&Change<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, ChangeError> {
        self.commit_as(durability).map_err(ChangeError::Unwritten)?;
        // Immediate: a transaction that began by reading could not become a writing one while another
        // process writes, and would fail at once instead of waiting.
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(ChangeError::Unwritten)?;
        let applied = apply(&Change(&transaction)).map_err(ChangeError::Unwritten)?;
        transaction.commit().map_err(ChangeError::Unknown)?;
        Ok(applied)
    }

    /// SQLite takes the level between transactions only, and remembers it.
    fn commit_as(&mut self, durability: Durability) -> rusqlite::Result<()> {
        if self.durability == Some(durability) {
            return Ok(());
        }
        let level = match durability {
            Durability::Machine => "FULL",
            Durability::Process => "NORMAL",
        };
        self.db.pragma_update(None, "synchronous", level)?;
        self.durability = Some(durability);
        Ok(())
    }

    /// A number that changes when another connection has committed something.
    pub fn version(&self) -> rusqlite::Result<i64> {
        self.db
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))
    }

    /// Writes the log back into the file and empties it, as far as other processes' reads allow.
    pub fn checkpoint(&self) -> rusqlite::Result<()> {
        self.db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    #[cfg(test)]
    pub fn db(&self) -> &Connection {
        &self.db
    }
}

/// How much lies in a queue; nothing for one that was never declared.
pub(super) fn depth(db: &Connection, queue: &QueueName) -> rusqlite::Result<Option<Depth>> {
    let mut counts =
        db.prepare_cached("SELECT queued, unacked, delayed FROM queue WHERE name = ?1")?;
    let found = counts.query_row([queue.as_str()], |row| {
        let (queued, unacked) = (count(row, 0)?, count(row, 1)?);
        Ok(Depth {
            ready: queued.saturating_sub(unacked),
            unacked,
            delayed: count(row, 2)?,
        })
    });
    found.optional()
}

/// How much of the file a queue and everything in it takes; nothing for a queue that was never declared.
pub(super) fn standing(db: &Connection, queue: &QueueName) -> rusqlite::Result<Option<Standing>> {
    let mut counts = db.prepare_cached(concat!(
        "SELECT queued, (page_count - freelist_count) * page_size FROM queue, ",
        "pragma_page_count, pragma_freelist_count, pragma_page_size WHERE name = ?1"
    ))?;
    let found = counts.query_row([queue.as_str()], |row| {
        Ok(Standing {
            events: count(row, 0)?,
            bytes: count(row, 1)?,
        })
    });
    found.optional()
}

/// A number that is never negative; SQLite has signed ones only.
pub(super) fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
