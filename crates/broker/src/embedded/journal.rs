//! The journal read from the file, page by page, beside whoever serves it.

use super::schema;
use crate::journal::{JournalFeed, Unwanted};
use crate::{Content, Entry, JournalError, JournalStart, Position};
use envelope::UnixMicros;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// Rows in one read. Each read is a transaction of its own, so that a slow reader does not keep the log from
/// being written back; 64 bodies of 1 MiB fit anywhere, and a page costs some twenty microseconds.
const PAGE: usize = 64;

/// How far the clock may have been set back between an event's receipt and its entry.
const CLOCK_MARGIN_MICROS: i64 = 60 * 1_000_000;

/// Why reading ended before the end.
enum Early {
    Unwanted,
    Unreadable(rusqlite::Error),
}

impl From<rusqlite::Error> for Early {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<Unwanted> for Early {
    fn from(_: Unwanted) -> Self {
        Self::Unwanted
    }
}

/// Reads from `start` to what is there now. For a thread that may block.
pub(super) fn read(path: &Path, start: JournalStart, feed: JournalFeed) {
    match read_all(path, start, &feed) {
        Ok(()) => feed.blocking_end(Ok(())),
        Err(Early::Unwanted) => {}
        Err(Early::Unreadable(why)) => {
            feed.blocking_end(Err(JournalError::Unreadable(why.to_string())));
        }
    }
}

fn read_all(path: &Path, start: JournalStart, feed: &JournalFeed) -> Result<(), Early> {
    let db = schema::open_to_read(path)?;
    let Some(last) = last(&db)? else {
        return Ok(());
    };
    let mut after = before(&db, start)?;
    while after < last {
        let page = page(&db, after, last)?;
        let Some(entry) = page.last() else {
            break;
        };
        after = row(entry.position);
        for entry in page.into_iter().filter(|entry| wanted(entry, start)) {
            feed.blocking_entry(entry)?;
        }
    }
    Ok(())
}

fn last(db: &Connection) -> rusqlite::Result<Option<i64>> {
    db.query_row("SELECT max(event) FROM journal", [], |row| row.get(0))
}

/// The row after which to begin.
fn before(db: &Connection, start: JournalStart) -> rusqlite::Result<i64> {
    match start {
        JournalStart::Oldest => Ok(0),
        JournalStart::After(position) => Ok(row(position)),
        JournalStart::Since(moment) => entered_since(db, moment),
    }
}

/// What was received since then was entered since then. Looking for the first such row reads the numbers
/// alone, and is right also where the clock went back and the times are out of order.
fn entered_since(db: &Connection, moment: UnixMicros) -> rusqlite::Result<i64> {
    let first: Option<i64> = db
        .query_row(
            "SELECT event FROM journal WHERE stored_at >= ?1 ORDER BY event LIMIT 1",
            [moment.0.saturating_sub(CLOCK_MARGIN_MICROS)],
            |row| row.get(0),
        )
        .optional()?;
    Ok(first.map_or(i64::MAX, |first| first - 1))
}

fn page(db: &Connection, after: i64, last: i64) -> rusqlite::Result<Vec<Entry>> {
    let mut select = db.prepare_cached(concat!(
        "SELECT e.id, e.wire, e.body FROM journal j JOIN event e ON e.id = j.event ",
        "WHERE j.event > ?1 AND j.event <= ?2 ORDER BY j.event LIMIT ?3"
    ))?;
    let rows = select.query_map(params![after, last, PAGE as i64], entry)?;
    rows.collect()
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let position = Position(super::store::count(row, 0)?);
    // What cannot be read as our wire form has none of our headers: it is foreign, and never an error.
    let wire = serde_json::from_slice(row.get_ref(1)?.as_bytes()?).unwrap_or_default();
    let body = row.get::<_, Vec<u8>>(2)?;
    Ok(Entry {
        position,
        content: Content::of_wire(wire, body.into()),
    })
}

fn wanted(entry: &Entry, start: JournalStart) -> bool {
    match start {
        JournalStart::Since(moment) => entry
            .content
            .received_at()
            .is_none_or(|received_at| received_at >= moment),
        JournalStart::Oldest | JournalStart::After(_) => true,
    }
}

/// Past the last row there can be, where the number is another broker's.
fn row(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}
