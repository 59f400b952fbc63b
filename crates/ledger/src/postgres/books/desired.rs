//! How many workers were last desired.

use super::super::timestamp::Timestamptz;
use super::{PostgresLedger, read};
use crate::books::Desired;
use envelope::{PipelineName, UnixMicros};
use resilience::Fault;
use tokio_postgres::Row;

const LAST: &str = "SELECT desired_workers, revision FROM scaling WHERE pipeline = $1";

/// Revisions count from 1: whoever has seen none names 0, and makes the first row or nothing.
const CHANGE: &str = "\
    WITH changed AS (\
        INSERT INTO scaling AS s (pipeline, desired_workers, revision, changed_at) VALUES ($1, $2, 1, $4) \
        ON CONFLICT (pipeline) DO UPDATE \
            SET desired_workers = excluded.desired_workers, revision = s.revision + 1, \
                changed_at = excluded.changed_at \
            WHERE s.revision = $3 \
        RETURNING 1) \
    SELECT count(*) FROM changed";

pub(super) async fn last(
    ledger: &PostgresLedger,
    pipeline: &PipelineName,
) -> Result<Option<Desired>, Fault> {
    let rows = ledger.ask(LAST, &[&pipeline.as_str()]).await?;
    rows.first().map(desired).transpose()
}

pub(super) async fn change(
    ledger: &PostgresLedger,
    pipeline: &PipelineName,
    from: Option<Desired>,
    workers: u32,
    now: UnixMicros,
) -> Result<bool, Fault> {
    let revision = i64::try_from(from.map_or(0, |from| from.revision)).unwrap_or(i64::MAX);
    let (pipeline, workers, now) = (pipeline.as_str(), i64::from(workers), Timestamptz(now));
    let changed = ledger
        .ask_count(CHANGE, &[&pipeline, &workers, &revision, &now])
        .await?;
    Ok(changed > 0)
}

fn desired(row: &Row) -> Result<Desired, Fault> {
    Ok(Desired {
        workers: read::small(row, 0)?,
        revision: read::count(row, 1),
    })
}
