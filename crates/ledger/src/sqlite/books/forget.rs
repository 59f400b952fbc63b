//! Deletes what is older than it is kept, a few rows at a time.

use super::super::transaction::SqliteTransaction;
use crate::books::Kind;
use envelope::UnixMicros;
use resilience::Fault;

const PROCESSED: &str = "\
    DELETE FROM processed_webhooks WHERE rowid IN (SELECT rowid FROM processed_webhooks \
        WHERE processed_at < ?1 ORDER BY processed_at LIMIT ?2)";

/// Before the letters themselves.
const HISTORY: &str = "\
    DELETE FROM letter_history WHERE (pipeline, key) IN (SELECT pipeline, key FROM dead_letters \
        WHERE dead_at < ?1 ORDER BY dead_at, pipeline, key LIMIT ?2)";

const LETTERS: &str = "\
    DELETE FROM dead_letters WHERE rowid IN (SELECT rowid FROM dead_letters \
        WHERE dead_at < ?1 ORDER BY dead_at, pipeline, key LIMIT ?2)";

const SUSPECTS: &str = "\
    DELETE FROM suspects WHERE rowid IN (SELECT rowid FROM suspects \
        WHERE started_at < ?1 ORDER BY started_at LIMIT ?2)";

pub(super) fn forget(
    transaction: &mut SqliteTransaction<'_>,
    kind: Kind,
    older_than: UnixMicros,
    limit: u32,
) -> Result<u64, Fault> {
    let old = (older_than.0, limit);
    let deleted = match kind {
        Kind::Processed => transaction.execute(PROCESSED, old)?,
        Kind::Letters => {
            transaction.execute(HISTORY, old)?;
            transaction.execute(LETTERS, old)?
        }
        Kind::Suspects => transaction.execute(SUSPECTS, old)?,
    };
    Ok(deleted as u64)
}
