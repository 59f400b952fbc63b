//! Deletes what is older than it is kept, a few rows at a time.

use super::super::timestamp::Timestamptz;
use super::PostgresLedger;
use crate::books::Kind;
use envelope::UnixMicros;
use resilience::Fault;

/// By a list of keys, so that the rows are found by their index whatever the planner thinks. Rows that
/// somebody holds are left for the next time: nobody waits for anybody.
const PROCESSED: &str = "\
    WITH gone AS (DELETE FROM processed_webhooks WHERE key = ANY (ARRAY(\
        SELECT key FROM processed_webhooks WHERE processed_at < $1 \
        ORDER BY processed_at LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1) \
    SELECT count(*) FROM gone";

const LETTERS: &str = "\
    WITH old AS MATERIALIZED (SELECT pipeline, key FROM dead_letters WHERE dead_at < $1 \
        ORDER BY dead_at, pipeline, key LIMIT $2 FOR UPDATE SKIP LOCKED), \
    gone AS (DELETE FROM dead_letters AS l USING old \
        WHERE l.pipeline = old.pipeline AND l.key = old.key RETURNING 1), \
    untold AS (DELETE FROM letter_history AS h USING old \
        WHERE h.pipeline = old.pipeline AND h.key = old.key) \
    SELECT count(*) FROM gone";

const SUSPECTS: &str = "\
    WITH gone AS (DELETE FROM suspects WHERE key = ANY (ARRAY(\
        SELECT key FROM suspects WHERE started_at < $1 \
        ORDER BY started_at LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1) \
    SELECT count(*) FROM gone";

pub(super) async fn forget(
    ledger: &PostgresLedger,
    kind: Kind,
    older_than: UnixMicros,
    limit: u32,
) -> Result<u64, Fault> {
    let sql = match kind {
        Kind::Processed => PROCESSED,
        Kind::Letters => LETTERS,
        Kind::Suspects => SUSPECTS,
    };
    let (older_than, limit) = (Timestamptz(older_than), i64::from(limit));
    ledger.ask_count(sql, &[&older_than, &limit]).await
}
