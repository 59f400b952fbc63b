//! The starts of suspects.

use super::fault;
use super::transaction::SqliteTransaction;
use envelope::Key;
use resilience::Fault;
use rusqlite::{Connection, OptionalExtension};

const STARTS: &str = "SELECT starts FROM suspects WHERE key = ?1";

const START: &str = "\
    INSERT INTO suspects (key, starts, started_at) \
    VALUES (?1, ?2, CAST(unixepoch('subsec') * 1000000 AS INTEGER)) \
    ON CONFLICT (key) DO UPDATE SET starts = excluded.starts, started_at = excluded.started_at";

const CLEAR: &str = "DELETE FROM suspects WHERE key = ?1";

pub(super) fn starts(connection: &Connection, keys: &[Key]) -> Result<Vec<u32>, Fault> {
    let starts = keys.iter().map(|key| starts_of(connection, *key));
    let starts: rusqlite::Result<Vec<u32>> = starts.collect();
    starts.map_err(|error| fault::of(&error))
}

fn starts_of(connection: &Connection, key: Key) -> rusqlite::Result<u32> {
    let starts = connection
        .prepare_cached(STARTS)?
        .query_one([key.as_bytes()], |row| row.get(0));
    Ok(starts.optional()?.unwrap_or(0))
}

pub(super) fn start(connection: &mut Connection, key: Key, start: u32) -> Result<(), Fault> {
    let mut transaction = SqliteTransaction::begin(connection)?;
    transaction.execute(START, (key.as_bytes(), start))?;
    transaction.commit()
}

pub(super) fn clear(connection: &mut Connection, keys: &[Key]) -> Result<(), Fault> {
    let mut transaction = SqliteTransaction::begin(connection)?;
    keys.iter()
        .try_for_each(|key| forget(&mut transaction, *key))?;
    transaction.commit()
}

/// Shared with the archive, which forgets the starts of the events it files.
pub(super) fn forget(transaction: &mut SqliteTransaction<'_>, key: Key) -> Result<(), Fault> {
    transaction.execute(CLEAR, [key.as_bytes()]).map(drop)
}
