//! Marks letters, by hand or in a sweep.

use super::super::timestamp::Timestamptz;
use super::super::transaction::column;
use super::letters::{DIALECT, bound, parameters};
use super::{PostgresLedger, read};
use crate::books::{
    APPLIED, Condition, Happening, LetterCursor, LetterId, LetterState, MOST_AT_ONCE, ORDER,
    SweepPage,
};
use envelope::UnixMicros;
use resilience::Fault;
use tokio_postgres::Row;

/// The locks are taken in the order in which the letters are given. A replay whose event has died again in
/// the meantime, or was filed again before we came, has happened all the same.
const MARK: &str = "\
    WITH standing AS MATERIALIZED (\
        SELECT t.pipeline, t.key, t.replays, l.state = 'dead' AND l.replays = t.replays AS fits \
        FROM unnest($1::text[], $2::bytea[], $3::bigint[]) AS t(pipeline, key, replays) \
        CROSS JOIN LATERAL (SELECT d.state, d.replays FROM dead_letters AS d \
            WHERE d.pipeline = t.pipeline AND d.key = t.key FOR UPDATE) AS l \
        WHERE (l.state = 'dead' AND l.replays = t.replays) \
            OR ($4 = 'replayed' AND l.replays > t.replays)), \
    marked AS (\
        UPDATE dead_letters AS l SET state = $4 FROM standing AS s \
        WHERE s.fits AND l.pipeline = s.pipeline AND l.key = s.key \
            AND l.state = 'dead' AND l.replays = s.replays \
        RETURNING 1), \
    noted AS (\
        INSERT INTO letter_history (pipeline, key, replays, at, who, what) \
        SELECT pipeline, key, replays, $5, $6, $4 FROM standing) \
    SELECT count(*) FROM marked";

/// How many it marked. Each statement is a transaction of its own.
pub(super) async fn mark(
    ledger: &PostgresLedger,
    letters: &[(LetterId, u32)],
    what: Happening,
    who: Option<&str>,
    now: UnixMicros,
) -> Result<u64, Fault> {
    // Two that mark the same letters wait for each other and never deadlock.
    let mut letters = letters.to_vec();
    letters.sort_unstable();
    letters.dedup();
    let mut marked = 0;
    for letters in letters.chunks(MOST_AT_ONCE) {
        let pipelines = column(letters, |(id, _)| id.pipeline.as_str());
        let keys = column(letters, |(id, _)| id.key.as_bytes().as_slice());
        let replays = column(letters, |(_, replays)| i64::from(*replays));
        let (what, now) = (what.as_str(), Timestamptz(now));
        marked += ledger
            .ask_count(MARK, &[&pipelines, &keys, &replays, &what, &now, &who])
            .await?;
    }
    Ok(marked)
}

/// The letters on one page of the dead ones whose event has been applied since, and where the next begins.
pub(super) async fn applied_since(
    ledger: &PostgresLedger,
    after: Option<&LetterCursor>,
    limit: u32,
) -> Result<SweepPage, Fault> {
    let mut condition = Condition::new(DIALECT);
    condition.stand(Some(LetterState::Dead));
    condition.after(after);
    let sql = format!(
        "SELECT l.pipeline, l.key, l.replays, l.dead_at, {APPLIED} FROM dead_letters AS l \
         WHERE {} ORDER BY {ORDER} LIMIT {limit}",
        condition.sql()
    );
    let rows = ledger.ask(&sql, &parameters(&bound(&condition))).await?;
    let applied = rows.iter().filter(|row| row.get(4));
    let applied = applied.map(|row| Ok((id(row)?, read::small(row, 2)?)));
    let next = rows.last().filter(|_| rows.len() == limit as usize);
    Ok(SweepPage {
        applied: applied.collect::<Result<_, Fault>>()?,
        next: next.map(cursor).transpose()?,
    })
}

fn id(row: &Row) -> Result<LetterId, Fault> {
    Ok(LetterId {
        pipeline: read::parsed(row, 0)?,
        key: read::key(row, 1)?,
    })
}

fn cursor(row: &Row) -> Result<LetterCursor, Fault> {
    Ok(LetterCursor {
        dead_at: read::moment(row, 3),
        id: id(row)?,
    })
}
