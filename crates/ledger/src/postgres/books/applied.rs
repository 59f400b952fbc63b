//! What has been applied: in a window of time, or by key.

use super::super::timestamp::Timestamptz;
use super::super::transaction::column;
use super::{PostgresLedger, read};
use crate::books::{AppliedCursor, AppliedEvent, Trace, Window};
use envelope::{Attempt, Key};
use resilience::Fault;
use tokio_postgres::Row;

/// The time alone is in the index, and few rows share one: those are put in order as they come. The first
/// condition is the one the index begins at.
const BETWEEN: &str = "\
    SELECT key, pipeline, source, event_id, body_sha256, received_at, processed_at \
    FROM processed_webhooks \
    WHERE processed_at >= $1 AND processed_at < $2 AND (processed_at > $1 OR key > $3) \
    ORDER BY processed_at, key LIMIT $4";

/// As in the accounts: by key, whatever the planner thinks of the table's size.
const TRACES: &str = "\
    SELECT a.pipeline, a.worker, a.attempt, a.received_at, a.processed_at \
    FROM unnest($1::bytea[]) WITH ORDINALITY AS t(key, place) \
    LEFT JOIN LATERAL (SELECT * FROM processed_webhooks WHERE key = t.key LIMIT 1) AS a ON true \
    ORDER BY t.place";

pub(super) async fn between(
    ledger: &PostgresLedger,
    window: Window,
    after: Option<&AppliedCursor>,
    limit: u32,
) -> Result<Vec<AppliedEvent>, Fault> {
    let from = Timestamptz(after.map_or(window.from, |after| after.processed_at));
    let until = Timestamptz(window.until);
    // No bytes come before every key.
    let key = after.map_or(&[][..], |after| after.key.as_bytes());
    let rows = ledger
        .ask(BETWEEN, &[&from, &until, &key, &i64::from(limit)])
        .await?;
    rows.iter().map(event).collect()
}

pub(super) async fn traces(
    ledger: &PostgresLedger,
    keys: &[Key],
) -> Result<Vec<Option<Trace>>, Fault> {
    let keys = column(keys, |key| key.as_bytes().as_slice());
    let rows = ledger.ask(TRACES, &[&keys]).await?;
    rows.iter().map(trace).collect()
}

fn event(row: &Row) -> Result<AppliedEvent, Fault> {
    Ok(AppliedEvent {
        key: read::key(row, 0)?,
        pipeline: read::parsed(row, 1)?,
        source: read::parsed(row, 2)?,
        event_id: read::parsed(row, 3)?,
        body_sha256: read::hash(row, 4)?,
        received_at: read::moment(row, 5),
        processed_at: read::moment(row, 6),
    })
}

fn trace(row: &Row) -> Result<Option<Trace>, Fault> {
    let Some(pipeline) = read::parsed_if_any(row, 0)? else {
        return Ok(None);
    };
    let attempt = u16::try_from(row.get::<_, i32>(2))
        .ok()
        .and_then(Attempt::new);
    Ok(Some(Trace {
        pipeline,
        worker: row.get(1),
        attempt: attempt.ok_or_else(|| read::odd(row, 2))?,
        received_at: read::moment(row, 3),
        processed_at: read::moment(row, 4),
    }))
}
