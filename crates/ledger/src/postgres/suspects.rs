//! The starts of suspects. Each statement is a transaction of its own.

use super::fault;
use super::session::Session;
use super::transaction::column;
use envelope::Key;
use resilience::Fault;
use tokio_postgres::types::ToSql;

const STARTS: &str = "\
    SELECT COALESCE(s.starts, 0) FROM unnest($1::bytea[]) WITH ORDINALITY AS t(key, place) \
    LEFT JOIN suspects AS s ON s.key = t.key ORDER BY t.place";

const START: &str = "\
    INSERT INTO suspects (key, starts) VALUES ($1, $2) \
    ON CONFLICT (key) DO UPDATE SET starts = excluded.starts, started_at = now()";

/// Shared with the archive, which forgets the starts of the events it files.
pub(super) const CLEAR: &str = "DELETE FROM suspects WHERE key = ANY($1::bytea[])";

pub(super) async fn starts(session: &Session, keys: &[Key]) -> Result<Vec<u32>, Fault> {
    let statement = session.prepare(STARTS).await?;
    let answered = session.query(&statement, &[&as_column(keys)]).await;
    let rows = answered.map_err(|error| fault::of(&error))?;
    let starts = rows.iter().map(|row| row.get::<_, i32>(0));
    // Only `start` writes them, so they are small and positive.
    Ok(starts.map(i32::unsigned_abs).collect())
}

pub(super) async fn start(session: &Session, key: Key, start: u32) -> Result<(), Fault> {
    let start = i32::try_from(start).unwrap_or(i32::MAX);
    execute(session, START, &[&key.as_bytes().as_slice(), &start]).await
}

pub(super) async fn clear(session: &Session, keys: &[Key]) -> Result<(), Fault> {
    execute(session, CLEAR, &[&as_column(keys)]).await
}

fn as_column(keys: &[Key]) -> Vec<&[u8]> {
    column(keys, |key| key.as_bytes().as_slice())
}

async fn execute(
    session: &Session,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<(), Fault> {
    let statement = session.prepare(sql).await?;
    let executed = session.execute(&statement, parameters).await;
    executed.map(drop).map_err(|error| fault::of(&error))
}
