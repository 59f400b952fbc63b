//! What the ledger says of one event, and whether it says anything.

use super::fault;
use crate::Found;
use envelope::{Key, PipelineName};
use resilience::Fault;
use rusqlite::{Connection, OptionalExtension, Row};

/// Applied wins: a letter may be left over from a try that failed.
const LOOK_UP: &str = "\
    SELECT processed_at - received_at, NULL, NULL FROM processed_webhooks WHERE key = ?2 \
    UNION ALL \
    SELECT NULL, reason, error FROM dead_letters WHERE pipeline = ?1 AND key = ?2 AND state = 'dead' \
    LIMIT 1";

pub(super) fn look_up(
    connection: &Connection,
    pipeline: &PipelineName,
    key: Key,
) -> Result<Option<Found>, Fault> {
    let parameters = (pipeline.as_str(), key.as_bytes());
    connection
        .prepare_cached(LOOK_UP)
        .and_then(|mut statement| statement.query_row(parameters, found).optional())
        .map_err(|error| fault::of(&error))
}

pub(super) fn ping(connection: &Connection) -> Result<(), Fault> {
    let answered = connection.execute_batch("SELECT 1 FROM processed_webhooks LIMIT 1");
    answered.map_err(|error| fault::of(&error))
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let age_micros: Option<i64> = row.get(0)?;
    Ok(match age_micros {
        // The clock of SQLite has milliseconds, ours has microseconds.
        Some(age_micros) => Found::Applied {
            age_micros: age_micros.max(0),
        },
        None => Found::Dead {
            reason: row.get(1)?,
            error: row.get(2)?,
        },
    })
}
