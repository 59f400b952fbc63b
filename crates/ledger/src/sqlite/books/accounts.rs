//! What is known of one event.

use super::read;
use crate::books::{Account, AppliedRow, LetterStanding};
use envelope::Key;
use rusqlite::{Connection, OptionalExtension, Result, Row};

const APPLIED: &str = "\
    SELECT body_sha256, payload, received_at, processed_at FROM processed_webhooks WHERE key = ?1";

/// The one that is dead, where several pipelines have filed the same foreign body.
const LETTER: &str = "\
    SELECT state, replays, reason, payload FROM dead_letters WHERE key = ?1 \
    ORDER BY state <> 'dead', dead_at DESC LIMIT 1";

pub(super) fn account(reader: &Connection, key: &Key) -> Result<Account> {
    let key = [key.as_bytes()];
    let row = reader.prepare_cached(APPLIED)?.query_row(key, applied);
    let letter = reader.prepare_cached(LETTER)?.query_row(key, standing);
    Ok(Account {
        applied: row.optional()?,
        letter: letter.optional()?,
    })
}

fn applied(row: &Row<'_>) -> Result<AppliedRow> {
    Ok(AppliedRow {
        body_sha256: read::hash(row, 0)?,
        payload_sha256: read::payload_hash(row, 1)?,
        received_at: read::moment(row, 2)?,
        processed_at: read::moment(row, 3)?,
    })
}

fn standing(row: &Row<'_>) -> Result<LetterStanding> {
    Ok(LetterStanding {
        state: read::parsed(row, 0)?,
        replays: row.get(1)?,
        reason: row.get(2)?,
        body_sha256: read::payload_hash(row, 3)?,
    })
}
