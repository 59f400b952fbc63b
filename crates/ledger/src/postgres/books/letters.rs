//! Letters: listed, counted, opened.

use super::super::timestamp::Timestamptz;
use super::super::transaction::column;
use super::{PostgresLedger, read};
use crate::books::{
    Condition, DeadCount, Dialect, Entry, FullLetter, Letter, LetterCursor, LetterFilter, LetterId,
    ORDER, Value, columns,
};
use resilience::Fault;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

pub(super) const DIALECT: Dialect = Dialect {
    parameter: '$',
    place_of: "strpos",
};

/// Answered from the index of the dead ones.
const DEAD_BY_CLASS: &str = "\
    SELECT pipeline, class, count(*) FROM dead_letters WHERE state = 'dead' \
    GROUP BY pipeline, class ORDER BY pipeline, class";

const HISTORY: &str = "\
    SELECT t.place, h.at, h.who, h.what, h.replays, h.reason \
    FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS t(pipeline, key, place) \
    CROSS JOIN LATERAL (SELECT * FROM letter_history \
        WHERE pipeline = t.pipeline AND key = t.key ORDER BY n DESC LIMIT 1000) AS h \
    ORDER BY t.place, h.replays, h.n";

pub(super) async fn letters(
    ledger: &PostgresLedger,
    filter: &LetterFilter,
    after: Option<&LetterCursor>,
    limit: u32,
) -> Result<Vec<Letter>, Fault> {
    let mut condition = Condition::of(DIALECT, filter);
    condition.after(after);
    let sql = format!(
        "SELECT {} FROM dead_letters AS l WHERE {} ORDER BY {ORDER} LIMIT {limit}",
        columns(),
        condition.sql()
    );
    let rows = ledger.ask(&sql, &parameters(&bound(&condition))).await?;
    rows.iter().map(letter).collect()
}

pub(super) async fn count(ledger: &PostgresLedger, filter: &LetterFilter) -> Result<u64, Fault> {
    let condition = Condition::of(DIALECT, filter);
    let sql = format!(
        "SELECT count(*) FROM dead_letters AS l WHERE {}",
        condition.sql()
    );
    ledger
        .ask_count(&sql, &parameters(&bound(&condition)))
        .await
}

pub(super) async fn dead_by_class(ledger: &PostgresLedger) -> Result<Vec<DeadCount>, Fault> {
    let rows = ledger.ask(DEAD_BY_CLASS, &[]).await?;
    let count = |row: &Row| {
        Ok(DeadCount {
            pipeline: read::parsed(row, 0)?,
            class: row.get(1),
            letters: read::count(row, 2),
        })
    };
    rows.iter().map(count).collect()
}

pub(super) async fn full(
    ledger: &PostgresLedger,
    ids: &[LetterId],
) -> Result<Vec<FullLetter>, Fault> {
    let (pipelines, keys) = names(ids);
    let sql = format!(
        "SELECT {}, l.payload, l.headers::text, t.place \
         FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS t(pipeline, key, place) \
         CROSS JOIN LATERAL (SELECT * FROM dead_letters \
            WHERE pipeline = t.pipeline AND key = t.key LIMIT 1) AS l \
         ORDER BY t.place",
        columns()
    );
    let letters = ledger.ask(&sql, &[&pipelines, &keys]).await?;
    let history = ledger.ask(HISTORY, &[&pipelines, &keys]).await?;
    letters
        .iter()
        .map(|row| full_letter(row, &history))
        .collect()
}

fn names(ids: &[LetterId]) -> (Vec<&str>, Vec<&[u8]>) {
    let pipelines = column(ids, |id| id.pipeline.as_str());
    let keys = column(ids, |id| id.key.as_bytes().as_slice());
    (pipelines, keys)
}

pub(super) fn letter(row: &Row) -> Result<Letter, Fault> {
    let (attempts, payload_bytes): (i32, i32) = (row.get(9), row.get(10));
    Ok(Letter {
        id: LetterId {
            pipeline: read::parsed(row, 0)?,
            key: read::key(row, 1)?,
        },
        replays: read::small(row, 2)?,
        copies: read::count(row, 3),
        event_id: read::parsed_if_any(row, 4)?,
        source: read::parsed_if_any(row, 5)?,
        reason: row.get(6),
        class: row.get(7),
        error: row.get(8),
        attempts: attempts.try_into().map_err(|_| read::odd(row, 9))?,
        payload_bytes: payload_bytes.unsigned_abs().into(),
        first_seen: read::moment(row, 11),
        dead_at: read::moment(row, 12),
        state: read::parsed(row, 13)?,
    })
}

fn full_letter(row: &Row, history: &[Row]) -> Result<FullLetter, Fault> {
    let (headers, place): (&str, i64) = (row.get(15), row.get(16));
    let entries = history
        .iter()
        .filter(|entry| entry.get::<_, i64>(0) == place);
    Ok(FullLetter {
        letter: letter(row)?,
        payload: row.get::<_, Vec<u8>>(14).into(),
        headers: serde_json::from_str(headers).map_err(|_| read::odd(row, 15))?,
        history: entries.map(entry).collect::<Result<_, _>>()?,
    })
}

fn entry(row: &Row) -> Result<Entry, Fault> {
    Ok(Entry {
        at: read::moment(row, 1),
        who: row.get(2),
        what: read::parsed(row, 3)?,
        replays: read::small(row, 4)?,
        reason: row.get(5),
    })
}

type Bound = Box<dyn ToSql + Sync + Send>;

pub(super) fn bound(condition: &Condition) -> Vec<Bound> {
    let bound = |value: &Value| -> Bound {
        match value {
            Value::Text(text) => Box::new(text.clone()),
            Value::Moment(moment) => Box::new(Timestamptz(*moment)),
            Value::Key(key) => Box::new(key.as_bytes().to_vec()),
        }
    };
    condition.values().iter().map(bound).collect()
}

pub(super) fn parameters(bound: &[Bound]) -> Vec<&(dyn ToSql + Sync)> {
    bound
        .iter()
        .map(|value| &**value as &(dyn ToSql + Sync))
        .collect()
}
