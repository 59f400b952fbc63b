//! Marks letters, by hand or in a sweep.

use super::super::transaction::SqliteTransaction;
use super::letters::DIALECT;
use super::read;
use crate::books::{
    APPLIED, Condition, Happening, LetterCursor, LetterId, LetterState, ORDER, SweepPage,
};
use envelope::UnixMicros;
use resilience::Fault;
use rusqlite::{Connection, Result as Read, Row, named_params, params_from_iter};

/// Before the letter is marked, and while its state still says whether it can be. A replay whose event has
/// died again in the meantime has happened all the same.
const NOTE: &str = "\
    INSERT INTO letter_history (pipeline, key, replays, at, who, what) \
    SELECT pipeline, key, :replays, :at, :who, :what FROM dead_letters \
    WHERE pipeline = :pipeline AND key = :key \
        AND ((state = 'dead' AND replays = :replays) \
            OR (:what = 'replayed' AND replays > :replays))";

const MARK: &str = "\
    UPDATE dead_letters SET state = :what \
    WHERE pipeline = :pipeline AND key = :key AND state = 'dead' AND replays = :replays";

/// How many it marked.
pub(super) fn mark(
    transaction: &mut SqliteTransaction<'_>,
    letters: &[(LetterId, u32)],
    what: Happening,
    who: Option<&str>,
    now: UnixMicros,
) -> Result<u64, Fault> {
    let mut marked = 0;
    for (id, replays) in letters {
        let (pipeline, key) = (id.pipeline.as_str(), id.key.as_bytes());
        let what = what.as_str();
        transaction.execute(
            NOTE,
            named_params! { ":pipeline": pipeline, ":key": key, ":replays": replays, ":at": now.0,
            ":who": who, ":what": what },
        )?;
        let letter = named_params! {
            ":pipeline": pipeline, ":key": key, ":replays": replays, ":what": what,
        };
        marked += transaction.execute(MARK, letter)? as u64;
    }
    Ok(marked)
}

/// The letters on one page of the dead ones whose event has been applied since, and where the next begins.
pub(super) fn applied_since(
    reader: &Connection,
    after: Option<&LetterCursor>,
    limit: u32,
) -> Read<SweepPage> {
    let mut condition = Condition::new(DIALECT);
    condition.stand(Some(LetterState::Dead));
    condition.after(after);
    let sql = format!(
        "SELECT l.pipeline, l.key, l.dead_at, l.replays, {APPLIED} FROM dead_letters AS l \
         WHERE {} ORDER BY {ORDER} LIMIT {limit}",
        condition.sql()
    );
    let mut statement = reader.prepare_cached(&sql)?;
    let page = statement.query_map(params_from_iter(condition.values()), looked_at)?;
    let page: Vec<_> = page.collect::<Read<_>>()?;
    let next = page.last().filter(|_| page.len() == limit as usize);
    let next = next.map(|(cursor, _, _)| cursor.clone());
    let applied = page.into_iter().filter(|(_, _, applied)| *applied);
    let applied = applied.map(|(cursor, replays, _)| (cursor.id, replays));
    let applied = applied.collect();
    Ok(SweepPage { applied, next })
}

/// Which letter, with how many replays, and whether its event has been applied.
fn looked_at(row: &Row<'_>) -> Read<(LetterCursor, u32, bool)> {
    let id = LetterId {
        pipeline: read::parsed(row, 0)?,
        key: read::key(row, 1)?,
    };
    let dead_at = read::moment(row, 2)?;
    Ok((LetterCursor { dead_at, id }, row.get(3)?, row.get(4)?))
}
