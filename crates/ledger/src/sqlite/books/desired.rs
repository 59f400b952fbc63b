//! How many workers were last desired.

use super::super::transaction::SqliteTransaction;
use super::read;
use crate::books::Desired;
use envelope::{PipelineName, UnixMicros};
use resilience::Fault;
use rusqlite::{Connection, OptionalExtension, Result as SqliteResult, Row};

const LAST: &str = "SELECT desired_workers, revision FROM scaling WHERE pipeline = ?1";

/// As in Postgres: revisions count from 1.
const CHANGE: &str = "\
    INSERT INTO scaling AS s (pipeline, desired_workers, revision, changed_at) VALUES (?1, ?2, 1, ?4) \
    ON CONFLICT (pipeline) DO UPDATE \
        SET desired_workers = excluded.desired_workers, revision = s.revision + 1, \
            changed_at = excluded.changed_at \
        WHERE s.revision = ?3";

pub(super) fn last(reader: &Connection, pipeline: &PipelineName) -> SqliteResult<Option<Desired>> {
    let mut statement = reader.prepare_cached(LAST)?;
    statement.query_row([pipeline.as_str()], desired).optional()
}

pub(super) fn change(
    transaction: &mut SqliteTransaction<'_>,
    pipeline: &PipelineName,
    from: Option<Desired>,
    workers: u32,
    now: UnixMicros,
) -> Result<bool, Fault> {
    let revision = i64::try_from(from.map_or(0, |from| from.revision)).unwrap_or(i64::MAX);
    let parameters = (pipeline.as_str(), workers, revision, now.0);
    Ok(transaction.execute(CHANGE, parameters)? > 0)
}

fn desired(row: &Row<'_>) -> SqliteResult<Desired> {
    Ok(Desired {
        workers: row.get(0)?,
        revision: read::count(row, 1)?,
    })
}
