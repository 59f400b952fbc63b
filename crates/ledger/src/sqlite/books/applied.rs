//! What has been applied: in a window of time, or by key.

use super::read;
use crate::books::{AppliedCursor, AppliedEvent, Trace, Window};
use envelope::{Attempt, Key};
use rusqlite::{Connection, OptionalExtension, Result, Row};

/// The time alone is in the index, and few rows share one: those are put in order as they come.
const BETWEEN: &str = "\
    SELECT key, pipeline, source, event_id, body_sha256, received_at, processed_at \
    FROM processed_webhooks \
    WHERE processed_at >= ?1 AND processed_at < ?2 AND (processed_at > ?1 OR key > ?3) \
    ORDER BY processed_at, key LIMIT ?4";

const TRACE: &str = "\
    SELECT pipeline, worker, attempt, received_at, processed_at FROM processed_webhooks WHERE key = ?1";

pub(super) fn between(
    reader: &Connection,
    window: Window,
    after: Option<&AppliedCursor>,
    limit: u32,
) -> Result<Vec<AppliedEvent>> {
    let from = after.map_or(window.from, |after| after.processed_at);
    // No bytes come before every key.
    let key = after.map_or(&[][..], |after| after.key.as_bytes());
    let mut statement = reader.prepare_cached(BETWEEN)?;
    let events = statement.query_map((from.0, window.until.0, key, limit), event)?;
    events.collect()
}

pub(super) fn trace(reader: &Connection, key: &Key) -> Result<Option<Trace>> {
    let mut statement = reader.prepare_cached(TRACE)?;
    statement.query_row([key.as_bytes()], traced).optional()
}

fn event(row: &Row<'_>) -> Result<AppliedEvent> {
    Ok(AppliedEvent {
        key: read::key(row, 0)?,
        pipeline: read::parsed(row, 1)?,
        source: read::parsed(row, 2)?,
        event_id: read::parsed(row, 3)?,
        body_sha256: read::hash(row, 4)?,
        received_at: read::moment(row, 5)?,
        processed_at: read::moment(row, 6)?,
    })
}

fn traced(row: &Row<'_>) -> Result<Trace> {
    let attempt = Attempt::new(row.get(2)?);
    Ok(Trace {
        pipeline: read::parsed(row, 0)?,
        worker: row.get(1)?,
        attempt: attempt.ok_or_else(|| read::odd(2, "attempts count from one"))?,
        received_at: read::moment(row, 3)?,
        processed_at: read::moment(row, 4)?,
    })
}
