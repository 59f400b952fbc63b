//! Letters: listed, counted, opened.

use super::read;
use crate::books::{
    Condition, DeadCount, Dialect, Entry, FullLetter, Letter, LetterCursor, LetterFilter, LetterId,
    ORDER, Value, columns,
};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OptionalExtension, Result, Row, ToSql, params_from_iter};

pub(super) const DIALECT: Dialect = Dialect {
    parameter: '?',
    place_of: "instr",
};

/// Answered from the index of the dead ones.
const DEAD_BY_CLASS: &str = "\
    SELECT pipeline, class, count(*) FROM dead_letters WHERE state = 'dead' \
    GROUP BY pipeline, class ORDER BY pipeline, class";

const HISTORY: &str = "\
    SELECT at, who, what, replays, reason FROM (SELECT * FROM letter_history \
        WHERE pipeline = ?1 AND key = ?2 ORDER BY n DESC LIMIT 1000) \
    ORDER BY replays, n";

pub(super) fn letters(
    reader: &Connection,
    filter: &LetterFilter,
    after: Option<&LetterCursor>,
    limit: u32,
) -> Result<Vec<Letter>> {
    let mut condition = Condition::of(DIALECT, filter);
    condition.after(after);
    let sql = format!(
        "SELECT {} FROM dead_letters AS l WHERE {} ORDER BY {ORDER} LIMIT {limit}",
        columns(),
        condition.sql()
    );
    let mut statement = reader.prepare_cached(&sql)?;
    let letters = statement.query_map(params_from_iter(condition.values()), letter)?;
    letters.collect()
}

pub(super) fn count(reader: &Connection, filter: &LetterFilter) -> Result<u64> {
    let condition = Condition::of(DIALECT, filter);
    let sql = format!(
        "SELECT count(*) FROM dead_letters AS l WHERE {}",
        condition.sql()
    );
    let mut statement = reader.prepare_cached(&sql)?;
    statement.query_row(params_from_iter(condition.values()), |row| {
        read::count(row, 0)
    })
}

pub(super) fn dead_by_class(reader: &Connection) -> Result<Vec<DeadCount>> {
    let mut statement = reader.prepare_cached(DEAD_BY_CLASS)?;
    let count = |row: &Row<'_>| {
        Ok(DeadCount {
            pipeline: read::parsed(row, 0)?,
            class: row.get(1)?,
            letters: read::count(row, 2)?,
        })
    };
    statement.query_map((), count)?.collect()
}

pub(super) fn full(reader: &Connection, id: &LetterId) -> Result<Option<FullLetter>> {
    let sql = format!(
        "SELECT {}, l.payload, l.headers FROM dead_letters AS l WHERE l.pipeline = ?1 AND l.key = ?2",
        columns()
    );
    let id = (id.pipeline.as_str(), id.key.as_bytes());
    let mut statement = reader.prepare_cached(&sql)?;
    let Some(mut found) = statement.query_row(id, full_letter).optional()? else {
        return Ok(None);
    };
    let mut history = reader.prepare_cached(HISTORY)?;
    found.history = history.query_map(id, entry)?.collect::<Result<_>>()?;
    Ok(Some(found))
}

fn letter(row: &Row<'_>) -> Result<Letter> {
    Ok(Letter {
        id: LetterId {
            pipeline: read::parsed(row, 0)?,
            key: read::key(row, 1)?,
        },
        replays: row.get(2)?,
        copies: read::count(row, 3)?,
        event_id: read::parsed_if_any(row, 4)?,
        source: read::parsed_if_any(row, 5)?,
        reason: row.get(6)?,
        class: row.get(7)?,
        error: row.get(8)?,
        attempts: row.get(9)?,
        payload_bytes: read::count(row, 10)?,
        first_seen: read::moment(row, 11)?,
        dead_at: read::moment(row, 12)?,
        state: read::parsed(row, 13)?,
    })
}

/// Without its history.
fn full_letter(row: &Row<'_>) -> Result<FullLetter> {
    let headers: String = row.get(15)?;
    Ok(FullLetter {
        letter: letter(row)?,
        payload: row.get::<_, Vec<u8>>(14)?.into(),
        headers: serde_json::from_str(&headers).map_err(|why| read::odd(15, why))?,
        history: Vec::new(),
    })
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    Ok(Entry {
        at: read::moment(row, 0)?,
        who: row.get(1)?,
        what: read::parsed(row, 2)?,
        replays: row.get(3)?,
        reason: row.get(4)?,
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Text(text) => text.as_str().into(),
            Self::Moment(moment) => moment.0.into(),
            Self::Key(key) => key.as_bytes().as_slice().into(),
        })
    }
}
