//! What the ledger says of one event, and whether it says anything.

use super::fault;
use super::session::Session;
use super::timestamp::Timestamptz;
use crate::Found;
use envelope::{Key, PipelineName};
use resilience::Fault;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

const LOOK_UP: &str = "\
    SELECT received_at, processed_at, NULL, NULL FROM processed_webhooks WHERE key = $2 \
    UNION ALL \
    SELECT NULL, NULL, reason, error FROM dead_letters \
    WHERE pipeline = $1 AND key = $2 AND state = 'dead'";

/// Touches the table that matters: a database that answers and has not been migrated, or holds a lock on
/// it, is of no use to a worker that asks whether to go on.
const PING: &str = "SELECT FROM processed_webhooks LIMIT 1";

pub(super) async fn look_up(
    session: &Session,
    pipeline: &PipelineName,
    key: Key,
) -> Result<Option<Found>, Fault> {
    let statement = session.prepare(LOOK_UP).await?;
    let parameters: [&(dyn ToSql + Sync); 2] = [&pipeline.as_str(), &key.as_bytes().as_slice()];
    let answered = session.query(&statement, &parameters).await;
    let rows = answered.map_err(|error| fault::of(&error))?;
    // Applied wins: a letter may be left over from a try that failed.
    let applied = rows.iter().find_map(applied);
    Ok(applied.or_else(|| rows.iter().find_map(dead)))
}

pub(super) async fn ping(session: &Session) -> Result<(), Fault> {
    let answered = session.batch_execute(PING).await;
    answered.map_err(|error| fault::of(&error))
}

fn applied(row: &Row) -> Option<Found> {
    let received: Option<Timestamptz> = row.get(0);
    let processed: Option<Timestamptz> = row.get(1);
    let age_micros = processed?.0.0.saturating_sub(received?.0.0);
    // Two machines' clocks: what was applied before it came was applied at once.
    Some(Found::Applied {
        age_micros: age_micros.max(0),
    })
}

fn dead(row: &Row) -> Option<Found> {
    let reason: Option<String> = row.get(2);
    let error: Option<String> = row.get(3);
    Some(Found::Dead {
        reason: reason?,
        error: error?,
    })
}
